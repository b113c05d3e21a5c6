"""What became of each answer, by the host's files and by the chat's own record, and is that as promised?"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from attrs import frozen

from turnkeel.lab.chat import Call
from turnkeel.lab.letters import LETTERS, Letter
from turnkeel_adapters.lifecycle.listing import Listing, TurnSummary, reading_of
from turnkeel_adapters.state.store import HostState

_DOUBT = "MarkUnknown"


@frozen(kw_only=True)
class LetterEnd:
    """One accepted message. `status` is its turn's, None if there is none; `row` that of its answer.

    `seen` is how often people saw the answer, `doubts` how often it was stored that nobody knew.
    """

    letter: Letter
    status: str | None
    row: str | None = None
    calls: int = 0
    seen: int = 0
    doubts: int = 0
    reason: str = ""

    @property
    def became(self) -> str:
        """One word. Lost: it has no turn, or one that has ended without an answer, without a failure to be seen."""
        if self.seen > 1:
            return "twice"
        if self.status == "delivered":
            return "delivered" if self.row == "delivered" and self.seen == 1 else "lost"
        if self.status == "failed_terminal":
            return "failed" if self.reason else "lost"
        if self.status == "delivery_pending" and self.row == "unknown":
            return "unknown"
        return "lost" if self.status is None else "unsettled"


def read_ends(state: HostState, turn_ids: Mapping[str, str], calls: tuple[Call, ...]) -> tuple[LetterEnd, ...]:
    """All of them; `turn_ids` are what was said when they were accepted, by the letters' names."""
    by_turn: dict[str | None, list[Call]] = defaultdict(list)
    for call in calls:
        by_turn[call.turn_id].append(call)
    with reading_of(state.database) as listing:
        return tuple(_end(listing, letter, turn_ids[letter.name], by_turn[turn_ids[letter.name]]) for letter in LETTERS)


def find_wrong(ends: tuple[LetterEnd, ...], kills: int, leftovers: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that is not as promised, one line each."""
    wrong = [
        f"{end.letter.name} is {end.became}, and was to be {end.letter.end}: turn {end.status}, answer {end.row}, "
        f"seen {end.seen} times"
        for end in ends
        if end.became != end.letter.end and not (end.became == "unknown" and end.letter.may_be_unknown)
    ]
    wrong += [
        f"{end.letter.name}: {end.calls} calls, and no doubt is on record"
        for end in ends
        if end.calls > 1 and not end.doubts and "busy" not in end.letter.troubles
    ]
    to_kill = sum(letter.kills for letter in LETTERS)
    wrong += [f"{kills} hosts were killed in mid-send, {to_kill} were to be"] if kills != to_kill else []
    return (*wrong, *(f"{left}: a process is left" for left in leftovers))


def closing_line(ends: tuple[LetterEnd, ...]) -> str:
    """The outcome in one line."""
    counts = Counter(end.became for end in ends)
    line = (
        f"{len(ends)} accepted: {counts['delivered']} delivered, {counts['unknown']} unknown and held for a person, "
        f"{counts['failed']} failed visibly, {counts['lost']} lost, {counts['twice']} shown twice"
    )
    return line + (f", {counts['unsettled']} not settled" if counts["unsettled"] else "")


def _end(listing: Listing, letter: Letter, turn_id: str, calls: list[Call]) -> LetterEnd:
    found: TurnSummary | None = listing.turn(turn_id)
    counted = LetterEnd(letter=letter, status=None, calls=len(calls), seen=sum(call.shown for call in calls))
    if found is None:
        return counted
    rows = found.rows
    lives = (listing.tables.life.of_row(row.row_id) for row in rows)
    return LetterEnd(
        letter=letter,
        status=found.turn.status,
        row=rows[0].status if len(rows) == 1 else None,
        calls=counted.calls,
        seen=counted.seen,
        doubts=sum(line.what == _DOUBT for life in lives for line in life),
        reason=found.note.error or "",
    )
