"""Which tables does `turnkeel.db` have, and how did they come to be?

A migration is never changed once it has been released: a new one is added. `PRAGMA user_version` counts them.
"""

from typing import Final

from turnkeel_adapters.state.schema_lifecycle import LIFECYCLE
from turnkeel_adapters.state.schema_schedules import SCHEDULER, SCHEDULES

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE session (
        name TEXT PRIMARY KEY,
        status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed')),
        seen_at_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE incarnation (
        session TEXT NOT NULL,
        number INTEGER NOT NULL CHECK (number >= 1),
        state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'dead')),
        spawned_at_ms INTEGER NOT NULL,
        runtime TEXT,
        container_id TEXT,
        replies_mark INTEGER NOT NULL,
        acks_mark INTEGER NOT NULL,
        intent TEXT,
        intended_at_ms INTEGER,
        died_at_ms INTEGER,
        exit_code INTEGER,
        exit_signal INTEGER,
        ending TEXT CHECK (ending IN ('exited', 'stopped', 'not_started', 'host_gone')),
        progressed INTEGER CHECK (progressed IN (0, 1)),
        PRIMARY KEY (session, number),
        CHECK ((state = 'dead') = (died_at_ms IS NOT NULL AND ending IS NOT NULL)),
        CHECK (state <> 'running' OR container_id IS NOT NULL)
    ) STRICT;
    CREATE UNIQUE INDEX incarnation_open ON incarnation (session) WHERE state <> 'dead';

    CREATE TABLE charge (
        session TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        tries INTEGER NOT NULL,
        retry_at_ms INTEGER,
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('noted', 'applied')),
        noted_at_ms INTEGER NOT NULL,
        PRIMARY KEY (session, incarnation, message_id)
    ) STRICT;
    CREATE INDEX charge_noted ON charge (session) WHERE state = 'noted';
    CREATE INDEX charge_message ON charge (session, message_id);

    CREATE TABLE dead (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL,
        message_id TEXT NOT NULL,
        direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
        payload TEXT,
        reason TEXT NOT NULL,
        detail TEXT,
        tries INTEGER,
        incarnation INTEGER,
        made_at_ms INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'retried', 'dropped'))
    ) STRICT;
    CREATE UNIQUE INDEX dead_open ON dead (session, direction, message_id) WHERE state = 'dead';

    CREATE TABLE parked (
        session TEXT NOT NULL,
        message_id TEXT NOT NULL,
        cron TEXT NOT NULL,
        reason TEXT NOT NULL,
        parked_at_ms INTEGER NOT NULL,
        PRIMARY KEY (session, message_id)
    ) STRICT;

    CREATE TABLE fault (
        session TEXT NOT NULL,
        subject TEXT NOT NULL,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL,
        first_at_ms INTEGER NOT NULL,
        last_at_ms INTEGER NOT NULL,
        PRIMARY KEY (session, subject)
    ) STRICT;

    CREATE TABLE hold (
        session TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        until_at_ms INTEGER,
        since_at_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE policy (
        digest TEXT PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;

    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        session TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        decision TEXT NOT NULL,
        policy_digest TEXT NOT NULL REFERENCES policy (digest),
        input TEXT NOT NULL,
        actions TEXT NOT NULL,
        why TEXT NOT NULL
    ) STRICT;
    CREATE INDEX journal_session ON journal (session, id);
    """,
    """
    CREATE TABLE pause (
        session TEXT PRIMARY KEY,
        reason TEXT,
        since_at_ms INTEGER NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE incarnation ADD COLUMN oom INTEGER NOT NULL DEFAULT 0 CHECK (oom IN (0, 1));
    """,
    """
    ALTER TABLE incarnation ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0 CHECK (forgiven IN (0, 1));
    """,
    LIFECYCLE,
    SCHEDULES,
    SCHEDULER,
)
