"""Does every file of the former queue become exactly one row, or stay in sight, however the import ends?"""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from turnkeel.cli.app import run_command_line
from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle.legacy import LIMIT_BYTES, LegacyFault, LegacyFolder
from turnkeel_adapters.lifecycle.legacy_entry import read_entry
from turnkeel_adapters.lifecycle.legacy_import import BATCH_FILES, import_legacy, preview_legacy
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.lifecycle.payloads import Outgoing
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import Doorbell
from turnkeel_core import SettlePolicy, plan_deliveries, plan_expiry, plan_prune

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
NOW = 1_800_000_000_000
MINUTE, DAY = 60_000, 86_400_000
FAULTY = "not JSON {"


def entry(entry_id="q1", text="hello", **more):
    said = {"id": entry_id, "enqueuedAt": NOW - MINUTE, "channel": "telegram", "to": "chat1", "retryCount": 0}
    return {**said, "payloads": [{"text": text}], **more}


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, said in files.items():
        (folder / f"{name}.json").write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")


def shown(folder):
    """Every file below the folder: its name and its text."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8", errors="replace") for path in found}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "queue").mkdir()
    return tmp_path / "queue"


@pytest.fixture(params=["turnkeel.db", "memory"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryLifecycle()
        return
    with HostState(tmp_path) as state:
        yield StateLifecycle(state.database)


@pytest.fixture
def take(folder, store):
    def take(now_ms=NOW):
        with LegacyFolder(folder) as queue:
            return {fate.file: fate for fate in import_legacy(queue, store, lambda: now_ms)}

    return take


def rows(store):
    with store.transaction() as work:
        return {
            row.row_id: (row, wire.loads(work.tables.outbox.payload(row.row_id), Outgoing))
            for row in work.tables.outbox.open()
        }


# What a file becomes


def test_a_file_becomes_a_final_row_that_keeps_its_age_its_failures_and_its_text(folder, store, take):
    tried = {"retryCount": 2, "lastAttemptAt": NOW - 5, "lastError": "e"}
    write(folder, q1=entry(accountId="a", threadId=7, replyToId="m9", **tried))
    assert take()["q1.json"].kind == "imported"
    assert shown(folder) == {}
    ((row, said),) = rows(store).values()
    assert (row.row_id, row.kind, row.channel, row.turn_id) == ("q1", "final", "telegram", None)
    assert (row.queued_at_ms, row.due_at_ms, row.attempts, row.last_error) == (NOW - MINUTE, NOW - 5, 2, "e")
    assert said == Outgoing(parts=("hello",), chat="chat1", account="a", thread="7", in_reply_to="m9")


def test_a_text_is_stored_without_its_secrets_and_its_file_is_known_again_whatever_is_secret_by_then(folder, store):
    def take(hide):
        write(folder, q1=entry(payloads=[{"text": "the key is swordfish"}]))
        with LegacyFolder(folder) as queue:
            return [fate.kind for fate in import_legacy(queue, store, lambda: NOW, hide)]

    assert take(lambda channel, text: text.replace("swordfish", f"[of {channel}]")) == ["imported"]
    assert take(lambda channel, text: text) == ["known"]
    ((_, said),) = rows(store).values()
    assert said.parts == ("the key is [of telegram]",)


def test_several_payloads_are_parts_and_media_are_kept_as_addresses(folder, store, take):
    pictures = {"mediaUrls": ["https://p/1", "https://p/2", "https://p/1"], "replyToId": "m3"}
    payloads = [{"text": "one"}, {"text": "two", "mediaUrl": "https://p/0"}, {"text": ""}, pictures]
    write(folder, q1=entry(payloads=payloads))
    take()
    ((row, said),) = rows(store).values()
    assert said.parts == ("one", "two\nhttps://p/0", "https://p/1\nhttps://p/2")
    assert (row.parts, said.in_reply_to) == (3, "m3")


def test_rows_of_one_chat_are_sent_in_the_order_of_their_age_over_batches_and_imports(folder, store, take):
    ages = {f"q{number:03d}": BATCH_FILES * 2 - number for number in range(BATCH_FILES + 20)}
    for name, age in ages.items():
        write(folder, **{name: entry(name, enqueuedAt=NOW - 1_000 - age)})
    assert {fate.kind for fate in take().values()} == {"imported"}
    write(folder, late=entry("late", enqueuedAt=NOW - 500))
    take()
    assert list(rows(store)) == [*sorted(ages), "late"]
    with store.transaction() as work:
        (claim,) = plan_deliveries(work.deliveries("w", NOW, ()))
        assert claim.row_id == "q000"


def test_a_row_that_is_too_old_ends_in_sight_and_is_not_sent(folder, store, take):
    write(folder, old=entry("old", enqueuedAt=NOW - DAY), new=entry("new"))
    take()
    with store.transaction() as work:
        work.apply(plan_expiry(work.expiry(NOW)), NOW)
        assert work.tables.outbox.get("old").status == "expired"
        assert work.tables.outbox.get("new").status == "queued"
        (dead,) = work.tables.dead.of_message("", "old")
        assert (dead.direction, dead.state) == ("outbound", "dead")
        assert work.tables.dead.of_message("", "new") == ()


def test_an_entry_of_a_channel_that_nobody_set_up_waits_like_any_other(folder, store, take):
    write(folder, q1=entry(channel="carrier-pigeon"))
    take()
    with store.transaction() as work:
        (claim,) = plan_deliveries(work.deliveries("w", NOW, ()))
        assert claim.row_id == "q1"


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (FAULTY, "not JSON"),
        ("", "not JSON"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id": ' + "9" * 5_000 + "}", "not JSON"),
        (entry(entry_id=""), "id missing"),
        (entry(entry_id=7), "id missing"),
        (entry(channel=None), "channel missing"),
        (entry(to=True), "to missing"),
        (entry(to=" "), "to missing"),
        (entry(to="a\nb"), "to holds control characters"),
        (entry(channel="\ud800"), "channel holds control characters"),
        (entry(entry_id="x" * 513), "id holds control characters or is longer"),
        (entry(payloads={}), "payloads missing"),
        (entry(payloads=["hello"]), "a payload is no JSON object"),
        (entry(payloads=[{"text": 7}]), "a payload's text is no text"),
        (entry(payloads=[{"text": " "}, {}]), "it says nothing"),
        (entry(payloads=[]), "it says nothing"),
    ],
)
def test_what_cannot_become_a_message_is_quarantined_with_its_reason(folder, store, take, said, fault):
    write(folder, bad=said, good=entry())
    text = (folder / "bad.json").read_text()
    fates = take()
    assert (fates["bad.json"].kind, fates["good.json"].kind) == ("quarantined", "imported")
    assert fates["bad.json"].detail.startswith(fault)
    assert shown(folder) == {"failed/bad.json": text}
    assert stat.S_IMODE((folder / "failed").stat().st_mode) == 0o700
    assert list(rows(store)) == ["q1"] and take() == {}


@pytest.mark.parametrize(
    ("odd", "field", "expected"),
    [
        ('"enqueuedAt": NaN', "queued_at_ms", NOW),
        ('"enqueuedAt": 1e400', "queued_at_ms", NOW),
        ('"enqueuedAt": "yesterday"', "queued_at_ms", NOW),
        ('"enqueuedAt": true', "queued_at_ms", NOW),
        ('"enqueuedAt": 1799999940000.7', "queued_at_ms", NOW - MINUTE),
        (f'"enqueuedAt": {NOW + DAY}', "queued_at_ms", NOW),
        (f'"lastAttemptAt": {NOW + DAY}', "due_at_ms", NOW - MINUTE),
        ('"retryCount": -3', "attempts", 0),
        ('"retryCount": 1e30', "attempts", 0),
        ('"retryCount": 1, "retryCount": 2', "attempts", 2),
        ('"lastError": ["x"]', "last_error", None),
        ('"lastError": "\\ud83d!"', "last_error", "\ufffd!"),
        ('"accountId": 7', "lane", "8:telegram-5:chat1"),
        ('"turnId": "of-elsewhere"', "turn_id", None),
    ],
)
def test_an_odd_field_harms_only_itself(folder, store, take, odd, field, expected):
    write(folder, q1=json.dumps(entry())[:-1] + f", {odd}}}")
    assert take()["q1.json"].kind == "imported"
    ((row, _),) = rows(store).values()
    assert getattr(row, field) == expected


def test_halves_of_characters_are_replaced_and_whole_ones_kept(folder, store, take):
    write(folder, q1='\ufeff{"id": "q1", "channel": "c", "to": "t", "payloads": [{"text": "\\ud83d\\ude00 \\ude00"}]}')
    assert take()["q1.json"].kind == "imported"
    assert rows(store)["q1"][1].parts == ("\U0001f600 \ufffd",)


def test_what_no_row_can_hold_is_named(folder, take):
    payloads = [{"text": "x", "audioAsVoice": True, "isError": False}]
    write(folder, q1=entry(payloads=payloads, silent=True, bestEffort=False, mirror={"sessionKey": "s"}))
    assert take()["q1.json"].left_out == ("silent", "mirror", "audioAsVoice")


def test_no_byte_over_the_limit_is_read(folder, take):
    said = json.dumps(entry())
    write(folder, fits=said + " " * (LIMIT_BYTES - len(said)), over=said + " " * (LIMIT_BYTES - len(said) + 1))
    with (folder / "vast.json").open("wb") as file:
        file.truncate(1 << 40)
    fates = take()
    assert {name: fate.kind for name, fate in fates.items()} == {
        "fits.json": "imported",
        "over.json": "quarantined",
        "vast.json": "quarantined",
    }
    (folder / "failed/vast.json").unlink()


# The folder


def test_temporary_files_dead_letters_and_folders_are_another_writers(folder, take):
    (folder / "failed").mkdir()
    (folder / "folder.json").mkdir()
    write(folder / "failed", dead=entry("dead"))
    (folder / "q1.json.123.tmp").write_text("{")
    (folder / "readme.txt").write_text("hi")
    before = shown(folder)
    assert take() == {} and shown(folder) == before and (folder / "folder.json").is_dir()


def test_links_and_pipes_are_moved_away_unread(folder, store, take, tmp_path):
    write(tmp_path / "elsewhere", secret=entry())
    (folder / "link.json").symlink_to(tmp_path / "elsewhere/secret.json")
    (folder / "loose.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.json")
    assert {name: fate.kind for name, fate in take().items()} == {
        "link.json": "quarantined",
        "loose.json": "quarantined",
        "pipe.json": "quarantined",
    }
    assert sorted(os.listdir(folder / "failed")) == ["link.json", "loose.json", "pipe.json"]
    assert (folder / "failed/link.json").is_symlink() and (tmp_path / "elsewhere/secret.json").exists()
    assert rows(store) == {}


def test_a_quarantined_file_is_never_written_over(folder, take):
    write(folder / "failed", bad="the first")
    for said in ("{second", "{third"):
        write(folder, bad=said)
        take()
    assert shown(folder) == {
        "failed/bad.json": "the first",
        "failed/bad.1.json": "{second",
        "failed/bad.2.json": "{third",
    }


def test_a_link_in_place_of_the_folder_for_failed_files_is_not_followed(folder, take, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "failed").symlink_to(tmp_path / "elsewhere")
    write(folder, bad=FAULTY)
    assert take()["bad.json"].kind == "left"
    assert shown(folder) == {"bad.json": FAULTY} and os.listdir(tmp_path / "elsewhere") == []


def test_an_unreadable_file_is_left_and_told(folder, store, monkeypatch):
    write(folder, q1=entry(), q2=entry("q2"))
    real = os.open

    def denied(path, *args, **kwargs):
        if path == "q1.json":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    with LegacyFolder(folder) as queue:
        monkeypatch.setattr(os, "open", denied)
        fates = {fate.file: fate.kind for fate in import_legacy(queue, store, lambda: NOW)}
    assert fates == {"q1.json": "left", "q2.json": "imported"}
    assert list(shown(folder)) == ["q1.json"]


def test_one_import_at_a_time(folder, take):
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(LegacyFault, match="another import"):
        take()
    os.close(fd)
    assert take() == {}


@pytest.mark.parametrize("said", [entry(), FAULTY])
def test_a_file_that_changed_while_it_was_imported_stays(folder, store, said):
    write(folder, q1=said)

    def read_clock():
        if next(looks) == 1:  # read, but not planned yet
            write(folder, q1=entry(text="newer"))
        return NOW

    looks = iter(range(9))
    with LegacyFolder(folder) as queue:
        (fate,) = import_legacy(queue, store, read_clock)
    assert fate.kind == "left" and "changed meanwhile" in fate.detail
    assert json.loads(shown(folder)["q1.json"])["payloads"] == [{"text": "newer"}]


# Twice is once


def test_the_same_file_again_is_removed_and_adds_nothing_even_when_its_row_is_pruned(folder, store, take):
    write(folder, q1=entry())
    take()
    write(folder, q1=entry(retryCount=4, lastError="since then"))
    assert take()["q1.json"].kind == "known" and shown(folder) == {}
    assert rows(store)["q1"][0].attempts == 0
    with store.transaction() as work:
        work.apply(plan_expiry(work.expiry(NOW + DAY)), NOW + DAY)
        work.apply(plan_prune(work.prune(NOW + 99 * DAY, SettlePolicy(), limit=9)), NOW + 99 * DAY)
        assert work.tables.outbox.get("q1") is None
    write(folder, q1=entry())
    assert take(NOW + 100 * DAY)["q1.json"].kind == "known"
    assert rows(store) == {} and shown(folder) == {}


def test_another_message_under_a_known_id_is_kept_not_taken_for_a_copy(folder, store, take):
    write(folder, a=entry(enqueuedAt=NOW - 2), b=entry(text="other", enqueuedAt=NOW - 1), c=entry())
    fates = take()
    kinds = {name: fate.kind for name, fate in fates.items()}
    assert kinds == {"a.json": "known", "b.json": "quarantined", "c.json": "imported"}
    assert "another message has the id q1" in fates["b.json"].detail
    assert rows(store)["q1"][1].parts == ("hello",)
    write(folder, d=entry(text="a third"))
    assert take()["d.json"].kind == "quarantined"
    assert sorted(shown(folder)) == ["failed/b.json", "failed/d.json"]


def test_a_store_that_cannot_commit_leaves_every_file(folder, tmp_path):
    write(folder, q1=entry(), bad=FAULTY)
    before = shown(folder)

    class Full:
        def transaction(self):
            raise StateFault(tmp_path / "turnkeel.db", "disk full")

    with LegacyFolder(folder) as queue, pytest.raises(StateFault):
        list(import_legacy(queue, Full(), lambda: NOW))
    assert shown(folder) == before


DIE = """
import json, os, signal, sys
from pathlib import Path
from turnkeel_adapters.lifecycle.legacy import LegacyFolder
from turnkeel_adapters.lifecycle.legacy_import import import_legacy
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.store import HostState

