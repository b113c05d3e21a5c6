"""`dead retry` and `dead drop`: how does what failed for good get another way, once?"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import asdict, evolve, frozen

from turnkeel.cli.dead_letters import find
from turnkeel.cli.errors import DONE, FAILED, CommandFailed, WrongUsage
from turnkeel.cli.hiding import hidden
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.retrying import retry_message, retry_reply
from turnkeel.cli.waits import Judging
from turnkeel.delivery.join import join
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle.listing import DeadLetter, Listing, reading_of
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.lock import LockUnavailable, probe

_ALL: Final = 1_000_000

Which: TypeAlias = Callable[[Listing], DeadLetter]


@frozen(kw_only=True)
class Settled:
    """What became of one dead letter. `new_id` is the turn or row that takes its place; `already`: it was so before.

    `waits` says why the message is not in its session's inbox yet, if so.
    """

    message_id: str
    session: str
    direction: Literal["inbound", "outbound"]
    state: Literal["retried", "dropped"]
    already: bool = False
    new_id: str | None = None
    waits: str | None = None


class Writing:
    """The store of a data directory, for what a person decides; a host at work shares it."""

    def __init__(self, data_dir: Path, state: HostState, judging: Judging, *, even_if_sent: bool = False) -> None:
        self.data_dir = data_dir
        self.state = state
        self._judging = judging
        self._even_if_sent = even_if_sent
        self._sessions = FileSessions(data_dir)

    def settle(self, which: Which, state: Literal["retried", "dropped"]) -> Settled:
        """Do it, and read it back. CommandFailed if it may not be, or did not last."""
        now_ms, payload = time.time_ns() // 1_000_000, None
        with self.state.database.transaction() as db:
            listing = Listing(db, hidden)
            letter = which(listing)
            record = letter.record
            told = Settled(
                message_id=record.message_id, session=record.session, direction=record.direction, state=state
            )
            if record.state != "dead":
                return evolve(told, state=record.state, already=True)
            if state == "retried" and record.direction == "outbound":
                again = self._even_if_sent
                new_id = retry_reply(listing, record, self._judging, now_ms, even_if_sent=again)
                told = evolve(told, new_id=new_id)
            elif state == "retried":
                self._require_open(record.session)
                new_id, payload = retry_message(listing.work, record, self._sessions, self._judging, now_ms)
                told = evolve(told, new_id=new_id)
            listing.tables.dead.settle(record, state)
        if payload is not None and told.new_id is not None:
            told = evolve(told, waits=self._join(record.session, told.new_id, payload, now_ms))
        self._read_back(letter.number, told)
        return told

    def _require_open(self, session: str) -> None:
        if session in self.state.registry.closed():
            raise CommandFailed(f"{session} is closed: turnkeel session open {session}, then retry")

    def _join(self, session: str, turn_id: str, payload: str, now_ms: int) -> str | None:
        try:
            join(FileMailboxes(self._sessions), session, turn_id, payload, now_ms)
        except SessionFault as fault:
            return str(fault)
        return None

    def _read_back(self, number: int, told: Settled) -> None:
        with reading_of(self.state.database) as listing:
            record = listing.dead_numbered(number).record
            new_id = told.new_id
            there = listing.turn if told.direction == "inbound" else listing.row
            if record.state != told.state or (new_id is not None and there(new_id) is None):
                raise CommandFailed(f"{told.message_id}: read back as {record.state}: it did not last; try again")


def retry(
    ids: tuple[str, ...],
    data: Path | None,
    *,
    every: bool = False,
    session: str | None = None,
    even_if_sent: bool = False,
    config: Path | None = None,
    json: bool = False,
) -> int:
    """Answer dead messages anew and send dead replies again: those named, or all. 1 if one of them was refused."""
    judging = Judging(config)
    return _settle_all(ids, data, "retried", every, session, judging, even_if_sent, json)


def drop(ids: tuple[str, ...], data: Path | None, *, session: str | None = None, json: bool = False) -> int:
    """Give dead letters up; they are kept until pruned. 1 if one of them was refused."""
    return _settle_all(ids, data, "dropped", False, session, Judging(None), False, json)


def require_records(data_dir: Path) -> None:
    """CommandFailed where no host has kept anything yet."""
    if not (data_dir / FILE_NAME).exists():
        raise CommandFailed(f"{data_dir} has no {FILE_NAME}: no host has kept anything here")


def _settle_all(
    ids: tuple[str, ...],
    data: Path | None,
    state: Literal["retried", "dropped"],
    every: bool,
    session: str | None,
    judging: Judging,
    even_if_sent: bool,
    json: bool,
) -> int:
    if bool(ids) == every:
        raise WrongUsage("name dead letters, or give --all for every one (not both); `turnkeel dead list` has them")
    data_dir, name = existing_data_dir(data), None if session is None else str(SessionName.parse(session))
    require_records(data_dir)
    done, problems = list[Settled](), list[str]()
    with HostState(data_dir) as host_state:
        writing = Writing(data_dir, host_state, judging, even_if_sent=even_if_sent)
        for which in _all(host_state, name) if every else [_named(one, name) for one in ids]:
            try:
                done.append(writing.settle(which, state))
            except CommandFailed as problem:
                problems.append(str(problem))
    if any(not one.already for one in done):
        ring(data_dir)
    _tell(done, problems, json, at_work(data_dir))
    return FAILED if problems else DONE


def _named(message_id: str, session: str | None) -> Which:
    return lambda listing: find(listing, message_id, session)


def _all(state: HostState, session: str | None) -> list[Which]:
    """The oldest first, so that replies of one conversation keep their order."""
    with reading_of(state.database) as listing:
        numbers = sorted(letter.number for letter in listing.dead(limit=_ALL, session=session))
    return [_numbered(number) for number in numbers]


def _numbered(number: int) -> Which:
    return lambda listing: listing.dead_numbered(number)


def at_work(data_dir: Path) -> bool | None:
    """Whether a host serves the directory; None where that cannot be told."""
    try:
        return probe(data_dir) is not None
    except LockUnavailable:
        return None


def _tell(done: list[Settled], problems: list[str], json: bool, host: bool | None) -> None:
    if json:
        print_json({"settled": [asdict(one) for one in done], "refused": problems})
        return
    for one in done:
        print(flat(_words(one)))
    for problem in problems:
        print(f"turnkeel: {flat(problem)}", file=sys.stderr)
    if not done and not problems:
        print("no dead letters")
    if host is False and any(one.new_id is not None for one in done):
        print("no host is at work here: the next turnkeel run takes it up")


def _words(one: Settled) -> str:
    if one.already:
        return f"{one.message_id}: {one.state} already, nothing is changed"
    if one.new_id is None:
        return f"{one.message_id}: {one.state}; what it says is kept until it is pruned"
    what = f"turn {one.new_id} of {one.session}" if one.direction == "inbound" else f"row {one.new_id}"
    waits = "" if one.waits is None else f"; the host writes it into the session when that can be ({one.waits})"
    return f"{one.message_id}: {one.state} as {what}, read back{waits}"
