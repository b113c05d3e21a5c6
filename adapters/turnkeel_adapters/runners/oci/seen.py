"""What does the runtime say of a container?"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from attrs import frozen

from turnkeel_adapters.runners.oci.argv import INCARNATION_LABEL, INSTALL_LABEL, SESSION_LABEL
from turnkeel_adapters.runners.oci.errors import RuntimeUnavailable
from turnkeel_adapters.runners.records import Ended, Handle

_ALIVE = frozenset({"running", "paused", "restarting", "pausing", "stopping"})
_SIGNALS = range(1, 65)
_CODE_OF_SIGNAL = 128


@frozen(kw_only=True)
class Seen:
    """One container as `inspect` shows it. `pid` is that of its first process, 0 if it does not run."""

    container_id: str
    name: str
    labels: Mapping[str, str]
    status: str
    alive: bool
    pid: int
    exit_code: int
    oom: bool
    error: str
    started_at_ms: int | None
    finished_at_ms: int | None

    def belongs_to(self, install_id: str) -> bool:
        """Was it started by this install?"""
        return self.labels.get(INSTALL_LABEL) == install_id

    def key(self) -> tuple[str, int] | None:
        """(session, incarnation) by its labels; None if they are not ours."""
        session, number = self.labels.get(SESSION_LABEL, ""), self.labels.get(INCARNATION_LABEL, "")
        return (session, int(number)) if session and number.isascii() and number.isdigit() else None

    def ended(self, now_ms: int) -> Ended:
        """How it ended. A code of 128 + n is read as signal n, as shells write it; one that never ran has neither."""
        if self.started_at_ms is None:
            return Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
        number = self.exit_code - _CODE_OF_SIGNAL
        signal = number if number in _SIGNALS else None
        at_ms = now_ms if self.finished_at_ms is None else min(self.finished_at_ms, now_ms)
        code = None if signal is not None else self.exit_code
        return Ended(exit_code=code, signal=signal, ended_at_ms=at_ms, oom=self.oom)

    def handle(self, runtime: str, now_ms: int) -> Handle | None:
        """The handle of a container of ours, also of one that an earlier host started."""
        if (key := self.key()) is None:
            return None
        at_ms = now_ms if self.started_at_ms is None else min(self.started_at_ms, now_ms)
        return Handle(
            runtime=runtime, container_id=self.container_id, session=key[0], incarnation=key[1], spawned_at_ms=at_ms
        )


def parse_inspect(text: str) -> tuple[Seen, ...]:
    """Read the answer of `container inspect`; RuntimeUnavailable if it is none."""
    try:
        rows: object = json.loads(text)
        if not isinstance(rows, list):
            raise TypeError("it is no list")
        return tuple(_seen(row) for row in cast("list[dict[str, Any]]", rows))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RuntimeUnavailable(f"the runtime's answer to inspect cannot be read: {error!r}"[:300]) from error


def parse_ids(text: str) -> tuple[str, ...]:
    """Read the answer of `ps --quiet --no-trunc`; RuntimeUnavailable if it is none."""
    ids = tuple(text.split())
    for one in ids:
        require_id(one)
    return ids


def require_id(text: str) -> str:
    """Return `text` if it is a container's id; RuntimeUnavailable if it is anything else."""
    if not 12 <= len(text) <= 64 or not set(text) <= set("0123456789abcdef"):
        raise RuntimeUnavailable(f"the runtime answered {text[:80]!r} where a container's id was expected")
    return text


def _seen(row: dict[str, Any]) -> Seen:
    state = cast("dict[str, Any]", row["State"])
    status, pid = str(state["Status"]), int(state.get("Pid") or 0)
    labels = cast("dict[str, object] | None", row["Config"].get("Labels")) or {}
    return Seen(
        container_id=require_id(str(row["Id"])),
        name=str(row["Name"]).removeprefix("/"),
        labels={name: str(value) for name, value in labels.items()},
        status=status,
        # A process that exists is life, whatever the status says.
        alive=status in _ALIVE or bool(state["Running"]) or pid > 0,
        pid=pid,
        exit_code=int(state["ExitCode"]),
        oom=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        started_at_ms=_instant_ms(str(state.get("StartedAt") or "")),
        finished_at_ms=_instant_ms(str(state.get("FinishedAt") or "")),
    )


def _instant_ms(text: str) -> int | None:
    """An instant; None for the year 1, by which both runtimes say `never`."""
    if not text or text.startswith("0001-"):
        return None
    return int(datetime.fromisoformat(text).timestamp() * 1000)
