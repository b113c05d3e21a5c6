-- turnkeel.db as version 5 made it, with a session's life and two turns.
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
        progressed INTEGER CHECK (progressed IN (0, 1)), oom INTEGER NOT NULL DEFAULT 0 CHECK (oom IN (0, 1)), forgiven INTEGER NOT NULL DEFAULT 0 CHECK (forgiven IN (0, 1)),
        PRIMARY KEY (session, number),
        CHECK ((state = 'dead') = (died_at_ms IS NOT NULL AND ending IS NOT NULL)),
        CHECK (state <> 'running' OR container_id IS NOT NULL)
    ) STRICT;
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
CREATE TABLE pause (
        session TEXT PRIMARY KEY,
        reason TEXT,
        since_at_ms INTEGER NOT NULL
    ) STRICT;
CREATE TABLE turn (
        turn_id TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status = 'accepted' OR status = 'running' OR status = 'failed_retryable' OR status = 'delivery_pending' OR status = 'delivered' OR status = 'failed_terminal' OR status = 'aborted'),
        identity TEXT,
        attempts_started INTEGER NOT NULL CHECK (attempts_started >= 0),
        due_at_ms INTEGER,
        token INTEGER NOT NULL CHECK (token >= 0),
        lease_owner TEXT,
        lease_until_at_ms INTEGER,
        replay TEXT NOT NULL CHECK (replay = 'allowed' OR replay = 'notify_only' OR replay = 'never'),
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
        notice TEXT NOT NULL DEFAULT 'none' CHECK (notice = 'none' OR notice = 'due' OR notice = 'told'),
        withdrawal TEXT NOT NULL DEFAULT 'none' CHECK (withdrawal = 'none' OR withdrawal = 'due' OR withdrawal = 'done'),
        CHECK ((lease_owner IS NULL) = (lease_until_at_ms IS NULL)),
        CHECK ((ack IS NULL) = (acked_at_ms IS NULL)),
        CHECK ((status = 'delivered' OR status = 'failed_terminal' OR status = 'aborted') = (completed_at_ms IS NOT NULL)),
        CHECK (completed_at_ms IS NULL OR (lease_owner IS NULL AND reason IS NOT NULL)),
        CHECK (status <> 'failed_retryable' OR due_at_ms IS NOT NULL)
    ) STRICT;
CREATE TABLE identity (
        identity TEXT PRIMARY KEY,
        turn_id TEXT NOT NULL,
        settled_at_ms INTEGER,
        again INTEGER NOT NULL DEFAULT 0 CHECK (again >= 0),
        again_at_ms INTEGER,
        CHECK ((again = 0) = (again_at_ms IS NULL))
    ) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
        row_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind = 'tool' OR kind = 'block' OR kind = 'final'),
        channel TEXT NOT NULL,
        lane TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        queued_at_ms INTEGER NOT NULL,
        idempotency_key TEXT NOT NULL,
        turn_id TEXT REFERENCES turn (turn_id) ON DELETE CASCADE,
        source TEXT,
        status TEXT NOT NULL CHECK (status = 'queued' OR status = 'sending' OR status = 'failed_retryable' OR status = 'unknown' OR status = 'delivered' OR status = 'failed_terminal' OR status = 'expired'),
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
        CHECK ((status = 'delivered' OR status = 'failed_terminal' OR status = 'expired') = (completed_at_ms IS NOT NULL)),
        CHECK (status <> 'sending' OR lease_owner IS NOT NULL),
        CHECK (status <> 'delivered' OR parts_proven = parts),
        CHECK (status NOT IN ('failed_terminal', 'expired') OR reason IS NOT NULL),
        CHECK (completed_at_ms IS NULL OR lease_owner IS NULL)
    ) STRICT;
CREATE TABLE taken (
        source TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome = 'queued' OR outcome = 'duplicate' OR outcome = 'turn_aborted' OR outcome = 'turn_settled' OR outcome = 'stale_token' OR outcome = 'unreadable'),
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
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
CREATE TABLE receipt (
        row_id TEXT NOT NULL REFERENCES outbox (row_id) ON DELETE CASCADE,
        part INTEGER NOT NULL CHECK (part >= 0),
        at_ms INTEGER NOT NULL,
        platform_id TEXT NOT NULL,
        PRIMARY KEY (row_id, part, at_ms, platform_id)
    ) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX incarnation_open ON incarnation (session) WHERE state <> 'dead';
