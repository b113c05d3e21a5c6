"""What happened to a turn and its replies, in order? Joined from the store, the session's files and the containers."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from turnkeel.cli.reading import Reading
from turnkeel.cli.show import Line, said
from turnkeel.cli.trace_words import words_of_line
from turnkeel.cli.why_message import in_files
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle import whole_life
from turnkeel_adapters.lifecycle.listing import Listing, RowSummary, TurnSummary
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.tables import LifeLine
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import Turn
from turnkeel_core.turn_identity import encode_parts

_CONTAINERS: Final = 100


@frozen(kw_only=True)
class Moment:
    """One thing that happened; `row_id` if it is about one reply."""

    at_ms: int
    what: str
    words: str
    row_id: str | None = None


@frozen(kw_only=True)
class Life:
    """A turn with its rows and replies that came after its end, or one row of nobody's; `texts` by row id."""

    title: str
    turn: TurnSummary | None
    rows: tuple[RowSummary, ...]
    moments: tuple[Moment, ...]
    text: str | None = None
    identity: str | None = None
    texts: Mapping[str, str] = field(factory=dict[str, str])


def life_of_turn(listing: Listing, reading: Reading, summary: TurnSummary, now_ms: int) -> Life:
    """Everything about a turn, oldest first."""
    turn = summary.turn
    incoming = _incoming(listing, turn)
    row, claimed_at_ms, replies = _in_session(reading, turn)
    late = (listing.tables.outbox.by_source(encode_parts(turn.session, reply.message_id)) for reply in replies)
    ids = dict.fromkeys((*(one.row_id for one in summary.rows), *(one.row_id for one in late if one is not None)))
    rows = tuple(found for row_id in ids if (found := listing.row(row_id)) is not None)
    lines = [*whole_life.life_of_turn(listing.tables, turn.turn_id)]
    nobodys = (one.row.row_id for one in rows if one.row.turn_id is None)
    lines += [line for row_id in nobodys for line in whole_life.life_of_row(listing.tables, row_id)]
    moments = [
        *_accepted(turn, incoming, lines),
        *_written(turn, row),
        *([] if claimed_at_ms is None else [Moment(at_ms=claimed_at_ms, what="claim", words="held by its container")]),
        *_of_store(lines, rows),
        *_of_host(reading, turn, now_ms),
        *_again(listing, turn),
    ]
    return Life(
        title=f"turn {turn.turn_id} of {turn.session}",
        turn=summary,
        rows=rows,
        moments=tuple(sorted(moments, key=lambda moment: moment.at_ms)),
        text=None if incoming is None else said(incoming.message.content),
        identity=turn.identity,
        texts=_texts(listing, rows),
    )


def _again(listing: Listing, turn: Turn) -> list[Moment]:
    found = None if turn.identity is None else listing.tables.identities.again(turn.identity)
    if found is None:
        return []
    times = "once more" if found.times == 1 else f"{found.times} times more, the last time"
    return [Moment(at_ms=found.last_at_ms, what="again", words=f"delivered by its channel {times}: no new turn")]


def life_of_row(listing: Listing, summary: RowSummary) -> Life:
    """Everything about a row that belongs to no turn."""
    row, rows = summary.row, (summary,)
    moments = _of_store(whole_life.life_of_row(listing.tables, row.row_id), rows)
    of = f" of {row.session}" if row.session else ""
    return Life(
        title=f"row {row.row_id}{of}, of no turn, by {row.channel}",
        turn=None,
        rows=rows,
        moments=tuple(sorted(moments, key=lambda moment: moment.at_ms)),
        texts=_texts(listing, rows),
    )


def _incoming(listing: Listing, turn: Turn) -> Incoming | None:
    try:
        return loads(listing.tables.turns.payload(turn.turn_id) or "", Incoming)
    except WireFault:
        return None


