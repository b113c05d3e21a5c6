"""What does outbound.db say of the container's work?"""

import json

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.outbound import get_container_state, get_processing_claims
from turnkeel_adapters.sessions.records import OutboundMark, RowFault
from turnkeel_adapters.sessions.rows import columns_of, count_or_none, text_of
from turnkeel_adapters.timestamps import parse_sqlite_utc, stamp_resolution_ms
from turnkeel_core.facts import Ack, Claim, DeclaredTool, Waiting

WAITING_KEY = "turnkeel:waiting"
ERROR_KEY = "turnkeel:error:"


@frozen(kw_only=True)
class OutboundFacts:
    """The container's claims, tool, wait and progress, and what could not be read."""

    claims: tuple[Claim, ...]
    tool: DeclaredTool | None
    waiting: Waiting | None
    progress_at_ms: int | None
    mark: OutboundMark
    row_faults: tuple[RowFault, ...]


def read_outbound_facts(db: apsw.Connection) -> OutboundFacts:
    """Read the container's facts; older files lack the state tables."""
    faults: list[RowFault] = []
    tool, tool_at_ms = _tool(db, faults)
    newest = (
        tool_at_ms,
        _newest(db, "messages_out", "timestamp", faults),
        _newest(db, "processing_ack", "status_changed", faults),
    )
    return OutboundFacts(
        claims=_claims(db, faults),
        tool=tool,
        waiting=_waiting(db, faults),
        progress_at_ms=max((at_ms for at_ms in newest if at_ms is not None), default=None),
        mark=_mark(db),
        row_faults=tuple(faults),
    )


def read_terminal_acks(db: apsw.Connection, message_ids: tuple[str, ...]) -> tuple[Ack, ...]:
    """Return the final word on each of these messages that has one; the other acks are not looked at."""
    acks: list[Ack] = []
    for message_id in message_ids:
        for (status,) in db.execute("SELECT status FROM processing_ack WHERE message_id = ?", (message_id,)).fetchall():
            match status:
                case "completed" | "failed":
                    acks += [Ack(message_id=message_id, outcome=status)]
                case _:
                    pass
    return tuple(acks)


def newest_reply(db: apsw.Connection) -> int:
    """Return the rowid of the newest reply; 0 without replies."""
    return _first(db, "SELECT max(rowid) FROM messages_out")


def error_note(db: apsw.Connection, message_id: str) -> str | None:
    """Return the JSON text in which an agent built on our kit said why it failed at a message."""
    return _state(db, ERROR_KEY + message_id)[0]


def _claims(db: apsw.Connection, faults: list[RowFault]) -> tuple[Claim, ...]:
    claims: list[Claim] = []
    for claim in get_processing_claims(db):
        at_ms = parse_sqlite_utc(claim.status_changed)
        if at_ms is None:
            detail = f"{claim.status_changed!r:.80} is no timestamp; the claim is not judged"
            faults += [_fault("processing_ack", "status_changed", detail, claim.message_id)]
        width_ms = stamp_resolution_ms(claim.status_changed)
        claims += [Claim(message_id=claim.message_id, claimed_at_ms=at_ms, resolution_ms=width_ms)]
    return tuple(claims)


def _tool(db: apsw.Connection, faults: list[RowFault]) -> tuple[DeclaredTool | None, int | None]:
    state = get_container_state(db)
    if state is None:
        return None, None
    changed_at_ms = parse_sqlite_utc(state.updated_at or "")
    if changed_at_ms is None:
        faults += [_fault("container_state", "updated_at", f"{state.updated_at!r:.80} is no timestamp")]
    if state.current_tool is None:
        return None, changed_at_ms
    stamp = state.tool_started_at or state.updated_at or ""
    timeout_ms = state.tool_declared_timeout_ms
    tool = DeclaredTool(
        name=state.current_tool,
        timeout_ms=int(timeout_ms) if timeout_ms is not None and abs(timeout_ms) < 2**63 else None,
        started_at_ms=parse_sqlite_utc(stamp),
        resolution_ms=stamp_resolution_ms(stamp),
    )
    return tool, changed_at_ms


def _waiting(db: apsw.Connection, faults: list[RowFault]) -> Waiting | None:
    value, updated_at = _state(db, WAITING_KEY)
    if value is None:
        return None
    since_at_ms = parse_sqlite_utc(updated_at)
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"reason": str(reason), "until_at_ms": int() | None as until_at_ms} if since_at_ms is not None:
            if not isinstance(until_at_ms, bool):
                return Waiting(reason=reason, since_at_ms=since_at_ms, until_at_ms=until_at_ms)
        case _:
            pass
    detail = f"{value!r:.80} at {updated_at!r:.40} declares no wait (reason, until_at_ms, a time); it is not believed"
    faults += [_fault("session_state", "value", detail)]
    return None


def _state(db: apsw.Connection, key: str) -> tuple[str | None, str]:
    columns = columns_of(db, "session_state")
    if not columns:
        return None, ""
    updated_at = "updated_at" if "updated_at" in columns else "''"
    rows = db.execute(f"SELECT value, {updated_at} FROM session_state WHERE key = ?", (key,)).fetchall()
    return (text_of(rows[0][0]), text_of(rows[0][1])) if rows else (None, "")


def _newest(db: apsw.Connection, table: str, column: str, faults: list[RowFault]) -> int | None:
    for (stamp,) in db.execute(f"SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT 1").fetchall():
        at_ms = parse_sqlite_utc(text_of(stamp))
        if at_ms is None and table != "processing_ack":
            faults += [_fault(table, column, f"{stamp!r:.80} is no timestamp; it shows no progress")]
        return at_ms
    return None


def _mark(db: apsw.Connection) -> OutboundMark:
    # Only terminal acks are never deleted: the rowid of a deleted claim would be given to another row.
    acks = """
        SELECT rowid FROM processing_ack WHERE status IN ('completed', 'failed') ORDER BY rowid DESC LIMIT 1
    """
    return OutboundMark(replies=newest_reply(db), acks=_first(db, acks))


def _first(db: apsw.Connection, sql: str) -> int:
    rows = db.execute(sql).fetchall()
    return (count_or_none(rows[0][0]) or 0) if rows else 0


def _fault(table: str, column: str, detail: str, message_id: str | None = None) -> RowFault:
    return RowFault(message_id=message_id, table=table, column=column, detail=detail)
