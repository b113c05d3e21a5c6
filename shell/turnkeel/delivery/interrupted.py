"""Which turns still count as running, though no run lasts that long? Told, and nothing else."""

import time
from collections.abc import Callable
from typing import Final

from turnkeel.events import RunInterrupted
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_core import (
    ClaimTurn,
    Dispatched,
    Interrupted,
    InterruptedPolicy,
    InterruptedSnapshot,
    MessageKey,
    MirrorRun,
    Turn,
    find_interrupted,
)

_STARTS: Final = (MirrorRun.__name__, ClaimTurn.__name__)


def interrupted_turns(work: LifecycleWork, now_ms: int, policy: InterruptedPolicy) -> tuple[Interrupted, ...]:
    """Of all sessions, the longest running first; `key` is (session, turn id). AdapterError."""
    running = (turn for turn in work.tables.turns.open() if turn.status == "running")
    seen = InterruptedSnapshot(now_ms=now_ms, dispatched=tuple(_dispatched(work, turn) for turn in running))
    return find_interrupted(seen, policy)


def tell_interrupted(
    store: LifecycleStore, report: Callable[[RunInterrupted], None], policy: InterruptedPolicy
) -> None:
    """Before the host does anything: one event for each. The turns are left to the rules that they always have."""
    with store.reading() as work:
        found = interrupted_turns(work, time.time_ns() // 1_000_000, policy)
    for one in found:
        report(RunInterrupted(one.key.chat, one.key.message_id, one.age_ms))


def _dispatched(work: LifecycleWork, turn: Turn) -> Dispatched:
    """It was handed on when its latest attempt began."""
    began = [line.at_ms for line in work.tables.life.of_turn(turn.turn_id) if line.what in _STARTS]
    return Dispatched(
        key=MessageKey(turn.session, turn.turn_id),
        sent_at_ms=turn.accepted_at_ms,
        started_at_ms=max(began, default=turn.accepted_at_ms),
    )
