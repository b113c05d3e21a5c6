"""Was every message answered once or visibly failed, and did every agent get what it needed?"""

from collections import Counter
from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel.lab.cast import Role

Fate: TypeAlias = Literal["answered", "failed", "lost", "twice", "unsettled", "contradicted"]


@frozen(kw_only=True)
class MessageEnd:
    """What the files say of one accepted message.

    `row` is the status of its row, None without one; `replies` count the rows that answer it; `dead` is the reason of
    its dead record, None without one.
    """

    session: str
    message_id: str
    row: str | None
    replies: int
    dead: str | None = None
    tries: int = 0

    @property
    def fate(self) -> Fate:
        """How it ended. Lost: its row is gone, or it is settled without an answer and without a reason."""
        if self.replies > 1:
            return "twice"
        if self.row is None:
            return "lost"
        if self.row not in ("completed", "failed"):
            return "unsettled"
        if self.replies == 1:
            return "answered" if self.row == "completed" and self.dead is None else "contradicted"
        return "lost" if self.dead is None else "failed"


@frozen(kw_only=True)
class Aftermath:
    """What is left on the disk and in the process table once the host has ended.

    `strays` are replies that answer no accepted message; `kills` are (session, kind) of containers that the host
    killed; `faulty` are the sessions with a fault on record; `logs` are the bytes of each session's log files.
    """

    ends: tuple[MessageEnd, ...]
    strays: tuple[str, ...] = ()
    kills: tuple[tuple[str, str], ...] = ()
    faulty: frozenset[str] = frozenset()
    leftovers: tuple[str, ...] = ()
    logs: tuple[tuple[str, int], ...] = ()


def closing_line(after: Aftermath) -> str:
    """The outcome in one line."""
    counts = Counter(end.fate for end in after.ends)
    line = (
        f"{len(after.ends)} messages: {counts['answered']} answered once, {counts['failed']} failed visibly, "
        f"{counts['lost']} lost, {counts['twice']} answered twice"
    )
    line += f", {counts['unsettled']} not settled" if counts["unsettled"] else ""
    return line + (f", {counts['contradicted']} both answered and failed" if counts["contradicted"] else "")


def find_wrong(cast: tuple[Role, ...], after: Aftermath, log_limit_bytes: int) -> tuple[str, ...]:
    """Everything that is not as promised, one line each; nothing if all is well."""
    wrong = [_defect(end) for end in after.ends if end.fate not in ("answered", "failed")]
    for role in cast:
        wrong += _unlike_plot(role, after)
    wrong += [f"{stray}: a reply that answers no message" for stray in after.strays]
    wrong += [f"{left}: a process is left" for left in after.leftovers]
    wrong += [f"{name}: {size} bytes of log, allowed are {log_limit_bytes}" for name, size in after.logs
              if size > log_limit_bytes]  # fmt: skip
    return tuple(wrong)


def _defect(end: MessageEnd) -> str:
    row = "its row is gone" if end.row is None else f"its row says {end.row}"
    dead = "no dead record" if end.dead is None else f"dead: {end.dead}"
    return f"{end.session}: {end.message_id} is {end.fate}: {row}, {end.replies} replies, {dead}"


def _unlike_plot(role: Role, after: Aftermath) -> list[str]:
    wrong: list[str] = []
    fates = Counter(end.fate for end in after.ends if end.session == role.session)
    if (fates["answered"], fates["failed"]) != (role.answered, role.failed):
        wanted = f"{role.answered} answered and {role.failed} failed"
        wrong.append(f"{role.session}: {wanted} were to be, not {fates['answered']} and {fates['failed']}")
    kills = [kind for session, kind in after.kills if session == role.session]
    if role.kill is None and kills:
        wrong.append(f"{role.session}: a container that did not hang was killed: {', '.join(kills)}")
    if role.kill is not None and not kills:
        wrong.append(f"{role.session}: its container hung and was never killed ({role.kill} was to be)")
    if role.broken != (role.session in after.faulty):
        wrong.append(f"{role.session}: a fault is {'missing' if role.broken else 'on record, its files are whole'}")
    return wrong
