"""How is the runtime's command line called? Argument lists, a time limit and bounded output for every call."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import frozen

from turnkeel_adapters.runners.oci.health import DaemonDown, Health, ProgramMissing, Trouble, Unresponsive
from turnkeel_adapters.runners.oci.settings import RuntimeLimits

OUTPUT_KEPT: Final = 4_000_000
_TEXT_SHOWN: Final = 400
_TICK_S: Final = 0.05
_CHUNK: Final = 65_536

_DOWN_SIGNS: Final = (
    "cannot connect to the docker daemon",
    "is the docker daemon running",
    "error during connect",
    "trying to connect to the docker daemon socket",
    "permission denied while trying to connect",
    "cannot connect to podman",
    "unable to connect to podman",
    "containerd.sock",
    "connection refused",
    "connection reset by peer",
    "context deadline exceeded",
    "client.timeout exceeded",
    "daemon is shutting down",
    "unexpected eof",
)


@frozen
class Done:
    """The program ended with 0."""

    output: str


@frozen
class Refused:
    """The program ended with another code; `text` is what it said, `output` what it had printed by then."""

    code: int
    text: str
    output: str


CallOutcome: TypeAlias = Done | Refused | Trouble


class RuntimeCommand:
    """Calls one client program; keeps account of whether its daemon answers. Any thread may call it."""

    def __init__(self, program: str, environ: Mapping[str, str], limits: RuntimeLimits) -> None:
        """`environ` is the client program's environment: PATH, HOME, DOCKER_HOST and whatever else it reads."""
        self.program = program
        self.limits = limits
        self._environ = dict(environ)
        self.health = Health(
            backoff_ms=limits.backoff_ms,
            backoff_max_ms=limits.backoff_max_ms,
            mono_ms=lambda: time.monotonic_ns() // 1_000_000,
        )

    def call(
        self,
        *arguments: str,
        limit_ms: int | None = None,
        urgent: bool = False,
        merged: bool = False,
        kept: int = OUTPUT_KEPT,
    ) -> CallOutcome:
        """Run the program with `arguments`. `urgent` asks even while the runtime is in trouble (stops do).

        `merged` puts stderr into the output; `kept` bounds each of both, in bytes.
        """
        if not urgent and (trouble := self.health.admit()) is not None:
            return trouble
        limit_ms = self.limits.call_ms if limit_ms is None else limit_ms
        outcome = self._run((self.program, *arguments), limit_ms, merged, kept)
        self.health.note(None if isinstance(outcome, Done | Refused) else outcome)
        return outcome

    def _run(self, argv: tuple[str, ...], limit_ms: int, merged: bool, kept: int) -> CallOutcome:
        deadline_s = time.monotonic() + limit_ms / 1000
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                env=self._environ,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return ProgramMissing(self.program, os.strerror(error.errno or 0))
        try:
            texts = _collect(process, deadline_s, kept)
        finally:
            _end(process)
        if texts is None:
            return Unresponsive(self.program, limit_ms)
        output, text = texts
        if process.returncode == 0:
            return Done(output)
        if any(sign in text.lower() for sign in _DOWN_SIGNS):
            return DaemonDown(self.program, shorten(text))
        return Refused(process.returncode, shorten(text), output)


def shorten(text: str) -> str:
    """The first line that says something, without the runtime's own advice; bounded."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "it said nothing")[:_TEXT_SHOWN]


def _collect(process: subprocess.Popen[bytes], deadline_s: float, kept: int) -> tuple[str, str] | None:
    """(stdout, stderr) once the program has ended; None if it has not by the deadline."""
    held = {pipe: bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None}
    with selectors.DefaultSelector() as selector:
        for pipe in held:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, held[pipe])
        try:
            ended = False
            while selector.get_map():
                ready = selector.select(0 if ended else min(_TICK_S, max(0.0, deadline_s - time.monotonic())))
                for key, _ in ready:
                    if chunk := os.read(key.fd, _CHUNK):
                        key.data.extend(chunk[: max(0, kept - len(key.data))])
                    else:
                        selector.unregister(key.fileobj)
                if not ready and ended:
                    break  # a child of the program keeps the pipe: what it prints is not the answer
                if time.monotonic() >= deadline_s:
                    return None
                ended = process.poll() is not None
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            for pipe in held:
                pipe.close()
    texts = [bytes(data).decode(errors="replace") for data in held.values()]
    return texts[0], texts[-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs, with what it started; what an ended one left may be a container's keeper."""
    if process.poll() is None:  # not reaped: its group's number is still its own
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
