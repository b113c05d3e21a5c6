"""Does the command line say what is wrong with the disk or with `turnkeel.db`, what helps, and never pretend?"""

import os

import apsw
import pytest

from turnkeel.cli import health
from turnkeel.cli.app import run_command_line
from turnkeel_adapters.state.store import HostState

ROOMY = os.statvfs_result((4096, 4096, 1000, 1000, 1000, 1000, 1000, 1000, 0, 255))


@pytest.fixture
def data(tmp_path):
    place = tmp_path / "data"
    (place / "v2-sessions").mkdir(parents=True)
    with HostState(place) as state:
        state.registry.seen(("main/a",), 1)
    return place


@pytest.fixture
def ask(capsys, data):
    """The exit code, what was printed, and what was said on standard error."""

    def run(*argv):
        code = run_command_line([*argv, "--data", str(data)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def _text(path):
    path.write_text("Dear diary, today nothing was a database. " * 50)


def _foreign(path):
    path.unlink()
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE recipes (cake TEXT)").fetchall()
    other.close()


def _future(path):
    other = apsw.Connection(str(path))
    other.execute("PRAGMA user_version = 99").fetchall()
    other.close()


def _folder(path):
    path.unlink()
    path.mkdir()


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


UNREADABLE = {
    "a text": (_text, "damaged or no database: restore it from a backup"),
    "another program's database": (_foreign, "is another program's database: move it away"),
    "a newer schema": (_future, "was written by a newer turnkeel"),
    "a folder": (_folder, "is no plain file: move away"),
    "a pipe": (_pipe, "is no plain file: move away"),
}
PAGES = ("turns", "outbox", "dead list", "sched list", "sched missed", "interrupted", "trace t1", "turns --json")


@pytest.mark.parametrize(("spoil", "told"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_records_that_cannot_be_read_are_never_shown_as_none(data, ask, spoil, told):
    spoil(data / "turnkeel.db")
    for page in PAGES:
        code, out, err = ask(*page.split())
        assert (code, out) == (1, ""), page
        assert told in err and "turnkeel.db" in err and "Errno" not in err, page
    code, out, err = ask("status")
    assert (code, "1 sessions" in out or "0 sessions" in out) == (0, True)
    assert f"note: {data}/turnkeel.db: {told}" in err and "what the host remembers is left out here" in err


@pytest.mark.parametrize("spoil", [spoil for spoil, _ in UNREADABLE.values()], ids=UNREADABLE.keys())
def test_nothing_is_accepted_where_it_could_not_be_kept(data, ask, spoil):
    spoil(data / "turnkeel.db")
    code, out, err = ask("send", "a", "hello")
    assert (code, out) == (1, "") and "turnkeel.db" in err
    assert list((data / "v2-sessions").iterdir()) == []


DISKS = {
    "full": ({"f_bfree": 3, "f_bavail": 3}, "has 12 KiB left, and a full one accepts no message: free some space"),
    "read-only": ({"f_flag": os.ST_RDONLY}, "is mounted read-only, so that no message is accepted: mount it writable"),
}


@pytest.mark.parametrize(("changed", "told"), DISKS.values(), ids=DISKS.keys())
def test_the_health_line_says_that_the_disk_takes_no_message_and_clears(ask, monkeypatch, changed, told):
    names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_flag")
    values = [changed.get(name, getattr(ROOMY, name)) for name in names]
    with monkeypatch.context() as patched:
        patched.setattr(health.os, "statvfs", lambda _: os.statvfs_result((*values, 255)))
        assert "attention: " in (line := ask("status")[1].splitlines()[-1]) and told in line
        assert told in ask("status", "--json")[1]
    assert "attention" not in ask("status")[1]


def test_a_file_in_the_place_of_the_data_directory_is_told_with_what_helps(tmp_path, capsys):
    place = tmp_path / "data"
    place.write_text("not a folder")
    for argv in (["send", "a", "hello"], ["run", "--agent", "cat", "--until-idle"]):
        assert run_command_line([*argv, "--data", str(place)]) == 1
        assert "move away what stands there, or name another place" in capsys.readouterr().err
