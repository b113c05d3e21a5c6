"""When may the host touch a file that its writer left half-written, and what identity does a record give?"""

from pathlib import Path

import pytest
from attrs import evolve

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.evidence import read_files
from turnkeel_adapters.sessions.records import OutboundMark, SessionReading
from turnkeel_adapters.state.incarnations import Incarnation


class Files:
    """A store whose databases have hot journals until they are rolled back."""

    def __init__(self, *hot, kind="hot_journal"):
        self.hot = list(hot)
        self.kind = kind
        self.rolled_back = []

    def read(self, now_ms, since):
        if self.hot:
            raise SessionFault(Path(self.hot[0]), self.kind, "made by a test")
        return SessionReading()

    def roll_back(self, *, inbound_only):
        self.rolled_back.append("inbound only" if inbound_only else "both")
        self.hot = [name for name in self.hot if inbound_only and name != "inbound.db"]


ALLOWED = {
    "nothing is hot": ((), True, []),
    "outbound.db, its writer dead": (("outbound.db",), True, ["both"]),
    "inbound.db, the container dead": (("inbound.db",), True, ["both"]),
    "inbound.db, the container alive": (("inbound.db",), False, ["inbound only"]),
    "both, the container dead": (("outbound.db", "inbound.db"), True, ["both"]),
}


@pytest.mark.parametrize(("hot", "writer_dead", "rolled_back"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_dead_writer_left_is_rolled_back(hot, writer_dead, rolled_back):
    files = Files(*hot)
    assert read_files(files, 1, None, writer_dead=writer_dead) == SessionReading()
    assert files.rolled_back == rolled_back


REFUSED = {
    "outbound.db of a container that may live": (("outbound.db",), "hot_journal", False, []),
    "outbound.db of a container that may live, after inbound.db": (
        ("inbound.db", "outbound.db"),
        "hot_journal",
        False,
        ["inbound only"],
    ),
    "a fault of another kind": (("outbound.db",), "corrupt", True, []),
}


@pytest.mark.parametrize(("hot", "kind", "writer_dead", "rolled_back"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_living_writer_may_still_hold_is_left_alone(hot, kind, writer_dead, rolled_back):
    files = Files(*hot, kind=kind)
    with pytest.raises(SessionFault):
        read_files(files, 1, None, writer_dead=writer_dead)
    assert files.rolled_back == rolled_back


RUNNING = Incarnation(
    session="main/a",
    number=3,
    state="running",
    spawned_at_ms=1_000,
    runtime="process",
    container_id="12:34",
    mark=OutboundMark(replies=0, acks=0),
)


def test_a_running_incarnation_has_a_handle_with_its_whole_identity():
    handle = RUNNING.handle
    assert (handle.session, handle.incarnation, handle.runtime, handle.container_id, handle.spawned_at_ms) == (
        "main/a",
        3,
        "process",
        "12:34",
        1_000,
    )


NO_HANDLE = {
    "dead": {"state": "dead"},
    "never identified": {"state": "starting", "container_id": None, "runtime": None},
}


@pytest.mark.parametrize("changes", NO_HANDLE.values(), ids=NO_HANDLE.keys())
def test_nothing_can_be_asked_of_what_is_dead_or_was_never_identified(changes):
    assert evolve(RUNNING, **changes).handle is None
