"""Can sessions run in containers on this machine, and can an agent in one reach its model?"""

import os
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from turnkeel_adapters.runners.oci.command import Done, Refused, RuntimeCommand
from turnkeel_adapters.runners.oci.health import DaemonDown, ProgramMissing, Unresponsive, describe_trouble
from turnkeel_adapters.runners.oci.settings import ContainerSettings

_PROBE_S: Final = 5
_NOT_THERE: Final = (126, 127)
_START_IT: Final = "start its daemon, and let this user reach it"


@frozen(kw_only=True)
class Finding:
    """One thing looked at. `bad`: nothing will start, or the agent cannot do its work; `warning`: it may be meant.

    `advice`: what helps, for all that is not good.
    """

    level: Literal["good", "warning", "bad"]
    subject: str
    text: str
    advice: str | None = None


def examine(
    command: RuntimeCommand, settings: ContainerSettings, model: tuple[str, int] | None = None
) -> tuple[Finding, ...]:
    """Look at the runtime, the image, the network and the secret files, then at the way to `model` (host, port).

    Starts one short-lived container if `model` is given. After a runtime that does not answer nothing else is asked.
    """
    runtime = _runtime(command)
    if runtime.level == "bad":
        return (runtime,)
    image = _image(command, settings)
    findings = [runtime, image, _network(command, settings), *_secrets(settings)]
    if model is not None and image.level == "good":
        findings.append(_way(command, settings, *model))
    return tuple(findings)


def _runtime(command: RuntimeCommand) -> Finding:
    outcome = command.call("version", "--format", "{{.Server.Version}}", urgent=True)
    match outcome:
        case Done(output):
            return Finding(level="good", subject="runtime", text=f"{command.program} answers: {output.strip()[:80]}")
        case Refused(code, text, _):
            return _bad("runtime", f"{command.program} ended with {code}: {text}", _START_IT)
        case Unresponsive() | DaemonDown() | ProgramMissing():
            return _bad("runtime", describe_trouble(outcome), _START_IT)


def _image(command: RuntimeCommand, settings: ContainerSettings) -> Finding:
    outcome = command.call("image", "inspect", "--format", "{{.Id}}", settings.image)
    if isinstance(outcome, Done):
        return Finding(level="good", subject="image", text=f"{settings.image} is {outcome.output.strip()[:80]}")
    advice = f"fetch or build it: {settings.runtime} pull {settings.image}"
    return _bad("image", f"{settings.image} is not on this machine", advice)


def _network(command: RuntimeCommand, settings: ContainerSettings) -> Finding:
    name = settings.network
    if name == "none":
        text = "none: an agent reaches nothing but its session folder"
        advice = "one with a remote model needs bridge, or better a network of its own: [container] network"
        return Finding(level="warning", subject="network", text=text, advice=advice)
    if isinstance(command.call("network", "inspect", name), Done):
        return Finding(level="good", subject="network", text=f"{name} exists")
    advice = f"make it ({settings.runtime} network create {name}), or correct [container] network"
    return _bad("network", f"there is no network {name}", advice)


def _secrets(settings: ContainerSettings) -> tuple[Finding, ...]:
    unreadable = [source for _, source in settings.secret_files if not _readable(source)]
    advice = "write absolute paths of files that the host's user may read: [container] secret_files"
    return tuple(_bad("secret file", f"{path} cannot be read", advice) for path in unreadable)


def _bad(subject: str, text: str, advice: str) -> Finding:
    return Finding(level="bad", subject=subject, text=text, advice=advice)


def _readable(source: str) -> bool:
    return Path(source).is_absolute() and os.path.isfile(source) and os.access(source, os.R_OK)


def _way(command: RuntimeCommand, settings: ContainerSettings, host: str, port: int) -> Finding:
    """Connect from inside, with whichever of two programs the image has."""
    for program in _probes(settings.python, host, port):
        hosts = [part for name, address in settings.add_host for part in ("--add-host", f"{name}:{address}")]
        rights = ("--pull", "never", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")
        outcome = command.call(
            *("run", "--rm", "--network", settings.network, *rights, *hosts),
            *("--entrypoint", program[0], settings.image, *program[1:]),
            limit_ms=command.limits.start_ms,
        )
        if isinstance(outcome, Done):
            return Finding(level="good", subject="model", text=f"{host}:{port} can be reached from a container")
        if not isinstance(outcome, Refused):
            return _bad("model", describe_trouble(outcome), _START_IT)
        if outcome.code not in _NOT_THERE:
            text = f"{host}:{port} cannot be reached over network {settings.network}: {outcome.text}"
            return _bad("model", text, "an agent needs [container] network, and add_host for a name that is not public")
    text = f"whether {host}:{port} can be reached is not known: the image has neither {settings.python} nor node"
    return Finding(level="warning", subject="model", text=text, advice="try it from a container by hand")


def _probes(python: str, host: str, port: int) -> tuple[tuple[str, ...], ...]:
    script = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))"
    node = (
        "const c=require('net').connect(+process.argv[2],process.argv[1]);c.setTimeout(process.argv[3]*1e3,()=>{"
        "console.error('timed out');process.exit(1)});c.on('connect',()=>process.exit(0))"
    )
    given = (host, str(port), str(_PROBE_S))
    return ((python, "-c", script, *given), ("node", "-e", node, *given))
