"""Which mounts does a container get, when all of them are looked at together, with those of all other agents?"""

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from turnkeel_core.explain import Explanation, RuleTried
from turnkeel_core.mount_places import path_in
from turnkeel_core.mount_policy import MountPolicy
from turnkeel_core.mount_records import AllowMount, MountAction, MountSnapshot, MountsSnapshot, PathPlace, RejectMount
from turnkeel_core.mounts import decide_mount, explain_mount

_DEFAULT: Final = MountPolicy()


def plan_mounts(seen: MountsSnapshot, policy: MountPolicy = _DEFAULT) -> tuple[MountAction, ...]:
    """One answer per mount, in their order.

    What any agent may write to by a mount of its own, none of these may pass: it could be exchanged for a link after
    the decision. Of targets that are equal or lie in each other the first is kept: a runtime would refuse them all.
    """
    taken: list[AllowMount] = []
    answers: list[MountAction] = []
    for mount in _together(seen, policy):
        action = decide_mount(mount, policy)
        if isinstance(action, AllowMount):
            action = _once(action, taken)
        if isinstance(action, AllowMount):
            taken.append(action)
        answers.append(action)
    return tuple(answers)


def explain_mounts(seen: MountsSnapshot, policy: MountPolicy = _DEFAULT) -> Explanation:
    """What became of each mount; the explanation of each by itself stands in `parts`."""
    actions = plan_mounts(seen, policy)
    return Explanation(
        decision="plan_mounts",
        answer=" ".join(type(action).__name__ for action in actions),
        at_ms=seen.now_ms,
        rules=tuple(
            RuleTried(
                rule="mount",
                subject=mount.host,
                result="not_yet" if isinstance(action, AllowMount) else "fired",
                because=action.because,
            )
            for mount, action in zip(seen.mounts, actions, strict=True)
        ),
        parts=tuple(explain_mount(mount, policy) for mount in _together(seen, policy)),
    )


def _together(seen: MountsSnapshot, policy: MountPolicy) -> tuple[MountSnapshot, ...]:
    writable = tuple(dict.fromkeys(_written(seen, policy)))
    return tuple(evolve(mount, writable=(*mount.writable, *writable)) for mount in seen.mounts)


def _written(seen: MountsSnapshot, policy: MountPolicy) -> Iterator[PathPlace]:
    """Every place that would be mounted for writing, seen alone: rather one too many than one too few."""
    for mount in (*seen.mounts, *seen.others):
        action = decide_mount(mount, policy)
        if isinstance(action, AllowMount) and not action.readonly and mount.seen is not None:
            yield mount.seen.place


def _once(action: AllowMount, taken: list[AllowMount]) -> MountAction:
    hit = next((one for one in taken if _overlap(action.container, one.container)), None)
    if hit is None:
        return action
    return RejectMount(
        "duplicate_target", f"{action.container} and {hit.container} (of {hit.host}) are in each other's way"
    )


def _overlap(one: str, other: str) -> bool:
    return path_in(one, other) or path_in(other, one)
