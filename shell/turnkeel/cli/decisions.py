"""Which decisions of the core can be asked by name, with what input and policy?"""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar, cast

from attrs import AttrsInstance, frozen

import turnkeel_core as core
from turnkeel_adapters.config.zones import load_zone
from turnkeel_adapters.wire import JsonValue, WireFault, from_data, to_data
from turnkeel_core.schedule import next_cron_run

Object: TypeAlias = dict[str, JsonValue]
Answer: TypeAlias = Callable[[JsonValue, JsonValue, bool], Object]

S = TypeVar("S", bound=AttrsInstance)
P = TypeVar("P", bound=AttrsInstance)


@frozen(kw_only=True)
class _CronQuestion:
    cron: str
    zone: str
    after_ms: int


def _asked(
    snapshot: type[S],
    policy: type[P],
    decide: Callable[[S, P], Object],
    explain_it: Callable[[S, P], core.Explanation],
) -> Answer:
    def answer(given: JsonValue, limits: JsonValue, explain: bool) -> Object:
        seen, by = _read(given, snapshot, "input"), _read({} if limits is None else limits, policy, "policy")
        if isinstance(seen, WireFault) or isinstance(by, WireFault):
            raise WireFault(tuple(error for side in (seen, by) if isinstance(side, WireFault) for error in side.errors))
        why: Object = {"why": to_data(explain_it(seen, by))} if explain else {}
        return {**decide(seen, by), **why}

    return answer


def _one(decide: Callable[[S, P], AttrsInstance]) -> Callable[[S, P], Object]:
    return lambda seen, policy: _actions(decide(seen, policy))


def _many(decide: Callable[[S, P], tuple[AttrsInstance, ...]]) -> Callable[[S, P], Object]:
    return lambda seen, policy: _actions(*decide(seen, policy))


def _actions(*actions: AttrsInstance) -> Object:
    return {"actions": [to_data(action) for action in actions]}


def _read(data: JsonValue, cls: type[S], path: str) -> S | WireFault:
    """The fault is returned, so that those of the other half are found too."""
    try:
        return from_data(data, cls, path)
    except WireFault as fault:
        return fault


def _cron(given: JsonValue, limits: JsonValue, explain: bool) -> Object:
    if limits is not None:
        raise WireFault(("policy: next_cron_run has none",))
    asked = from_data(given, _CronQuestion, "input")
    return _actions(next_cron_run(asked.cron, load_zone(asked.zone), asked.after_ms))


DECISIONS: Final[dict[str, Answer]] = {
    "decide_stuck_action": _asked(
        core.StuckSnapshot, core.StuckPolicy, _one(core.decide_stuck_action), core.explain_stuck_action
    ),
    "decide_retry": _asked(core.RetrySnapshot, core.RetryPolicy, _one(core.decide_retry), core.explain_retry),
    "decide_spawn": _asked(core.SpawnSnapshot, core.SpawnPolicy, _one(core.decide_spawn), core.explain_spawn),
    "decide_run": _asked(core.RunSnapshot, core.LimitPolicy, _one(core.decide_run), core.explain_run),
    "decide_grace": _asked(core.ClockSnapshot, core.SuspendPolicy, _one(core.decide_grace), core.explain_grace),
    "plan_occurrences": _asked(
        core.OccurrenceSnapshot, core.SchedulePolicy, _many(core.plan_occurrences), core.explain_occurrences
    ),
    "decide_output": _asked(core.OutputSnapshot, core.OutputPolicy, _one(core.decide_output), core.explain_output),
    "decide_mount": _asked(core.MountSnapshot, core.MountPolicy, _one(core.decide_mount), core.explain_mount),
    "plan_mounts": _asked(core.MountsSnapshot, core.MountPolicy, _many(core.plan_mounts), core.explain_mounts),
    "plan_starts": _asked(core.StartSnapshot, core.StartPolicy, _many(core.plan_starts), core.explain_starts),
    "plan_sweep": _asked(
        core.SweepSnapshot,
        core.SweepPolicy,
        lambda seen, policy: cast(Object, to_data(core.plan_sweep(seen, policy))),
        core.explain_sweep,
    ),
    "plan_adoption": _asked(
        core.AdoptionSnapshot, core.AdoptionPolicy, _many(core.plan_adoption), core.explain_adoption
    ),
    "accept_turn": _asked(core.AcceptSnapshot, core.TurnPolicy, _one(core.accept_turn), core.explain_accept_turn),
    "claim_turn": _asked(core.ClaimSnapshot, core.TurnPolicy, _one(core.claim_turn), core.explain_claim_turn),
    "finalize_turn_from_outbox": _asked(
        core.TurnSnapshot, core.TurnPolicy, _many(core.finalize_turn_from_outbox), core.explain_finalize_turn
    ),
    "plan_turn_recovery": _asked(
        core.RecoverySnapshot, core.TurnPolicy, _many(core.plan_turn_recovery), core.explain_turn_recovery
    ),
    "abort_session": _asked(core.AbortSnapshot, core.TurnPolicy, _many(core.abort_session), core.explain_abort_session),
    "plan_enqueue": _asked(core.EnqueueSnapshot, core.SettlePolicy, _many(core.plan_enqueue), core.explain_enqueue),
    "plan_deliveries": _asked(
        core.DeliverySnapshot, core.OutboxPolicy, _many(core.plan_deliveries), core.explain_deliveries
    ),
    "settle_delivery": _asked(
        core.SettleSnapshot, core.SettlePolicy, _many(core.settle_delivery), core.explain_settle_delivery
    ),
    "plan_expiry": _asked(core.ExpirySnapshot, core.SettlePolicy, _many(core.plan_expiry), core.explain_expiry),
    "plan_prune": _asked(core.PruneSnapshot, core.SettlePolicy, _many(core.plan_prune), core.explain_prune),
    "plan_legacy_import": _asked(
        core.LegacySnapshot, core.OutboxPolicy, _many(core.plan_legacy_import), core.explain_legacy_import
    ),
    "plan_row_retry": _asked(
        core.RowRetrySnapshot, core.OutboxPolicy, _many(core.plan_row_retry), core.explain_row_retry
    ),
    "decide_lease": _asked(core.LeaseSnapshot, core.LeasePolicy, _one(core.decide_lease), core.explain_lease),
    "decide_login": _asked(core.LoginSnapshot, core.LoginPolicy, _one(core.decide_login), core.explain_login),
    "should_clear_resume": _asked(
        core.ResumeSnapshot, core.ResumePolicy, _many(core.should_clear_resume), core.explain_resume
    ),
    "find_interrupted": _asked(
        core.InterruptedSnapshot, core.InterruptedPolicy, _many(core.find_interrupted), core.explain_interrupted
    ),
    "plan_requeue": _asked(core.RequeueSnapshot, core.RequeuePolicy, _many(core.plan_requeue), core.explain_requeue),
    "decide_sender": _asked(core.SenderSnapshot, core.SenderPolicy, _one(core.decide_sender), core.explain_sender),
    "decide_trigger": _asked(core.TriggerSnapshot, core.SenderPolicy, _one(core.decide_trigger), core.explain_trigger),
    "next_cron_run": _cron,
}
"""The decisions by name; each takes input, policy (None: the defaults) and whether to explain."""
