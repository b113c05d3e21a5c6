"""Which of the containers that run are ours to keep, which must go, and which of our records are out of date?

Asked when a host begins and from time to time: the runtime's own list beside the host's records (field CR-06, MH-23).
"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import AdoptionPolicy


@frozen(kw_only=True)
class RunningContainer:
    """A running container of this install as the runtime lists it; its labels name session and incarnation."""

    session: str
    incarnation: int
    container_id: str


@frozen(kw_only=True)
class OpenIncarnation:
    """The host's record of an incarnation that is not dead; `starting` has no identity in the runtime yet."""

    session: str
    incarnation: int
    state: Literal["starting", "running"]


@frozen(kw_only=True)
class AdoptionSnapshot:
    """The runtime's list, read first, and the records, read after it: a newcomer can only be missing from the list.

    `served` are the sessions this host keeps. `booting`: no container is watched yet, and nothing else starts any.
    """

    now_ms: int
    running: tuple[RunningContainer, ...] = ()
    records: tuple[OpenIncarnation, ...] = ()
    served: tuple[str, ...] = ()
    booting: bool = False


@frozen
class AdoptContainer:
    """It is the one its session's record names: watch it from now on; it goes on with what it does."""

    session: str
    incarnation: int
    container_id: str


@frozen
class StopStray:
    """It must not run: stop it, verify that it is gone; until then its session gets no other container.

    `stale`: the session is at another incarnation. `untracked`: no record speaks of it. `second`: another container
    has the same number. `unserved`: this host does not keep its session. `not_adopted`: the policy adopts nothing.
    """

    session: str
    incarnation: int
    container_id: str
    reason: Literal["stale", "untracked", "second", "unserved", "not_adopted"]


@frozen
class CloseRecord:
    """The host begins and nothing runs under this record: close it, with whatever the runtime knows of its end."""

    session: str
    incarnation: int


@frozen
class LookAgain:
    """The record says that it runs, the list does not show it: look at the session now."""

    session: str
    incarnation: int


AdoptionAction: TypeAlias = AdoptContainer | StopStray | CloseRecord | LookAgain


def plan_adoption(seen: AdoptionSnapshot, policy: AdoptionPolicy = AdoptionPolicy()) -> tuple[AdoptionAction, ...]:
    """Strays first, so that no session has two containers when its own is taken over; then records."""
    judged = _judge(seen, policy)
    strays = [action for action, _ in judged if isinstance(action, StopStray)]
    adopted = [action for action, _ in judged if isinstance(action, AdoptContainer)]
    others = [action for action, _ in judged if isinstance(action, CloseRecord | LookAgain)]
    return (*strays, *adopted, *others)


def explain_adoption(seen: AdoptionSnapshot, policy: AdoptionPolicy = AdoptionPolicy()) -> Explanation:
    """One rule per container and per record that no container answers; time does not change the answer."""
    answer = ", ".join(type(action).__name__ for action in plan_adoption(seen, policy)) or "nothing to do"
    rules = tuple(rule for _, rule in _judge(seen, policy))
    return Explanation(decision="plan_adoption", answer=answer, at_ms=seen.now_ms, rules=rules)


def _judge(seen: AdoptionSnapshot, policy: AdoptionPolicy) -> list[tuple[AdoptionAction | None, RuleTried]]:
    records = {record.session: record for record in seen.records}
    judged: list[tuple[AdoptionAction | None, RuleTried]] = []
    met: set[str] = set()
    for one in sorted(seen.running, key=lambda one: (one.session, one.incarnation, one.container_id)):
        record = records.get(one.session)
        reason = _stray(one, record, seen, policy, met)
        if reason is None:
            met.add(one.session)
        judged.append((_answer(one, reason, seen), _container_rule(one, record, reason)))
    for record in sorted(seen.records, key=lambda record: record.session):
        if record.session not in met and (seen.booting or record.state == "running"):
            action = (CloseRecord if seen.booting else LookAgain)(record.session, record.incarnation)
            judged.append((action, _record_rule(record)))
    return judged


def _stray(
    one: RunningContainer,
    record: OpenIncarnation | None,
    seen: AdoptionSnapshot,
    policy: AdoptionPolicy,
    met: set[str],
) -> Literal["stale", "untracked", "second", "unserved", "not_adopted"] | None:
    if record is None:
        return "untracked"
    if one.incarnation != record.incarnation:
        return "stale"
    if one.session not in seen.served:
        return "unserved"
    if one.session in met:
        return "second"
    return "not_adopted" if seen.booting and not policy.adopt else None


def _answer(
    one: RunningContainer,
    reason: Literal["stale", "untracked", "second", "unserved", "not_adopted"] | None,
    seen: AdoptionSnapshot,
) -> AdoptionAction | None:
    if reason is not None:
        return StopStray(one.session, one.incarnation, one.container_id, reason)
    # Later on the one that its record names is watched already, or is being started at this moment.
    return AdoptContainer(one.session, one.incarnation, one.container_id) if seen.booting else None


def _container_rule(one: RunningContainer, record: OpenIncarnation | None, reason: str | None) -> RuleTried:
    return RuleTried(
        rule="container",
        result="not_yet" if reason is None else "fired",
        because="its record names it" if reason is None else reason,
        subject=one.session,
        facts=(
            Fact("container_id", one.container_id),
            Fact("incarnation", one.incarnation),
            Fact("recorded", None if record is None else record.incarnation),
        ),
    )


def _record_rule(record: OpenIncarnation) -> RuleTried:
    return RuleTried(
        rule="record",
        result="fired",
        because="the runtime shows no container for it",
        subject=record.session,
        facts=(Fact("incarnation", record.incarnation), Fact("state", record.state)),
    )
