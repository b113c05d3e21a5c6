"""Does every operation on the two files leave the same rows as in the existing host?"""

from contextlib import ExitStack, closing

import apsw

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.sessions import delivered, inbound, migrate, outbound, routing, tasks
from turnkeel_adapters.sessions.connect import ensure_schema, open_for_writing
from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc

KIND = "session_db_ops"
TABLES = {
    "inbound": ("messages_in", "delivered", "destinations", "session_routing"),
    "outbound": ("messages_out", "processing_ack", "session_state", "container_state"),
}


def test_operations_leave_the_rows_of_the_existing_host(vector, tmp_path):
    with ExitStack() as stack:
        session = Session(tmp_path, vector["input"]["now"], stack)
        results = [session.run(step["op"], step["args"]) for step in vector["input"]["ops"]]
    expected = vector["expected"]
    assert [_shape(result) for result in results] == [_shape(result) for result in expected["results"]]
    for database in TABLES:
        assert rows_of(tmp_path / f"{database}.db", TABLES[database]) == expected[database], database


def _shape(result):
    return result if "ok" in result else "error"


def rows_of(path, tables):
    if not path.exists():
        return None
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
        return {table: _table(db, table) for table in tables}


def _table(db, table):
    columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]
    if not columns:
        return None
    rows = db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]


