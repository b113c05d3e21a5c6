"""Does each failure get its exit code, and a question to `turnkeel.db` its second chance?"""

from pathlib import Path

import apsw
import pytest

from turnkeel.cli.errors import CommandFailed, WrongUsage, exit_code_of, line_of
from turnkeel.cli.place import data_dir_of
from turnkeel.cli.reading import patiently
from turnkeel_adapters.config import BadZone, ConfigFault
from turnkeel_adapters.errors import AdapterError, BadSessionName, SessionFault
from turnkeel_adapters.runners import SpawnFailed
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.system import AlreadyHeld, InstallIdUnreadable, LockUnavailable

PATH = Path("place/file")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("no"), 1),
        (AdapterError("no"), 1),
        (SessionFault(PATH, "io", "no"), 1),
        (StateFault(PATH, "no"), 1),
        (SpawnFailed("s", "no", "do"), 1),
        (LockUnavailable(PATH, "no"), 1),
        (InstallIdUnreadable(PATH), 1),
        (PermissionError(13, "Permission denied", "file"), 1),
        (WrongUsage("no"), 2),
        (ConfigFault(PATH, ("no",)), 2),
        (BadZone("no"), 2),
        (BadSessionName("no"), 2),
        (AlreadyHeld(PATH, "pid 1"), 3),
        (RuntimeError("no"), None),
        (ValueError("no"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_failure_has_its_exit_code(error, code):
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "f"), "f: Permission denied; fix the owner or the permissions"),
        (OSError(28, "No space left on device"), "No space left on device; free some space"),
        (OSError(5, "Input/output error", "f"), "f: Input/output error"),
        (CommandFailed("say this"), "say this"),
        (CommandFailed(), "CommandFailed"),
    ],
)
def test_each_failure_is_one_line(error, line):
    assert line_of(error) == line


def asked(causes):
    """A question that fails with these causes, one after the other, before it is answered."""
    left = list(causes)

    def ask():
        if left:
            raise StateFault(PATH, "no") from left.pop(0)
        return "answer"

    return ask


def test_a_commit_that_seems_a_dead_writers_is_looked_at_again():
    assert patiently(asked([apsw.ReadOnlyError()] * 2)) == "answer"


@pytest.mark.parametrize("causes", [[apsw.ReadOnlyError()] * 3, [apsw.CorruptError()]], ids=["lasting", "another"])
def test_a_fault_that_stays_is_raised(causes):
    with pytest.raises(StateFault):
        patiently(asked(causes))


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        ("given", "named", "given"),
        (None, "named", "named"),
        (None, "", "data"),
        (None, None, "data"),
    ],
)
def test_the_option_comes_before_the_variable_and_that_before_data(monkeypatch, tmp_path, option, variable, expected):
    monkeypatch.chdir(tmp_path)
    if variable is None:
        monkeypatch.delenv("TURNKEEL_DATA", raising=False)
    else:
        monkeypatch.setenv("TURNKEEL_DATA", variable)
    assert data_dir_of(None if option is None else Path(option)) == Path(expected)


def test_a_data_directory_may_itself_be_called_like_its_session_folder(tmp_path):
    outer = tmp_path / "v2-sessions"
    assert data_dir_of(outer) == tmp_path
    (outer / "v2-sessions").mkdir(parents=True)
    assert data_dir_of(outer) == outer
