"""What became of one message: its row, its claim, its attempts, its end, and the replies to it?"""

import time

from attrs import asdict, frozen

from turnkeel.cli.conditions import Conditions
from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.held import held_in_words
from turnkeel.cli.looking import Looker
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.reading import Reading, patiently
from turnkeel.cli.render import render_when
from turnkeel.cli.show import Line, judged, said
from turnkeel.cli.status import host_line, print_notes
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.error_notes import AgentWord, read_error_note
from turnkeel_adapters.sessions.records import HistoryLine
from turnkeel_adapters.state.charges import Charge
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_core import Claim

_PAGE = 1_000
_EXCERPT = 400


@frozen(kw_only=True)
class Story:
    """All that is known of a message in one session. `row` is None where only the host remembers it.

    `held` says what keeps it, if it is still open, from being worked on: it is the session's. `noted` is what its agent
    said of an attempt that failed, or of a conversation that was lost on the way.
    """

    session: str
    message_id: str
    row: Line | None
    claim: Claim | None
    charges: tuple[Charge, ...]
    dead: tuple[DeadRecord, ...]
    replies: tuple[Line, ...]
    held: tuple[str, ...] = ()
    noted: AgentWord = AgentWord()


def why_message(reading: Reading, message_id: str, session: str | None, json: bool) -> int:
    """Print what is known of a message, in one session or in all; CommandFailed if no session has it."""
    stories, unread = stories_of(reading, message_id, session)
    if not stories:
        raise CommandFailed(_unknown(reading, message_id, session, unread))
    tell_stories(reading, stories, unread, json)
    return 0


def stories_of(reading: Reading, message_id: str, session: str | None) -> tuple[list[Story], dict[str, str]]:
    """What each session knows of a message, and the faults of those that could not be searched."""
    stories: list[Story] = []
    unread: dict[str, str] = {}
    for name in _places(reading, message_id) if session is None else (session,):
        try:
            row, claim, replies = in_files(reading, name, message_id)
        except SessionFault as fault:
            row, claim, replies = None, None, ()
            if name in reading.names:
                unread[name] = str(fault)
        charges, dead = _remembered(reading, name, message_id)
        if row is not None or charges or dead:
            stories.append(
                Story(
                    session=name,
                    message_id=message_id,
                    row=row,
                    claim=claim,
                    charges=charges,
                    dead=dead,
                    replies=replies,
                    held=_held(reading, name, row),
                    noted=_noted(reading, name, message_id),
                )
            )
    return stories, unread


