"""Are the whole house and the samples of its use clean under both type checkers?"""

import sys

import pytest

pytestmark = pytest.mark.long


def test_mypy_finds_nothing_in_the_house(command):
    pytest.importorskip("mypy")
    command(sys.executable, "-m", "mypy")


def test_mypy_finds_nothing_in_the_samples_of_use(command):
    pytest.importorskip("mypy")
    command(sys.executable, "-m", "mypy", "tests/typing/api.py")


def test_pyright_finds_nothing_in_either(command):
    pytest.importorskip("pyright")
    command(sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
