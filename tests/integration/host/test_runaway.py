"""Is an agent that goes on without end held to its limits, and does everybody see why?"""

import asyncio
import os
import sys

import pytest
from attrs import evolve

from turnkeel.events import Charged, Died, FaultSeen, Held, Stopping, Woke
from turnkeel_core import LimitPolicy, StopIdle


@pytest.fixture
def limited(quick):
    return evolve(quick, limit=LimitPolicy(runs_per_hour=2), stuck=evolve(quick.stuck, idle_stop_ms=60_000))


def test_at_its_runs_per_hour_a_container_is_stopped_between_messages_and_the_rest_waits_uncharged(lab, limited):
    lab.session("other")

    async def script(live):
        for text in ("one", "two"):
            lab.send("a", text)
            await live.until(lambda: not lab.open_rows("a"))
        await live.until(lambda: live.of(Died, "main/a"))
        [third] = lab.send("a", "three")
        await live.until(lambda: lab.holds())
        [hold] = lab.holds()
        assert (hold.session, hold.reason) == ("main/a", "rate")
        settled = lab.sql("a", "SELECT min(unixepoch(status_changed, 'subsec') * 1000) FROM processing_ack", file=OUT)
        assert abs(hold.until_at_ms - int(settled[0][0]) - 3_600_000) <= 1, "when the oldest has left the hour"
        [fine] = lab.send("other", "hello")
        await live.until(lambda: lab.fates("other")[fine].answered_once)
        await asyncio.sleep(0.5)
        assert lab.fates("a")[third].status == "pending" and lab.fates("a")[third].tries == 0
        assert len(live.of(Woke, "main/a")) <= 2
        # An hour later by the stamps of its acks, it goes on.
        lab.sql("a", "UPDATE processing_ack SET status_changed = datetime('now', '-61 minutes')", file=OUT)
        await live.until(lambda: lab.fates("a")[third].answered_once)

    live = lab.run(limited, script)
    [stop, *_] = live.of(Stopping, "main/a")
    assert isinstance(stop.because, StopIdle) and stop.because.reason == "rate"
    assert {event.hold.reason for event in live.of(Held)} == {"rate"}
    assert not live.of(Charged) and not lab.holds() and not lab.faults()


OUT = "outbound.db"


def test_attempts_that_fail_count_as_runs_so_that_a_crash_loop_is_capped_too(lab, limited):
    dies = ("sh", "-c", "exit 3")
    config = evolve(limited, agent=evolve(limited.agent, argv=dies, speaks_contract=False))
    [sent] = lab.send("a", "hello")

    async def script(live):
        await live.until(lambda: [hold for hold in lab.holds() if hold.reason == "rate"])
        await asyncio.sleep(0.5)

    live = lab.run(config, script)
    assert len(live.of(Charged)) == 2 == lab.fates("a")[sent].tries
    assert lab.fates("a")[sent].status == "pending", "it waits, and is not given up"


FLOOD = """
import json, os, sqlite3, sys, time
folder = os.environ["TURNKEEL_SESSION_DIR"]
out = sqlite3.connect(folder + "/outbound.db", isolation_level=None)
db = sqlite3.connect(f"file:{folder}/inbound.db?mode=ro", uri=True)
os.makedirs(folder + "/outbox/linked"), os.makedirs(folder + "/outbox/heavy")
os.symlink("/etc/passwd", folder + "/outbox/linked/passwd")
with open(folder + "/outbox/heavy/zeros", "wb") as file:
    file.truncate(40_000_000)
replies = {"long": "x" * 3_000_000, "linked": "see this", "heavy": "see that", "fits": "x" * 1_000_000}
while True:
    open(folder + "/.heartbeat", "w").close()
    for (key,) in db.execute("SELECT id FROM messages_in WHERE status = 'pending' AND trigger = 1").fetchall():
        if out.execute("SELECT 1 FROM processing_ack WHERE message_id = ?", (key,)).fetchall():
            continue
        for seq, (reply, text) in enumerate(replies.items()):
            out.execute("INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content) VALUES"
                        " (?, ?, ?, datetime('now'), 'chat', ?)", (reply, 3 + 2 * seq, key, json.dumps({"text": text})))
        out.execute("INSERT INTO processing_ack VALUES (?, 'completed', datetime('now'))", (key,))
    time.sleep(0.05)
"""


def test_replies_over_the_limits_and_links_of_an_agent_without_the_kit_are_told_and_the_others_go_on(lab, quick):
    script_path = lab.data / "flood.py"
    script_path.write_text(FLOOD, "utf-8")
    argv = (sys.executable, str(script_path))
    [sent] = lab.send("a", "hello")

    async def script(live):
        await live.until(lambda: len(lab.faults("a")) == 3)
        assert {fault.subject: fault.detail for fault in lab.faults("a")} == {
            "messages_out.content of long": "refused: text of 3,000,000 bytes, the limit is 1,048,576",
            "messages_out.content of linked": "refused: outbox/linked/passwd is no plain file",
            "messages_out.content of heavy": "refused: attachments of 40,000,000 bytes, the limit is 26,214,400",
        }
        await live.until(lambda: not lab.open_rows("a"))

    live = lab.run(evolve(quick, agent=evolve(quick.agent, argv=argv)), script)
    assert lab.fates("a")[sent].status == "completed" and not live.of(Charged)
    assert len(live.of(FaultSeen)) == 3
    assert os.path.islink(lab.session("a") / "outbox/linked/passwd"), "looked at, and left as it is"
