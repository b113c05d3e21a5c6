"""How is the work of a session stopped by a person, and what is the person told?"""

from attrs import evolve, frozen

from turnkeel.delivery.address import Address, lane_of
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.wire import dumps
from turnkeel_core import AbortTurn, EnqueueSnapshot, Reply, SettlePolicy, TooLate, abort_session, plan_enqueue


@frozen(kw_only=True)
class Stopped:
    """What a stop ended: the turns, and how many of their sends had begun and may still arrive.

    `too_late`: nothing was left to stop, and how the latest turn had ended. Both empty: nothing was ever there.
    """

    turn_ids: tuple[str, ...]
    sends_started: int = 0
    too_late: TooLate | None = None

    @property
    def text(self) -> str:
        """The same in one sentence, for the person who said stop."""
        if self.turn_ids:
            count = "1 message" if len(self.turn_ids) == 1 else f"{len(self.turn_ids)} messages"
            begun = f"; {self.sends_started} replies were already on their way" if self.sends_started else ""
            return f"Stopped: {count}{begun}."
        if self.too_late is None:
            return "There was nothing to stop."
        ended = {"delivered": "was answered", "aborted": "had been stopped"}.get(self.too_late.status, "had failed")
        return f"Too late: the last message {ended} already ({self.too_late.reason or self.too_late.status})."


def stop_session(
    store: LifecycleStore, sessions: tuple[str, ...], now_ms: int, policy: SettlePolicy = SettlePolicy()
) -> Stopped:
    """Abort every open turn of the sessions, durable when this returns; AdapterError if nothing could be stored.

    The host completes the rows, stops the container that works on one of them, and refuses what that still writes.
    """
    with store.transaction() as work:
        return _abort(work, sessions, now_ms, None, policy)


def answer_stop(
    work: LifecycleWork,
    session: str,
    incoming: Incoming,
    turn_id: str,
    row_id: str,
    now_ms: int,
    policy: SettlePolicy,
) -> Stopped:
    """The same for a stop word, with its answer in the outbox, in the transaction that accepted it."""
    stopped = _abort(work, (session,), now_ms, turn_id, policy)
    address = Address.of(incoming)
    lane = lane_of(session, address)
    reply = Reply(
        row_id=row_id,
        kind="final",
        channel=address.channel,
        lane=lane,
        ordinal=work.next_ordinal(lane, now_ms),
        session=session,
    )
    asked = work.enqueue(EnqueueSnapshot(now_ms=now_ms, owner="", replies=(reply,)), turn_id)
    said = Outgoing(
        parts=(stopped.text,),
        chat=address.chat,
        account=address.account,
        thread=address.thread,
        in_reply_to=turn_id,
    )
    work.apply(plan_enqueue(asked, policy), now_ms, {row_id: dumps(said)})
    return stopped


def _abort(
    work: LifecycleWork, sessions: tuple[str, ...], now_ms: int, commanding: str | None, policy: SettlePolicy
) -> Stopped:
    actions = abort_session(work.abort(sessions, now_ms, commanding), policy.turn)
    refused = {type(one.action) for one in work.apply(actions, now_ms)}
    if AbortTurn in refused:
        raise AssertionError("an abort was refused inside its own transaction")
    aborted = tuple(action for action in actions if isinstance(action, AbortTurn))
    late = next((action for action in actions if isinstance(action, TooLate)), None)
    stopped = Stopped(turn_ids=tuple(action.turn_id for action in aborted), too_late=late)
    return evolve(stopped, sends_started=sum(action.sends_started for action in aborted))
