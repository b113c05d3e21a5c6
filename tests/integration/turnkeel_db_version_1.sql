-- turnkeel.db as version 1 made it, with a few rows. Never changed: later versions must read it.
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

INSERT INTO session (name, status, seen_at_ms) VALUES ('main/a', 'active', 1), ('main/closed', 'closed', 2);
INSERT INTO incarnation (session, number, state, spawned_at_ms, runtime, container_id, replies_mark, acks_mark,
                         intent, intended_at_ms, died_at_ms, exit_code, exit_signal, ending, progressed)
VALUES ('main/a', 1, 'dead', 1000, 'process', '12:34', 0, 0, 'KillStaleClaim', 1900, 2000, NULL, 9, 'stopped', 0),
       ('main/a', 2, 'running', 3000, 'process', '56:78', 1, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO charge (session, incarnation, message_id, tries, retry_at_ms, reason, state, noted_at_ms)
VALUES ('main/a', 1, 'm1', 1, 7000, 'KillStaleClaim', 'applied', 2000);
INSERT INTO dead (session, message_id, direction, payload, reason, detail, tries, incarnation, made_at_ms)
VALUES ('main/a', 'm2', 'inbound', 'hello', 'container gone', NULL, 5, 1, 2000);
INSERT INTO parked (session, message_id, cron, reason, parked_at_ms) VALUES ('main/a', 'm3', '61 * * * *', 'minute', 5);
INSERT INTO fault (session, subject, kind, detail, first_at_ms, last_at_ms)
VALUES ('main/a', 'inbound.db', 'corrupt', 'page 2', 5, 6);
INSERT INTO hold (session, reason, until_at_ms, since_at_ms) VALUES ('main/a', 'backoff', 9, 8);
INSERT INTO policy (digest, text) VALUES ('d1', '{}');
INSERT INTO journal (at_ms, session, incarnation, decision, policy_digest, input, actions, why)
VALUES (1, 'main/a', 1, 'plan_sweep', 'd1', '{}', '{}', '{}');
PRAGMA user_version = 1;
