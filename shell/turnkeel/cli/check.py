"""`check`: is the configuration right, and can the data directory be read?"""

import os
import shutil
import time
from pathlib import Path

from attrs import asdict, frozen

from turnkeel.cli.errors import FAILED
from turnkeel.cli.hiding import CANNOT_BE_HIDDEN, learn
from turnkeel.cli.mount_lines import decider_of, list_problems
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel.cli.place import data_dir_of
from turnkeel.cli.reading import Reading, open_reading
from turnkeel.cli.senders import sender_problems
from turnkeel.cli.status import host_data, host_line
from turnkeel_adapters.config import HostConfig, explain_config, load_config, resolve_zone
from turnkeel_adapters.errors import SessionFault


@frozen(kw_only=True)
class Finding:
    """One problem of the data directory or of the machine."""

    subject: str
    problem: str


@frozen(kw_only=True)
class DataFindings:
    """What the data directory showed; `exists` False: no host has worked there yet."""

    data: Path
    exists: bool
    sessions: int
    host: dict[str, object]
    host_line: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def check(data: Path | None = None, *, config: Path | None = None, explain: bool = False, json: bool = False) -> int:
    """Check both; ConfigFault names everything that is wrong with the file. 1 if something else is wrong."""
    settings = load_config(config)
    unread = learn(settings, data_dir_of(data))
    zone_name, _ = resolve_zone(settings, os.environ)
    found = _data_findings(data)
    findings = (
        *_agent_findings(settings),
        *_secret_findings(unread),
        *_mount_findings(settings, data),
        *_sender_findings(settings),
        *found.findings,
    )
    if json:
        lines = [asdict(line) for line in explain_config(settings, config)] if explain else None
        print_json(_document(config, zone_name, found, findings, lines))
    else:
        _print(settings, config, zone_name, found, findings, explain)
    return FAILED if findings else 0


def _agent_findings(settings: HostConfig) -> tuple[Finding, ...]:
    argv = settings.agent.argv
    if settings.container is not None:
        return ()  # the program is one of the image's; `doctor` starts a container and looks
    if not argv or shutil.which(argv[0]) is not None:
        return ()
    return (Finding(subject="agent", problem=f"the program {argv[0]!r} is not found, or may not be run, by this user"),)


def _secret_findings(unread: tuple[str, ...]) -> tuple[Finding, ...]:
    return tuple(Finding(subject="secret file", problem=f"{text}: {CANNOT_BE_HIDDEN}") for text in unread)


def _mount_findings(settings: HostConfig, data: Path | None) -> tuple[Finding, ...]:
    if settings.container is None:
        return ()
    problems = list_problems(settings.container, decider_of(settings.container, data))
    return tuple(Finding(subject="mount allow-list", problem=problem) for problem in problems)


def _sender_findings(settings: HostConfig) -> tuple[Finding, ...]:
    file = str(settings.senders.file)
    return tuple(Finding(subject=f"allowlist {file}", problem=problem) for problem in sender_problems(settings))


def _data_findings(option: Path | None) -> DataFindings:
    data_dir, now_ms = data_dir_of(option), time.time_ns() // 1_000_000
    if not data_dir.exists():
        return DataFindings(
            data=data_dir, exists=False, sessions=0, host=host_data(None), host_line="", notes=(), findings=()
        )
    with open_reading(option) as reading:
        return DataFindings(
            data=data_dir,
            exists=True,
            sessions=len(reading.names),
            host=host_data(reading.host),
            host_line=host_line(reading.host, now_ms),
            notes=reading.notes,
            findings=_session_findings(reading, now_ms),
        )


def _session_findings(reading: Reading, now_ms: int) -> tuple[Finding, ...]:
    found = [Finding(subject=str(fault.folder), problem=fault.detail) for fault in reading.listing.faults]
    for name in reading.names:
        try:
            facts = reading.sessions.store(name).read(now_ms)
        except SessionFault as fault:
            found.append(Finding(subject=name, problem=str(fault)))
            continue
        found += [Finding(subject=name, problem=f"{f.table}.{f.column}: {f.detail}") for f in facts.row_faults]
    return tuple(found)


def _document(
    config: Path | None,
    zone_name: str,
    found: DataFindings,
    findings: tuple[Finding, ...],
    lines: list[dict[str, object]] | None,
) -> dict[str, object]:
    return {
        "read_at_ms": time.time_ns() // 1_000_000,
        "config": None if config is None else str(config),
        "timezone": zone_name,
        "settings": lines,
        "data": str(found.data),
        "exists": found.exists,
        "sessions": found.sessions,
        "host": found.host,
        "notes": found.notes,
        "findings": [asdict(finding) for finding in findings],
    }


def _print(
    settings: HostConfig,
    config: Path | None,
    zone_name: str,
    found: DataFindings,
    findings: tuple[Finding, ...],
    explain: bool,
) -> None:
    if explain:
        lines = explain_config(settings, config)
        rows = [(line.key, line.value, line.default, line.source, line.reason) for line in lines]
        print_table(("key", "value", "default", "from", "reason of the default"), rows)
    print(f"configuration: {'the defaults' if config is None else config}: right; schedules run in {zone_name}")
    if not found.exists:
        print(f"data: {found.data} does not exist yet; the first `turnkeel run` makes it")
    else:
        print(f"data: {found.data}: {found.sessions} sessions; {found.host_line}")
    for note in found.notes:
        print(f"note: {flat(note)}")
    for finding in findings:
        print(flat(f"problem: {finding.subject}: {finding.problem}"))
    if not findings:
        print("no problem found")
