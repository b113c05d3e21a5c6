"""When does a running host learn of new secrets?

Before each look at a session, so before anything of it is stored; and as often as it looks at its doorbell, for what
agents print meanwhile.
"""

from collections.abc import Callable
from typing import Final

from attrs import frozen

from turnkeel.cli.hiding import CANNOT_BE_HIDDEN
from turnkeel.events import FaultCleared, FaultSeen, HostEvent
from turnkeel.followed import Follow, Followed
from turnkeel.host.ports import Doorbell
from turnkeel_adapters.secrets import SecretKeeper
from turnkeel_adapters.sessions.records import SessionReading

_SUBJECT: Final = "secrets"


class SecretWatch:
    """Lets a keeper look again, tells the runner what else is to be hidden, and the operator what cannot be."""

    def __init__(
        self, secrets: SecretKeeper, hide_more: Callable[[], None], report: Callable[[HostEvent], None]
    ) -> None:
        """`hide_more` is called when something else is hidden than before."""
        self._secrets = secrets
        self._hide_more = hide_more
        self._report = report
        self._told = secrets.redactions
        self._unread: tuple[str, ...] = ()

    def before(self, follow: Follow) -> Follow:
        """The same, with a look at the secrets before it."""

        def look_first(session: str, reading: SessionReading, now_ms: int) -> Followed:
            self.look()
            return follow(session, reading, now_ms)

        return look_first

    def beside(self, doorbell: Doorbell) -> Doorbell:
        """The same, with a look at the secrets each time it is asked."""
        return _Beside(self.look, doorbell)

    def look(self) -> None:
        """Read what has changed; from any thread."""
        self._secrets.refresh()
        if (known := self._secrets.redactions) is not self._told:
            self._told = known
            self._hide_more()
        unread, before = self._secrets.unread, self._unread
        if unread == before:
            return
        self._unread = unread
        if unread:
            self._report(FaultSeen("", _SUBJECT, "unreadable", f"{'; '.join(unread)}: {CANNOT_BE_HIDDEN}"))
        else:
            self._report(FaultCleared("", _SUBJECT))


@frozen
class _Beside:
    look: Callable[[], None]
    doorbell: Doorbell

    def rung(self) -> bool:
        self.look()
        return self.doorbell.rung()
