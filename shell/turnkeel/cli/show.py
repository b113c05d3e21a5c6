"""`show SESSION`: what was said in a session, and what became of each message?"""

import json as jsonlib
import time
from pathlib import Path

from attrs import asdict, frozen

from turnkeel.cli.output import print_json, print_table, safe
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_when
from turnkeel.cli.status import print_notes
from turnkeel_adapters.sessions.records import HistoryLine
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_core import OpenMessage

DEFAULT_LIMIT = 50
_DEAD_LIMIT = 10_000
_OUTCOMES = ("completed", "failed")


@frozen(kw_only=True)
class Line:
    """One line of a conversation. `state` of an inbound message: pending, claimed, completed, failed or paused; of a
    reply: waiting, delivered, failed or refused. `text` is what the content says, `content` what is stored."""

    direction: str
    message_id: str
    seq: int | None
    at_ms: int | None
    kind: str
    state: str
    text: str
    content: str
    tries: int | None = None
    retry_at_ms: int | None = None
    reason: str | None = None
    in_reply_to: str | None = None


def show(
    session: str, data: Path | None = None, *, limit: int = DEFAULT_LIMIT, after: int | None = None, json: bool = False
) -> int:
    """Show up to `limit` lines of the conversation after a seq."""
    with open_reading(data) as reading:
        name = reading.known(session)
        # One line more than asked for tells whether there is a next page.
        found = lines_of(reading, name, limit + 1, after)
        page, more = found[:limit], len(found) > limit
        following = page[-1].seq if page and more else None
        now_ms = time.time_ns() // 1_000_000
        if json:
            lines = [asdict(line) for line in page]
            print_json(
                {"read_at_ms": now_ms, "session": name, "notes": reading.notes, "lines": lines, "next": following}
            )
            return 0
        print_notes(reading)
        print_table(("seq", "time", "from", "id", "state", "text"), [_row(line, now_ms) for line in page])
        if not page:
            print(f"nothing was said in {name} yet" if after is None else f"nothing after {after}")
        if following is not None:
            print(f"more: turnkeel show {name} --after {following}")
    return 0


def lines_of(reading: Reading, session: str, limit: int, after: int | None) -> tuple[Line, ...]:
    """Up to `limit` lines after a seq, in seq order; SessionFault if the files cannot be read."""
    return judged(reading, session, reading.sessions.store(session).history(limit, after))


def judged(reading: Reading, session: str, found: tuple[HistoryLine, ...]) -> tuple[Line, ...]:
    """The same lines with their state in the words of `Line`, their next try and the reason of their end."""
    messages = reading.sessions.store(session).read(time.time_ns() // 1_000_000).messages
    facts = {message.message_id: message for message in messages}
    dead = patiently(lambda: reading.state.dead.of_session(session, limit=_DEAD_LIMIT))
    ends = {record.message_id: record for record in dead if record.direction == "inbound"}
    return tuple(_line(line, facts.get(line.message_id), ends.get(line.message_id)) for line in found)


def said(content: str) -> str:
    """The text that a content holds (`text`, or a task's `prompt`); the content itself where it has none."""
    try:
        found: object = jsonlib.loads(content)
    except (ValueError, RecursionError):
        return content
    match found:
        case {"text": str(text)} | {"prompt": str(text)}:
            return text
        case _:
            return content


def _line(found: HistoryLine, fact: OpenMessage | None, end: DeadRecord | None) -> Line:
    state = found.status
    if found.direction == "in" and found.status == "pending" and found.claim is not None:
        # The container's word comes first; the host takes it over at its next pass.
        state = found.claim if found.claim in _OUTCOMES else "claimed"
    if end is not None:
        state = "failed"
    reason = None if end is None else f"{end.reason}{f': {end.detail}' if end.detail else ''}"
    if found.refusal is not None and state == "waiting":
        state, reason = "refused", found.refusal
    waits = state == "pending" and fact is not None
    return Line(
        direction=found.direction,
        message_id=found.message_id,
        seq=found.seq,
        at_ms=found.at_ms,
        kind=found.kind,
        state=state,
        text=said(found.text),
        content=found.text,
        tries=found.tries,
        retry_at_ms=fact.due_at_ms if waits and fact is not None else None,
        reason=reason,
        in_reply_to=found.in_reply_to,
    )


def _row(line: Line, now_ms: int) -> tuple[str, ...]:
    state = line.state
    if line.retry_at_ms is not None and line.retry_at_ms > now_ms:
        state += f", due {render_when(line.retry_at_ms, now_ms)}"
    if line.tries:
        state += f", {line.tries} tries"
    if line.reason is not None:
        state += f": {line.reason}"
    return (
        "-" if line.seq is None else str(line.seq),
        "-" if line.at_ms is None else render_when(line.at_ms, now_ms),
        line.direction,
        line.message_id,
        state,
        safe(line.text),
    )
