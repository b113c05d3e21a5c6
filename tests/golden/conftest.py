"""Which vectors does a golden test run over?

A test module declares `KIND = "decide_stuck_action"` (or a tuple of kinds) and its tests take a `vector` argument.
`pytest tests/golden --vectors DIR` runs the same tests over another folder of files of these kinds.
"""

import json
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption("--vectors", metavar="DIR", help="folder of golden vectors (default: tests/golden/vectors)")


@cache
def load(folder):
    """Return all vectors of a folder by kind; what a file is called does not matter."""
    by_kind = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                vector = json.loads(line)
                assert vector.keys() >= {"kind", "name", "input", "expected"}, f"{path.name}:{number} is no vector"
                by_kind.setdefault(vector["kind"], []).append(vector)
    return by_kind


def vectors(kind, config):
    """Return the vectors of one kind or of several, in file order."""
    # The option is only known when this folder is named on the command line.
    folder = Path(config.getoption("--vectors", default=None) or HERE / "vectors")
    if not folder.is_dir():
        raise pytest.UsageError(f"--vectors {folder}: no such folder")
    kinds = (kind,) if isinstance(kind, str) else kind
    return [vector for one in kinds for vector in load(folder).get(one, [])]


def pytest_generate_tests(metafunc):
    if "vector" in metafunc.fixturenames:
        found = vectors(metafunc.module.KIND, metafunc.config)
        ids = [vector["name"] for vector in found]
        metafunc.parametrize("vector", found or [None], ids=ids or ["no vectors of this kind"])


def pytest_collection_modifyitems(config, items):
    empty = [item for item in items if getattr(item, "callspec", None) and _is_empty(item.callspec.params)]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]


def _is_empty(params):
    return "vector" in params and params["vector"] is None
