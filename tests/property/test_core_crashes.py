"""What if the host dies between any two steps? Each dead incarnation costs each message one try, never two.

A small session in memory carries the actions out step by step and can stop after any of them.
"""

from itertools import count

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core import (
    Ack,
    ChargeAttempt,
    ChargeMark,
    Claim,
    CloneRecurrence,
    Death,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    NoContainer,
    OpenMessage,
    ParkRecurrence,
    ReleaseClaims,
    SettleAck,
    StopContainer,
    StuckSnapshot,
    SweepSnapshot,
    Wake,
    plan_sweep,
)

T0 = 1_776_686_400_000
HOUR = 3_600_000
MAX_TRIES = 5
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@define
class Session:
    """Rows, marks, claims and the container: what survives a crash of the host, changed one step at a time."""

    now_ms: int = T0
    incarnation: int = 1
    rows: dict[str, OpenMessage] = field(factory=dict)
    claims: dict[str, Claim] = field(factory=dict)
    acks: dict[str, Ack] = field(factory=dict)
    marks: dict[tuple[str, int], ChargeMark] = field(factory=dict)
    dead: set[str] = field(factory=set)
    deaths: tuple[Death, ...] = ()
    runs: bool = True
    starts_work: bool = True

    def snapshot(self):
        orphans = tuple(self.claims.values())
        running = StuckSnapshot(now_ms=self.now_ms, claims=orphans)
        return SweepSnapshot(
            now_ms=self.now_ms,
            incarnation=self.incarnation,
            messages=tuple(self.rows.values()),
            acks=tuple(self.acks.values()),
            container=running if self.runs else NoContainer(orphans=orphans, deaths=self.deaths),
            marks=tuple(self.marks.values()),
        )

    def steps(self, action):
        """The durable steps of one action; whoever carries them out may be stopped after any of them."""
        match action:
            case ChargeAttempt(message_id, incarnation, tries, retry_at_ms):
                mark = ChargeMark(message_id=message_id, incarnation=incarnation, tries=tries)
                yield self.marks.__setitem__((message_id, incarnation), mark)
                yield self._set(message_id, tries=tries, **({} if retry_at_ms is None else {"due_at_ms": retry_at_ms}))
            case DelayRetry(message_id, retry_at_ms):
                yield self._set(message_id, due_at_ms=retry_at_ms)
            case FailMessage(message_id):
                yield self.dead.add(message_id)
                yield self._set(message_id, status="failed")
            case ReleaseClaims():
                yield self.claims.clear()
            case SettleAck(message_id):
                yield self.rows.pop(message_id)
            case Wake(incarnation, _, if_failed):
                yield self._begin(incarnation)
                if self.starts_work:
                    yield self._start()
                else:
                    yield self._died()
                    yield from self._all(if_failed)
            case StopContainer(if_stopped=if_stopped):
                yield self._stop()
                yield from self._all(if_stopped)
            case FenceSession() | HoldWake() | CloneRecurrence() | ParkRecurrence():
                yield None

    def sweep(self, crash_after=None):
        """One pass; True if the host lived through it."""
        done = count(1)
        if crash_after == 0:
            return False
        for _ in self._all(plan_sweep(self.snapshot()).actions):
            if next(done) == crash_after:
                return False
        return True

    def settle_down(self):
        """Pass after pass until nothing is left to do at this instant."""
        for _ in range(10):
            before = evolve(self, rows=dict(self.rows), claims=dict(self.claims), marks=dict(self.marks))
            self.sweep()
            if before == self:
                return
        raise AssertionError("the passes do not come to rest")

    def _all(self, actions):
        for action in actions:
            yield from self.steps(action)

    def _set(self, message_id, **changes):
        self.rows[message_id] = evolve(self.rows[message_id], **changes)

    def _begin(self, incarnation):
        self.incarnation = incarnation

    def _start(self):
        self.runs = True

    def _stop(self):
        self.runs = False

    def _died(self):
        death = Death(spawned_at_ms=self.now_ms, died_at_ms=self.now_ms, progressed=False)
        self.deaths = (*self.deaths, death)


