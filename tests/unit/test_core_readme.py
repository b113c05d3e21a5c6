"""Does what core/README.md shows to other hosts work as it says?"""

import inspect
import re
from pathlib import Path

import pytest

import turnkeel_core
import turnkeel_core.sweep_records
from turnkeel_core import Ack, Claim, NoContainer, OpenMessage, Recurring, StuckSnapshot, SweepSnapshot

README = Path(__file__).parents[2] / "core" / "README.md"
NOW = 1_776_686_400_000
CLAIM = Claim(message_id="m1", claimed_at_ms=NOW - 60_001)
GONE = NoContainer(orphans=(CLAIM,))
STUCK = StuckSnapshot(now_ms=NOW, claims=(CLAIM,))


class Recorder:
    """A store or a runner that notes what it is asked, and answers as told."""

    def __init__(self, calls, **answers):
        self.calls, self.answers = calls, answers

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            return self.answers.get(name)

        return call


@pytest.fixture
def shown():
    """The names that the code of the README defines, each block run after the one before it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    return names


STEPS = [
    ("a wake", GONE, 0, True, ["note_charge", "charge", "release_claims", "begin", "start"]),
    ("a failed wake", GONE, 0, False, ["note_charge", "charge", "release_claims", "begin", "start", "delay"]),
    ("a failed message", GONE, 5, True, ["keep_dead", "fail", "release_claims"]),
    ("a stop", STUCK, 0, True, ["stop", "note_charge", "charge", "release_claims"]),
    ("a stop without effect", STUCK, 0, False, ["stop", "fence"]),
    ("a start that is not allowed", NoContainer(blocked="slot"), 0, True, ["show_held"]),
]


@pytest.mark.parametrize(
    ("container", "tries", "works", "calls"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS]
)
def test_the_complete_host_step_carries_a_plan_out_in_order(shown, container, tries, works, calls):
    seen = SweepSnapshot(
        now_ms=NOW,
        incarnation=1,
        messages=(OpenMessage(message_id="m0"), OpenMessage(message_id="m1", tries=tries)),
        acks=(Ack(message_id="m0", outcome="completed"),),
        container=container,
        recurring=(
            Recurring(message_id="r1", cron="@daily", next_at_ms=NOW + 1),
            Recurring(message_id="r2", cron="?", next_at_ms=None),
        ),
    )
    made = []
    store, runner = Recorder(made, snapshot=seen), Recorder(made, start=works, stop=works)

    shown["step"](store, runner, NOW)

    assert made == ["snapshot", "settle", *calls, "clone", "park"]


def test_the_step_says_until_when_to_sleep(shown):
    seen = SweepSnapshot(
        now_ms=NOW, messages=(OpenMessage(message_id="m1", due_at_ms=NOW + 60_000),), container=NoContainer()
    )

    assert shown["step"](Recorder([], snapshot=seen), Recorder([]), NOW) == NOW + 60_000


def test_the_step_is_short_and_knows_every_action(shown):
    source = inspect.getsource(turnkeel_core.sweep_records)
    members = re.search(r"SweepAction: TypeAlias = \((.*?)\)", source, re.DOTALL).group(1)
    step = README.read_text(encoding="utf-8").split("def carry_out", 1)[1].split("```", 1)[0]

    assert set(re.findall(r"case (\w+)\(", step)) == set(re.findall(r"\w+", members))


def test_the_facts_and_actions_it_names_exist():
    text = README.read_text(encoding="utf-8")
    facts = text.split("## Which facts", 1)[1].split("\n## ", 1)[0]
    fields = {f.name for c in (SweepSnapshot, StuckSnapshot, NoContainer) for f in c.__attrs_attrs__}

    named, actions = re.findall(r"^\| `\w*\.(\w+)`", facts, re.M), re.findall(r"^\| `([A-Z]\w+)` \|", text, re.M)

    assert named and set(named) <= fields
    assert actions and set(actions) <= set(turnkeel_core.__all__)


def test_every_fact_of_a_running_container_has_its_place_in_the_table():
    text = README.read_text(encoding="utf-8")

    for record in (SweepSnapshot, StuckSnapshot, NoContainer):
        for field in record.__attrs_attrs__:
            assert re.search(rf"`(\w*\.)?{field.name}`", text), f"{record.__name__}.{field.name} is not explained"
