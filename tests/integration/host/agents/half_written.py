"""Claims a message, then stands inside a transaction whose journal is hot; the next one works as it should."""

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

FOLDER = Path(os.environ["TURNKEEL_SESSION_DIR"])

if os.environ["TURNKEEL_INCARNATION"] != "1":
    os.execv(sys.executable, [sys.executable, str(Path(__file__).with_name("echo.py"))])
with closing(sqlite3.connect(f"file:{FOLDER / 'inbound.db'}?mode=ro", uri=True)) as inbound:
    [[message]] = inbound.execute("SELECT id FROM messages_in WHERE status = 'pending' LIMIT 1").fetchall()
(FOLDER / ".heartbeat").touch()
with closing(sqlite3.connect(FOLDER / "outbound.db", isolation_level=None)) as outbound:
    outbound.execute("INSERT INTO processing_ack VALUES (?, 'processing', datetime('now'))", (message,))
    outbound.execute("PRAGMA cache_size = 1")
    outbound.execute("BEGIN IMMEDIATE")
    outbound.execute("UPDATE processing_ack SET status = 'completed'")
    for seq in range(200):
        outbound.execute(
            "INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES (?, ?, datetime('now'), 'chat', ?)",
            (f"half-{seq}", 2 * seq + 1, "x" * 4000),
        )
    (FOLDER / "half-written").touch()
    time.sleep(1000)