class Session:
    """The harness: the vector's operations by name, on fresh files, with a clock of their own."""

    def __init__(self, folder, now_ms, stack):
        self.folder, self.now_ms, self.stack, self.open = folder, now_ms, stack, {}

    def run(self, op, args):
        try:
            return {"ok": getattr(self, op)(*args)}
        except (AdapterError, apsw.Error, TypeError, KeyError) as error:
            return {"error": type(error).__name__, "message": str(error)}

    def db(self, which):
        if which not in self.open:
            path = self.folder / f"{which}.db"
            fresh = not path.exists() or path.stat().st_size == 0
            db = apsw.Connection(str(path)) if fresh else open_for_writing(path)
            self.open[which] = self.stack.enter_context(closing(db))
        return self.open[which]

    # What belongs to the harness itself.
    def advance(self, by_ms):
        self.now_ms += by_ms

    def close(self, which=None):
        for name in [which] if which else list(self.open):
            if name in self.open:
                self.open.pop(name).close()

    def exec(self, which, sql):
        self.db(which).execute(sql).fetchall()

    def seed(self, which, table, row):
        columns, marks = ", ".join(row), ", ".join(f":{column}" for column in row)
        self.db(which).execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row).fetchall()

    def createEmptyFile(self, which):
        (self.folder / f"{which}.db").touch()

    def tableInfo(self, which, table):
        sql = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)'
        return [list(row) for row in self.db(which).execute(sql, (table,)).fetchall()]

    def indexList(self, which, table):
        rows = self.db(which).execute("SELECT name FROM pragma_index_list(?) WHERE origin = 'c'", (table,))
        return [name for (name,) in rows.fetchall()]

    # The operations of the store.
    def ensureSchema(self, which):
        ensure_schema(self.folder / f"{which}.db", which)

    def upsertSessionRouting(self, row):
        routing.upsert_session_routing(self.db("inbound"), routing.SessionRouting(**row))

    def replaceDestinations(self, rows):
        routing.replace_destinations(self.db("inbound"), tuple(routing.Destination(**row) for row in rows))

    def nextEvenSeq(self):
        return inbound.next_even_seq(self.db("inbound"))

    def insertMessage(self, message):
        optional = {"trigger": "trigger", "onWake": "on_wake", "sourceSessionId": "source_session_id"}
        given = {ours: message[theirs] for theirs, ours in optional.items() if message.get(theirs) is not None}
        row = inbound.InboundRow(
            id=message["id"],
            kind=message["kind"],
            timestamp=message["timestamp"],
            content=message["content"],
            process_after=message["processAfter"],
            recurrence=message["recurrence"],
            platform_id=message["platformId"],
            channel_type=message["channelType"],
            thread_id=message["threadId"],
            **given,
        )
        inbound.insert_message(self.db("inbound"), row)

    def countDueMessages(self):
        return inbound.count_due_messages(self.db("inbound"), self.now_ms)

    def markMessageFailed(self, message_id):
        inbound.mark_message_failed(self.db("inbound"), message_id)

    def retryWithBackoff(self, message_id, backoff_s):
        inbound.retry_with_backoff(self.db("inbound"), message_id, backoff_s, self.now_ms)

    def getMessageForRetry(self, message_id, status):
        row = inbound.get_message_for_retry(self.db("inbound"), message_id, status)
        if row is None:
            return "undefined"
        return {"id": row.message_id, "tries": row.tries, "processAfter": row.process_after}

    def syncProcessingAcks(self):
        inbound.sync_processing_acks(self.db("inbound"), self.db("outbound"))

    def getStuckProcessingIds(self):
        return list(outbound.get_stuck_processing_ids(self.db("outbound")))

    def getProcessingClaims(self):
        claims = outbound.get_processing_claims(self.db("outbound"))
        return [{"message_id": claim.message_id, "status_changed": claim.status_changed} for claim in claims]

    def deleteOrphanProcessingClaims(self):
        return len(outbound.delete_orphan_processing_claims(self.db("outbound")))

    def getContainerState(self):
        state = outbound.get_container_state(self.db("outbound"))
        names = ("current_tool", "tool_declared_timeout_ms", "tool_started_at")
        return None if state is None else {name: getattr(state, name) for name in names}

    def getDueOutboundMessages(self):
        return [row.message_id for row in outbound.get_due_outbound_messages(self.db("outbound"), self.now_ms)]

    def getDeliveredIds(self):
        return sorted(delivered.get_delivered_ids(self.db("inbound")))

    def markDelivered(self, message_id, platform_message_id):
        delivered.mark_delivered(self.db("inbound"), message_id, platform_message_id, self.now_ms)

    def markDeliveryFailed(self, message_id):
        delivered.mark_delivery_failed(self.db("inbound"), message_id, self.now_ms)

    def migrateDeliveredTable(self):
        migrate.migrate_delivered_table(self.db("inbound"))

    def migrateMessagesInTable(self):
        migrate.migrate_messages_in_table(self.db("inbound"))

    def getInboundSourceSessionId(self, message_id):
        return routing.get_inbound_source_session_id(self.db("inbound"), message_id)

    def getMostRecentPeerSourceSessionId(self, agent_group_id):
        return routing.get_most_recent_peer_source_session_id(self.db("inbound"), agent_group_id)

    def insertTask(self, task):
        row = tasks.NewTask(
            task_id=task["id"],
            process_after=task["processAfter"],
            recurrence=task["recurrence"],
            content=task["content"],
            platform_id=task["platformId"],
            channel_type=task["channelType"],
            thread_id=task["threadId"],
        )
        tasks.insert_task(self.db("inbound"), row, self.now_ms)

    def cancelTask(self, task_id):
        tasks.cancel_task(self.db("inbound"), task_id)

    def pauseTask(self, task_id):
        tasks.pause_task(self.db("inbound"), task_id)

    def resumeTask(self, task_id):
        tasks.resume_task(self.db("inbound"), task_id)

    def updateTask(self, task_id, changes):
        names = {"prompt": "prompt", "script": "script", "recurrence": "recurrence", "processAfter": "process_after"}
        update = tasks.TaskUpdate(**{names[key]: value for key, value in changes.items()})
        return tasks.update_task(self.db("inbound"), task_id, update)

    def getCompletedRecurring(self):
        return [row.message_id for row in tasks.get_completed_recurring(self.db("inbound"))]

    def insertRecurrence(self, source_id, new_id, next_run):
        at = parse_sqlite_utc(next_run)
        tasks.insert_recurrence(
            self.db("inbound"), source_id, new_id, next_run if at is None else iso_utc(at), self.now_ms
        )

    def clearRecurrence(self, message_id):
        tasks.clear_recurrence(self.db("inbound"), message_id)
