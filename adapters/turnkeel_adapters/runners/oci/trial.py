"""Can the image start the agent, hardened as a session would be? Nothing of the agent itself is run."""

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from attrs import evolve, frozen

from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci.command import Done, RuntimeCommand
from turnkeel_adapters.runners.oci.doctor import Finding
from turnkeel_adapters.runners.oci.runner import ContainerRunner
from turnkeel_adapters.runners.oci.settings import ContainerSettings, RuntimeLimits
from turnkeel_adapters.runners.records import Ended, SpawnOrder, Unknown

_NO_KIT, _NO_WRITE, _NO_PROGRAM = 41, 42, 43
_NOT_THERE: Final = (126, 127)
_POLL_S: Final = 0.1
_SHOWN: Final = 300

_PYTHON = """
import os, shutil, sqlite3, sys
def stop(code, word):
    print(word)
    sys.exit(code)
version = ""
if sys.argv[2]:
    try:
        import turnkeel.agent.exec
        version = turnkeel.__version__
    except ImportError as error:
        stop(41, error)
try:
    db = sqlite3.connect("/workspace/probe.db")
    db.execute("CREATE TABLE probe (x)")
    db.close()
    os.remove("/workspace/probe.db")
except (OSError, sqlite3.Error) as error:
    stop(42, f"user {os.getuid()}: {error}")
if sys.argv[1] and shutil.which(sys.argv[1]) is None:
    stop(43, "")
print(version)
"""
_SHELL = """
(: > /workspace/probe) 2>/dev/null || exit 42
[ -z "$1" ] || command -v "$1" >/dev/null || exit 43
"""

Probe: TypeAlias = tuple[str, ...]


@frozen(kw_only=True)
class Trial:
    """What shall be started: `program` is the first word of the agent's command, None if the image says it.

    `kit`: the version of turnkeel that the host has, if the image must have it too (`agent exec` is put around the
    program). `place`: a folder of the file system that the session folders are on; one is made in it, and removed.
    """

    program: str | None
    kit: str | None
    place: Path


def try_start(
    command: RuntimeCommand, settings: ContainerSettings, trial: Trial, environ: Mapping[str, str]
) -> Finding:
    """Start one container as a session's would be; it looks for the program and writes into the session folder."""
    program = trial.program
    if program is None and (program := _own_program(command, settings)) is None:
        text = f"{settings.image} names no command, and neither does the configuration"
        return _bad(text, "give [container] command, or [agent] command")
    for probe in _probes(settings, program, trial.kit is not None):
        ended = _run(evolve(settings, command=probe), trial.place, command.limits, environ)
        if isinstance(ended, Finding):
            return ended
        code, said = ended
        if code not in _NOT_THERE:
            return _judge(code, said, program, settings, trial)
        if trial.kit is not None:
            text = f"{settings.image} has no program {settings.python!r}"
            return _bad(text, "an agent that knows stdin and stdout only needs Python in the image: [container] python")
    text = f"whether {program} can be started is not known: {settings.image} has neither sh nor {settings.python}"
    return Finding(level="warning", subject="start", text=text, advice="send a first message, and look at `why`")


def _judge(code: int, said: str, program: str, settings: ContainerSettings, trial: Trial) -> Finding:
    match code:
        case 0 if trial.kit is None or said == trial.kit:
            return Finding(level="good", subject="start", text=f"a container starts, and finds {program}")
        case 0:
            text = f"turnkeel is {said[:40] or 'unknown'} in {settings.image}, and {trial.kit} here"
            return Finding(level="warning", subject="start", text=text, advice="install the same in the image")
        case code if code == _NO_KIT:
            text = f"{settings.python} in {settings.image} cannot load turnkeel: {said}"
            return _bad(text, "install turnkeel in the image (pip install turnkeel)")
        case code if code == _NO_WRITE:
            text = f"the container cannot write its session folder{f': {said}' if said else ''}"
            return _bad(text, "leave [container] user unset, or let that user write the data directory")
        case code if code == _NO_PROGRAM:
            return _bad(f"{settings.image} has no program {program!r}", "install it there, or name it by its full path")
        case _:
            text = f"a container of {settings.image} ends with {code}: {said}"
            return _bad(text, "run the image by hand; Python must be 3.11 or newer")


def _own_program(command: RuntimeCommand, settings: ContainerSettings) -> str | None:
    """The first word of what the image itself starts."""
    form = "[{{json .Config.Entrypoint}},{{json .Config.Cmd}}]"
    outcome = command.call("image", "inspect", "--format", form, settings.image)
    try:
        lists: list[list[str] | None] = json.loads(outcome.output) if isinstance(outcome, Done) else []
        return next((str(words[0]) for words in lists if words), None)
    except (ValueError, TypeError):
        return None


def _probes(settings: ContainerSettings, program: str, kit: bool) -> tuple[Probe, ...]:
    python = (settings.python, "-P", "-c", _PYTHON, program, "kit" if kit else "")
    return (python,) if kit else (("sh", "-c", _SHELL, "probe", program), python)


def _run(
    settings: ContainerSettings, place: Path, limits: RuntimeLimits, environ: Mapping[str, str]
) -> tuple[int, str] | Finding:
    """(exit code, last line of output). Under an install id of its own: no host takes it for a stray."""
    folder = place.absolute() / f".doctor-{secrets.token_hex(8)}"
    runner = ContainerRunner(
        install_id=secrets.token_hex(8), settings=settings, now_ms=_now_ms, limits=limits, environ=environ
    )
    order = SpawnOrder(
        session="main/doctor",
        incarnation=1,
        folder=folder / "session",
        argv=(),
        environment={"TURNKEEL_SESSION": "main/doctor", "TURNKEEL_INCARNATION": "1"},
        log_path=folder / "log",
    )
    try:
        order.folder.mkdir(parents=True)
        return _outcome(runner, order, limits)
    except SpawnFailed as error:
        return _bad(error.reason, error.advice)
    except OSError as error:
        return _bad(f"no folder can be made in {place}: {error}", "mend the mount or the permissions")
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(runner: ContainerRunner, order: SpawnOrder, limits: RuntimeLimits) -> tuple[int, str] | Finding:
    handle = runner.spawn(order)
    deadline_s = time.monotonic() + limits.start_ms / 1000
    try:
        while not isinstance(seen := runner.look(handle), Ended):
            if time.monotonic() >= deadline_s:
                return _bad(f"a container did not end within {limits.start_ms} ms", "see what loads the machine")
            if isinstance(seen, Unknown):
                return _bad(seen.reason, "see what the runtime lacks")
            time.sleep(_POLL_S)
    finally:
        runner.stop(handle, 0)
        runner.forget(handle)
    said = order.log_path.read_text("utf-8", "replace").split("\n") if order.log_path.exists() else []
    lines = [line.strip() for line in said if line.strip()]
    code = seen.exit_code if seen.exit_code is not None else 128 + (seen.signal or 0)
    return code, (lines[-1] if lines else "")[:_SHOWN]


def _bad(text: str, advice: str) -> Finding:
    return Finding(level="bad", subject="start", text=text, advice=advice)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
