"""The laboratory: worlds in virtual time, each with a store of its own in memory."""

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")


def _load(name: str) -> ModuleType:
    # The modules of the laboratory import each other by these names; test modules get them as fixtures.
    known = f"simulation_{name}"
    if known not in sys.modules:
        file = {"time": "virtual_time"}.get(name, f"simulated_{name}")
        spec = importlib.util.spec_from_file_location(known, HERE / f"{file}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


@pytest.fixture(scope="session")
def agents() -> ModuleType:
    """Scripts for containers."""
    return _load("agent")


@pytest.fixture(scope="session")
def lab(agents: ModuleType) -> ModuleType:
    """World, policies and units of time."""
    _load("time")
    _load("machine")
    return _load("world")


@pytest.fixture
def new_world(lab: ModuleType) -> Iterator[Callable[..., object]]:
    """Make worlds; their files lie in memory where the machine offers that, so that a commit costs no disk."""
    with ExitStack() as stack:

        def make(policies=lab.USUAL, seed: int = 0):
            folder = MEMORY if MEMORY.is_dir() else None
            place = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
            world = lab.World(Path(place), policies, seed)
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
def world(new_world):
    """A world under the default policy, which polls a little seldomer."""
    return new_world(sys.modules["simulation_world"].BRISK)
