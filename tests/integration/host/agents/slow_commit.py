"""Claims a message, then stands for HOLD_S seconds in the commit of its answer; HANDS=off: and has lost its locks."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

FOLDER = Path(os.environ["TURNKEEL_SESSION_DIR"])
ACK = "INSERT OR REPLACE INTO processing_ack VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"

(FOLDER / ".heartbeat").touch()
with closing(sqlite3.connect(FOLDER / "outbound.db", isolation_level=None)) as out:
    out.execute("DELETE FROM processing_ack WHERE status = 'processing'")
    with closing(sqlite3.connect(f"file:{FOLDER / 'inbound.db'}?mode=ro", uri=True)) as inbound:
        [[message]] = inbound.execute("SELECT id FROM messages_in WHERE status = 'pending' LIMIT 1").fetchall()
    out.execute(ACK, (message, "processing"))
    out.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit, and the journal the disk
    out.execute("BEGIN IMMEDIATE")
    out.execute(ACK, (message, "completed"))
    for seq in range(60):
        out.execute(
            "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content)"
            " VALUES (?, ?, ?, datetime('now'), 'chat', ?)",
            (f"out-{seq}", 2 * seq + 1, message if seq == 0 else None, json.dumps({"text": "x" * 4000})),
        )
    if os.environ["HANDS"] == "off":
        (FOLDER / "outbound.db").open("rb").close()  # closing any file of it gives all locks of this process away
    (FOLDER / "in-the-commit").touch()
    ends = time.monotonic() + float(os.environ["HOLD_S"])
    while time.monotonic() < ends:
        (FOLDER / ".heartbeat").touch()
        time.sleep(0.1)
    out.execute("COMMIT")
    (FOLDER / "in-the-commit").unlink()
    while True:
        (FOLDER / ".heartbeat").touch()
        time.sleep(0.2)
