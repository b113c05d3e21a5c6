"""A program that keeps conversations in a folder, as the command-line agents do; each run makes a new handle.

`remembering.py STORE [--resume HANDLE] [--at PLACE]`, the text on stdin. It answers with all that was said so far.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

options = argparse.ArgumentParser()
options.add_argument("store", type=Path)
options.add_argument("--resume")
options.add_argument("--at")
given = options.parse_args()
text = sys.stdin.read()

with (given.store / "runs").open("a", encoding="utf-8") as runs:
    print(json.dumps([given.resume, given.at, text]), file=runs)
number = len((given.store / "runs").read_text(encoding="utf-8").splitlines())
new = f"conversation-{number}"


def hand_over(content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    Path(os.environ["TURNKEEL_RESUME_FILE"]).write_bytes(data)


said: list[str] = []
if given.resume is not None:
    known = given.store / given.resume
    if not known.exists():
        hand_over("never-stored-of-an-error")
        sys.exit(f"No conversation found with session ID: {given.resume}")
    said = json.loads(known.read_text(encoding="utf-8"))
    if given.at is not None and given.at != f"place-{len(said)}":
        sys.exit(f"Error: No message found with message.uuid of: {given.at}")

match text.split(":"):
    case ["rate"]:
        hand_over("never-stored-of-an-error")
        sys.exit('429 {"error":{"type":"rate_limit_error"}} the user asked: session xy not found')
    case ["quote"]:
        print("No conversation found with session ID: 1", flush=True)  # on stdout, in an answer or not
        hand_over("never-stored-of-an-error")
        sys.exit(1)
    case ["gone chat"] if given.resume is not None:
        sys.exit(f"chat gone: {given.resume}")
    case ["error file"]:
        print("all is well")
        Path(os.environ["TURNKEEL_ERROR_FILE"]).write_text("session expired\n", encoding="utf-8")
        sys.exit(0)
    case ["stale"]:
        sys.exit("No conversation found with session ID: whatever it is")
    case ["hang"]:
        time.sleep(60)
    case ["no handle"]:
        print("answered")
        sys.exit(0)
    case ["silent"]:
        (given.store / new).write_text("[]", encoding="utf-8")
        hand_over(new)
        sys.exit(0)
    case ["hand", what]:
        hand_over(bytes.fromhex(what))
        print("handed")
        sys.exit(0)
    case ["link"]:
        (given.store / "elsewhere").write_text("stolen", encoding="utf-8")
        Path(os.environ["TURNKEEL_RESUME_FILE"]).symlink_to(given.store / "elsewhere")
        print("linked")
        sys.exit(0)
    case ["fifo"]:
        os.mkfifo(os.environ["TURNKEEL_RESUME_FILE"])
        print("piped")
        sys.exit(0)

said.append(text)
(given.store / new).write_text(json.dumps(said), encoding="utf-8")
hand_over(f"{new}\nplace-{len(said)}\n")
print(",".join(said))
