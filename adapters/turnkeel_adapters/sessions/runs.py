"""Which runs did a session have of late?"""

from typing import Final

import apsw

from turnkeel_adapters.sessions.rows import columns_of, text_of
from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_core import Run

_MOST: Final = 1_000


def settled_runs(db: apsw.Connection, since_ms: int) -> tuple[Run, ...]:
    """Return the acks that a container gave its final word at `since_ms` or later, the newest `_MOST` at most.

    An ack that is set gets the highest rowid, so the rows are read from the end and no further than to an older one.
    The existing runner sets those of its first batch a second time: they count once, at the later instant.
    """
    sql = """
        SELECT message_id, status_changed FROM processing_ack
        WHERE status IN ('completed', 'failed') ORDER BY rowid DESC LIMIT ?
    """
    runs: list[Run] = []
    for message_id, stamp in db.execute(sql, (_MOST,)):
        at_ms = parse_sqlite_utc(text_of(stamp))
        if at_ms is not None and at_ms < since_ms:
            break
        if at_ms is not None:
            runs.append(Run(message_id=text_of(message_id), at_ms=at_ms))
    return tuple(runs)


def without_context(db: apsw.Connection, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Leave out rows that call for no container: a message takes them along, they are no run of their own."""
    if not runs or "trigger" not in columns_of(db, "messages_in"):
        return runs
    sql = "SELECT 1 FROM messages_in WHERE id = ? AND trigger = 0"
    return tuple(run for run in runs if not db.execute(sql, (run.message_id,)).fetchall())
