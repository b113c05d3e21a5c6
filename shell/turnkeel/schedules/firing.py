"""How does one nominal time become a turn: claimed and accepted in one transaction, then in its session's inbox?"""

import json

from attrs import evolve, frozen

from turnkeel.delivery.join import join
from turnkeel.schedules.ports import FiringPorts
from turnkeel_adapters.channels.local import LOCAL
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.schedules.port import ScheduleWork
from turnkeel_adapters.schedules.records import Occurrence, Schedule
from turnkeel_adapters.sessions.container_inbound import CONTEXT_MODE
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.wire import dumps
from turnkeel_core import AcceptSnapshot, AcceptTurn, MessageIdentity, RefuseTurn, accept_turn

CHANNEL = "schedule"


@frozen
class Started:
    """A turn that was accepted, and what is to be written into its session's inbox after the commit."""

    session: str
    turn_id: str
    payload: str


def claim(
    work: ScheduleWork, ports: FiringPorts, schedule: Schedule, nominal_ms: int, now_ms: int, *, by_hand: bool = False
) -> Started | None:
    """Take (series, nominal time) and accept its turn, both or neither; None if it was taken, or its turn is refused.

    One that waits for an earlier run has its row already and takes it up. A refused turn is kept as failed, with why.
    """
    waits = any(
        one.nominal_at_ms == nominal_ms and one.outcome == "queued" for one in work.schedules.open_of(schedule.series)
    )
    turn_id = ports.new_id("task")
    row = Occurrence(
        series=schedule.series,
        nominal_at_ms=nominal_ms,
        outcome="claimed",
        noted_at_ms=now_ms,
        by_hand=by_hand,
        turn_id=turn_id,
        until_at_ms=nominal_ms,
    )
    if not waits and not work.schedules.note(row):
        return None
    payload = dumps(incoming_of(schedule, turn_id, now_ms))
    answer = _accept(work, ports, schedule, row, payload)
    work.schedules.settle(answer)
    accepted = answer.outcome == "claimed" and answer.turn_id == turn_id
    return Started(schedule.session, turn_id, payload) if accepted else None


def deliver(ports: FiringPorts, started: tuple[Started, ...], now_ms: int) -> None:
    """After the commit: write each into its inbox, and wake the host. What fails here the host does again."""
    for one in started:
        try:
            join(ports.sessions, one.session, one.turn_id, one.payload, now_ms)
        except AdapterError:
            continue  # durable already: whoever follows the session tries again, and tells what is wrong with it
    if started:
        ports.told()


def incoming_of(schedule: Schedule, turn_id: str, now_ms: int) -> Incoming:
    """The task as its session's agent reads it. Whoever made the schedule is its author: the owner."""
    away = schedule.channel != LOCAL
    content = {"prompt": schedule.prompt, "script": None, CONTEXT_MODE: schedule.context}
    message = NewMessage(
        message_id=turn_id,
        content=json.dumps(content, ensure_ascii=False),
        kind="task",
        sent_at_ms=now_ms,
        platform_id=schedule.chat or None if away else None,
        channel_type=schedule.channel if away else None,
        thread_id=schedule.thread,
    )
    return Incoming(
        message=message,
        channel=schedule.channel,
        account=schedule.account,
        chat=schedule.chat,
        thread=schedule.thread,
        from_me=True,
    )


def _accept(work: ScheduleWork, ports: FiringPorts, schedule: Schedule, row: Occurrence, payload: str) -> Occurrence:
    """The row as it stands once its turn was asked for."""
    turn_id = row.turn_id or ""
    identity = MessageIdentity(channel=CHANNEL, chat=schedule.series, message_id=str(row.nominal_at_ms))
    asked = AcceptSnapshot(
        now_ms=row.noted_at_ms,
        turn_id=turn_id,
        session=schedule.session,
        identity=identity,
        payload_bytes=len(payload.encode(errors="surrogatepass")),
        in_session=True,
    )
    answer = accept_turn(work.lifecycle.accept(asked), ports.settle.turn)
    match answer:
        case AcceptTurn():
            why = f"schedule {schedule.series}, due at {row.nominal_at_ms}"
            work.lifecycle.apply((answer,), row.noted_at_ms, {turn_id: payload}, because=why)
            return row
        case RefuseTurn(what=what, fault=fault):
            return evolve(row, outcome="failed", turn_id=None, ended_at_ms=row.noted_at_ms, reason=f"{what}: {fault}")
        case known:
            return evolve(row, turn_id=known.turn_id)
