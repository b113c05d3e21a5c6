"""Where do replies go, and which session sent a message?"""

import apsw
from attrs import asdict, frozen

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.rows import text_or_none


@frozen(kw_only=True)
class SessionRouting:
    """The session's default address; every part is given, None where there is none."""

    channel_type: str | None
    platform_id: str | None
    thread_id: str | None


@frozen(kw_only=True)
class Destination:
    """A place the agent may write to; `type` is `channel` or `agent`."""

    name: str
    display_name: str | None
    type: str
    channel_type: str | None
    platform_id: str | None
    agent_group_id: str | None


def upsert_session_routing(db: apsw.Connection, routing: SessionRouting) -> None:
    """Write the one routing row, overwriting all of it."""
    db.execute(
        """
        INSERT INTO session_routing (id, channel_type, platform_id, thread_id)
        VALUES (1, :channel_type, :platform_id, :thread_id)
        ON CONFLICT (id) DO UPDATE SET channel_type = excluded.channel_type, platform_id = excluded.platform_id,
                                       thread_id = excluded.thread_id
        """,
        asdict(routing),
    ).fetchall()


def get_session_routing(db: apsw.Connection) -> SessionRouting | None:
    """Return the session's default address, if it has one."""
    sql = "SELECT channel_type, platform_id, thread_id FROM session_routing WHERE id = 1"
    for channel_type, platform_id, thread_id in db.execute(sql).fetchall():
        return SessionRouting(
            channel_type=text_or_none(channel_type),
            platform_id=text_or_none(platform_id),
            thread_id=text_or_none(thread_id),
        )
    return None


def replace_destinations(db: apsw.Connection, destinations: tuple[Destination, ...]) -> None:
    """Make these the only destinations; if one cannot be stored (a name twice) the former ones stay."""
    with transaction(db):
        db.execute("DELETE FROM destinations").fetchall()
        db.executemany(
            """
            INSERT INTO destinations (name, display_name, type, channel_type, platform_id, agent_group_id)
            VALUES (:name, :display_name, :type, :channel_type, :platform_id, :agent_group_id)
            """,
            [asdict(destination) for destination in destinations],
        ).fetchall()


def get_inbound_source_session_id(db: apsw.Connection, message_id: str) -> str | None:
    """Return the session that sent a message, if another session did."""
    sql = "SELECT source_session_id FROM messages_in WHERE id = ?"
    for (source,) in db.execute(sql, (message_id,)).fetchall():
        return text_or_none(source)
    return None


def get_most_recent_peer_source_session_id(db: apsw.Connection, agent_group_id: str) -> str | None:
    """Return the session that an agent group last wrote from: that of its highest seq."""
    sql = """
        SELECT source_session_id FROM messages_in
        WHERE channel_type = 'agent' AND platform_id = ? AND source_session_id IS NOT NULL
        ORDER BY seq DESC LIMIT 1
    """
    for (source,) in db.execute(sql, (agent_group_id,)).fetchall():
        return text_or_none(source)
    return None