CREATE INDEX charge_noted ON charge (session) WHERE state = 'noted';
CREATE INDEX charge_message ON charge (session, message_id);
CREATE UNIQUE INDEX dead_open ON dead (session, direction, message_id) WHERE state = 'dead';
CREATE INDEX journal_session ON journal (session, id);
CREATE INDEX dead_message ON dead (session, message_id);
CREATE INDEX turn_open ON turn (session, accepted_at_ms, turn_id) WHERE completed_at_ms IS NULL;
CREATE INDEX turn_ended_session ON turn (session, completed_at_ms, turn_id) WHERE completed_at_ms IS NOT NULL;
CREATE INDEX turn_ended ON turn (status, completed_at_ms) WHERE completed_at_ms IS NOT NULL;
CREATE INDEX turn_notice ON turn (completed_at_ms, turn_id) WHERE notice = 'due';
CREATE INDEX turn_withdrawal ON turn (turn_id) WHERE withdrawal = 'due';
CREATE INDEX identity_settled ON identity (settled_at_ms) WHERE settled_at_ms IS NOT NULL;
CREATE UNIQUE INDEX outbox_key ON outbox (idempotency_key, retired);
CREATE UNIQUE INDEX outbox_source ON outbox (source, retired) WHERE source IS NOT NULL;
CREATE INDEX outbox_session ON outbox (session, queued_at_ms, row_id);
CREATE INDEX outbox_turn ON outbox (turn_id) WHERE turn_id IS NOT NULL;
CREATE INDEX outbox_open ON outbox (lane, ordinal, queued_at_ms, row_id) WHERE completed_at_ms IS NULL;
CREATE INDEX outbox_ended ON outbox (status, completed_at_ms) WHERE completed_at_ms IS NOT NULL;
CREATE INDEX taken_at ON taken (at_ms);
CREATE TRIGGER life_of_row_ends AFTER DELETE ON outbox
    BEGIN
        DELETE FROM life WHERE subject = coalesce(OLD.turn_id, 'row ' || OLD.row_id) AND row_id = OLD.row_id;
    END;
CREATE TRIGGER life_of_turn_ends AFTER DELETE ON turn
    BEGIN
        DELETE FROM life WHERE subject = OLD.turn_id;
    END;
CREATE TRIGGER receipt_unchanged BEFORE UPDATE ON receipt
    BEGIN
        SELECT RAISE(ABORT, 'a receipt is evidence: it is never changed');
    END;
CREATE TRIGGER receipt_kept BEFORE DELETE ON receipt WHEN EXISTS (SELECT 1 FROM outbox WHERE row_id = OLD.row_id)
    BEGIN
        SELECT RAISE(ABORT, 'a receipt is evidence: it goes with its row only');
    END;
INSERT INTO session VALUES ('main/a', 'active', 1), ('main/closed', 'closed', 2);
INSERT INTO incarnation (session, number, state, spawned_at_ms, runtime, container_id, replies_mark, acks_mark, died_at_ms, ending, oom, forgiven)
    VALUES ('main/a', 1, 'dead', 1000, 'process', '1:1', 0, 0, 2000, 'exited', 1, 0);
INSERT INTO charge VALUES ('main/a', 1, 'm1', 1, NULL, 'crashed', 'noted', 2000);
INSERT INTO pause VALUES ('main/a', 'maintenance', 3000);
INSERT INTO turn (turn_id, session, accepted_at_ms, status, identity, attempts_started, token, replay, in_session, commands_abort, payload_ok, completed_at_ms, reason, payload)
    VALUES ('t1', 'main/a', 1000, 'delivered', 'k1', 1, 1, 'allowed', 1, 0, 1, 2000, 'sent', '{}'), ('t2', 'main/a', 3000, 'accepted', 'k2', 0, 0, 'allowed', 1, 0, 1, NULL, NULL, '{}');
INSERT INTO identity VALUES ('k1', 't1', 2000, 0, NULL), ('k2', 't2', NULL, 0, NULL);
PRAGMA user_version = 5;