def _texts(listing: Listing, rows: Iterable[RowSummary]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in rows:
        payload = listing.tables.outbox.payload(one.row.row_id)
        try:
            found[one.row.row_id] = "\n".join(loads(payload or "", Outgoing).parts)
        except WireFault:
            found[one.row.row_id] = payload or ""
    return found


def _in_session(reading: Reading, turn: Turn) -> tuple[Line | None, int | None, tuple[Line, ...]]:
    """Its row, since when a container holds it, and the replies to it, as the session's files have them."""
    if turn.session not in reading.names:
        return None, None, ()
    try:
        row, claim, replies = in_files(reading, turn.session, turn.turn_id)
    except SessionFault:
        return None, None, ()
    return row, None if claim is None else claim.claimed_at_ms, replies


def _accepted(turn: Turn, incoming: Incoming | None, lines: Iterable[LifeLine]) -> list[Moment]:
    because = next((line.because for line in lines if line.what == "AcceptTurn" and line.because), None)
    by = "" if incoming is None else f" by {incoming.channel}"
    chat = "" if incoming is None or not incoming.chat else f" of chat {incoming.chat}"
    why = "" if because is None else f" ({because})"
    named = "" if turn.identity is None else f", identity {turn.identity}"
    return [Moment(at_ms=turn.accepted_at_ms, what="accepted", words=f"accepted{by}{chat}{why}{named}")]


def _written(turn: Turn, row: Line | None) -> list[Moment]:
    """The files do not say when a row was written: not before it was accepted."""
    if row is None:
        return []
    words = f"written to session {turn.session} as #{row.seq}; there it is {row.state}"
    return [Moment(at_ms=turn.accepted_at_ms, what="written", words=words)]


def _of_store(lines: Iterable[LifeLine], rows: tuple[RowSummary, ...]) -> list[Moment]:
    known = {one.row.row_id: one.row for one in rows}
    found: list[Moment] = []
    for line in lines:
        row = None if line.row_id is None else known.get(line.row_id)
        if line.what == "AcceptTurn":
            continue
        if line.what == "EnqueueRow" and row is not None:
            why = f" ({line.because})" if line.because else ""
            words = f"row {row.row_id}: {row.kind} reply taken for {row.channel}, {_parts(row.parts)}{why}"
        else:
            words = f"{'' if line.row_id is None else f'row {line.row_id}: '}{words_of_line(line)}"
        found.append(Moment(at_ms=line.at_ms, what=line.what, words=words, row_id=line.row_id))
    return found


def _of_host(reading: Reading, turn: Turn, now_ms: int) -> list[Moment]:
    """The charges, the containers that lived while the turn was open, and its dead letters."""
    state, session = reading.state, turn.session
    found: list[Moment] = []
    for charge in state.charges.of_message(session, turn.turn_id):
        words = f"attempt {charge.tries} charged to container {charge.incarnation}: {charge.reason}"
        found.append(Moment(at_ms=charge.noted_at_ms, what="charge", words=words))
    until_ms = turn.completed_at_ms or now_ms
    for one in reversed(state.incarnations.history(session, limit=_CONTAINERS)):
        if one.spawned_at_ms <= until_ms and (one.died_at_ms is None or one.died_at_ms >= turn.accepted_at_ms):
            found += _of_container(one)
    for dead in state.dead.of_message(session, turn.turn_id):
        detail = "" if dead.detail in (None, dead.reason) else f": {dead.detail}"
        words = f"kept as a dead letter, now {dead.state}: {dead.reason}{detail}"
        found.append(Moment(at_ms=dead.made_at_ms, what="dead", words=words))
    return found


def _of_container(one: Incarnation) -> list[Moment]:
    found = [Moment(at_ms=one.spawned_at_ms, what="container", words=f"container {one.number} started")]
    if one.died_at_ms is not None:
        ends = {"exited": "ended by itself", "stopped": "stopped", "not_started": "did not start"}
        how = ends.get(one.ending or "", "ended with its host")
        code = "" if one.exit_code is None else f", exit {one.exit_code}"
        signal = "" if one.exit_signal is None else f", signal {one.exit_signal}"
        intent = "" if one.intent is None else f" ({one.intent})"
        words = f"container {one.number} {how}{code}{signal}{intent}"
        found.append(Moment(at_ms=one.died_at_ms, what="container", words=words))
    return found


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"
