"""Does a host that ends when nothing is left to do wait for what it will do itself, and for nothing else?"""

import importlib.util
import sys
from pathlib import Path

import pytest

from turnkeel_adapters.state.store import HostState

HERE = Path(__file__).parent


def _load(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


lab = _load("kills_lab")


class Script:
    """What the chat does with the first calls of each key."""

    def __init__(self, *troubles):
        self.troubles = troubles

    def trouble(self, call):
        return self.troubles[call.tries - 1] if call.tries <= len(self.troubles) else "none"

    def slams(self, connection):
        return False


@pytest.fixture
def trial(tmp_path):
    made = lab.Trial(tmp_path, 1, work_ms=0, call_ms=10_000)
    yield made
    made.close()


def ended(trial):
    """Run a host until it says that nothing is left; the rows' states then."""
    assert trial.host("until-idle").wait(90) == 0, trial.served()[-2000:]
    with HostState(trial.data, read_only=True) as state:
        return state.database.rows("SELECT status, attempts FROM outbox ORDER BY queued_at_ms")


@pytest.mark.parametrize(
    ("channel", "troubles", "rows"),
    [
        ("keyed", ("loses", "fails", "loses", "fails"), [("delivered", 4)]),
        ("keyed", ("busy",), [("delivered", 0)]),
        ("plain", ("loses",), [("unknown", 1)]),
    ],
    ids=["its next try comes", "the chat named the time of the next try", "only a person knows"],
)
def test_a_host_until_idle_ends_when_no_try_of_a_reply_is_to_come(trial, channel, troubles, rows):
    for chat in (trial.keyed, trial.plain):
        chat._schedule = Script(*troubles)
    trial.say("kit-1", channel, "hello")
    assert ended(trial) == rows


def test_a_reply_that_waits_for_its_configuration_keeps_no_host_that_is_idle(trial):
    text = trial.config.read_text().replace("idempotent = false", "idempotent = false\ntoken_env = 'NOT_SET'")
    trial.config.write_text(text.replace("defer_ms = 200", "defer_ms = 5000"))
    trial.say("kit-1", "plain", "hello")
    assert ended(trial) == [("failed_retryable", 0)]
