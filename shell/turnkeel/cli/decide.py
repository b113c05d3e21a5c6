"""How does a host in another language ask the core?

One JSON line in, one JSON line out, in the same order:

    {"decision": "decide_stuck_action", "input": {...}, "policy": {...}, "id": ...}
    {"decision": "decide_stuck_action", "actions": [...], "id": ...}

`policy` and `id` may be left out. A line that cannot be answered gives `{"error": ..., "line": n}`; the next is read.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeAlias, TypeVar, cast

from attrs import AttrsInstance, frozen

import turnkeel_core as core
from turnkeel_adapters.config.zones import BadZone, load_zone
from turnkeel_adapters.wire import JsonValue, WireFault, from_data, parse_json, to_data
from turnkeel_core.schedule import next_cron_run

Object: TypeAlias = dict[str, JsonValue]
Answer: TypeAlias = Callable[[JsonValue, JsonValue, bool], Object]

S = TypeVar("S", bound=AttrsInstance)
P = TypeVar("P", bound=AttrsInstance)


def decide_main(stdin: TextIO, stdout: TextIO, explain: bool = False) -> int:
    """Answer every line of `stdin` on `stdout` at once, so that a host may keep the pipe open; 1 if any failed."""
    _tolerate(stdin)
    failed = False
    for line in decide_lines(stdin, explain):
        failed = failed or line.startswith(_ERROR)
        stdout.write(line + "\n")
        stdout.flush()
    return int(failed)


def decide_lines(lines: Iterable[str], explain: bool = False) -> Iterator[str]:
    """One answer for each line that is not blank; lines are numbered from 1, blank ones too."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield json.dumps(_answered(line, number, explain))


_ERROR = '{"error": '


def _tolerate(stream: TextIO) -> None:
    """A byte that is no UTF-8 must cost its own line, not the stream."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def _answered(line: str, number: int, explain: bool) -> Object:
    echo: Object = {}
    try:
        line.encode()
        asked = parse_json(line)
        if isinstance(asked, dict) and "id" in asked:
            echo = {"id": asked["id"]}
        return {**_answer(asked, explain), **echo}
    except UnicodeEncodeError:
        problem = "the line is not UTF-8"
    except (WireFault, BadZone) as error:
        problem = str(error)
    # The host on the other side of the pipe needs an answer to every line, whatever one line uncovers.
    except Exception as error:
        problem = f"a fault of turnkeel itself, please report it with the line: {type(error).__name__}: {error}"
    return {"error": problem, "line": number, **echo}


@frozen(kw_only=True)
class _Question:
    decision: str


@frozen(kw_only=True)
class _CronQuestion:
    cron: str
    zone: str
    after_ms: int


def _answer(asked: JsonValue, explain: bool) -> Object:
    if not isinstance(asked, dict):
        raise WireFault(("the line must be an object with the keys decision and input",))
    unknown = sorted(asked.keys() - {"decision", "input", "policy", "id"})
    if unknown:
        raise WireFault(tuple(f"{key}: unknown key; known: decision, input, policy, id" for key in unknown))
    decision = from_data({"decision": asked.get("decision")}, _Question).decision
    if decision not in DECISIONS:
        raise WireFault((f"decision: {decision!r:.80} is none; known: {', '.join(DECISIONS)}",))
    if "input" not in asked:
        raise WireFault(("input: missing",))
    return {"decision": decision, **DECISIONS[decision](asked["input"], asked.get("policy"), explain)}


def _decision(
    snapshot: type[S], policy: type[P], decide: Callable[[S, P], Object], explain_it: Callable[[S, P], core.Explanation]
) -> Answer:
    def answer(given: JsonValue, limits: JsonValue, explain: bool) -> Object:
        seen, by = _read(given, snapshot, "input"), _read({} if limits is None else limits, policy, "policy")
        if isinstance(seen, WireFault) or isinstance(by, WireFault):
            raise WireFault(tuple(error for side in (seen, by) if isinstance(side, WireFault) for error in side.errors))
        why: Object = {"why": to_data(explain_it(seen, by))} if explain else {}
        return {**decide(seen, by), **why}

    return answer


def _read(data: JsonValue, cls: type[S], path: str) -> S | WireFault:
    """The fault is returned, so that those of the other half are found too."""
    try:
        return from_data(data, cls, path)
    except WireFault as fault:
        return fault


def _actions(*actions: AttrsInstance) -> Object:
    return {"actions": [to_data(action) for action in actions]}


def _cron(given: JsonValue, limits: JsonValue, explain: bool) -> Object:
    if limits is not None:
        raise WireFault(("policy: next_cron_run has none",))
    asked = from_data(given, _CronQuestion, "input")
    return _actions(next_cron_run(asked.cron, load_zone(asked.zone), asked.after_ms))


DECISIONS: dict[str, Answer] = {
    "decide_stuck_action": _decision(
        core.StuckSnapshot,
        core.StuckPolicy,
        lambda seen, policy: _actions(core.decide_stuck_action(seen, policy)),
        core.explain_stuck_action,
    ),
    "decide_retry": _decision(
        core.RetrySnapshot,
        core.RetryPolicy,
        lambda seen, policy: _actions(core.decide_retry(seen, policy)),
        core.explain_retry,
    ),
    "decide_spawn": _decision(
        core.SpawnSnapshot,
        core.SpawnPolicy,
        lambda seen, policy: _actions(core.decide_spawn(seen, policy)),
        core.explain_spawn,
    ),
    "decide_grace": _decision(
        core.ClockSnapshot,
        core.SuspendPolicy,
        lambda seen, policy: _actions(core.decide_grace(seen, policy)),
        core.explain_grace,
    ),
    "plan_starts": _decision(
        core.StartSnapshot,
        core.StartPolicy,
        lambda seen, policy: _actions(*core.plan_starts(seen, policy)),
        core.explain_starts,
    ),
    "plan_sweep": _decision(
        core.SweepSnapshot,
        core.SweepPolicy,
        lambda seen, policy: cast(Object, to_data(core.plan_sweep(seen, policy))),
        core.explain_sweep,
    ),
    "next_cron_run": _cron,
}
"""The decisions by name; each takes input, policy (None: the defaults) and whether to explain."""
