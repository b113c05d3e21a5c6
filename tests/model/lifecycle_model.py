"""Do a turn, its inbound row, the ack and the outbox row agree at last, wherever the host or the container dies?

One message of a session host, small enough to walk through every state. `turn`, `noted` (the ack as the host has
written it down) and `row` live in the host's file; `inbound` in inbound.db; `ack` and `reply` in outbound.db. Every
step is one transaction or one call; a crash may fall between any two.
"""

from collections import deque
from typing import NamedTuple

LIMIT = 2


class World(NamedTuple):
    """One reachable state; `sent` counts platform calls, `calling` is one in flight, `late` a row of nobody's turn."""

    turn: str = "none"
    inbound: str = "none"
    tries: int = 0
    container: bool = True
    ack: str = "none"
    reply: bool = False
    noted: str = "none"
    row: str = "none"
    late: bool = False
    calling: bool = False
    host: int = 0
    sent: int = 0
    was_unknown: bool = False
    reason: str = ""
    uncertain: bool = False


TURN_END = {"delivered", "failed", "aborted"}
ROW_END = {"delivered", "failed"}


class Rules(NamedTuple):
    """Which agent, which channel, and the orders that the design fixes; the wrong ones are here to be seen to fail."""

    reply_after_ack: bool = False
    keyed: bool = True
    note_first: bool = True
    late_replies: bool = True
    fence_replies: bool = True
    sending_first: bool = True


def steps(w: World, r: Rules):
    """Every step that may come next, as (name, world); names that begin with `!` are misfortunes and wishes."""
    yield from _host_steps(w, r)
    yield from _container_steps(w, r)
    yield from _send_steps(w, r)
    if w.host < 2:
        yield "!host dies", w._replace(host=w.host + 1, calling=False)
    if w.container and w.turn != "none":
        yield "!container dies", w._replace(container=False)
    if w.turn not in TURN_END | {"none"}:
        row = "failed" if w.row not in ROW_END | {"none"} and not w.late else w.row
        yield "!abort", w._replace(turn="aborted", row=row)


def _host_steps(w: World, r: Rules):
    open_turn = w.turn not in TURN_END | {"none"}
    if w.turn == "none":
        yield "accept", w._replace(turn="accepted")
    if open_turn and w.inbound == "none":
        yield "write inbound row", w._replace(inbound="pending")
    if w.turn == "aborted" and w.inbound == "pending":
        yield "withdraw inbound row", w._replace(inbound="completed")
    seen = w.ack in {"completed", "failed"} and w.inbound == "pending"  # an ack is looked for while its row is open
    if seen and open_turn and w.noted == "none" and r.note_first:
        yield "note ack", w._replace(noted=w.ack)
    if seen and (w.noted != "none" or not r.note_first or not open_turn):
        yield "complete inbound row", w._replace(inbound="completed")
    if open_turn and w.turn == "accepted" and w.noted == "failed" and not w.reply:
        yield "settle failed ack", w._replace(turn="failed", reason="failed_ack")
    if w.turn == "accepted" and w.noted == "completed" and w.row == "none" and not w.reply:
        yield "grace is over", w._replace(turn="delivered", reason="no_reply", uncertain=not w.container)
    if not w.container:
        if w.ack == "claimed" and w.inbound == "pending" and open_turn and w.tries >= LIMIT:
            yield "give up", w._replace(turn="failed", reason="exhausted", inbound="failed")
        elif w.ack == "claimed":
            yield "release claim", w._replace(ack="none")
        elif w.inbound == "pending" and w.ack == "none":
            yield "start container", w._replace(container=True)
    if w.reply and w.row == "none":
        if w.turn == "aborted" and r.fence_replies:
            yield "ingest fenced reply", w._replace(row="failed")
        elif w.turn in TURN_END and r.late_replies:
            yield "ingest late reply", w._replace(row="queued", late=True)
        elif w.turn not in TURN_END:
            yield "ingest reply", w._replace(row="queued", turn="delivery_pending")


def _container_steps(w: World, r: Rules):
    if not w.container:
        return
    if w.inbound == "pending" and w.ack == "none" and w.tries < LIMIT:
        yield "claim", w._replace(ack="claimed", tries=w.tries + 1)
    if w.ack == "claimed":
        yield "ack failed", w._replace(ack="failed")
        yield "ack without reply", w._replace(ack="completed")
        if not r.reply_after_ack:
            yield "ack and reply", w._replace(ack="completed", reply=True)
    if r.reply_after_ack and w.ack == "completed" and not w.reply:
        yield "reply after ack", w._replace(reply=True)


def _send_steps(w: World, r: Rules):
    fate = {"turn": w.turn} if w.late or w.turn in TURN_END else {"turn": "delivered", "reason": "sent"}
    lost = {"turn": w.turn} if w.late or w.turn in TURN_END else {"turn": "failed", "reason": "final_failed"}
    if w.row == "queued" and w.sent < LIMIT:
        yield "store sending", w._replace(row="sending" if r.sending_first else "queued", calling=True, sent=w.sent + 1)
    if w.calling and w.row in {"sending", "queued"}:
        yield "receipt", w._replace(row="delivered", calling=False, **fate)
        yield "refused", w._replace(row="failed", calling=False, **lost)
    if w.row == "sending" and not w.calling:
        yield "lease ran out", w._replace(row="unknown", was_unknown=True)
    if w.row == "unknown" and r.keyed and w.sent < LIMIT:
        yield "send again with the same key", w._replace(row="sending", calling=True, sent=w.sent + 1)
    elif w.row == "unknown":
        yield "held until its limit", w._replace(row="failed", **lost)


def explore(rules: Rules):
    """Every reachable world with the steps out of it, breadth first."""
    found, waiting = {}, deque([World()])
    while waiting:
        world = waiting.popleft()
        if world not in found:
            found[world] = tuple(steps(world, rules))
            waiting.extend(after for _, after in found[world] if after not in found)
    return found
