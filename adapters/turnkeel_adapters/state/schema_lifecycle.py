"""How do turns, outbox rows and what outlasts them lie in `turnkeel.db`?

The text of one migration (`migrations`): it is never changed once it has been released.
"""

from typing import Final


def _one_of(column: str, *words: str) -> str:
    # SQLite makes a table of its own for each IN of more than two words, at every write.
    return " OR ".join(f"{column} = '{word}'" for word in words)


_TURN_STATUS: Final = _one_of(
    "status", "accepted", "running", "failed_retryable", "delivery_pending", "delivered", "failed_terminal", "aborted"
)
_TURN_ENDED: Final = _one_of("status", "delivered", "failed_terminal", "aborted")
_REPLAY: Final = _one_of("replay", "allowed", "notify_only", "never")
_NOTICE: Final = _one_of("notice", "none", "due", "told")
_WITHDRAWAL: Final = _one_of("withdrawal", "none", "due", "done")
_KIND: Final = _one_of("kind", "tool", "block", "final")
_ROW_STATUS: Final = _one_of(
    "status", "queued", "sending", "failed_retryable", "unknown", "delivered", "failed_terminal", "expired"
)
_ROW_ENDED: Final = _one_of("status", "delivered", "failed_terminal", "expired")
_OUTCOME: Final = _one_of("outcome", "queued", "duplicate", "turn_aborted", "turn_settled", "stale_token", "unreadable")