def _held(reading: Reading, session: str, row: Line | None) -> tuple[str, ...]:
    open_still = row is None or (row.direction == "in" and row.state in ("pending", "paused"))
    if not open_still or session not in reading.names:
        return ()
    return held_in_words(Conditions(reading, Looker(reading)).of(session), time.time_ns() // 1_000_000)


def _noted(reading: Reading, session: str, message_id: str) -> AgentWord:
    try:
        note = reading.sessions.store(session).error_note(message_id) if session in reading.names else None
    except SessionFault:
        return AgentWord()  # told already, or gone since
    return read_error_note(note)


def _places(reading: Reading, message_id: str) -> tuple[str, ...]:
    """Where to search: sessions with such an inbound row or a record of it; if there are none, everywhere."""
    known = sorted({*reading.names, *patiently(reading.state.registry.known)})
    likely = tuple(name for name in known if _is_likely(reading, name, message_id))
    return likely or tuple(known)


def _is_likely(reading: Reading, session: str, message_id: str) -> bool:
    if any(_remembered(reading, session, message_id)):
        return True
    try:
        return session in reading.names and reading.sessions.store(session).payload(message_id) is not None
    except SessionFault:
        return session in reading.names  # searched, and then named as not readable


def tell_stories(
    reading: Reading, stories: list[Story], unread: dict[str, str], json: bool, more: dict[str, object] | None = None
) -> None:
    """Print them; `more` goes into the document."""
    now_ms = time.time_ns() // 1_000_000
    if json:
        found = [asdict(story) for story in stories]
        not_read = [{"session": name, "fault": fault} for name, fault in unread.items()]
        document = {"read_at_ms": now_ms, "notes": reading.notes, "messages": found, "not_read": not_read}
        print_json({**document, **(more or {})})
        return
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    for story in stories:
        _print(story, now_ms)
    for name, fault in unread.items():
        print(f"not searched: {name}: {flat(fault)}")


def _unknown(reading: Reading, message_id: str, session: str | None, unread: dict[str, str]) -> str:
    place = f"session {session}" if session is not None else f"any session of {reading.data_dir}"
    missed = "".join(f"; {name} could not be read: {fault}" for name, fault in unread.items())
    return f"nothing is known of {flat(message_id)}: neither a session nor a message in {place}{missed}"


def in_files(reading: Reading, session: str, message_id: str) -> tuple[Line | None, Claim | None, tuple[Line, ...]]:
    """The row (of an inbound message or of a reply), its claim, and the replies to it."""
    store = reading.sessions.store(session)
    found: list[HistoryLine] = []
    after: int | None = None
    while True:
        page = store.history(_PAGE, after)
        found += [line for line in page if message_id in (line.message_id, line.in_reply_to)]
        if len(page) < _PAGE or page[-1].seq is None or page[-1].seq == after:
            break
        after = page[-1].seq
    if not found:
        return None, None, ()
    lines = judged(reading, session, tuple(found))
    claims = store.read(time.time_ns() // 1_000_000).claims
    return (
        next((line for line in lines if line.message_id == message_id), None),
        next((claim for claim in claims if claim.message_id == message_id), None),
        tuple(line for line in lines if line.in_reply_to == message_id),
    )


def _remembered(reading: Reading, session: str, message_id: str) -> tuple[tuple[Charge, ...], tuple[DeadRecord, ...]]:
    state = reading.state
    return patiently(
        lambda: (state.charges.of_message(session, message_id), state.dead.of_message(session, message_id))
    )


def _print(story: Story, now_ms: int) -> None:
    print(flat(f"{story.message_id} in {story.session}"))
    row = story.row
    if row is None:
        print("  its row is gone; the host remembers:")
    else:
        when = "at an unknown time" if row.at_ms is None else render_when(row.at_ms, now_ms)
        answers = "" if row.in_reply_to is None else f", answers {row.in_reply_to}"
        state = f"{_state(row)}, {row.tries or 0} tries"
        print(flat(f"  {row.kind} {row.direction} #{row.seq} of {when}{answers}: {state}"))
        if row.retry_at_ms is not None:
            print(f"  due {render_when(row.retry_at_ms, now_ms)}")
        print(f"  text: {_excerpt(row.text)}")
    if story.claim is not None:
        at_ms = story.claim.claimed_at_ms
        print(f"  claimed {'at a time that cannot be read' if at_ms is None else render_when(at_ms, now_ms)}")
    for line in story.held:
        print(flat(f"  its session: {line}"))
    if noted := ": ".join(part.strip() for part in (story.noted.reason, story.noted.detail) if part):
        print(f"  its agent noted: {_excerpt(noted)}")
    for charge in story.charges:
        again = "" if charge.retry_at_ms is None else f", next try {render_when(charge.retry_at_ms, now_ms)}"
        noted = f"noted {render_when(charge.noted_at_ms, now_ms)}, {charge.state}"
        what = f"attempt {charge.tries} charged to container {charge.incarnation}: {charge.reason}"
        print(flat(f"  {what} ({noted}){again}"))
    for dead in story.dead:
        detail = "" if dead.detail is None else f": {dead.detail}"
        tries = "" if dead.tries is None else f" after {dead.tries} tries"
        print(flat(f"  {dead.state} {render_when(dead.made_at_ms, now_ms)}{tries}: {dead.reason}{detail}"))
        if dead.payload is not None:
            print(f"    kept: {_excerpt(said(dead.payload))}")
    for reply in story.replies:
        print(flat(f"  reply {reply.message_id} #{reply.seq}, {_state(reply)}: {_excerpt(reply.text)}"))
    if row is not None and not story.replies and row.direction == "in":
        print("  no reply names it")


def _state(line: Line) -> str:
    return f"refused ({line.reason})" if line.state == "refused" else line.state


def _excerpt(text: str) -> str:
    """Cut after the secrets are out: half of one is no longer known as one."""
    return flat(text)[:_EXCERPT]
