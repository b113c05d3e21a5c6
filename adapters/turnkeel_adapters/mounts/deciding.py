"""Which of a group's mounts does a container get that starts now?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve

from turnkeel_adapters.mounts.allowlist import AllowlistUnusable, read_allowlist
from turnkeel_adapters.mounts.records import DecidedMount, MountSetting, MountTable
from turnkeel_adapters.mounts.resolve import resolve_path
from turnkeel_core import (
    AllowMount,
    MountAllowlist,
    MountPolicy,
    MountSnapshot,
    MountsSnapshot,
    PathPlace,
    PathSeen,
    RejectMount,
    plan_mounts,
)

NO_LIST: Final = "no allow-list is configured ([container] mount_allowlist): all mounts are refused"
_ANY_OTHER: Final = "*"  # no group has this name


class MountDecider:
    """Looks at the machine and at the lists anew for each answer; any thread may ask.

    `own` are the host's data directory and files, `home` what `~` means. `general` holds for groups not in `groups`.
    """

    def __init__(
        self,
        *,
        general: MountTable,
        groups: Mapping[str, MountTable],
        own: tuple[Path, ...],
        home: str,
        now_ms: Callable[[], int],
        policy: MountPolicy | None = None,
    ) -> None:
        self._general = general
        self._groups = dict(groups)
        self._own = own
        self._home = home
        self._now_ms = now_ms
        self.policy = policy or MountPolicy()

    def decide(self, group: str) -> tuple[DecidedMount, ...]:
        """What becomes of each mount of the group, in order."""
        table = self._groups.get(group, self._general)
        if not table.mounts:
            return ()
        now_ms, own = self._now_ms(), self._own_places()
        mounts = self._snapshots(group, table, own, now_ms)
        everyone = {_ANY_OTHER: self._general, self.policy.main_group: self._general, **self._groups}
        others = tuple(
            one
            for name, other in everyone.items()
            if name != group
            for one in self._snapshots(name, other, own, now_ms)
        )
        policy = evolve(self.policy, absolute_targets=table.absolute_targets)
        answers = plan_mounts(MountsSnapshot(now_ms=now_ms, mounts=mounts, others=others), policy)
        return tuple(
            DecidedMount(setting=setting, action=action, seen=snapshot.seen)
            for setting, snapshot, action in zip(table.mounts, mounts, answers, strict=True)
        )

    def recheck(self, decided: tuple[DecidedMount, ...]) -> tuple[DecidedMount, ...]:
        """The same, without those whose way leads elsewhere by now: other folders, other links, another inode."""
        return tuple(self._again(one) for one in decided)

    def allowlist(self, group: str | None = None) -> MountAllowlist:
        """The list that holds for a group, or for all that have none of their own; AllowlistUnusable."""
        table = self._general if group is None else self._groups.get(group, self._general)
        return self._list(table.allowlist, self._own_places())

    def _again(self, one: DecidedMount) -> DecidedMount:
        if not isinstance(one.action, AllowMount) or self._look(one.setting) == one.seen:
            return one
        because = f"{one.setting.host} leads elsewhere than when it was decided: something was exchanged on the way"
        return evolve(one, action=RejectMount("changed", because))

    def _snapshots(
        self, group: str, table: MountTable, own: tuple[PathPlace, ...], now_ms: int
    ) -> tuple[MountSnapshot, ...]:
        allowed, no_list = None, ""
        if table.mounts:
            try:
                allowed = self._list(table.allowlist, own)
            except AllowlistUnusable as fault:
                no_list = str(fault)
        return tuple(
            MountSnapshot(
                now_ms=now_ms,
                group=group,
                host=mount.host,
                container=mount.container,
                readonly=mount.readonly,
                seen=self._look(mount),
                allowed=allowed,
                no_list=no_list,
                own=(*own, *self._place(table.allowlist)),
            )
            for mount in table.mounts
        )

    def _list(self, path: str | None, own: tuple[PathPlace, ...]) -> MountAllowlist:
        if path is None:
            raise AllowlistUnusable(NO_LIST)
        return read_allowlist(path, self._home, own)

    def _own_places(self) -> tuple[PathPlace, ...]:
        return tuple(place for path in self._own for place in self._place(str(path.absolute())))

    def _place(self, path: str | None) -> tuple[PathPlace, ...]:
        seen = None if path is None else resolve_path(path, self._home)
        return () if seen is None else (seen.place,)

    def _look(self, setting: MountSetting) -> PathSeen | None:
        return resolve_path(setting.host, self._home)