LIFECYCLE: Final = f"""
    CREATE TABLE turn (
        turn_id TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        status TEXT NOT NULL CHECK ({_TURN_STATUS}),
        identity TEXT,
        attempts_started INTEGER NOT NULL CHECK (attempts_started >= 0),
        due_at_ms INTEGER,
        token INTEGER NOT NULL CHECK (token >= 0),
        lease_owner TEXT,
        lease_until_at_ms INTEGER,
        replay TEXT NOT NULL CHECK ({_REPLAY}),
        in_session INTEGER NOT NULL CHECK (in_session IN (0, 1)),
        commands_abort INTEGER NOT NULL CHECK (commands_abort IN (0, 1)),
        payload_ok INTEGER NOT NULL CHECK (payload_ok IN (0, 1)),
        ack TEXT CHECK (ack IN ('completed', 'failed')),
        acked_at_ms INTEGER,
        completed_at_ms INTEGER,
        reason TEXT,
        payload TEXT NOT NULL,
        error TEXT,
        uncertain INTEGER NOT NULL DEFAULT 0 CHECK (uncertain IN (0, 1)),
        notice TEXT NOT NULL DEFAULT 'none' CHECK ({_NOTICE}),
        withdrawal TEXT NOT NULL DEFAULT 'none' CHECK ({_WITHDRAWAL}),
        CHECK ((lease_owner IS NULL) = (lease_until_at_ms IS NULL)),
        CHECK ((ack IS NULL) = (acked_at_ms IS NULL)),
        CHECK (({_TURN_ENDED}) = (completed_at_ms IS NOT NULL)),
        CHECK (completed_at_ms IS NULL OR (lease_owner IS NULL AND reason IS NOT NULL)),
        CHECK (status <> 'failed_retryable' OR due_at_ms IS NOT NULL)
    ) STRICT;
    CREATE INDEX dead_message ON dead (session, message_id);
    CREATE INDEX turn_open ON turn (session, accepted_at_ms, turn_id) WHERE completed_at_ms IS NULL;
    CREATE INDEX turn_ended_session ON turn (session, completed_at_ms, turn_id) WHERE completed_at_ms IS NOT NULL;
    CREATE INDEX turn_ended ON turn (status, completed_at_ms) WHERE completed_at_ms IS NOT NULL;
    CREATE INDEX turn_notice ON turn (completed_at_ms, turn_id) WHERE notice = 'due';
    CREATE INDEX turn_withdrawal ON turn (turn_id) WHERE withdrawal = 'due';

    CREATE TABLE identity (
        identity TEXT PRIMARY KEY,
        turn_id TEXT NOT NULL,
        settled_at_ms INTEGER,
        again INTEGER NOT NULL DEFAULT 0 CHECK (again >= 0),
        again_at_ms INTEGER,
        CHECK ((again = 0) = (again_at_ms IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX identity_settled ON identity (settled_at_ms) WHERE settled_at_ms IS NOT NULL;

    CREATE TABLE outbox (
        row_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK ({_KIND}),
        channel TEXT NOT NULL,
        lane TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        queued_at_ms INTEGER NOT NULL,
        idempotency_key TEXT NOT NULL,
        turn_id TEXT REFERENCES turn (turn_id) ON DELETE CASCADE,
        source TEXT,
        status TEXT NOT NULL CHECK ({_ROW_STATUS}),
        attempts INTEGER NOT NULL CHECK (attempts >= 0),
        due_at_ms INTEGER,
        last_attempt_at_ms INTEGER,
        send_started_at_ms INTEGER,
        deferred_since_at_ms INTEGER,
        completed_at_ms INTEGER,
        parts INTEGER NOT NULL CHECK (parts >= 0),
        parts_proven INTEGER NOT NULL CHECK (parts_proven BETWEEN 0 AND parts),
        payload_ok INTEGER NOT NULL CHECK (payload_ok IN (0, 1)),
        token INTEGER NOT NULL CHECK (token >= 0),
        lease_owner TEXT,
        lease_until_at_ms INTEGER,
        reason TEXT,
        last_error TEXT,
        session TEXT NOT NULL,
        retired TEXT NOT NULL,
        payload TEXT NOT NULL,
        CHECK (retired = CASE WHEN status IN ('failed_terminal', 'expired') THEN row_id ELSE '' END),
        CHECK ((lease_owner IS NULL) = (lease_until_at_ms IS NULL)),
        CHECK (({_ROW_ENDED}) = (completed_at_ms IS NOT NULL)),
        CHECK (status <> 'sending' OR lease_owner IS NOT NULL),
        CHECK (status <> 'delivered' OR parts_proven = parts),
        CHECK (status NOT IN ('failed_terminal', 'expired') OR reason IS NOT NULL),
        CHECK (completed_at_ms IS NULL OR lease_owner IS NULL)
    ) STRICT;
    CREATE UNIQUE INDEX outbox_key ON outbox (idempotency_key, retired);
    CREATE UNIQUE INDEX outbox_source ON outbox (source, retired) WHERE source IS NOT NULL;
    CREATE INDEX outbox_session ON outbox (session, queued_at_ms, row_id);
    CREATE INDEX outbox_turn ON outbox (turn_id) WHERE turn_id IS NOT NULL;
    CREATE INDEX outbox_open ON outbox (lane, ordinal, queued_at_ms, row_id) WHERE completed_at_ms IS NULL;
    CREATE INDEX outbox_ended ON outbox (status, completed_at_ms) WHERE completed_at_ms IS NOT NULL;

    CREATE TABLE taken (
        source TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK ({_OUTCOME}),
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX taken_at ON taken (at_ms);

    -- `subject` is the turn's id or, of a row of nobody, 'row ' and the row's: a life lies in one place.
    CREATE TABLE life (
        subject TEXT NOT NULL,
        id INTEGER NOT NULL,
        turn_id TEXT,
        row_id TEXT,
        at_ms INTEGER NOT NULL,
        what TEXT NOT NULL,
        detail TEXT,
        because TEXT NOT NULL,
        PRIMARY KEY (subject, id),
        CHECK (subject = coalesce(turn_id, 'row ' || row_id))
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER life_of_row_ends AFTER DELETE ON outbox
    BEGIN
        DELETE FROM life WHERE subject = coalesce(OLD.turn_id, 'row ' || OLD.row_id) AND row_id = OLD.row_id;
    END;
    CREATE TRIGGER life_of_turn_ends AFTER DELETE ON turn
    BEGIN
        DELETE FROM life WHERE subject = OLD.turn_id;
    END;

    -- `platform_id` is '' if the channel gave none.
    CREATE TABLE receipt (
        row_id TEXT NOT NULL REFERENCES outbox (row_id) ON DELETE CASCADE,
        part INTEGER NOT NULL CHECK (part >= 0),
        at_ms INTEGER NOT NULL,
        platform_id TEXT NOT NULL,
        PRIMARY KEY (row_id, part, at_ms, platform_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER receipt_unchanged BEFORE UPDATE ON receipt
    BEGIN
        SELECT RAISE(ABORT, 'a receipt is evidence: it is never changed');
    END;
    CREATE TRIGGER receipt_kept BEFORE DELETE ON receipt WHEN EXISTS (SELECT 1 FROM outbox WHERE row_id = OLD.row_id)
    BEGIN
        SELECT RAISE(ABORT, 'a receipt is evidence: it goes with its row only');
    END;
"""
