"""How does a host in another language ask the core?

One JSON line in, one JSON line out, in the same order:

    {"decision": "decide_stuck_action", "input": {...}, "policy": {...}, "id": ...}
    {"decision": "decide_stuck_action", "actions": [...], "id": ...}

`policy` and `id` may be left out. A line that cannot be answered gives `{"error": ..., "line": n}`; the next is read.
"""

import io
import json
from collections.abc import Iterable, Iterator
from typing import TextIO

from attrs import frozen

from turnkeel.cli.decisions import DECISIONS, Object
from turnkeel_adapters.config.zones import BadZone
from turnkeel_adapters.wire import JsonValue, WireFault, from_data, parse_json


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
