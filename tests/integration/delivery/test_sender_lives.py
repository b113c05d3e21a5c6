"""Does a random life of senders, channels and a store that fail break a promise?"""

import random
from collections import Counter

import pytest

from turnkeel_adapters.channels import LoseAcknowledgement, LoseCall, Work
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_core import LocalFault, Permanent, RateLimited, Transient

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
STEPS = (
    Work(),
    LoseAcknowledgement(),
    LoseCall(),
    Transient("busy"),
    Permanent("chat not found"),
    RateLimited("slower", 20 * SECOND),
    LocalFault("no token"),
)
RELEASED = {"RetryRow", "DeferRow", "MarkUnknown"}


class Life:
    """One office and one seed; `run` is all that happens to it."""

    def __init__(self, lab, folder, capabilities, seed):
        self.random = random.Random(f"{capabilities} {seed}")
        self.office = lab.Office(MemoryLifecycle(), folder, getattr(lab, capabilities))
        self.rows, self.turns, self.aborted = {}, [], False

    def happen(self):
        """One thing, of those that happen."""
        office, dice = self.office, self.random
        match dice.randrange(8):
            case 0 | 1 | 2:
                self.reply()
            case 3:
                office.chat.script(*dice.choices(STEPS, k=dice.randint(1, 4)))
            case 4:
                office.calls.lasting[id(office.chat)] = dice.choice((0, 0, 700, 4 * SECOND, 50 * SECOND, None))
            case 5:
                office.store.refuses = dice.choice((None, None, AdapterError("disk full")))
            case 6:
                office.clock.step(dice.choice((-20 * SECOND, 0, 0, 40 * SECOND)))
            case _ if self.turns and dice.random() < 0.3:
                office.abort()

    def reply(self):
        """A turn's reply, or nobody's, of some parts into one of two conversations."""
        row_id, turn_id = f"r{len(self.rows)}", None
        if self.random.random() < 0.6:
            turn_id = f"t{len(self.turns)}"
            self.office.accept(turn_id)
            self.turns.append(turn_id)
        parts = tuple(f"{row_id}/{part}" for part in range(self.random.choice((1, 1, 2, 4))))
        lane = self.random.choice("xy")
        self.rows[row_id] = (lane, parts)
        self.office.queue(row_id, *parts, turn_id=turn_id, lane=lane)

    def run(self):
        """Some lives that end in one way or another, then all is well for as long as it takes."""
        office, dice = self.office, self.random
        for _ in range(6):
            length_ms = dice.randint(SECOND, 3 * MINUTE)
            then = sorted(((dice.randrange(length_ms), self.happen) for _ in range(6)), key=lambda one: one[0])
            owners = dice.choice((None, None, ("one", "two")))
            office.play(length_ms, kill=dice.random() < 0.5, owners=owners, then=then)
        office.store.refuses = None
        office.calls.lasting.clear()
        office.chat._steps.clear()
        office.play(40 * MINUTE)


@pytest.fixture
def live(lab, place):
    made = []

    def start(capabilities, seed):
        made.append(Life(lab, place, capabilities, seed))
        made[-1].run()
        return made[-1]

    yield start
    for life in made:
        life.office.close()


def check(life, capabilities):
    office = life.office
    counts = Counter(one.part.text for one in office.chat.shown)
    ends = {"delivered", "failed_terminal", "expired"} | ({"unknown"} if capabilities == "NEITHER" else set())
    for row_id, (_, parts) in life.rows.items():
        row = office.row(row_id)
        assert row.status in ends, row
        assert max((counts[text] for text in parts), default=0) <= 1, (row, office.life(row_id))
        if row.status == "delivered":
            assert all(counts[text] == 1 for text in parts), row
        require_one_live_token(office.life(row_id))
    for turn_id in life.turns:
        turn = office.turn(turn_id)
        with office.store.inner.transaction() as work:
            states = {row.status for row in work.tables.outbox.of_turn(turn_id)}
        if "unknown" not in states:
            assert turn.status in {"delivered", "failed_terminal", "aborted"}, turn
        assert (turn.status == "delivered") <= (states == {"delivered"}), (turn, states)
    if capabilities != "NEITHER":  # a held reply lets the next ones pass
        for lane in "xy":
            shown = (one.dispatch.row_id for one in office.chat.shown)
            order = [row_id for row_id in shown if life.rows.get(row_id, "")[:1] == (lane,)]
            assert order == sorted(order, key=lambda row_id: int(row_id[1:])), order


def require_one_live_token(lines):
    """Between two claims of a row the first was released."""
    held = False
    for what in lines:
        assert not (held and what == "ClaimRow"), lines
        held = what == "ClaimRow" or (held and what not in RELEASED)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("capabilities", ["KEYED", "ASKABLE", "NEITHER"])
def test_a_random_life_sends_nothing_twice_and_leaves_nothing_unseen(live, capabilities, seed):
    check(live(capabilities, seed), capabilities)


@pytest.mark.long
@pytest.mark.parametrize("capabilities", ["KEYED", "ASKABLE", "NEITHER"])
def test_two_hundred_random_lives_of_each_kind(live, capabilities):
    for seed in range(1_000, 1_200):
        check(live(capabilities, seed), capabilities)
