"""How is a message accepted: durable before anybody is told, once, and then in its session's inbox?"""

import json
from collections.abc import Callable
from typing import TypeAlias, cast

from attrs import asdict, evolve, frozen

from turnkeel.delivery.denial import Dropped, Kept, decide_admission, deny
from turnkeel.delivery.join import join, withdraw
from turnkeel.delivery.ports import Mailboxes
from turnkeel.delivery.stop import Stopped, answer_stop
from turnkeel.events import SenderDenied
from turnkeel_adapters.errors import BadSessionName, SessionFault
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc
from turnkeel_adapters.wire import dumps
from turnkeel_core import (
    AcceptSnapshot,
    AcceptTurn,
    AdmitMessage,
    MessageIdentity,
    RefuseTurn,
    ReturnExisting,
    SenderPolicy,
    SettlePolicy,
    accept_turn,
)
from turnkeel_core.lifecycle_states import Replay, TurnStatus

__all__ = ["Accepted", "Answer", "Dropped", "Duplicate", "Intake", "Kept", "Refused", "is_stop_word"]


@frozen(kw_only=True)
class Accepted:
    """It is on the disk: the channel may acknowledge. `stopped` if it was a stop word, which the host itself answers.

    `waits` says why it is not in the inbox yet, if so; the host writes it there as soon as that can be.
    """

    turn_id: str
    stopped: Stopped | None = None
    waits: str | None = None


@frozen(kw_only=True)
class Duplicate:
    """The same message again: acknowledge; `status` None: its turn is kept no longer."""

    turn_id: str
    status: TurnStatus | None


@frozen(kw_only=True)
class Refused:
    """Nothing is stored and nothing may be acknowledged: `fault` says what is wrong with `what`."""

    what: str
    fault: str


Answer: TypeAlias = Accepted | Duplicate | Refused | Kept | Dropped


class Intake:
    """The one door for messages. Any thread may use it."""

    def __init__(
        self,
        *,
        store: LifecycleStore,
        sessions: Mailboxes,
        closed: Callable[[], frozenset[str]],
        new_id: Callable[[str], str],
        now_ms: Callable[[], int],
        owner: str,
        policy: SettlePolicy = SettlePolicy(),
        told: Callable[[], object] = tuple,
        senders: Callable[[], SenderPolicy] = SenderPolicy,
        report: Callable[[SenderDenied], object] = bool,
    ) -> None:
        """`closed` are the sessions that take no more messages; `owner` names this process in leases.

        `told` is called when something was accepted, to wake a host; without it the host's next scan finds it.
        `senders` says who may start an agent now; `report` hears of those who may not.
        """
        self._told = told
        self._senders = senders
        self._report = report
        self._store = store
        self._sessions = sessions
        self._closed = closed
        self._new_id = new_id
        self._now_ms = now_ms
        self._owner = owner
        self._policy = policy

    def accept(
        self, session: str, incoming: Incoming, identity: MessageIdentity, *, replay: Replay = "allowed"
    ) -> Answer:
        """Store the message as a turn, then write it into the session's inbox under the turn's id.

        `incoming.message.message_id` is a wish: "" asks for a new id. Raises AdapterError if the store cannot be
        written: then nothing was accepted, and the channel must not acknowledge.
        """
        try:
            name = str(SessionName.parse(session))
        except BadSessionName as error:
            return Refused(what="session", fault=str(error))
        if name in self._closed():
            return Refused(what="session", fault=f"session {name} is closed; send to another one")
        turn_id, now_ms = incoming.message.message_id or self._new_id("msg"), self._now_ms()
        incoming = evolve(incoming, message=evolve(incoming.message, message_id=turn_id))
        stops = is_stop_word(incoming.message.content, self._policy.turn.stop_words)
        payload = dumps(incoming)
        asked = AcceptSnapshot(
            now_ms=now_ms,
            turn_id=turn_id,
            session=name,
            identity=identity,
            payload_bytes=len(payload.encode(errors="surrogatepass")),
            payload_fault=_fault_of(incoming),
            replay=replay,
            in_session=not stops,
            commands_abort=stops,
        )
        decision = decide_admission(asked, incoming, self._senders(), self._policy.turn)
        if not isinstance(decision, AdmitMessage):
            return _told(deny(self._store, self._sessions, asked, incoming, decision, self._report, self._policy.turn))
        answer, stopped = self._store.run(lambda work: self._decide(work, asked, incoming, payload))
        if not isinstance(answer, AcceptTurn):
            return _told(answer)
        waits = None if stops else self._join(name, turn_id, payload, now_ms)
        self._told()
        return Accepted(turn_id=turn_id, stopped=stopped, waits=waits)

    def _decide(
        self, work: LifecycleWork, asked: AcceptSnapshot, incoming: Incoming, payload: str
    ) -> tuple[AcceptTurn | ReturnExisting | RefuseTurn, Stopped | None]:
        answer = accept_turn(work.accept(asked), self._policy.turn)
        work.apply((answer,), asked.now_ms, {asked.turn_id: payload})
        if not isinstance(answer, AcceptTurn) or not asked.commands_abort:
            return answer, None
        row_id = self._new_id("row")
        stopped = answer_stop(work, asked.session, incoming, asked.turn_id, row_id, asked.now_ms, self._policy)
        return answer, stopped

    def _join(self, session: str, turn_id: str, payload: str, now_ms: int) -> str | None:
        try:
            join(self._sessions, session, turn_id, payload, now_ms)
        except SessionFault as fault:
            return str(fault)
        with self._store.reading() as work:
            turn = work.tables.turns.get(turn_id)
        if turn is not None and turn.status == "aborted":
            # It was stopped before its row was there: whoever looked for the row found none to withdraw.
            withdraw(self._store, self._sessions, session, turn_id)
        return None


def is_stop_word(content: str, words: tuple[str, ...]) -> bool:
    """Whether a message's whole text is one of the words, in any case."""
    try:
        said: object = json.loads(content)
    except (ValueError, RecursionError):
        said = content
    text = cast("dict[str, object]", said).get("text") if isinstance(said, dict) else said
    return isinstance(text, str) and text.strip().casefold() in {word.casefold() for word in words}


def _fault_of(incoming: Incoming) -> str | None:
    try:
        for value in asdict(incoming.message).values():
            str(value).encode()
    except UnicodeEncodeError as error:
        return f"it holds half a character at {error.start}, which no store keeps"
    times = (incoming.message.sent_at_ms, incoming.message.due_at_ms)
    if any(at_ms is not None and parse_sqlite_utc(iso_utc(at_ms)) != at_ms for at_ms in times):
        return "a time of it lies outside of the years 0 to 9999: no container would ever take it"
    return None


def _told(answer: ReturnExisting | RefuseTurn | Kept | Dropped) -> Duplicate | Refused | Kept | Dropped:
    match answer:
        case ReturnExisting(turn_id, status):
            return Duplicate(turn_id=turn_id, status=status)
        case RefuseTurn(what, fault):
            return Refused(what=what, fault=fault)
        case Kept() | Dropped():
            return answer
