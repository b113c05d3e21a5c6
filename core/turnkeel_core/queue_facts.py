"""What does the start queue have to know of a session that was just looked at?"""

from turnkeel_core.policy import SweepPolicy
from turnkeel_core.queue_records import RunningPlace, StartRequest
from turnkeel_core.stuck_records import StuckSnapshot
from turnkeel_core.stuck_rules import idle_since
from turnkeel_core.sweep_charges import due_messages
from turnkeel_core.sweep_plan import judged
from turnkeel_core.sweep_records import SweepSnapshot


def request_of(session: str, seen: SweepSnapshot, policy: SweepPolicy) -> StartRequest:
    """A place for what is due: a task if one is among it.

    Of a message the session itself is the claim: its id is known in its own inbox alone. A task's id is its
    occurrence's, wherever the row lies.
    """
    tasks = tuple(message.message_id for message in due_messages(seen, policy) if message.task)
    return StartRequest(session=session, kind="task" if tasks else "message", work=tasks)


def place_of(session: str, seen: SweepSnapshot, container: StuckSnapshot, policy: SweepPolicy) -> RunningPlace:
    """The place that `container` holds, with the tasks in its hands or due for it."""
    facts = judged(seen, container, policy)
    held = {claim.message_id for claim in container.claims} | {m.message_id for m in due_messages(seen, policy)}
    tasks = tuple(m.message_id for m in seen.messages if m.task and m.status == "pending" and m.message_id in held)
    return RunningPlace(session=session, work=tasks, idle_since_ms=idle_since(facts, policy.stuck))
