"""Which scenarios of the field are settled by a decision alone? Facts in, actions out; nothing runs."""

import itertools
import time

import pytest
from attrs import evolve

from turnkeel_adapters.sessions.changes import inbound_changes
from turnkeel_adapters.sessions.memory import MemorySessionStore
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_core import (
    Ack,
    AdoptContainer,
    AdoptionSnapshot,
    ChargeAttempt,
    ChargeMark,
    Claim,
    CloseRecord,
    ContainerUnknown,
    Death,
    DeclaredTool,
    FailMessage,
    FenceSession,
    HoldWake,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    LeaveAlone,
    LookAgain,
    NoContainer,
    OpenIncarnation,
    OpenMessage,
    ReleaseClaims,
    RunningContainer,
    Sleep,
    StopContainer,
    StopStray,
    StuckPolicy,
    StuckSnapshot,
    SweepPolicy,
    SweepSnapshot,
    Waiting,
    Wake,
    decide_stuck_action,
    plan_adoption,
    plan_sweep,
)

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SPAWN = 1_800_000_000_000
ZONES = ("UTC", "Europe/Madrid", "Asia/Tokyo", "America/Los_Angeles")


def running(age_ms, **facts):
    """A container at `age_ms` after its spawn."""
    return StuckSnapshot(now_ms=SPAWN + age_ms, spawned_at_ms=SPAWN, **facts)


def claim(at_ms=2 * SECOND, message_id="m1", **fields):
    """A claim that long after the spawn, or before it."""
    return Claim(message_id=message_id, claimed_at_ms=SPAWN + at_ms, **fields)


def passed(container, messages=(OpenMessage(message_id="m1", since_at_ms=SPAWN),), at_ms=0, **facts):
    """One pass over a session."""
    return plan_sweep(
        SweepSnapshot(now_ms=SPAWN + at_ms, incarnation=2, container=container, messages=messages, **facts)
    )


def test_FK_01_a_pass_that_starts_a_container_clears_what_the_dead_one_left_and_judges_nothing():
    plan = passed(NoContainer(orphans=(claim(-2 * HOUR),)))
    kinds = [type(action) for action in plan.actions]
    assert kinds == [ChargeAttempt, ReleaseClaims, Wake]
    assert plan.actions[1].message_ids == ("m1",)


@pytest.mark.parametrize("since_ms", [0, 60 * SECOND])
def test_FK_01_a_claim_from_before_the_spawn_is_not_held_against_the_newcomer(since_ms):
    assert passed(running(0, claims=(claim(-2 * HOUR),)), at_ms=since_ms).actions == ()
    # The same claim by the newcomer itself does count.
    own = passed(running(0, claims=(claim(0),)), at_ms=MINUTE + 1).actions
    assert [type(action) for action in own] == [StopContainer]


def test_FK_02_a_heartbeat_from_before_the_spawn_is_no_evidence_and_not_stale():
    seen = running(SECOND, heartbeat_at_ms=SPAWN - HOUR)
    assert decide_stuck_action(seen) == LeaveAlone("no_evidence_yet", SPAWN + 2 * MINUTE + 1)


