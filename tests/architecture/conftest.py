"""The guards and the snapshot as fixtures: test modules of this suite do not import each other."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"architecture_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def guards() -> ModuleType:
    """guards.py"""
    return _load("guards")


@pytest.fixture(scope="session")
def snapshot() -> ModuleType:
    """snapshot.py"""
    return _load("snapshot")