place, first, stride, steps, now = Path(sys.argv[1]), *map(int, sys.argv[2:6])
files = json.loads(sys.argv[6])
OURS = ("/legacy.py", "/legacy_import.py", "/apply.py", "/evidence.py", "/lifecycle/outbox.py", "/state/database.py")

def trace(frame, event, arg):
    global left
    if not frame.f_code.co_filename.endswith(OURS):
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace

for step in range(first, first + stride * steps, stride):
    data = place / str(step)
    (data / "queue").mkdir(parents=True)
    for name, said in files.items():
        (data / "queue" / name).write_text(said)
    HostState(data).close()
    child = os.fork()
    if child == 0:
        left = step
        with HostState(data) as state, LegacyFolder(data / "queue") as queue:
            sys.settrace(trace)
            list(import_legacy(queue, StateLifecycle(state.database), lambda: now))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(step, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)
    if not os.WIFSIGNALED(status):
        break
"""
FILES = {
    "a.json": json.dumps(entry("a")),
    "b.json": FAULTY,
    "c.json": json.dumps(entry("c")),
    "copy.json": json.dumps(entry("a")),
    "other.json": json.dumps(entry("a", "other")),
}


def _killed(place, first, stride, steps):
    """Each data directory whose import was killed at that many lines, and whether it was."""
    argv = [sys.executable, "-c", DIE, str(place), *map(str, (first, stride, steps, NOW)), json.dumps(FILES)]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        step, died = map(int, line.split())
        assert died in (0, signal.SIGKILL)
        yield place / str(step), died == signal.SIGKILL


def _texts(data):
    """Every text of the queue, wherever it lies now: in the folder, in `failed/` or in a row."""
    found = [text for text in shown(data / "queue").values() if text]
    with HostState(data) as state:
        stored = rows(StateLifecycle(state.database))
    return found, {row_id: said.parts[0] for row_id, (_, said) in stored.items()}


def _check_killed(data, was_killed):
    found, stored = _texts(data)
    for name, text in FILES.items():
        said = json.loads(text) if text != FAULTY else None
        kept = said is not None and stored.get(said["id"]) == said["payloads"][0]["text"]
        assert text in found or kept, f"{name} is lost, killed in {data}"
    with HostState(data) as state, LegacyFolder(data / "queue") as queue:
        list(import_legacy(queue, StateLifecycle(state.database), lambda: NOW))
    found, stored = _texts(data)
    assert stored == {"a": "hello", "c": "hello"}
    assert sorted(found) == sorted((FILES["b.json"], FILES["other.json"])), was_killed


def test_killed_at_any_step_and_run_again_it_adds_nothing_twice_and_loses_nothing(tmp_path):
    killed = [was for data, was in _killed(tmp_path, 3, 23, 1_000) if _check_killed(data, was) is None]
    assert killed.count(False) == 1 and killed.count(True) > 10


@pytest.mark.long
def test_killed_at_every_fifth_line_it_loses_nothing(tmp_path):
    killed = [was for data, was in _killed(tmp_path, 1, 5, 10_000) if _check_killed(data, was) is None]
    assert killed.count(False) == 1 and killed.count(True) > 60


# The command


@pytest.fixture
def run(capsys, folder, tmp_path):
    (tmp_path / "data").mkdir()

    def run(*argv, expect=0):
        code = run_command_line(("import", str(folder), "--data", str(tmp_path / "data"), *argv))
        told = capsys.readouterr()
        assert code == expect, told.out + told.err
        return told.out + told.err

    return run


def recent(entry_id, **more):
    return entry(entry_id, enqueuedAt=time.time_ns() // 1_000_000 - MINUTE, **more)


def test_the_command_says_of_each_file_what_became_of_it_and_rings(run, folder, tmp_path):
    write(folder, q1=recent("q1", silent=True), bad=FAULTY)
    doorbell = Doorbell(tmp_path / "data")
    assert doorbell.rung() is False
    said = run(expect=1)
    assert "q1.json: imported; row q1 for telegram" in said and "without its silent" in said
    assert "bad.json: quarantined; not JSON" in said and "kept as failed/bad.json" in said
    assert said.splitlines()[-1] == "1 imported, 1 quarantined"
    assert doorbell.rung() is True
    assert run().splitlines() == ["no file to import"]


def test_the_command_answers_in_json(run, folder):
    write(folder, q1=recent("q1"))
    answer = json.loads(run("--json"))
    assert answer["counts"] == {"imported": 1} and answer["dry_run"] is False
    (told,) = answer["files"]
    assert (told["file"], told["outcome"], told["row_id"], told["channel"]) == ("q1.json", "imported", "q1", "telegram")


def test_a_dry_run_changes_nothing_with_and_without_a_store(run, folder, tmp_path):
    write(folder, q1=recent("q1"), bad=FAULTY)
    before = shown(folder)
    assert "q1.json: would be imported" in run("--dry-run", expect=1)
    assert shown(folder) == before and list((tmp_path / "data").iterdir()) == []
    run(expect=1)
    write(folder, q1=before["q1.json"])
    again = shown(tmp_path / "data")
    assert "imported before, would be removed" in run("--dry-run")
    assert {name: text for name, text in shown(tmp_path / "data").items() if name in again} == again
    assert "q1.json" in shown(folder)


def test_the_command_works_beside_a_host_that_holds_the_store_open(run, folder, tmp_path):
    write(folder, q1=recent("q1"))
    with HostState(tmp_path / "data") as state:
        run()
        assert list(rows(StateLifecycle(state.database))) == ["q1"]


def test_a_key_in_an_error_text_is_not_stored(run, folder, tmp_path):
    write(folder, q1=recent("q1", retryCount=1, lastError="401 for sk-ant-api03-A1b2C3d4E5A1b2C3d4E5"))
    run()
    with HostState(tmp_path / "data") as state:
        ((row, _),) = rows(StateLifecycle(state.database)).values()
    assert row.last_error.startswith("401 for ") and "A1b2C3d4E5" not in row.last_error


def test_no_folder_is_one_line_and_exit_1(run, folder):
    folder.rmdir()
    assert "is no folder that can be read" in run(expect=1)


def test_the_preview_says_what_the_import_does(folder, store, take):
    write(folder, q1=entry(), q2=FAULTY, q3=entry("q3"))
    with LegacyFolder(folder) as queue:
        foreseen = [(fate.file, fate.kind) for fate in preview_legacy(queue, store, lambda: NOW)]
    assert foreseen == [(name, fate.kind) for name, fate in take().items()]


def test_reading_an_entry_never_raises():
    for content in (b"\xff\xfe", b"{}", b'{"payloads": [{"text": "x"}], "to": "\\u0000"}', b"null", b"1e999"):
        assert read_entry("x.json", content, NOW).payload is None or content == b"{}"
