"""An agent on the kit whose wall clock a test may set: `work S` takes S seconds, `hang` stops it at the first attempt.

The library that fakes the wall clock gets an absolute sleep on the monotonic one wrong; waiting with select it leaves
alone. Heartbeats follow the clock only once somebody has asked for the time since it was set: the work does.
"""

import os
import select
import signal
import time
from pathlib import Path

from turnkeel.agent import Agent

time.sleep = lambda seconds: select.select([], [], [], seconds)
HUNG = Path(os.environ["TURNKEEL_SESSION_DIR"]) / "hung"

with Agent.from_environment() as agent:
    for message in agent.messages(poll_s=0.05):
        word, _, seconds = message.text.partition(" ")
        if word == "hang" and not HUNG.exists():
            HUNG.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        if word == "work":
            ends = time.monotonic() + float(seconds)
            while time.monotonic() < ends:
                time.sleep(0.1)
                time.time()
        agent.reply(message, f"done: {message.text}")
