"""A runner of the contract without the kit: each poll it takes the ten newest rows and completes those without an ack."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

FOLDER = Path(os.environ["TURNKEEL_SESSION_DIR"])
NEWEST = """
    SELECT id, content FROM messages_in WHERE status = 'pending' AND trigger = 1
    AND (process_after IS NULL OR datetime(process_after) <= datetime('now')) ORDER BY seq DESC LIMIT 10
"""

with closing(sqlite3.connect(FOLDER / "outbound.db", isolation_level=None)) as out:
    out.execute("DELETE FROM processing_ack WHERE status = 'processing'")
    while True:
        (FOLDER / ".heartbeat").touch()
        try:
            with closing(sqlite3.connect(f"file:{FOLDER / 'inbound.db'}?mode=ro", uri=True)) as db:
                rows = db.execute(NEWEST).fetchall()
        except sqlite3.OperationalError:
            rows = []  # a commit of the host that ends at this instant looks like a dead writer's to a mere reader
        acked = {key for (key,) in out.execute("SELECT message_id FROM processing_ack").fetchall()}
        for key, content in reversed([row for row in rows if row[0] not in acked]):
            ack = "INSERT OR REPLACE INTO processing_ack VALUES (?, ?, datetime('now'))"
            out.execute(ack, (key, "processing"))
            out.execute("BEGIN IMMEDIATE")
            out.execute(
                "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content) SELECT ?, "
                "coalesce(max(seq), -1) + 2, ?, datetime('now'), 'chat', ? FROM messages_out",
                (f"out-{key}", key, json.dumps({"text": json.loads(content)["text"]})),
            )
            out.execute(ack, (key, "completed"))
            out.execute("COMMIT")
        time.sleep(0.05)
