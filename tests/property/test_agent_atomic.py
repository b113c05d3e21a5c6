"""Which laws hold for claims and answers, whatever the rows are and whenever the process dies?"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel_adapters.sessions.container_side import ContainerFiles, Reply
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
NOW_MS = 1_767_225_600_000
ANSWER_ALL = """
from turnkeel.agent import Agent
with Agent.from_environment() as agent:
    for message in agent.messages():
        agent.reply(message, message.text)
"""


def make(folder: Path, rows: list[tuple[int, int, str]]) -> None:
    """Make a session of rows (seq, trigger, status); the id of a row is its number."""
    for name, schema in (("inbound", INBOUND_SCHEMA), ("outbound", OUTBOUND_SCHEMA)):
        db = apsw.Connection(str(folder / f"{name}.db"))
        db.execute(schema)
        if name == "inbound":
            with db:
                db.executemany(
                    """INSERT INTO messages_in (id, seq, trigger, status, kind, timestamp, content)
                       VALUES (?, ?, ?, ?, 'chat', '2026', '{"text": "hi"}')""",
                    [(str(seq), seq, trigger, status) for seq, trigger, status in rows],
                )
        db.close()


def rows_of(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = apsw.Connection(str(path))
    try:
        return list(db.execute(sql).fetchall())
    finally:
        db.close()


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.integers(1, 60), st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from(["pending", "paused"])), max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_every_waiting_message_is_taken_once_in_order_with_what_came_before_it(
    drawn: dict[int, tuple[int, str]], order: random.Random
) -> None:
    rows = [(seq, trigger, status) for seq, (trigger, status) in drawn.items()]
    order.shuffle(rows)
    taken: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), rows)
        files = ContainerFiles(Path(name))
        while (work := files.claim_next(NOW_MS, first_poll=not taken)) is not None:
            taken += [int(key) for key in (*work.context_ids, work.message.message_id)]
            files.settle(work, "completed", Reply(text="hi", in_reply_to=work.message.message_id), NOW_MS)
        files.close()
        replies = rows_of(Path(name) / "outbound.db", "SELECT in_reply_to, seq FROM messages_out ORDER BY seq")
    pending = {seq: trigger for seq, trigger, status in rows if status == "pending"}
    waiting = sorted(seq for seq, trigger in pending.items() if trigger == 1)
    before = [seq for seq, trigger in pending.items() if trigger == 0 and seq < max(waiting, default=0)]
    assert taken == sorted([*waiting, *before])
    assert [key for key, _ in replies] == [str(seq) for seq in waiting]
    assert all(isinstance(seq, int) and seq % 2 == 1 and seq > max(drawn) for _, seq in replies)


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_at_any_moment_never_parts_an_answer_from_its_ack(tmp_path: Path, seed: int) -> None:
    make(tmp_path, [(2 * number, 1, "pending") for number in range(1, 2_000)])
    environment = {**os.environ, "PYTHONPATH": PATHS, "TURNKEEL_SESSION_DIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", ANSWER_ALL], env=environment)
    try:
        # From the first beat on the kit works: kill it somewhere within the next answers.
        until_s = time.monotonic() + 30
        while not (tmp_path / ".heartbeat").exists():
            assert time.monotonic() < until_s
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.12))
    finally:
        process.kill()
        process.wait()
    # A read-write open rolls a hot journal back, as the host does once the container is dead.
    path, acks = tmp_path / "outbound.db", "SELECT message_id FROM processing_ack WHERE status ="
    done = rows_of(path, f"{acks} 'completed' ORDER BY 1")
    answered = rows_of(path, "SELECT in_reply_to FROM messages_out ORDER BY 1")
    claims = rows_of(path, f"{acks} 'processing'")
    assert done == answered
    assert len(claims) <= 1
    assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]
