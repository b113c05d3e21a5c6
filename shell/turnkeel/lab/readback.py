"""What do the files say, once the host has ended? Read as any command reads them, and from nothing else."""

from collections import Counter
from pathlib import Path

from attrs import frozen

from turnkeel.cli.actions import render_action
from turnkeel.cli.launch import LOG_DIR
from turnkeel.cli.reading import Reading
from turnkeel.cli.render import render_rule
from turnkeel.cli.why_session import fired_rules
from turnkeel.lab.cast import Role
from turnkeel.lab.verdict import Aftermath, MessageEnd
from turnkeel_adapters.runners.census import take_census
from turnkeel_adapters.sessions.records import HistoryLine
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.system.install import install_id
from turnkeel_adapters.wire import loads
from turnkeel_core import (
    ChargeAttempt,
    Explanation,
    FailMessage,
    HoldWake,
    SettleAck,
    StopContainer,
    StopIdle,
    SweepAction,
    SweepPlan,
)

_ALL = 10_000


@frozen(kw_only=True)
class Act:
    """One kill, retry or giving up, as journaled: what was done, and the rules that fired."""

    session: str
    what: tuple[str, ...]
    because: tuple[str, ...]


def read_aftermath(reading: Reading, cast: tuple[Role, ...], leftovers: tuple[str, ...]) -> Aftermath:
    """Read every session, the host's notes and the logs; SessionFault if a file cannot be read."""
    ends: list[MessageEnd] = []
    strays: list[str] = []
    kills: list[tuple[str, str]] = []
    for role in cast:
        lines = () if role.broken else reading.sessions.store(role.session).history(_ALL)
        replies = Counter(line.in_reply_to for line in lines if line.direction == "out")
        ends += [_end(reading, role.session, message_id, lines, replies) for message_id in role.message_ids]
        strays += [f"{role.session}: {to}" for to in replies if to not in role.message_ids]
        history = reading.state.incarnations.history(role.session, limit=_ALL)
        kills += [(role.session, one.intent) for one in history if one.intent is not None and one.intent[:4] == "Kill"]
    return Aftermath(
        ends=tuple(ends),
        strays=tuple(strays),
        kills=tuple(kills),
        faulty=frozenset(fault.session for fault in reading.state.notes.faults()),
        leftovers=leftovers,
        logs=tuple((role.session, _log_bytes(reading.data_dir, role)) for role in cast),
    )


def find_leftovers(data_dir: Path) -> tuple[str, ...]:
    """Processes that carry the mark of this install, children and guards included."""
    return tuple(
        f"{session} container {incarnation}: process {process.pid}"
        for (session, incarnation), found in take_census(install_id(data_dir)).items()
        for process in (*found.agents, *found.guards)
    )


def read_acts(reading: Reading, session: str) -> tuple[Act, ...]:
    """The kills, retries and failures of one session, oldest first, with the rules that fired."""
    ends = {one.number: one for one in reading.state.incarnations.history(session, limit=_ALL)}
    lines = reversed(reading.state.journal.of_session(session, limit=_ALL, decision="plan_sweep"))
    return tuple(act for line in lines if (act := _act(line, ends.get(line.incarnation))) is not None)


def waited(reading: Reading, session: str) -> bool:
    """Did the session have to wait for a place to run?"""
    plans = (
        loads(line.actions, SweepPlan)
        for line in reading.state.journal.of_session(session, limit=_ALL, decision="plan_sweep")
    )
    return any(isinstance(action, HoldWake) and action.reason == "slot" for plan in plans for action in plan.actions)


def _act(line: JournalLine, container: Incarnation | None) -> Act | None:
    actions = tuple(action for action in loads(line.actions, SweepPlan).actions if _is_shown(action))
    if not actions:
        return None
    done = [text.strip() for action in actions for text in render_action(action, line.at_ms)]
    # A container that is stopped is gone afterwards; one that died was gone before anything was decided.
    stops = [done.pop(0)] if isinstance(actions[0], StopContainer) else []
    ended = () if isinstance(actions[0], SettleAck) else _how_ended(container)
    rules = fired_rules(loads(line.why, Explanation))
    return Act(
        session=line.session,
        what=(*stops, *ended, *(text for text in done if not text.startswith("if it stays"))),
        because=tuple(render_rule(rule, line.at_ms) for rule in rules),
    )


def _is_shown(action: SweepAction) -> bool:
    match action:
        case StopContainer(because=because):
            return not isinstance(because, StopIdle)
        case SettleAck(outcome=outcome):
            return outcome == "failed"
        case _:
            return isinstance(action, ChargeAttempt | FailMessage)


def _how_ended(container: Incarnation | None) -> tuple[str, ...]:
    if container is None or container.died_at_ms is None:
        return ()
    signal = container.exit_signal
    how = f"exit {container.exit_code}" if signal is None else f"signal {signal}"
    return (f"container {container.number} is gone: {how}",)


def _end(
    reading: Reading, session: str, message_id: str, lines: tuple[HistoryLine, ...], replies: Counter[str | None]
) -> MessageEnd:
    row = next((line for line in lines if line.direction == "in" and line.message_id == message_id), None)
    dead = reading.state.dead.of_message(session, message_id)
    return MessageEnd(
        session=session,
        message_id=message_id,
        row=None if row is None else row.status,
        replies=replies[message_id],
        dead=dead[-1].reason if dead else None,
        tries=0 if row is None else row.tries or 0,
    )


def _log_bytes(data_dir: Path, role: Role) -> int:
    log = data_dir / LOG_DIR / f"{role.session}.log"
    return sum(part.stat().st_size for part in log.parent.glob(f"{log.name}*"))
