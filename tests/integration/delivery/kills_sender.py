"""Somebody who sends until he is killed: kills_sender.py DATA CONFIG SESSION CHANNEL FILE.

What he was told to be accepted is a line of FILE: the id and the key.
"""

import os
import sys
import time
from pathlib import Path

from turnkeel.cli.send import accept
from turnkeel_adapters.errors import AdapterError

data, config, session, channel, file = sys.argv[1:]
handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
number = 0
while True:
    number += 1
    key = f"{os.getpid()}-{number}"
    try:
        answer = accept(Path(data), session, f"told {key}", key=key, channel=channel, chat=session, config=Path(config))
    except AdapterError:
        time.sleep(0.05)  # refused: nothing was promised
        continue
    os.write(handle, f"{answer.turn_id} {key}\n".encode())
    time.sleep(0.3)
