"""What does a container see in its inbound.db? Read-only; one connection per look (spec/nanoclaw.md §3.3, §11)."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import apsw
from attrs import field, frozen

from turnkeel_adapters.sessions.connect import reading

CONTEXT_MODE: Final = "contextMode"
"""In the content of a task: `isolated` runs outside of the session's conversation, anything else (or none) in it."""


@frozen(kw_only=True)
class Routing:
    """Where a message came from, and so where its reply goes."""

    platform_id: str | None = None
    channel_type: str | None = None
    thread_id: str | None = None


@frozen(kw_only=True)
class InboundRow:
    """One message as the host wrote it; `content` is its raw text, JSON or not."""

    message_id: str
    kind: str
    content: str
    routing: Routing = field(factory=Routing)

    @property
    def stands_alone(self) -> bool:
        """Whether it is a task that neither goes on with the session's conversation nor leaves one behind."""
        if self.kind != "task":
            return False
        try:
            content: object = json.loads(self.content)
        except (ValueError, RecursionError):
            return False
        return isinstance(content, dict) and cast("dict[str, object]", content).get(CONTEXT_MODE) == "isolated"


@frozen(kw_only=True)
class Candidate:
    """A pending row, before anything is known of acks; `triggers` is None for a row that no container takes."""

    message_id: str
    triggers: bool | None
    on_wake: bool
    due: bool


@frozen(kw_only=True)
class ClaimedWork:
    """One message to answer, with the context-only rows that came before it, all marked `processing` together."""

    message: InboundRow
    context: tuple[InboundRow, ...]
    stamp: str

    @property
    def context_ids(self) -> tuple[str, ...]:
        """The ids of the context rows."""
        return tuple(row.message_id for row in self.context)


@contextmanager
def looking_into(path: Path) -> Generator[apsw.Connection, None, None]:
    """Open inbound.db for one short look; raises SessionFault."""
    with reading(path) as db:
        db.pragma("mmap_size", 0)
        yield db


def read_candidates(db: apsw.Connection, now_ms: int) -> tuple[Candidate, ...]:
    """List the pending rows, oldest first; due by the container's own whole-second rule at `now_ms`.

    Files from before the columns `trigger` and `on_wake` are read as if every row had their defaults.
    """
    columns = {str(name) for (name,) in db.execute("SELECT name FROM pragma_table_info('messages_in')").fetchall()}
    trigger = "trigger" if "trigger" in columns else "1"
    on_wake = "on_wake" if "on_wake" in columns else "0"
    rows = db.execute(
        f"""SELECT CAST(id AS BLOB), {trigger}, {on_wake},
                   process_after IS NULL OR datetime(process_after) <= datetime(?, 'unixepoch')
            FROM messages_in WHERE status = 'pending' ORDER BY seq, rowid""",
        (now_ms // 1000,),
    ).fetchall()
    return tuple(
        Candidate(
            message_id=message_id,
            triggers={1: True, 0: False}.get(triggers) if isinstance(triggers, int) else None,
            on_wake=wake != 0,
            due=due == 1,
        )
        for key, triggers, wake, due in rows
        if (message_id := _id_of(key)) is not None
    )


def read_row(db: apsw.Connection, message_id: str) -> InboundRow | None:
    """Read one pending row, or None if the host has settled it meanwhile; bytes that are no UTF-8 are replaced."""
    found = db.execute(
        """SELECT CAST(kind AS BLOB), CAST(content AS BLOB), CAST(platform_id AS BLOB), CAST(channel_type AS BLOB),
                  CAST(thread_id AS BLOB) FROM messages_in WHERE id = ? AND status = 'pending'""",
        (message_id,),
    ).fetchall()
    if not found:
        return None
    kind, content, platform_id, channel_type, thread_id = (_text(value) for value in found[0])
    routing = Routing(platform_id=platform_id, channel_type=channel_type, thread_id=thread_id)
    return InboundRow(message_id=message_id, kind=kind or "", content=content or "", routing=routing)


def read_top_seq(db: apsw.Connection) -> int:
    """Return the highest message number of the file, 0 if there is none."""
    ((top,),) = db.execute("SELECT MAX(seq) FROM messages_in").fetchall()
    return top if isinstance(top, int) else 0


def read_default_routing(db: apsw.Connection) -> Routing:
    """Return the session's own routing (`session_routing`), empty if the host wrote none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'session_routing'").fetchall():
        return Routing()
    found = db.execute(
        """SELECT CAST(platform_id AS BLOB), CAST(channel_type AS BLOB), CAST(thread_id AS BLOB)
           FROM session_routing WHERE id = 1"""
    ).fetchall()
    if not found:
        return Routing()
    platform_id, channel_type, thread_id = (_text(value) for value in found[0])
    return Routing(platform_id=platform_id, channel_type=channel_type, thread_id=thread_id)


# Texts are fetched as bytes: one row that is not valid UTF-8 must not make every look fail.
def _text(value: "apsw.SQLiteValue") -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else None


def _id_of(key: "apsw.SQLiteValue") -> str | None:
    try:
        return key.decode() if isinstance(key, bytes) else None
    except UnicodeDecodeError:
        return None