@pytest.mark.parametrize("zone", ZONES)
def test_FK_03_a_claim_is_as_old_in_every_zone_of_the_host(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        ages = {}
        for text in ("2027-01-15 10:00:00", "2027-01-15T10:00:00.000Z"):
            store = MemorySessionStore()
            now_ms = 1_800_007_205_000  # 2027-01-15T10:00:05Z
            store.insert(NewMessage(message_id="m1", content="{}"), now_ms)
            with store.outbound() as db:
                db.execute("INSERT INTO processing_ack VALUES ('m1', 'processing', ?)", (text,))
            [held] = store.read(now_ms, None).claims
            ages[text] = now_ms - held.claimed_at_ms
            seen = StuckSnapshot(now_ms=now_ms, spawned_at_ms=now_ms - 7 * SECOND, claims=(held,))
            assert isinstance(decide_stuck_action(seen), LeaveAlone)
            store.close()
        assert set(ages.values()) == {5 * SECOND}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_FK_06_a_slow_model_is_left_alone_and_a_keep_alive_does_not_vouch_for_ever():
    def silent(for_ms):
        seen = running(for_ms, claims=(claim(),), heartbeat_at_ms=SPAWN + for_ms, progress_at_ms=SPAWN + 2 * SECOND)
        return decide_stuck_action(seen)

    assert isinstance(silent(8 * MINUTE), LeaveAlone)
    limit_ms = StuckPolicy().progress_silence_ms + 2 * SECOND
    assert isinstance(silent(limit_ms), LeaveAlone)
    assert isinstance(silent(limit_ms + 1), KillNoProgress)


def test_FK_11_the_start_up_deadline_is_its_own_and_larger_than_the_claim_tolerance():
    policy = StuckPolicy()
    assert policy.startup_deadline_ms > policy.claim_tolerance_ms
    assert isinstance(decide_stuck_action(running(policy.startup_deadline_ms)), LeaveAlone)
    assert isinstance(decide_stuck_action(running(policy.startup_deadline_ms + 1)), KillNeverStarted)
    patient = evolve(policy, startup_deadline_ms=10 * MINUTE)
    assert isinstance(decide_stuck_action(running(10 * MINUTE), patient), LeaveAlone)


INHERITED = {
    "a heartbeat": {"heartbeat_at_ms": SPAWN - 29 * MINUTE},
    "a claim": {"claims": (claim(-59 * SECOND),)},
    "a claim with a whole-second stamp": {"claims": (claim(-59 * SECOND, resolution_ms=1_000),)},
    "a heartbeat and a claim": {"heartbeat_at_ms": SPAWN - 2 * HOUR, "claims": (claim(-HOUR),)},
}


@pytest.mark.parametrize("left", INHERITED.values(), ids=INHERITED.keys())
def test_FK_13_what_a_predecessor_left_changes_nothing_for_the_newcomer(left):
    for age_ms in range(0, 3 * MINUTE, SECOND):
        alone, beside = decide_stuck_action(running(age_ms)), decide_stuck_action(running(age_ms, **left))
        assert type(alone) is type(beside)


def test_FK_13_a_tool_that_a_predecessor_declared_excuses_no_silence_of_the_newcomer():
    old = DeclaredTool(name="Bash", timeout_ms=2 * HOUR, started_at_ms=SPAWN - MINUTE)
    seen = running(MINUTE + 2 * SECOND + 1, claims=(claim(),), tool=old)
    assert isinstance(decide_stuck_action(seen), KillStaleClaim)
    own = evolve(old, started_at_ms=SPAWN + SECOND)
    assert isinstance(decide_stuck_action(evolve(seen, tool=own)), LeaveAlone)


def test_FK_16_every_ceiling_is_a_setting_and_progress_carries_a_turn_past_it():
    late = running(50 * MINUTE, claims=(claim(),), heartbeat_at_ms=SPAWN + 10 * MINUTE)
    assert isinstance(decide_stuck_action(late), KillOverCeiling)
    assert isinstance(decide_stuck_action(late, StuckPolicy(ceiling_ms=HOUR)), LeaveAlone)
    long = running(
        5 * HOUR, claims=(claim(),), heartbeat_at_ms=SPAWN + 5 * HOUR, progress_at_ms=SPAWN + 5 * HOUR - 20 * MINUTE
    )
    assert isinstance(decide_stuck_action(long), LeaveAlone)


def test_MH_01_without_a_heartbeat_the_limit_counts_from_the_spawn_and_messages_do_not_move_it():
    policy = StuckPolicy()
    wrote = {"outbound_at_ms": SPAWN + SECOND}  # met the start-up deadline, and never beat
    assert isinstance(decide_stuck_action(running(policy.ceiling_ms, **wrote)), LeaveAlone)
    killed = decide_stuck_action(running(policy.ceiling_ms + 1, **wrote))
    assert killed == KillOverCeiling(policy.ceiling_ms + 1, policy.ceiling_ms, "spawn")
    messages = tuple(OpenMessage(message_id=f"m{n}", since_at_ms=SPAWN + n * MINUTE) for n in range(31))
    plan = passed(running(0, **wrote), messages, at_ms=policy.ceiling_ms + 1)
    assert [type(action) for action in plan.actions] == [StopContainer]


def test_MH_05_a_tool_call_ends_at_its_declared_limit_or_at_the_default_one():
    def stuck(tool, for_ms):
        seen = running(for_ms, claims=(claim(),), tool=tool, heartbeat_at_ms=SPAWN + for_ms, progress_at_ms=SPAWN)
        return decide_stuck_action(seen, StuckPolicy(timeout_tools=None))

    for timeout_ms, limit_ms in ((None, 30 * MINUTE), (10 * MINUTE, 30 * MINUTE), (HOUR, HOUR)):
        tool = DeclaredTool(name="search", timeout_ms=timeout_ms, started_at_ms=SPAWN)
        assert isinstance(stuck(tool, limit_ms + 2 * SECOND), LeaveAlone)
        assert isinstance(stuck(tool, limit_ms + 2 * SECOND + 1), KillNoProgress)


OLD = (claim(-HOUR),)
STATES = {
    "spawned": running(0),
    "beating": running(0, heartbeat_at_ms=SPAWN, progress_at_ms=SPAWN, last_activity_at_ms=SPAWN),
    "at work": running(0, claims=(claim(0),), heartbeat_at_ms=SPAWN, progress_at_ms=SPAWN, last_activity_at_ms=SPAWN),
    "silent": running(0, claims=(claim(0),), progress_at_ms=SPAWN, last_activity_at_ms=SPAWN),
    "in a tool": running(0, claims=(claim(0),), tool=DeclaredTool(name="Bash", timeout_ms=HOUR, started_at_ms=SPAWN)),
    "waiting": running(0, claims=(claim(0),), waiting=Waiting(reason="approval", since_at_ms=SPAWN)),
    "just resumed": running(0, claims=(claim(0),), sleeps=(Sleep(resumed_at_ms=SPAWN, gap_ms=HOUR),)),
    "idle": running(0, heartbeat_at_ms=SPAWN, progress_at_ms=SPAWN, last_activity_at_ms=SPAWN),
    "none": NoContainer(),
    "none, with claims": NoContainer(orphans=OLD),
    "none, dying again and again": NoContainer(
        deaths=tuple(Death(spawned_at_ms=SPAWN - n, died_at_ms=SPAWN - n, progressed=False) for n in (3, 2, 1))
    ),
}
ROWS = {
    "due": OpenMessage(message_id="m1", since_at_ms=SPAWN),
    "for later": OpenMessage(message_id="m1", due_at_ms=SPAWN + 3 * HOUR, since_at_ms=SPAWN),
    "for a retry": OpenMessage(message_id="m1", tries=2, due_at_ms=SPAWN + 20 * SECOND, since_at_ms=SPAWN),
    "at its last try": OpenMessage(message_id="m1", tries=5, since_at_ms=SPAWN),
}


@pytest.mark.parametrize(("container", "row"), list(itertools.product(STATES, ROWS)))
def test_MH_10_in_every_state_of_open_work_something_happens_now_or_at_a_known_instant(container, row):
    """Holds without an instant ("slot", "paused" …) wait for an event, and the fallback scan looks all the same."""
    messages = (ROWS[row],)
    plan = passed(STATES[container], messages)
    if all(isinstance(action, HoldWake) for action in plan.actions):
        assert plan.next_change_at_ms is not None, "open work, and no rule with a deadline covers it"
        plan = passed(STATES[container], messages, at_ms=plan.next_change_at_ms - SPAWN)
    assert any(not isinstance(action, HoldWake) for action in plan.actions)


def test_MH_10_a_container_of_which_nothing_is_known_is_left_as_it_is_whatever_is_due():
    assert passed(ContainerUnknown("no answer")).actions == ()


@pytest.mark.parametrize("shown_ms", [2 * HOUR, 2 * HOUR - MINUTE])
def test_MH_21_nothing_that_goes_on_inside_a_turn_moves_the_limit_of_the_whole(shown_ms):
    policy = StuckPolicy(run_limit_ms=2 * HOUR)
    inside = {
        "heartbeat_at_ms": SPAWN + shown_ms,
        "progress_at_ms": SPAWN + shown_ms,
        "tool": DeclaredTool(name="Bash", timeout_ms=8 * HOUR, started_at_ms=SPAWN + shown_ms),
        "waiting": Waiting(reason="retry", since_at_ms=SPAWN + shown_ms),
        "claims": (claim(0),),
    }
    assert isinstance(decide_stuck_action(running(2 * HOUR, **inside), policy), LeaveAlone)
    assert isinstance(decide_stuck_action(running(2 * HOUR + 1, **inside), policy), KillOverRunLimit)


def test_MH_24_one_beat_after_the_claim_gives_no_immunity():
    seen = running(0, claims=(claim(),), heartbeat_at_ms=SPAWN + 3 * SECOND, progress_at_ms=SPAWN + 2 * SECOND)
    for limit_ms in (5 * MINUTE, 30 * MINUTE):
        policy = StuckPolicy(progress_silence_ms=limit_ms)
        at_limit = evolve(seen, now_ms=SPAWN + 2 * SECOND + limit_ms)
        assert isinstance(decide_stuck_action(at_limit, policy), LeaveAlone)
        assert isinstance(decide_stuck_action(evolve(at_limit, now_ms=at_limit.now_ms + 1), policy), KillNoProgress)


def test_LO_01_a_stop_releases_every_claim_once_it_is_gone_and_after_the_charge():
    held = (claim(0), claim(0, "m2"), claim(0, "unknown"))
    messages = tuple(OpenMessage(message_id=key, since_at_ms=SPAWN) for key in ("m1", "m2"))
    [stop] = passed(running(0, claims=held), messages, at_ms=MINUTE + 1).actions
    assert isinstance(stop, StopContainer)
    assert [type(action) for action in stop.if_stopped] == [ChargeAttempt, ChargeAttempt, ReleaseClaims]
    assert stop.if_stopped[-1].message_ids == ("m1", "m2", "unknown")
    assert [type(action) for action in stop.if_alive] == [FenceSession]


def test_LO_02_looking_again_at_the_same_dead_container_charges_nothing_more():
    seen = SweepSnapshot(
        now_ms=SPAWN,
        incarnation=2,
        container=NoContainer(orphans=(claim(-HOUR),), blocked="paused"),
        messages=(OpenMessage(message_id="m1", since_at_ms=SPAWN - HOUR),),
    )
    [charge] = [action for action in plan_sweep(seen).actions if isinstance(action, ChargeAttempt)]
    assert charge.tries == 1
    mark = ChargeMark(message_id="m1", incarnation=2, tries=1)
    row = OpenMessage(message_id="m1", tries=1, since_at_ms=SPAWN - HOUR)
    for minute in range(60):  # the claim could not be released: it is there at each look
        again = evolve(seen, now_ms=SPAWN + minute * MINUTE, messages=(row,), marks=(mark,))
        assert not [action for action in plan_sweep(again).actions if isinstance(action, ChargeAttempt | FailMessage)]


def test_LO_09_a_crash_is_charged_like_any_other_attempt_and_the_last_one_ends_it():
    policy = SweepPolicy()
    for tries in range(policy.retry.max_tries + 1):
        plan = passed(NoContainer(orphans=OLD), (OpenMessage(message_id="m1", tries=tries, since_at_ms=SPAWN),))
        if tries < policy.retry.max_tries:
            assert plan.actions[0] == ChargeAttempt("m1", 2, tries + 1, None, "container gone")
        else:
            assert [type(action) for action in plan.actions] == [FailMessage, ReleaseClaims]


MOVED_ON = {
    "to be charged, it was completed": (0, "completed", 1),
    "to be charged, it was failed": (0, "failed", 5),
    "to be charged, it was charged more": (0, "pending", 4),
    "to be given up, it was completed": (5, "completed", 5),
}


@pytest.mark.parametrize(("seen_tries", "status", "tries"), MOVED_ON.values(), ids=MOVED_ON.keys())
def test_LO_10_an_old_plan_changes_no_row_that_has_moved_on(seen_tries, status, tries):
    store = MemorySessionStore()
    store.insert(NewMessage(message_id="m1", content="{}"), SPAWN)
    plan = passed(NoContainer(orphans=OLD), (OpenMessage(message_id="m1", tries=seen_tries, since_at_ms=SPAWN),))
    with store.inbound() as db:
        db.execute("UPDATE messages_in SET status = ?, tries = ?", (status, tries))
    store.write_inbound(inbound_changes(plan.actions))
    with store.inbound() as db:
        assert db.execute("SELECT status, tries FROM messages_in").fetchall() == [(status, tries)]
    store.close()


def test_LO_10_a_message_that_its_dead_container_had_settled_is_not_charged():
    plan = passed(NoContainer(orphans=(claim(-HOUR),)), acks=(Ack(message_id="m1", outcome="completed"),))
    assert not [action for action in plan.actions if isinstance(action, ChargeAttempt | FailMessage | Wake)]


def test_CR_06_of_the_containers_that_run_only_the_one_on_record_stays():
    running_now = tuple(
        RunningContainer(session=session, incarnation=number, container_id=f"{session}{number}")
        for session, number in (("a", 1), ("a", 2), ("b", 7), ("c", 1))
    )
    records = (
        OpenIncarnation(session="a", incarnation=2, state="running"),
        OpenIncarnation(session="c", incarnation=1, state="running"),
        OpenIncarnation(session="d", incarnation=3, state="running"),
    )
    seen = AdoptionSnapshot(now_ms=SPAWN, running=running_now, records=records, served=("a", "b", "d"))
    stray = {(action.session, action.incarnation): action.reason for action in plan_adoption(seen)[:3]}
    assert stray == {("a", 1): "stale", ("b", 7): "untracked", ("c", 1): "unserved"}
    assert plan_adoption(seen)[-1] == LookAgain("d", 3)
    boot = plan_adoption(evolve(seen, booting=True))
    kept = [action for action in boot if action.session in ("a", "d") and not isinstance(action, StopStray)]
    assert kept == [AdoptContainer("a", 2, "a2"), CloseRecord("d", 3)]
