"""An agent on the kit: repeats each message after up to WORK_MS milliseconds of work, once the file GATE is there."""

import os
import random
import time

from turnkeel.agent import Agent

with Agent.from_environment() as agent:
    for message in agent.messages(poll_s=0.02):
        while not os.path.exists(os.environ.get("GATE", "/")):
            time.sleep(0.02)
        time.sleep(random.random() * int(os.environ.get("WORK_MS", "0")) / 1000)
        if message.text.startswith("refuse"):
            agent.fail(message, "refused", "I will not do that")
        else:
            agent.reply(message, f"echo {message.text}")
