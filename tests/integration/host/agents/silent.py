"""A runner that claims a message and never gives a sign of life again; HANG=stop stops it whole, with children."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

FOLDER = Path(os.environ["TURNKEEL_SESSION_DIR"])
CLAIM = """
    INSERT INTO processing_ack VALUES (?, 'processing', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
"""

signal.signal(signal.SIGTERM, signal.SIG_IGN)
with closing(sqlite3.connect(f"file:{FOLDER / 'inbound.db'}?mode=ro", uri=True)) as inbound:
    [[message]] = inbound.execute("SELECT id FROM messages_in WHERE status = 'pending' LIMIT 1").fetchall()
# A child in a session of its own, without our environment: only the family tree still shows whose it is.
subprocess.Popen(["/bin/sh", "-c", "sleep 1001 & sleep 1002"], start_new_session=True, env={})
with closing(sqlite3.connect(FOLDER / "outbound.db", isolation_level=None)) as outbound:
    outbound.execute("DELETE FROM processing_ack WHERE status = 'processing'")
    outbound.execute(CLAIM, (message,))
while True:
    time.sleep(1)
