"""Is what a container asks about its tasks done once, or answered?"""

import json

import apsw
import pytest

from turnkeel_adapters.sessions import tasks
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName

T = 1_795_000_000_000
TASK = {"action": "schedule_task", "taskId": "t1", "prompt": "water them", "script": None}


@pytest.fixture
def mail(tmp_path):
    sessions = FileSessions(tmp_path)
    sessions.tree.create(SessionName.parse("main/a"))
    return sessions.store("main/a")


def ask(mail, content, row="out-1", now_ms=T):
    text = content if isinstance(content, str) else json.dumps(content)
    return mail.carry_out(row, text, f"sys-{row}", now_ms)


def rows(mail, sql="SELECT id, kind, status, process_after, recurrence, content FROM messages_in ORDER BY seq"):
    db = apsw.Connection(str(mail.folder / "inbound.db"))
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def marks(mail):
    return rows(mail, "SELECT message_out_id, status FROM delivered ORDER BY message_out_id")


def test_a_task_is_stored_as_it_was_asked_for(mail):
    where = {"platformId": "p", "channelType": "web", "threadId": "th"}
    more = {"processAfter": "2026-11-20T09:00:00Z", "recurrence": "0 9 * * 1-5", **where}
    assert ask(mail, {**TASK, **more}) is None
    [row] = rows(mail)
    assert row[:5] == ("t1", "task", "pending", "2026-11-20T09:00:00.000Z", "0 9 * * 1-5")
    assert json.loads(row[5]) == {"prompt": "water them", "script": None}
    assert rows(mail, "SELECT platform_id, channel_type, thread_id, series_id FROM messages_in") == [
        ("p", "web", "th", "t1")
    ]
    assert marks(mail) == [("out-1", "delivered")]


def test_the_same_row_again_changes_nothing(mail):
    ask(mail, TASK)
    ask(mail, {"action": "cancel_task", "taskId": "t1"}, "out-2")
    ask(mail, TASK)
    ask(mail, {"action": "update_task", "taskId": "nobody"}, "out-3")
    ask(mail, {"action": "update_task", "taskId": "nobody"}, "out-3")
    assert [row[:3] for row in rows(mail)] == [("t1", "task", "completed"), ("sys-out-3", "chat", "pending")]


def test_tasks_are_paused_resumed_updated_and_cancelled(mail):
    ask(mail, TASK)
    states = []
    for number, action in enumerate(("pause_task", "resume_task", "cancel_task")):
        assert ask(mail, {"action": action, "taskId": "t1"}, f"a{number}") is None
        states.append(rows(mail)[0][2])
        if action == "resume_task":
            changes = {
                "prompt": "feed them",
                "recurrence": "@daily",
                "processAfter": "2026-12-01 08:00:00",
                "script": 7,
            }
            assert ask(mail, {"action": "update_task", "taskId": "t1", **changes}, "u") is None
            assert rows(mail)[0][3:5] == ("2026-12-01T08:00:00.000Z", "@daily")
            assert json.loads(rows(mail)[0][5]) == {"prompt": "feed them", "script": None}
            assert ask(mail, {"action": "update_task", "taskId": "t1", "recurrence": None}, "v") is None
            assert rows(mail)[0][4] is None
    assert states == ["paused", "pending", "completed"]


BAD = [
    ({**TASK, "prompt": " "}, "prompt"),
    ({**TASK, "prompt": 5}, "prompt"),
    ({**TASK, "script": 5}, "script"),
    ({**TASK, "taskId": ""}, "taskId"),
    ({**TASK, "taskId": 7}, "taskId"),
    ({**TASK, "taskId": "a\nb"}, "taskId"),
    ({**TASK, "taskId": "x" * 201}, "taskId"),
    ({**TASK, "processAfter": "tomorrow"}, "processAfter"),
    ({**TASK, "processAfter": 5}, "processAfter"),
    ({**TASK, "recurrence": ""}, "recurrence"),
    ({**TASK, "recurrence": "* * * *"}, "4 fields"),
    ({**TASK, "recurrence": 5}, "recurrence"),
    ({**TASK, "threadId": []}, "threadId"),
    ({"action": "update_task", "taskId": "X"}, 'no live task matched id "X"'),
    ({"action": "cancel_task", "taskId": "X"}, 'no live task matched id "X"'),
    ({"action": "pause_task", "taskId": "X"}, 'no live task matched id "X"'),
    ({"action": "resume_task"}, "taskId"),
    ({"action": "update_task", "taskId": "X", "recurrence": "nonsense"}, "refused"),
]


@pytest.mark.parametrize(("content", "why"), BAD)
def test_a_bad_one_changes_nothing_and_the_agent_is_told_why(mail, content, why):
    fault = ask(mail, content)
    assert why in fault
    [row] = rows(mail)
    assert row[:3] == ("sys-out-1", "chat", "pending")
    assert json.loads(row[5]) == {"text": fault, "sender": "system"}
    assert marks(mail) == [("out-1", "delivered")]


def test_an_id_that_is_in_use_is_refused_and_its_row_kept(mail):
    ask(mail, TASK)
    assert "already" in ask(mail, {**TASK, "prompt": "other"}, "out-2")
    assert json.loads(rows(mail)[0][5])["prompt"] == "water them"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', "{}", '{"action": "register_agent"}', '{"action": ["x"]}', "[" * 99_999]
)
def test_what_is_none_of_the_five_is_left_alone(mail, content):
    assert ask(mail, content) is None
    assert (rows(mail), marks(mail)) == ([], [])


def test_what_fails_in_the_middle_leaves_nothing_and_is_done_by_the_next_try(mail, monkeypatch):
    real = tasks.insert_task

    def fails(db, task, now_ms):
        real(db, task, now_ms)
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "insert_task", fails)
    with pytest.raises(KeyboardInterrupt):
        ask(mail, TASK)
    assert (rows(mail), marks(mail)) == ([], [])
    monkeypatch.undo()
    assert ask(mail, TASK) is None
    assert [row[0] for row in rows(mail)] == ["t1"]
