"""Is this machine fit for a host? Each function looks at one thing."""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw

from turnkeel.cli.doctor_records import Checked, fail, info, ok, warn
from turnkeel_adapters.config import BadZone, HostConfig, resolve_zone
from turnkeel_adapters.runners.environment import compose_environment
from turnkeel_adapters.system.clock import Instant, SystemClock

_PYTHON: Final = (3, 11)
_SQLITE: Final = (3, 46)
_YEARS: Final = range(2025, 2100)
_CLOCK_S: Final = 0.2
_DRIFT_MS: Final = 50
_FILES: Final = 256
_RUNTIME_S: Final = 5


def check_python() -> Checked:
    """3.11 or newer."""
    seen = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    return ok("python", seen) if sys.version_info >= _PYTHON else fail("python", seen, "use Python 3.11 or newer")


def check_sqlite() -> Checked:
    """STRICT tables and RETURNING are needed; 3.46 is the oldest this is tried with."""
    version = apsw.sqlite_lib_version()
    seen = f"{version}, apsw {apsw.apsw_version()}"
    numbers = tuple(int(part) for part in version.split(".")[:2])
    return ok("sqlite", seen) if numbers >= _SQLITE else fail("sqlite", seen, "install apsw 3.46 or newer")


def check_clock(
    read: Callable[[], Instant] = SystemClock().read, wait: Callable[[float], None] = time.sleep
) -> Checked:
    """Both clocks must go at one pace, and the calendar must be of this century."""
    before = read()
    wait(_CLOCK_S)
    after = read()
    year = datetime.fromtimestamp(after.wall_ms / 1000, UTC).year
    drift = (after.wall_ms - before.wall_ms) - (after.mono_ms - before.mono_ms)
    if year not in _YEARS:
        return fail("clock", f"the year is {year}", "set the clock: due times and ages are reckoned with it")
    if abs(drift) > _DRIFT_MS:
        text = f"wall clock and monotonic clock went {drift} ms apart within {_CLOCK_S:g} s"
        return warn("clock", text, "it is being set, or the machine slept; let ntpd or chrony slew it")
    return ok("clock", f"{datetime.fromtimestamp(after.wall_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC, at an even pace")


def check_zone(settings: HostConfig, environ: Mapping[str, str]) -> Checked:
    """Schedules run in it."""
    try:
        name, _ = resolve_zone(settings, environ)
    except BadZone as error:
        return fail("time zone", str(error), "set timezone in the configuration")
    return ok("time zone", f"schedules run in {name}")


def check_files_limit() -> Checked:
    """A host needs some per running container, and few at rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ["unlimited" if limit == resource.RLIM_INFINITY else str(limit) for limit in (soft, hard)]
    seen = f"limit {limits[0]}, can be raised to {limits[1]}"
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return ok("open files", seen)
    return warn("open files", seen, f"raise it to {_FILES} at least: ulimit -n, or LimitNOFILE= in a unit")


def check_agent(settings: HostConfig, environ: Mapping[str, str], directory: Path) -> Checked:
    """Found on the PATH that the agent itself gets, and executable with what its first line names. It is not run."""
    argv = settings.agent.argv
    if not argv:
        return info("agent", "none named", "give --config FILE or --agent CMD to have it looked for")
    composed = compose_environment(environ, settings.agent.pass_environment, dict(settings.agent.environment))
    program = str(directory / argv[0]) if "/" in argv[0] else argv[0]
    path = shutil.which(program, path=composed.get("PATH"))
    if path is None:
        advice = "install it, make it executable, or name it by its full path"
        return fail("agent", f"{argv[0]!r} is not on the agent's PATH, or this user may not run it", advice)
    interpreter = _interpreter(path)
    if interpreter is not None and not os.access(interpreter, os.X_OK):
        seen = f"{path} asks for {interpreter}, which cannot be run"
        return fail("agent", seen, "correct its first line, or install that")
    how = "speaks the session contract" if settings.agent.speaks_contract else "wrapped by `agent exec`"
    return ok("agent", f"{path}, {how}")


def check_runtime(program: str) -> Checked:
    """Is it there, and does its daemon answer within 5 s? Agents that run as processes need none."""
    path = shutil.which(program)
    if path is None:
        return info(program, "not installed; agents that run as processes do not need it")
    argv = [path, "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_RUNTIME_S, check=False)
    except subprocess.TimeoutExpired:
        seen = f"{path} does not answer within {_RUNTIME_S} s"
        return warn(program, seen, "restart its daemon, if agents run in containers")
    except OSError as error:
        return warn(program, f"{path} cannot be run: {error}", "install it anew, if agents run in containers")
    said = (done.stdout if done.returncode == 0 else done.stderr).decode("utf-8", "replace").strip()
    if done.returncode:
        advice = "start its daemon and let this user reach it, if agents run in containers"
        return warn(program, f"answers with an error: {said[:200] or f'exit {done.returncode}'}", advice)
    return ok(program, f"{path}, server {said[:40]}")


def _interpreter(path: str) -> str | None:
    """What a script's first line names; None for a program that is no script, or that cannot be read."""
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    return words[0] if words else None
