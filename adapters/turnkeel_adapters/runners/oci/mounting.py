"""Which further mounts go into one start, and were they still the same when it was done?"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from attrs import evolve

from turnkeel_adapters.mounts.records import DecidedMount
from turnkeel_adapters.runners.oci.argv import EXTRA, WORKSPACE, goes_below_extra, group_of
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_core import AllowMount, RejectMount

TellMounts: TypeAlias = Callable[[str, tuple[DecidedMount, ...]], None]
"""Told the session and what became of each of its mounts, before its container starts; raises what its store raises."""

_FOLDER: Final = EXTRA.removeprefix(f"{WORKSPACE}/")


class MountSource(Protocol):
    """Decides about mounts, and looks again whether all is as it was then."""

    def decide(self, group: str) -> tuple[DecidedMount, ...]: ...
    def recheck(self, decided: tuple[DecidedMount, ...]) -> tuple[DecidedMount, ...]: ...


class Mounting:
    """The mounts of a runner's starts. Without a source there are none, whatever the settings wish."""

    def __init__(self, source: MountSource | None, tell: TellMounts | None) -> None:
        self._source = source
        self._tell = tell

    def decide(self, order: SpawnOrder) -> tuple[DecidedMount, ...]:
        """What becomes of each mount of the order's group, told before it is used."""
        if self._source is None:
            return ()
        decided = self._source.decide(group_of(order.session))
        if any(_below(one) for one in decided) and not _has_folder(order.folder):
            decided = tuple(_refused(one) if _below(one) else one for one in decided)
        self._report(order.session, decided)
        return decided

    def recheck(self, session: str, decided: tuple[DecidedMount, ...]) -> tuple[DecidedMount, ...]:
        """The same but for those that were exchanged since; that is told."""
        if self._source is None or (again := self._source.recheck(decided)) == decided:
            return decided
        self._report(session, again)
        return again

    def has_changed(self, decided: tuple[DecidedMount, ...]) -> bool:
        """Was one of those exchanged since?"""
        return self._source is not None and self._source.recheck(decided) != decided

    def _report(self, session: str, decided: tuple[DecidedMount, ...]) -> None:
        if self._tell is not None:
            self._tell(session, decided)


def _below(one: DecidedMount) -> bool:
    return isinstance(one.action, AllowMount) and goes_below_extra(one.action)


def _refused(one: DecidedMount) -> DecidedMount:
    because = f"{EXTRA} is not a folder: the agent has put something else there; remove it from the session's folder"
    return evolve(one, action=RejectMount("target_taken", because))


def _has_folder(session: Path) -> bool:
    """The runtime makes a missing mount point as root, for the host to be unable to remove: the host makes it."""
    path = session / _FOLDER
    try:
        path.mkdir(mode=0o755)
    except FileExistsError:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return True
