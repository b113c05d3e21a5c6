"""How does one container start, in the place of whatever an earlier one of its session left behind?"""

import time
from typing import Final

from attrs import evolve

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.mounts.records import DecidedMount, allowed_of
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci.advice import diagnose_refusal
from turnkeel_adapters.runners.oci.argv import Place, compose_run, name_container
from turnkeel_adapters.runners.oci.command import Done, Refused, RuntimeCommand
from turnkeel_adapters.runners.oci.containers import Containers
from turnkeel_adapters.runners.oci.errors import RuntimeDown, RuntimeUnavailable
from turnkeel_adapters.runners.oci.health import DaemonDown, ProgramMissing, Unresponsive, describe_trouble
from turnkeel_adapters.runners.oci.memory import mono_ms
from turnkeel_adapters.runners.oci.mounting import Mounting
from turnkeel_adapters.runners.oci.secrets import SecretShelf
from turnkeel_adapters.runners.oci.seen import Seen, require_id
from turnkeel_adapters.runners.oci.settings import ContainerSettings
from turnkeel_adapters.runners.records import SpawnOrder

_PAUSE_S: Final = 0.2
_CONFLICT: Final = "is already in use"


class Starter:
    """Starts containers of one install. Starts of one session must not overlap; others may."""

    def __init__(
        self,
        command: RuntimeCommand,
        containers: Containers,
        shelf: SecretShelf,
        owner: tuple[int, int],
        mounting: Mounting,
    ) -> None:
        self._command = command
        self._containers = containers
        self._shelf = shelf
        self._owner = owner
        self._mounting = mounting
        self._doubtful: set[str] = set()

    def start(self, settings: ContainerSettings, order: SpawnOrder) -> str:
        """The id of the started container; SpawnFailed, RuntimeDown."""
        name = _name(self._shelf.install_id, order)
        try:
            self.settle_doubts()
            self._make_room(order.session)
            mounts = self._mounting.decide(order)
            secrets = self._shelf.put(order.session, name, settings.secret_files, self._user(settings))
            place = Place(install_id=self._shelf.install_id, uid=self._owner[0], gid=self._owner[1], secrets=secrets)
            return self._unexchanged(*self._run(place, mounts, name, settings, order), name, order.session)
        except RuntimeUnavailable as error:
            self._shelf.drop(name)
            raise RuntimeDown(order.session, error.reason) from error
        except (SpawnFailed, AdapterError):
            self._shelf.drop(name)
            raise

    def settle_doubts(self) -> None:
        """Remove what came of starts that were never answered: they were reported as failed. RuntimeUnavailable."""
        for name in tuple(self._doubtful):
            seen = self._containers.inspect(name)
            ours = seen is not None and seen.belongs_to(self._shelf.install_id)
            if seen is None or not ours or self._containers.remove(seen.container_id, force=True):
                self._doubtful.discard(name)

    def _make_room(self, session: str) -> None:
        for seen in self._containers.own(self._shelf.install_id, session):
            self._clear(seen, session)

    def _clear(self, seen: Seen, session: str) -> None:
        if seen.alive:
            reason = f"it has a running container already ({seen.name})"
            raise SpawnFailed(session, reason, "stop that one first")
        if not self._containers.remove(seen.container_id):
            raise SpawnFailed(session, f"its ended container {seen.name} cannot be removed", "remove it by hand")
        self._shelf.drop(seen.name)

    def _run(
        self,
        place: Place,
        mounts: tuple[DecidedMount, ...],
        name: str,
        settings: ContainerSettings,
        order: SpawnOrder,
    ) -> tuple[str, tuple[DecidedMount, ...]]:
        """The id of the started container, and the mounts that it was started with."""
        limit_ms = self._command.limits.start_ms
        deadline_ms = mono_ms() + limit_ms
        while True:
            mounts = self._mounting.recheck(order.session, mounts)
            argv = compose_run(settings, order, evolve(place, mounts=allowed_of(mounts)))
            outcome = self._command.call(*argv, limit_ms=limit_ms)
            again = mono_ms() < deadline_ms
            match outcome:
                case Done(output):
                    return self._id(output, name), mounts
                case Refused(_, text, _) if _CONFLICT in text and again:
                    self._free(name, order.session)
                case Refused(code, _, _) if code < 0 and again:
                    # Something killed the client: what it asked for may be done, half done, or not begun.
                    if (started := self._finished(name)) is not None:
                        return started, mounts
                case Refused(_, text, _):
                    self._remove_failed(name)
                    raise SpawnFailed(order.session, *diagnose_refusal(text, settings))
                case Unresponsive() | DaemonDown() | ProgramMissing():
                    if not isinstance(outcome, ProgramMissing):
                        self._doubtful.add(name)
                    raise RuntimeDown(order.session, describe_trouble(outcome))
            # A name is taken as soon as its container is being made; it is shown, and can be removed, only after that.
            time.sleep(_PAUSE_S)

    def _unexchanged(self, container_id: str, mounts: tuple[DecidedMount, ...], name: str, session: str) -> str:
        """The runtime resolves a path by itself, after us: what was exchanged meanwhile may have been mounted."""
        if not self._mounting.has_changed(mounts):
            return container_id
        self._doubtful.add(name)
        if self._containers.remove(container_id, force=True):
            self._doubtful.discard(name)
        advice = "it is tried again without it; find out who changes the folders that it is mounted from"
        raise SpawnFailed(session, "the way to a mount was exchanged while the container started", advice)

    def _finished(self, name: str) -> str | None:
        """The id of the running container of this name; one that was made but not started is removed."""
        seen = self._containers.inspect(name)
        if seen is None or not seen.belongs_to(self._shelf.install_id):
            return None
        if seen.alive:
            return seen.container_id
        self._containers.remove(seen.container_id)
        return None

    def _id(self, output: str, name: str) -> str:
        lines = output.split()
        try:
            return require_id(lines[-1] if lines else "")
        except RuntimeUnavailable:
            self._doubtful.add(name)
            raise

    def _free(self, name: str, session: str) -> None:
        seen = self._containers.inspect(name)
        if seen is None:
            return
        if not seen.belongs_to(self._shelf.install_id):
            reason = f"a container that is not of this install has the name {name}"
            raise SpawnFailed(session, reason, "find out whose it is; rename or remove it")
        self._clear(seen, session)

    def _remove_failed(self, name: str) -> None:
        """A start that was refused may leave a container that never ran: it would hold the name."""
        try:
            seen = self._containers.inspect(name)
            if seen is not None and seen.belongs_to(self._shelf.install_id) and not seen.alive:
                self._containers.remove(seen.container_id)
        except RuntimeUnavailable:
            self._doubtful.add(name)

    def _user(self, settings: ContainerSettings) -> tuple[int, int]:
        if settings.user is None:
            return self._owner
        uid, _, gid = settings.user.partition(":")
        return int(uid), int(gid or self._owner[1])


def _name(install_id: str, order: SpawnOrder) -> str:
    try:
        return name_container(install_id, order.session, order.incarnation)
    except ValueError as error:
        raise SpawnFailed(order.session, str(error), "rename the session") from error
