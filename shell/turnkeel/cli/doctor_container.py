"""Can sessions run in the containers that the configuration describes? For each group that has settings of its own."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from turnkeel import __version__
from turnkeel.cli.doctor_records import Checked, fail, ok, warn
from turnkeel_adapters.config import ContainerConfig, HostConfig
from turnkeel_adapters.runners.oci import ContainerSettings, Finding, examine
from turnkeel_adapters.runners.oci.command import RuntimeCommand
from turnkeel_adapters.runners.oci.settings import address_of
from turnkeel_adapters.runners.oci.trial import Trial, try_start


def check_containers(
    settings: HostConfig, container: ContainerConfig, data_dir: Path, environ: Mapping[str, str]
) -> tuple[Checked, ...]:
    """Runtime, image, network, secret files, the way to the model, and one container started as a session's would be.

    Nothing is sent to the model, and nothing of the agent is run.
    """
    place = data_dir if data_dir.is_dir() else Path(tempfile.gettempdir())
    command = RuntimeCommand(container.settings.runtime, environ, settings.runtime)
    found = [_checked(one, "") for one in _examine(command, settings, container.settings, place, environ)]
    if found[0].level == "FAIL":
        return tuple(found)  # a runtime that does not answer: of the groups nothing more would be learnt
    for name, special in container.groups:
        findings = _examine(command, settings, special, place, environ)
        found += [_checked(one, f" of {name}") for one in findings if one.subject != "runtime"]
    return tuple(found)


def _examine(
    command: RuntimeCommand, settings: HostConfig, container: ContainerSettings, place: Path, environ: Mapping[str, str]
) -> tuple[Finding, ...]:
    findings = examine(command, container, None if container.model is None else address_of(container.model))
    if any(one.level == "bad" and one.subject != "model" for one in findings):
        return findings  # it would not start, for the reasons told already
    return (*findings, try_start(command, container, _trial(settings, container, place), environ))


def _trial(settings: HostConfig, container: ContainerSettings, place: Path) -> Trial:
    agent = settings.agent
    if container.command:
        return Trial(program=container.command[0], kit=None, place=place)
    if not agent.argv:
        return Trial(program=None, kit=None, place=place)
    return Trial(program=agent.argv[0], kit=None if agent.speaks_contract else __version__, place=place)


def _checked(finding: Finding, group: str) -> Checked:
    subject, advice = f"container {finding.subject}{group}", finding.advice or "see the README"
    match finding.level:
        case "good":
            return ok(subject, finding.text)
        case "warning":
            return warn(subject, finding.text, advice)
        case "bad":
            return fail(subject, finding.text, advice)
