"""Does the demo prove what it says, and does its verdict notice when the promise is broken?"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.agent import Agent
from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.reading import open_reading
from turnkeel.events import Died, Held, HostStarted, Settled, Woke
from turnkeel.lab.board import Board
from turnkeel.lab.cast import CAST, Role
from turnkeel.lab.chat import TROUBLES, read_calls
from turnkeel.lab.demo import demo, set_scene
from turnkeel.lab.letters import LETTERS, Letter
from turnkeel.lab.letters_end import LetterEnd
from turnkeel.lab.letters_end import closing_line as letters_line
from turnkeel.lab.letters_end import find_wrong as find_wrong_letters
from turnkeel.lab.readback import read_aftermath
from turnkeel.lab.verdict import Aftermath, MessageEnd, closing_line, find_wrong
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.records import InboundChanges
from turnkeel_adapters.state.store import HostState
from turnkeel_core import HoldWake

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
LIMIT_S = 90
CLOSING = "13 messages: 10 answered once, 3 failed visibly, 0 lost, 0 answered twice"
LETTERS_CLOSING = re.compile(
    r"11 accepted: [89] delivered, [12] unknown and held for a person, 1 failed visibly, 0 lost, 0 shown twice"
)
LOG_LIMIT = 1_000


def _command(arguments: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; from turnkeel.lab.demo import demo; sys.exit(demo({arguments}))"]


def _environment(place: Path) -> dict[str, str]:
    named = {"PYTHONPATH": PATHS, "TMPDIR": str(place), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    return {**os.environ, **named}


def test_the_demo_in_plain_lines_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        _command("plain=None"), env=_environment(tmp_path), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert CLOSING in ran.stdout.splitlines()
    assert LETTERS_CLOSING.fullmatch(ran.stdout.splitlines()[-1])
    assert ran.stdout.count("the host is killed in mid-send") == 2
    assert {words for words in TROUBLES.values() if f"the chat {words}" in ran.stdout} == set(TROUBLES.values())
    assert "the chat hangs up before it reads anything" in ran.stdout
    assert "\x1b" not in ran.stdout
    for told in (
        "stop container 1: hangs-beating-1 makes no progress",
        "stop container 1: hangs-silently-1 claimed",
        "fired    progress hangs-beating-1: nothing moved since",
        "fired    claim hangs-silently-1: no heartbeat since the claim",
        "fail crashes-always-1 for good: 2 of 2 tries are used",
        "main/poison is faulty, the others went on: inbound.db: not_sqlite",
        "waiting: slot",
    ):
        assert told in ran.stdout
    assert ran.stdout.count("processes left: 0") == 2
    assert list(tmp_path.iterdir()) == []


def test_the_demo_on_a_terminal_shows_a_table_and_keeps_its_data(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, shown = _on_a_terminal(_command(f"keep=__import__('pathlib').Path({str(kept)!r})"), _environment(tmp_path))
    assert code == 0, shown
    assert CLOSING in shown
    assert "\x1b[?25l" in shown, "no live table was drawn"
    assert "last event" in shown
    assert (kept / "turnkeel.db").exists()
    assert (kept / "v2-sessions" / "main" / "answers" / "outbound.db").exists()
    assert len(read_calls(kept / "chats" / "chat")) >= 17


@pytest.mark.long
@pytest.mark.parametrize("line", ["started for hangs-beating-1", "a host starts", "ada-1     call 1"])
def test_an_interrupted_demo_stops_its_agents_and_judges_nothing(tmp_path: Path, line: str) -> None:
    with subprocess.Popen(_command("plain=True"), env=_environment(tmp_path), stdout=subprocess.PIPE, text=True) as ran:
        assert ran.stdout is not None
        assert any(line in told for told in ran.stdout)
        ran.send_signal(signal.SIGINT)
        rest = ran.stdout.read()
        assert ran.wait(LIMIT_S) == 130
    assert "interrupted: nothing is judged" in rest
    assert "accepted:" not in rest
    assert not [entry for entry in Path("/proc").glob("[0-9]*/environ") if str(tmp_path) in _read(entry)]
    assert list(tmp_path.iterdir()) == []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_a_directory_that_holds_something_is_not_played_in(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(WrongUsage, match="holds something already"):
        demo(plain=True, keep=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


FATES = {
    "one reply and a completed row: answered": ("completed", 1, None, "answered"),
    "no reply, but a dead record with its reason: failed": ("failed", 0, "container gone", "failed"),
    "given up by the agent, the row is completed, the record tells: failed": ("completed", 0, "no_output", "failed"),
    "the row is gone: lost": (None, 0, None, "lost"),
    "completed without an answer and without a reason: lost": ("completed", 0, None, "lost"),
    "failed without a reason is not visible: lost": ("failed", 0, None, "lost"),
    "two replies: twice": ("completed", 2, None, "twice"),
    "two replies and a row that is gone: twice": (None, 2, None, "twice"),
    "still pending: unsettled": ("pending", 0, None, "unsettled"),
    "answered, but still pending, so it may be answered again: unsettled": ("pending", 1, None, "unsettled"),
    "answered, and dead as well: contradicted": ("completed", 1, "container gone", "contradicted"),
    "answered, and its row says failed: contradicted": ("failed", 1, None, "contradicted"),
}


@pytest.mark.parametrize(("row", "replies", "dead", "fate"), FATES.values(), ids=FATES.keys())
def test_the_fate_of_a_message_is_read_from_its_rows(
    row: str | None, replies: int, dead: str | None, fate: str
) -> None:
    end = MessageEnd(session="main/a", message_id="a-1", row=row, replies=replies, dead=dead)
    assert end.fate == fate


ROLES = (
    Role(name="a", plot="", messages=1, answered=1),
    Role(name="b", plot="", messages=1, failed=1, kill="KillNoProgress"),
    Role(name="c", plot="", messages=0, broken=True),
)
ANSWERED = MessageEnd(session="main/a", message_id="a-1", row="completed", replies=1)
FAILED = MessageEnd(session="main/b", message_id="b-1", row="failed", replies=0, dead="container gone")
GOOD = Aftermath(
    ends=(ANSWERED, FAILED),
    kills=(("main/b", "KillNoProgress"),),
    faulty=frozenset({"main/c"}),
    logs=(("main/a", LOG_LIMIT),),
)


def test_nothing_is_wrong_when_all_is_as_promised() -> None:
    assert find_wrong(ROLES, GOOD, LOG_LIMIT) == ()
    assert closing_line(GOOD) == "2 messages: 1 answered once, 1 failed visibly, 0 lost, 0 answered twice"


BROKEN = {
    "a lost message": (evolve(GOOD, ends=(evolve(ANSWERED, row=None, replies=0), FAILED)), "a-1 is lost"),
    "a message answered twice": (evolve(GOOD, ends=(evolve(ANSWERED, replies=2), FAILED)), "a-1 is twice"),
    "an unsettled message": (
        evolve(GOOD, ends=(evolve(ANSWERED, row="pending", replies=0), FAILED)),
        "a-1 is unsettled",
    ),
    "a failure nobody can see": (evolve(GOOD, ends=(ANSWERED, evolve(FAILED, dead=None))), "b-1 is lost"),
    "a message that was to be answered and failed": (
        evolve(GOOD, ends=(evolve(ANSWERED, replies=0, dead="x"), FAILED)),
        "main/a: 1 answered and 0 failed were to be, not 0 and 1",
    ),
    "a reply that answers nothing": (evolve(GOOD, strays=("main/a: None",)), "answers no message"),
    "a healthy container that was killed": (
        evolve(GOOD, kills=(*GOOD.kills, ("main/a", "KillStaleClaim"))),
        "main/a: a container that did not hang was killed: KillStaleClaim",
    ),
    "a hang that was never ended": (evolve(GOOD, kills=()), "main/b: its container hung and was never killed"),
    "a broken session that nobody reported": (evolve(GOOD, faulty=frozenset()), "main/c: a fault is missing"),
    "a fault of a whole session": (
        evolve(GOOD, faulty=frozenset({"main/a", "main/c"})),
        "main/a: a fault is on record",
    ),
    "a process that is left": (
        evolve(GOOD, leftovers=("main/a container 1: process 7",)),
        "process 7: a process is left",
    ),
    "a log without bound": (evolve(GOOD, logs=(("main/a", LOG_LIMIT + 1),)), "1001 bytes of log, allowed are 1000"),
}


@pytest.mark.parametrize(("after", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_the_verdict_finds(after: Aftermath, words: str) -> None:
    wrong = find_wrong(ROLES, after, LOG_LIMIT)
    assert any(words in line for line in wrong), wrong


def test_the_closing_line_counts_what_should_not_be() -> None:
    ends = (
        evolve(ANSWERED, row=None, replies=0),
        evolve(ANSWERED, replies=3),
        evolve(ANSWERED, row="pending", replies=0),
        evolve(ANSWERED, dead="x"),
    )
    assert closing_line(Aftermath(ends=ends)) == (
        "4 messages: 0 answered once, 0 failed visibly, 1 lost, 1 answered twice, 1 not settled, "
        "1 both answered and failed"
    )


def test_lost_doubled_and_unsettled_messages_are_found_in_the_files(tmp_path: Path) -> None:
    cast = tuple(Role(name=name, plot="", answered=1) for name in ("doubled", "lost", "settled", "unsettled"))
    set_scene(tmp_path, cast)
    HostState(tmp_path).close()
    for role in cast[:3]:
        with Agent(FileSessions(tmp_path).store(role.session).folder, handle_sigterm=False) as agent:
            message = agent.next_message(wait_s=5.0)
            assert message is not None
            if role.name == "doubled":
                agent.say("this once")
            agent.reply(message, "and this is the answer")
        FileSessions(tmp_path).store(role.session).write_inbound(InboundChanges(settled=role.message_ids))
    db = apsw.Connection(str(tmp_path / "v2-sessions" / "main" / "lost" / "inbound.db"))
    db.execute("DELETE FROM messages_in")
    db.close()
    with open_reading(tmp_path) as reading:
        after = read_aftermath(reading, cast, ())
    assert [(end.message_id, end.fate) for end in after.ends] == [
        ("doubled-1", "twice"),
        ("lost-1", "lost"),
        ("settled-1", "answered"),
        ("unsettled-1", "unsettled"),
    ]
    counts = "4 messages: 1 answered once, 0 failed visibly, 1 lost, 1 answered twice, 1 not settled"
    assert closing_line(after) == counts
    assert len(find_wrong(cast, after, LOG_LIMIT)) == 6  # each of the three, and each unlike its plot


def test_the_cast_is_larger_than_the_places_and_its_messages_add_up() -> None:
    assert len({role.name for role in CAST}) == len(CAST)
    assert all(role.answered + role.failed == role.messages == len(role.message_ids) for role in CAST)
    counts = sum(role.messages for role in CAST), sum(role.answered for role in CAST), sum(role.failed for role in CAST)
    assert CLOSING.startswith("{} messages: {} answered once, {} failed visibly".format(*counts))


SHOWN_ONCE = LetterEnd(letter=Letter(session="a", number=1), status="delivered", row="delivered", calls=1, seen=1)
BECAME = {
    "delivered and seen": ({}, "delivered"),
    "seen twice, whatever the files say": ({"seen": 2}, "twice"),
    "called delivered, and nobody saw it: lost": ({"seen": 0}, "lost"),
    "delivered without an answer: lost": ({"row": None, "seen": 0}, "lost"),
    "no turn at all: lost": ({"status": None}, "lost"),
    "failed, with a reason": ({"status": "failed_terminal", "row": "failed_terminal", "reason": "413"}, "failed"),
    "failed without a reason: lost": ({"status": "failed_terminal", "row": "failed_terminal"}, "lost"),
    "held for a person": ({"status": "delivery_pending", "row": "unknown"}, "unknown"),
    "still to be sent": ({"status": "delivery_pending", "row": "queued"}, "unsettled"),
}


@pytest.mark.parametrize(("change", "became"), BECAME.values(), ids=BECAME.keys())
def test_what_became_of_an_answer_is_read_from_the_files_and_the_chat(change: dict[str, object], became: str) -> None:
    assert evolve(SHOWN_ONCE, **change).became == became


def test_the_verdict_on_the_answers_finds_what_is_not_as_promised() -> None:
    lost, twice = evolve(SHOWN_ONCE, status=None), evolve(SHOWN_ONCE, seen=2)
    assert find_wrong_letters((SHOWN_ONCE,), 2, ()) == ()
    assert letters_line((SHOWN_ONCE, lost, twice)).endswith("1 lost, 1 shown twice")
    assert len(find_wrong_letters((lost, twice), 2, ())) == 2
    assert find_wrong_letters((evolve(SHOWN_ONCE, calls=2, doubts=1),), 2, ()) == ()
    [silent] = find_wrong_letters((evolve(SHOWN_ONCE, calls=2),), 2, ())
    [kills] = find_wrong_letters((SHOWN_ONCE,), 1, ())
    [left] = find_wrong_letters((SHOWN_ONCE,), 2, ("process 7",))
    assert "no doubt is on record" in silent
    assert "1 hosts were killed" in kills
    assert "process 7" in left


def test_the_letters_meet_every_trouble() -> None:
    assert {trouble for letter in LETTERS for trouble in letter.troubles} | {"none"} == set(TROUBLES)


def test_the_board_follows_the_events() -> None:
    board = Board(ROLES)
    told = (
        (HostStarted(3, 0), "-", 0),
        (Held("main/a", HoldWake("slot", None, ("a-1",))), "waits: slot", 0),
        (Woke("main/a", 1, ("a-1",)), "running", 0),
        (Died("main/a", 1, None, 9, None), "ended", 0),
        (Woke("main/a", 2, ("a-1",)), "running", 0),
        (Settled("main/a", "a-1", "completed"), "running", 1),
        (Died("main/a", 2, 0, None, "StopIdle"), "done", 1),
        (Woke("main/stranger", 1, ()), "done", 1),
    )
    for event, state, answered in told:
        board(event)
        standing = board.standings()[0]
        assert (standing.shown, standing.answered) == (state, answered)
    assert board.standings()[0].incarnation == 2
    assert [one.shown for one in board.standings()[1:]] == ["-", "-"]


def _on_a_terminal(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run it in a terminal of its own; its exit code and all that it showed."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as ran:
            os.close(theirs)
            shown, until = b"", time.monotonic() + LIMIT_S
            while time.monotonic() < until:
                if not select.select([ours], [], [], 1.0)[0]:
                    continue
                try:
                    chunk = os.read(ours, 65_536)
                except OSError:  # how a terminal says that nobody writes to it any more
                    break
                if not chunk:
                    break
                shown += chunk
            else:
                ran.kill()
            return ran.wait(LIMIT_S), shown.decode(errors="replace")
    finally:
        os.close(ours)
