"""The agents of the trial with killed hosts; a session's name says which one it has.

`exec…`: any program under `agent exec`. `runner…`: a runner of the contract without the kit, which answers first and
says its last word in a transaction of its own. Any other: an agent on the kit. All but `exec` work for up to WORK_MS.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from turnkeel.agent import Agent

FOLDER = Path(os.environ["TURNKEEL_SESSION_DIR"])
WORK_S = int(os.environ.get("WORK_MS", "0")) / 1000
DUE = "SELECT id, content FROM messages_in WHERE status = 'pending' AND trigger = 1 ORDER BY seq DESC LIMIT 10"
ACK = "INSERT OR REPLACE INTO processing_ack VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"
REPLY = (
    "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content) SELECT 'out-' || hex(randomblob(8)), "
    "coalesce(max(seq), -1) + 2, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'chat', ? FROM messages_out"
)


def kit():
    with Agent.from_environment() as agent:
        for message in agent.messages(poll_s=0.02):
            time.sleep(random.random() * WORK_S)
            if message.text.startswith("refuse"):
                agent.fail(message, "refused", "I will not do that")
            elif message.text.startswith("file"):
                made = Path(agent.folder / "made.txt")
                made.write_text(message.text)
                agent.reply(message, f"echo {message.text}", attachments=[made])
            else:
                agent.reply(message, f"echo {message.text}")


def program():
    argv = (sys.executable, "-P", "-m", "turnkeel.agent", "exec", "--", "tr", "a-z", "A-Z")
    os.execv(sys.executable, argv)


def runner():
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    with closing(sqlite3.connect(FOLDER / "outbound.db", isolation_level=None, timeout=10)) as out:
        out.execute("DELETE FROM processing_ack WHERE status = 'processing'")
        while not asked:
            (FOLDER / ".heartbeat").touch()
            with closing(sqlite3.connect(f"file:{FOLDER / 'inbound.db'}?mode=ro", uri=True, timeout=10)) as db:
                rows = db.execute(DUE).fetchall()
            acked = {key for (key,) in out.execute("SELECT message_id FROM processing_ack").fetchall()}
            for key, content in reversed([row for row in rows if row[0] not in acked]):
                out.execute(ACK, (key, "processing"))
                time.sleep(random.random() * WORK_S)
                out.execute(REPLY, (key, json.dumps({"text": f"ran {json.loads(content)['text']}"})))
                out.execute(ACK, (key, "completed"))
                if asked:
                    break
            time.sleep(0.03)


name = os.environ["TURNKEEL_SESSION"].rpartition("/")[2]
{"exec": program, "runner": runner}.get(name.rstrip("-0123456789"), kit)()
