"""Who may act on a turn or row now, and is whoever acts still the one?

A lease has an owner, a token that grows with every taking (the fence) and an expiry. A write brings the token it was
given; a store changes nothing for any other token than the latest.
"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_policy import LeasePolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires


@frozen(kw_only=True)
class Lease:
    """`owner` alone may act until `until_at_ms`; `token` tells its writes from those of earlier owners."""

    owner: str
    token: int
    until_at_ms: int


@frozen(kw_only=True)
class LeaseSnapshot:
    """`asker` wants the lease; `held_token` is the token it believes to hold (None: a newcomer).

    `latest_token` is the highest token ever given (0: none). `gone_owners` are owners known to be dead.
    """

    now_ms: int
    asker: str
    held_token: int | None = None
    latest_token: int = 0
    lease: Lease | None = None
    gone_owners: tuple[str, ...] = ()


@frozen
class TakeLease:
    """`owner` takes the lease with the new token, in place of `expected_token` (compare and set)."""

    owner: str
    token: int
    expected_token: int
    until_at_ms: int


@frozen
class RenewLease:
    """The owner is still the one: its lease now runs until `until_at_ms`."""

    owner: str
    token: int
    until_at_ms: int


@frozen
class RefuseLease:
    """`holder` has it until `until_at_ms` with `token`; None: the asker's own lease was lost and may not be renewed."""

    asker: str
    holder: str | None
    token: int
    until_at_ms: int | None


LeaseAction: TypeAlias = TakeLease | RenewLease | RefuseLease


def decide_lease(seen: LeaseSnapshot, policy: LeasePolicy = LeasePolicy()) -> LeaseAction:
    """A free or expired lease is taken with token + 1; only the latest token renews; a lost lease is never revived."""
    return actions_of(_evaluate(seen, policy))[0]


def explain_lease(seen: LeaseSnapshot, policy: LeasePolicy = LeasePolicy()) -> Explanation:
    """The one rule of `decide_lease` that answered."""
    return explained("decide_lease", seen.now_ms, _evaluate(seen, policy))


def is_live(lease: Lease | None, now_ms: int, policy: LeasePolicy, gone_owners: tuple[str, ...] = ()) -> bool:
    """Whether the lease keeps others away: not run out, its owner not known to be dead.

    A lease with more time left than was ever given, by more than its giver's clock may be ahead, is the tale of a clock
    that was set back; it keeps nobody away, and an owner that lives renews it.
    """
    if lease is None or lease.owner in gone_owners:
        return False
    return 0 < lease.until_at_ms - now_ms <= policy.lease_ms + policy.skew_ms


def _evaluate(seen: LeaseSnapshot, policy: LeasePolicy) -> tuple[Verdict[LeaseAction], ...]:
    until_ms, lease = seen.now_ms + policy.lease_ms, seen.lease
    facts = (Fact("held_token", seen.held_token), Fact("latest_token", seen.latest_token))
    live = is_live(lease, seen.now_ms, policy, seen.gone_owners)
    if seen.held_token is not None:
        if lease is not None and (lease.owner, lease.token) == (seen.asker, seen.held_token):
            if seen.held_token == seen.latest_token:
                renewed = RenewLease(seen.asker, seen.held_token, until_ms)
                return (fires("renew", "the asker holds the latest token", seen.asker, renewed, facts=facts),)
        lost = RefuseLease(seen.asker, None, seen.latest_token, None)
        return (fires("fenced", "another took the lease since", seen.asker, lost, facts=facts),)
    if lease is not None and live:
        refused = RefuseLease(seen.asker, lease.owner, lease.token, lease.until_at_ms)
        return (fires("held", "another holds it", seen.asker, refused, facts=facts),)
    taken = TakeLease(seen.asker, seen.latest_token + 1, seen.latest_token, until_ms)
    return (fires("take", "nobody holds it", seen.asker, taken, facts=facts),)
