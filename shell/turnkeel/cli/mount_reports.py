"""How does an operator learn that a mount was refused? As a fault of the session, told as it comes and as it goes."""

from collections.abc import Callable
from typing import Final

from attrs import frozen

from turnkeel.events import FaultCleared, FaultSeen, HostEvent
from turnkeel_adapters.mounts.records import DecidedMount
from turnkeel_adapters.state.notes import Notes
from turnkeel_core import RejectMount

_SUBJECT: Final = "mount "


@frozen(kw_only=True)
class MountReports:
    """Keeps the faults `mount PATH` of each session in line with what was decided last. Any thread may call it."""

    notes: Notes
    report: Callable[[HostEvent], None]
    now_ms: Callable[[], int]

    def tell(self, session: str, decided: tuple[DecidedMount, ...]) -> None:
        """Note and report what is refused now, and clear what is no more; the same again costs a look."""
        refused = {
            f"{_SUBJECT}{one.setting.host}": (one.action.code, one.action.because)
            for one in decided
            if isinstance(one.action, RejectMount)
        }
        noted = {
            fault.subject: (fault.kind, fault.detail)
            for fault in self.notes.faults(session)
            if fault.subject.startswith(_SUBJECT)
        }
        gone = frozenset(noted.keys() - refused.keys())
        come = {subject: fault for subject, fault in refused.items() if noted.get(subject, ("", ""))[0] != fault[0]}
        if gone or come:
            self.notes.turn_faults(session, gone, dict[str, tuple[str, str]](come), self.now_ms())
        for subject in sorted(gone):
            self.report(FaultCleared(session, subject))
        for subject, (kind, detail) in come.items():
            self.report(FaultSeen(session, subject, kind, detail))
