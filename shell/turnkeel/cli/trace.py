"""`trace`: what is the whole life of a message, from its acceptance to the last part of its answer?"""

import time
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from turnkeel.cli.conditions import Conditions
from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.held import held_in_words
from turnkeel.cli.looking import Looker
from turnkeel.cli.outbox import row_data
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_when
from turnkeel.cli.status import host_data, host_line, print_notes
from turnkeel.cli.trace_find import Found, find_by_beginning, find_exactly
from turnkeel.cli.trace_life import Life, life_of_row, life_of_turn
from turnkeel.cli.turns import state_of, turn_data
from turnkeel.cli.waits import Judging, Wait, Waits, words_of
from turnkeel.cli.why_message import stories_of, tell_stories
from turnkeel_adapters.lifecycle.listing import reading_of
from turnkeel_core.lifecycle_states import ROW_FAILED, TURN_TERMINAL

_EXCERPT: Final = 400
_UNREAD: Final = "whether this host accepted it cannot be read; the session's files say:"
_NOT_OURS: Final = "this host never accepted it as a turn; the session's files and the host's memory say:"


@frozen(kw_only=True)
class Traced:
    """A life, and what is waited for now, by the turn and by each of its open rows."""

    life: Life
    wait: Wait | None = None
    rows: tuple[tuple[str, Wait], ...] = ()


def trace(asked: str, data: Path | None, *, config: Path | None = None, json: bool = False) -> int:
    """Tell the life of a turn or of a row of nobody's; of another message what `why` knows. CommandFailed for none."""
    judging = Judging(config)
    with open_reading(data) as reading:
        now_ms = time.time_ns() // 1_000_000
        traced = patiently(lambda: _trace(asked, reading, judging, now_ms, exactly=True))
        if traced is None:
            stories, unread = stories_of(reading, asked, None)
            if stories:
                # Records that are there and cannot be read may say otherwise.
                accepted = False if reading.fault is None else None
                if not json:
                    print(f"{flat(asked)}: {_UNREAD if accepted is None else _NOT_OURS}")
                tell_stories(reading, stories, unread, json, {"accepted": accepted})
                return 0
            traced = patiently(lambda: _trace(asked, reading, judging, now_ms, exactly=False))
        if traced is None:
            place = f"neither a turn, a message nor a reply in {reading.data_dir}"
            fault = "" if reading.fault is None else f"; {reading.fault}"
            raise CommandFailed(f"nothing is known of {flat(asked)}: {place}{fault}")
        held = _held(reading, traced)
        if json:
            print_json(_document(asked, reading, traced, held, now_ms))
        else:
            _print(reading, traced, held, now_ms)
    return 0


def _trace(asked: str, reading: Reading, judging: Judging, now_ms: int, *, exactly: bool) -> Traced | None:
    with reading_of(reading.state.database) as listing:
        found: Found | None = find_exactly(listing, reading, asked) if exactly else find_by_beginning(listing, asked)
        if found is None:
            return None
        waits = Waits(listing, reading, judging, now_ms)
        turn = None if found.turn_id is None else listing.turn(found.turn_id)
        row = None if found.row_id is None else listing.row(found.row_id)
        if turn is not None:
            life = life_of_turn(listing, reading, turn, now_ms)
            wait = waits.of_turn(turn.turn, turn.rows)
        elif row is not None:
            life, wait = life_of_row(listing, row), None
        else:
            return None
        each = [(one.row.row_id, waits.of_row(one.row)) for one in life.rows]
        return Traced(life=life, wait=wait, rows=tuple((name, held) for name, held in each if held is not None))


def _held(reading: Reading, traced: Traced) -> tuple[str, ...]:
    """What keeps the session of a turn that no container has finished."""
    turn = traced.life.turn
    if turn is None or turn.turn.status in TURN_TERMINAL or turn.turn.session not in reading.names:
        return ()
    if turn.turn.status == "delivery_pending":
        return ()
    return held_in_words(Conditions(reading, Looker(reading)).of(turn.turn.session), time.time_ns() // 1_000_000)


def _document(asked: str, reading: Reading, traced: Traced, held: tuple[str, ...], now_ms: int) -> dict[str, object]:
    life, waits = traced.life, dict(traced.rows)
    rows = [(one, one.row.row_id) for one in life.rows]
    return {
        "read_at_ms": now_ms,
        "host": host_data(reading.host),
        "notes": reading.notes,
        "asked": asked,
        "accepted": life.turn is not None,
        "turn": None if life.turn is None else turn_data(life.turn, traced.wait),
        "message": life.text,
        "identity": life.identity,
        "rows": [{**row_data(one, waits.get(row_id)), "text": life.texts.get(row_id)} for one, row_id in rows],
        "life": [asdict(moment) for moment in life.moments],
        "outcome": _outcome(life),
        "held": held,
    }


def _outcome(life: Life) -> str:
    """How it ended, or the state it is in."""
    if life.turn is not None:
        error = life.turn.note.error
        return state_of(life.turn) + ("" if error is None else f": {error}")
    (only,) = life.rows
    reason = f": {only.row.reason}" if only.row.status in ROW_FAILED and only.row.reason else ""
    return f"{only.row.status}{reason}"


def _print(reading: Reading, traced: Traced, held: tuple[str, ...], now_ms: int) -> None:
    life = traced.life
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    print(flat(life.title))
    if life.text is not None:
        print(f"  text: {flat(life.text)[:_EXCERPT]}")
    for moment in life.moments:
        print(flat(f"  {render_when(moment.at_ms, now_ms)}  {moment.words}"))
    print(flat(f"outcome: {_outcome(life)}"))
    if traced.wait is not None:
        print(flat(f"now: {words_of(traced.wait, now_ms)}"))
    for name, wait in traced.rows:
        print(flat(f"  row {name}: {words_of(wait, now_ms)}"))
    for line in held:
        print(flat(f"  its session: {line}"))