def a_session(tries, *, runs, extra=()):
    rows = {f"m{i}": OpenMessage(message_id=f"m{i}", tries=t) for i, t in enumerate(tries)}
    claims = {name: Claim(message_id=name, claimed_at_ms=T0 - HOUR) for name in rows}
    return Session(rows=rows | {name: OpenMessage(message_id=name) for name in extra}, claims=claims, runs=runs)


def tries_of(session, names):
    return [(session.rows[name].tries or 0, session.rows[name].status) for name in names]


def one_more(tries):
    return [((t or 0) + 1, "pending") if (t or 0) < MAX_TRIES else (t, "failed") for t in tries]


@pytest.mark.parametrize("starts_work", [True, False], ids=["the next start works", "the next start fails"])
@pytest.mark.parametrize("runs", [True, False], ids=["stopped by the host", "died by itself"])
@pytest.mark.parametrize("crash_after", range(12))
def test_a_crash_after_any_step_charges_once(crash_after, runs, starts_work):
    session = a_session((0, 4, 5), runs=runs, extra=("waiting",))
    session.starts_work = starts_work

    session.sweep(crash_after)
    session.settle_down()

    assert tries_of(session, ("m0", "m1", "m2")) == one_more((0, 4, 5))
    assert tries_of(session, ("waiting",)) == [(0, "pending")]
    assert session.dead == {"m2"}
    assert session.claims == {}


@pytest.mark.parametrize("deaths", range(1, 9))
def test_a_message_fails_at_the_death_after_its_last_try(deaths):
    session = a_session((0,), runs=True)
    for _ in range(deaths):
        session.claims = {
            name: Claim(message_id=name, claimed_at_ms=session.now_ms - HOUR)
            for name, row in session.rows.items()
            if row.status == "pending" and session.runs
        }
        session.runs = False
        session.settle_down()
        session.now_ms += HOUR
        session.settle_down()

    assert tries_of(session, ("m0",)) == [(min(deaths, MAX_TRIES), "pending" if deaths <= MAX_TRIES else "failed")]


def test_a_start_that_fails_for_ever_charges_nothing():
    session = a_session((), runs=False, extra=("waiting",))
    session.starts_work = False

    for _ in range(20):
        session.settle_down()
        session.now_ms += HOUR

    assert len(session.deaths) >= 20
    assert tries_of(session, ("waiting",)) == [(0, "pending")]


counts = st.none() | st.integers(0, MAX_TRIES + 1)
crashes = st.lists(st.tuples(st.integers(0, 14), st.sampled_from([0, 1, 7_000, 90_000, HOUR])), max_size=5)


@settings(LAW, max_examples=150)
@given(tries=st.lists(counts, min_size=1, max_size=4), runs=st.booleans(), crashes=crashes, fails=st.booleans())
def test_any_number_of_crashes_charges_once(tries, runs, crashes, fails):
    session = a_session(tries, runs=runs, extra=("waiting",))
    session.starts_work = not fails

    for crash_after, pause_ms in crashes:
        session.sweep(crash_after)
        session.now_ms += pause_ms
    session.settle_down()

    names = [f"m{i}" for i in range(len(tries))]
    assert tries_of(session, names) == one_more(tries)
    assert session.dead == {name for name, t in zip(names, tries, strict=True) if (t or 0) >= MAX_TRIES}
    assert tries_of(session, ("waiting",)) == [(0, "pending")]


@LAW
@given(tries=st.lists(counts, min_size=1, max_size=3), crash_after=st.integers(0, 14), acked=st.integers(0, 2))
def test_what_the_dead_container_had_finished_is_settled_and_never_charged(tries, crash_after, acked):
    session = a_session(tries, runs=False)
    name = f"m{min(acked, len(tries) - 1)}"
    session.acks[name] = Ack(message_id=name, outcome="completed")
    del session.claims[name]

    session.sweep(crash_after)
    session.settle_down()

    assert name not in session.rows
    assert not any(mark.message_id == name for mark in session.marks.values())
    assert session.dead == {m for m, row in session.rows.items() if row.status == "failed"}
