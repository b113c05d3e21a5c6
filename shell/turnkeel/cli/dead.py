"""`dead list` and `dead show`: which messages and replies failed for good, why, and what can be done?"""

import time
from pathlib import Path
from typing import Final

from attrs import asdict

from turnkeel.cli.dead_letters import find, payload_data, text_of
from turnkeel.cli.output import flat, print_json, print_table, safe
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_ago, render_when
from turnkeel.cli.status import host_data, host_line, print_notes
from turnkeel.cli.turns import wanted_session
from turnkeel_adapters.lifecycle.listing import DeadLetter, DeadState, reading_of

DEFAULT_LIMIT: Final = 50
_COLUMNS: Final = ("no", "direction", "session", "id", "age", "tries", "state", "reason")
_SHORT: Final = 80


def dead_list(
    session: str | None,
    data: Path | None,
    *,
    state: DeadState = "dead",
    limit: int = DEFAULT_LIMIT,
    after: int | None = None,
    json: bool = False,
) -> int:
    """Show up to `limit` dead letters before the one of the number `after`, the newest first."""
    with open_reading(data, records=True) as reading:
        name, now_ms = None if session is None else wanted_session(reading, session), time.time_ns() // 1_000_000

        def look() -> tuple[DeadLetter, ...]:
            with reading_of(reading.state.database) as listing:
                return listing.dead(limit=limit + 1, after=after, session=name, state=state)

        found = patiently(look)
        page, following = found[:limit], found[limit - 1].number if len(found) > limit else None
        if json:
            letters = [_data(letter, whole=False) for letter in page]
            print_json({**_head(reading, now_ms), "dead": letters, "next": following})
            return 0
        _print_list(reading, page, state, now_ms)
        if following is not None:
            print(f"more: the same with --after {following}")
    return 0


def dead_show(message_id: str, data: Path | None, *, session: str | None = None, json: bool = False) -> int:
    """Show everything of one dead letter; CommandFailed if there is none, or several, of this id."""
    with open_reading(data, records=True) as reading:
        name, now_ms = None if session is None else wanted_session(reading, session), time.time_ns() // 1_000_000

        def look() -> DeadLetter:
            with reading_of(reading.state.database) as listing:
                return find(listing, message_id, name)

        letter = patiently(look)
        if json:
            document = {**_data(letter, whole=True), "how_to_go_on": ways_of(letter)}
            print_json({**_head(reading, now_ms), "dead": document})
            return 0
        print(host_line(reading.host, now_ms))
        print_notes(reading)
        _print_one(letter, now_ms)
    return 0


def ways_of(letter: DeadLetter) -> tuple[str, ...]:
    """The commands that settle it; none if it is settled."""
    record = letter.record
    if record.state != "dead":
        return ()
    which = record.message_id if not record.session else f"{record.message_id} --session {record.session}"
    again = "answered anew, as a new turn" if record.direction == "inbound" else "sent again, from its missing part on"
    return (f"turnkeel dead retry {which}: {again}", f"turnkeel dead drop {which}: given up; it is kept until pruned")


def _head(reading: Reading, now_ms: int) -> dict[str, object]:
    return {"read_at_ms": now_ms, "host": host_data(reading.host), "notes": reading.notes}


def _data(letter: DeadLetter, *, whole: bool) -> dict[str, object]:
    record = asdict(letter.record)
    text = text_of(letter.record)
    del record["payload"]
    more = {"payload": payload_data(letter.record)} if whole else {}
    return {"number": letter.number, **record, "text": text, **more}


def _print_list(reading: Reading, page: tuple[DeadLetter, ...], state: DeadState, now_ms: int) -> None:
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    if page:
        print_table(_COLUMNS, [_row(letter, now_ms) for letter in page])
        print("turnkeel dead show ID tells all of one; retry ID or drop ID settles it")
    else:
        print("no dead letters" if state == "dead" else f"no dead letter was {state}")


def _row(letter: DeadLetter, now_ms: int) -> tuple[str, ...]:
    record = letter.record
    detail = "" if record.detail in (None, record.reason) else f": {record.detail}"
    return (
        str(letter.number),
        record.direction,
        record.session or "-",
        record.message_id,
        render_ago(max(0, now_ms - record.made_at_ms)),
        "-" if record.tries is None else str(record.tries),
        record.state,
        flat(f"{record.reason}{detail}")[:_SHORT],
    )


def _print_one(letter: DeadLetter, now_ms: int) -> None:
    record = letter.record
    kind = "message" if record.direction == "inbound" else "reply"
    place = f" of {record.session}" if record.session else ""
    print(flat(f"{kind} {record.message_id}{place}: {record.state} since {render_when(record.made_at_ms, now_ms)}"))
    tries = "" if record.tries is None else f", after {record.tries} tries"
    print(flat(f"  reason: {record.reason}{tries}"))
    if record.detail is not None:
        print(flat(f"  detail: {record.detail}"))
    if record.incarnation:
        print(f"  container: {record.incarnation}")
    print("  text:")
    for line in safe(text_of(record) or "nothing was kept").splitlines():
        print(f"    {line}")
    for way in ways_of(letter):
        print(f"  {flat(way)}")
