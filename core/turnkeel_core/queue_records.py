"""What does the start queue see, and which answers are there?"""

from typing import Literal, TypeAlias

from attrs import Factory, field, frozen


def group_of(session: str) -> str:
    """The group of a session `group/name`; one without a group is its own."""
    return session.partition("/")[0]


def _own_group(record: "StartRequest | RunningPlace") -> str:
    return group_of(record.session)


@frozen(kw_only=True)
class StartRequest:
    """`session` wants a place to run; it never holds two.

    `kind`: a task goes before the messages of its group. `work` are the ids of what it would work on: none of them is
    worked on twice at a time, in whichever group. `not_before_ms`: it backs off, also where more work has come since.
    """

    session: str
    group: str = field(default=Factory(_own_group, takes_self=True))
    kind: Literal["message", "task"] = "message"
    work: tuple[str, ...] = ()
    not_before_ms: int | None = None


@frozen(kw_only=True)
class RunningPlace:
    """`session` runs, or is being started.

    `work` are the ids it works on. `idle_since_ms` is since when it does nothing and has nothing to do; None if it
    works, or if that is not known. `asked`: it was told to leave already. `ahead` is from its `StartNow`.
    """

    session: str
    group: str = field(default=Factory(_own_group, takes_self=True))
    work: tuple[str, ...] = ()
    idle_since_ms: int | None = None
    asked: bool = False
    ahead: int = 0


@frozen(kw_only=True)
class StartSnapshot:
    """Who runs, who waits, and which runs ended since the last plan.

    `waiting` is in the order of turns: as the `HoldStart`s of the last plan came, then the newcomers as they come.
    `draining`: the host ends.
    """

    now_ms: int
    running: tuple[RunningPlace, ...] = ()
    waiting: tuple[StartRequest, ...] = ()
    ended: tuple[RunningPlace, ...] = ()
    draining: bool = False


@frozen
class StartNow:
    """A place is free for `session`. `ahead`: so many tasks of its group in a row went before groups that wait."""

    session: str
    ahead: int = 0


@frozen
class PlacesTaken:
    """`running` of `max_running` places are taken."""

    running: int
    max_running: int


@frozen
class GroupPlacesTaken:
    """`running` of the `max_running_per_group` places of `group` are taken."""

    group: str
    running: int
    max_running_per_group: int


@frozen
class WorkClaimed:
    """`work` is in the hands of `session`, which runs or waits before it."""

    work: str
    session: str


@frozen
class BackingOff:
    """Not before `until_ms`."""

    until_ms: int


@frozen
class HostDraining:
    """The host ends: nothing starts any more."""


HoldReason: TypeAlias = PlacesTaken | GroupPlacesTaken | WorkClaimed | BackingOff | HostDraining


@frozen
class HoldStart:
    """`session` waits, `ahead` others before it; answers come in the order of their turns."""

    session: str
    ahead: int
    because: HoldReason


@frozen
class YieldPlace:
    """`session` has idled for `idle_ms`, and `wanted_by` waits for its place: ask it to leave, if it still idles.

    A wish, not a stop: one that has come to work meanwhile stays.
    """

    session: str
    idle_ms: int
    wanted_by: str


@frozen
class EndRun:
    """The host ends: ask `session` to end in its grace."""

    session: str


@frozen
class SetTimer:
    """`group` is to be looked at again at `at_ms`: its one timer, in place of an earlier one."""

    group: str
    at_ms: int


StartAction: TypeAlias = StartNow | HoldStart | YieldPlace | EndRun | SetTimer
