"""Offices in virtual time, each on a store in memory or in `turnkeel.db`."""

import importlib.util
import sys
import tempfile
from pathlib import Path

import pytest

from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.database import StateDatabase

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")


def _load(name, file):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def lab():
    """The module of the office: its class, and units of time."""
    _load("office_time", HERE.parents[1] / "simulation" / "virtual_time.py")
    return _load("sending_office", HERE / "sending_office.py")


@pytest.fixture
def place():
    """A folder in memory where the machine offers that: no test here is about the disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(params=["memory", "turnkeel.db"])
def store(request, place):
    if request.param == "memory":
        yield MemoryLifecycle()
        return
    database = StateDatabase(place / "turnkeel.db")
    yield StateLifecycle(database)
    database.close()


@pytest.fixture
def new_office(lab, store, place):
    """Make an office on the store; keywords as the class takes them."""
    made = []

    def make(*args, **more):
        made.append(lab.Office(store, place, *args, **more))
        return made[-1]

    yield make
    for office in made:
        office.close()


@pytest.fixture
def office(new_office):
    """An office with one keyed channel, `chat`."""
    return new_office()
