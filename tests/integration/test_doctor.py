"""Does `doctor` see what is wrong, say what to do, and go on when a check breaks?"""

import json
import os
import subprocess
import time
from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest

from turnkeel.cli import doctor as doctor_module
from turnkeel.cli import doctor_data, doctor_machine
from turnkeel.cli.app import run_command_line
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import Instant
from turnkeel_adapters.system.filesystem import FileSystem
from turnkeel_adapters.system.lock import DataLock


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    """No test finds a `./data` or a TURNKEEL_DATA of whoever runs it, nor a runtime of this machine."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("TURNKEEL_DATA", raising=False)
    monkeypatch.setattr(doctor_module, "check_runtime", lambda program: doctor_machine.info(program, "not looked for"))


@pytest.fixture
def data(tmp_path):
    """A data directory in which a host has worked, with the session `main/anna`."""
    place = tmp_path / "data"
    place.mkdir()
    FileSessions(place).tree.create(SessionName.parse("anna"))
    HostState(place).close()
    return place


@pytest.fixture
def examine(capsys, data):
    """The checks by subject, of a run that ends with `expect`."""

    def examine(*argv, expect=0, place=data):
        code = run_command_line(("doctor", "--json", "--data", str(place), *argv))
        told = capsys.readouterr()
        assert (code, told.err) == (expect, ""), told.out + told.err
        document = json.loads(told.out)
        assert document["ok"] is (expect == 0)
        return {one["subject"]: one for one in document["checks"]}

    return examine


def test_a_sound_data_directory_has_no_failure_and_is_left_as_it_was(examine, data):
    before = sorted(str(path) for path in data.rglob("*"))
    stamps = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    found = examine("--agent", "cat")
    for subject in ("python", "sqlite", "time zone", "agent", "data directory", "lock", "turnkeel.db", "sessions"):
        assert found[subject]["level"] == "ok", found[subject]
    assert "journal_mode delete" in found["turnkeel.db"]["seen"]
    assert "1 sessions" in found["sessions"]["seen"]
    assert sorted(str(path) for path in data.rglob("*")) == before
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == stamps


def test_each_check_is_one_line(capsys, data):
    assert run_command_line(("doctor", "--data", str(data))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "info", "warn"}
    assert lines[-1].startswith(f"{len(lines) - 1} checks: 0 failed")


def test_a_directory_that_is_not_there_yet_is_no_failure_and_is_not_made(examine, tmp_path):
    place = tmp_path / "not-yet"
    assert examine(place=place)["data directory"]["level"] == "info"
    assert not place.exists()


def test_a_host_at_work_is_named(examine, data):
    with DataLock(data, version="9"):
        assert f"pid {os.getpid()}" in examine()["lock"]["seen"]


def wal(data):
    with closing(apsw.Connection(str(data / "turnkeel.db"))) as db:
        db.pragma("journal_mode", "wal")


def garbage(data):
    (data / "turnkeel.db").write_text("a letter to a friend, " * 50)


def newer(data):
    with closing(apsw.Connection(str(data / "turnkeel.db"))) as db:
        db.pragma("user_version", 99)


def torn(data):
    with closing(apsw.Connection(str(data / "turnkeel.db"))) as db:
        [[page]] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'session'").fetchall()
        size = db.pragma("page_size")
    with open(data / "turnkeel.db", "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def broken_session(data):
    (data / "v2-sessions/main/anna/inbound.db").write_text("no database")


def lock_as_link(data):
    (data / "turnkeel.lock").symlink_to("/dev/null")


@pytest.mark.parametrize(
    ("harm", "subject", "told"),
    [
        (garbage, "turnkeel.db", "no database"),
        (newer, "turnkeel.db", "newer turnkeel"),
        (torn, "turnkeel.db", "damaged"),
        (broken_session, "sessions", "1 cannot be read"),
        (lock_as_link, "lock", "cannot be locked"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_harm_is_found_and_comes_with_advice(examine, data, harm, subject, told):
    harm(data)
    found = examine(expect=1)
    assert found[subject]["level"] == "FAIL"
    assert told in found[subject]["seen"]
    assert found[subject]["advice"]
    assert {name for name, one in found.items() if one["level"] == "FAIL"} == {subject}


def test_a_log_that_nobody_closed_is_a_warning_and_stays_as_it_is(examine, data):
    wal(data)
    found = examine()["turnkeel.db"]
    assert (found["level"], "the log beside it" in found["seen"]) == ("warn", True)
    assert sorted(path.name for path in data.glob("turnkeel.db*")) == ["turnkeel.db"]


def test_an_older_schema_is_no_failure(examine, data):
    with closing(apsw.Connection(str(data / "turnkeel.db"))) as db:
        db.pragma("user_version", 1)
    found = examine()["turnkeel.db"]
    assert (found["level"], found["seen"][:8]) == ("info", "schema 1")


def test_odd_folders_are_a_warning(examine, data):
    (data / "v2-sessions/main/link").symlink_to(data)
    assert examine()["sessions"]["level"] == "warn"


def test_a_directory_that_cannot_be_written_is_a_failure(examine, monkeypatch):
    def refused(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refused)
    assert "No space left" in examine(expect=1)["data directory"]["seen"]


def test_a_file_in_the_place_of_the_directory_is_a_failure(examine, tmp_path):
    (tmp_path / "file").touch()
    assert examine(place=tmp_path / "file", expect=1)["data directory"]["level"] == "FAIL"


def test_a_check_that_breaks_is_a_line_and_the_others_follow(examine, monkeypatch):
    def broken(place):
        raise ZeroDivisionError("by a fault of this test")

    monkeypatch.setattr(doctor_module, "check_space", broken)
    found = examine(expect=1)
    assert "ZeroDivisionError: by a fault of this test" in found["free space"]["seen"]
    assert found["sessions"]["level"] == "ok"


def test_a_wrong_configuration_is_a_line_too(examine, tmp_path):
    (tmp_path / "config").write_text("[stuck]\nno_such_key = 1\n", encoding="utf-8")
    found = examine("--config", str(tmp_path / "config"), expect=1)
    assert "no_such_key" in found["configuration"]["seen"]
    assert examine("--config", str(tmp_path / "none"), expect=1)["configuration"]["level"] == "FAIL"


@pytest.mark.parametrize("agent", ["'open", ""], ids=["a quote left open", "nothing"])
def test_an_agent_command_that_is_none_is_wrong_usage(capsys, data, agent):
    assert run_command_line(("doctor", "--agent", agent, "--data", str(data))) == 2
    assert "--agent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        pytest.param("#!/bin/sh\n", 0o755, None, id="a script whose interpreter is there"),
        pytest.param("#!/bin/sh\n", 0o644, "not on the agent's PATH", id="a script that may not be run"),
        pytest.param("#!/no/such/thing -x\n", 0o755, "/no/such/thing", id="a script without its interpreter"),
        pytest.param(None, 0, "not on the agent's PATH", id="no file at all"),
    ],
)
@pytest.mark.parametrize("named", ["by its path", "by its name"])
def test_the_agents_program_is_looked_for_where_the_agent_would_be(examine, tmp_path, text, mode, told, named):
    if text is not None:
        (tmp_path / "helper").write_text(text, encoding="utf-8")
        (tmp_path / "helper").chmod(mode)
    config = tmp_path / "config"
    agent, more = (str(tmp_path / "helper"), "") if named == "by its path" else ("helper", f'PATH = "{tmp_path}"')
    config.write_text(f'[agent]\ncommand = "{agent}"\n[agent.environment]\n{more}\n', encoding="utf-8")
    found = examine("--config", str(config), expect=0 if told is None else 1)["agent"]
    assert found["level"] == ("ok" if told is None else "FAIL")
    assert (told or str(tmp_path / "helper")) in found["seen"]


@pytest.mark.parametrize(
    ("wall_ms", "mono_ms", "year_ms", "level"),
    [
        pytest.param(200, 200, 0, "ok", id="at one pace"),
        pytest.param(250, 200, 0, "ok", id="50 ms apart are tolerated"),
        pytest.param(251, 200, 0, "warn", id="51 ms apart are not"),
        pytest.param(-3_600_000, 200, 0, "warn", id="set back by an hour"),
        pytest.param(200, 200, -1_800_000_000_000, "FAIL", id="a machine that believes in 1970"),
    ],
)
def test_the_clock_is_judged_by_its_pace_and_its_year(wall_ms, mono_ms, year_ms, level):
    first = Instant(wall_ms=1_800_000_000_000 + year_ms, mono_ms=5)
    readings = [first, Instant(wall_ms=first.wall_ms + wall_ms, mono_ms=first.mono_ms + mono_ms)]
    assert doctor_machine.check_clock(lambda: readings.pop(0), lambda seconds: None).level == level


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", "ok"), *((kind, "warn") for kind in ("nfs4", "virtiofs", "overlay", "tmpfs", "fuse.x"))],
)
def test_the_file_system_is_judged_by_its_kind(monkeypatch, tmp_path, kind, level):
    monkeypatch.setattr(doctor_data, "file_system_of", lambda path: FileSystem(mount_point="/", kind=kind, source="x"))
    found = doctor_data.check_file_system(tmp_path)
    assert (found.level, kind in found.seen) == (level, True)


@pytest.mark.parametrize(
    ("mib", "files", "level"),
    [(2_000, 5_000, "ok"), (1_023, 5_000, "warn"), (99, 5_000, "FAIL"), (2_000, 999, "FAIL"), (2_000, None, "ok")],
)
def test_free_space_is_judged_by_bytes_and_files(monkeypatch, tmp_path, mib, files, level):
    total = 0 if files is None else 10_000
    disk = SimpleNamespace(f_bavail=mib * 256, f_frsize=4_096, f_files=total, f_favail=files or 0)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert doctor_data.check_space(tmp_path / "not" / "yet").level == level


@pytest.mark.parametrize(
    ("script", "level", "told"),
    [
        pytest.param("echo 27.1", "ok", "server 27.1", id="it answers"),
        pytest.param("echo no daemon >&2; exit 1", "warn", "no daemon", id="its daemon does not"),
        pytest.param("exit 3", "warn", "exit 3", id="it fails without a word"),
        pytest.param("exec sleep 30", "warn", "does not answer within", id="it hangs"),
        pytest.param(None, "info", "not installed", id="it is not there"),
    ],
)
def test_a_runtime_is_asked_with_a_time_limit(monkeypatch, tmp_path, script, level, told):
    monkeypatch.setattr(doctor_machine, "_RUNTIME_S", 0.5)
    if script is not None:
        (tmp_path / "box").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "box").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    before = time.monotonic()
    found = doctor_machine.check_runtime("box")
    assert (found.level, told in found.seen) == (level, True), found
    assert time.monotonic() - before < 20, "the limit holds"


def test_a_limit_of_few_open_files_is_a_warning(monkeypatch):
    for soft, level in ((255, "warn"), (256, "ok"), (doctor_machine.resource.RLIM_INFINITY, "ok")):
        monkeypatch.setattr(doctor_machine.resource, "getrlimit", lambda which, soft=soft: (soft, 4_096))
        assert doctor_machine.check_files_limit().level == level


def test_a_zone_that_is_none_is_a_failure(examine, monkeypatch):
    monkeypatch.setenv("TZ", "Mars/Olympus")
    assert "Mars/Olympus" in examine(expect=1)["time zone"]["seen"]


def test_the_help_says_that_something_is_written():
    done = subprocess.run(
        [doctor_machine.sys.executable, "-m", "turnkeel", "doctor", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(doctor_machine.sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = " ".join(done.stdout.split())
    assert "writes a small folder and removes it" in told
    assert "starts one container as a session would, and removes that" in told
