"""The field's scenarios: the laboratories of the neighbours, and the page that lists what passed.

`pytest tests/scenarios --write-scenarios` rewrites README.md here from the tests that passed; add
`tests/integration tests/unit/test_oci_runtime.py -m "long or not long"` to run those of other folders that it names.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent


def _load(name, path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_virtual = _load("scenarios_virtual", TESTS / "simulation" / "conftest.py")
_real = _load("scenarios_real", TESTS / "integration" / "host" / "conftest.py")
_page = _load("scenarios_page", HERE / "page.py")

agents, lab, new_world, world = _virtual.agents, _virtual.lab, _virtual.new_world, _virtual.world
quick, agent = _real.quick, _real.agent


@pytest.fixture
def bench(tmp_path):
    """A data directory on disk, with real hosts and agent processes."""
    made = _real.Lab(tmp_path / "data")
    yield made
    assert not made.agent_pids()


@pytest.fixture(scope="session")
def page():
    """The catalogue's ids, what covers them, and the page made of both."""
    return _page


@pytest.fixture(scope="session")
def detection():
    """The script of the detection table."""
    return _load("scenarios_detection", HERE / "detection.py")


def pytest_addoption(parser):
    parser.addoption("--write-scenarios", action="store_true", help="rewrite tests/scenarios/README.md from this run")


def pytest_configure(config):
    if config.getoption("--write-scenarios", default=False):
        config.pluginmanager.register(_page.Writer(), "scenarios-writer")
