"""What can be asked of a session, and done to it, whatever holds its two databases?"""

from collections.abc import Iterator

import apsw
from attrs import evolve

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions import delivered, inbound, migrate, outbound, outbound_facts, system_actions, tasks
from turnkeel_adapters.sessions.files import SessionFiles
from turnkeel_adapters.sessions.history import read_ack, read_delivery, read_messages, read_replies
from turnkeel_adapters.sessions.inbound_facts import InboundFacts, read_inbound_facts
from turnkeel_adapters.sessions.outbound_facts import OutboundFacts, read_outbound_facts, read_terminal_acks
from turnkeel_adapters.sessions.output_checks import WrittenReply, newest_replies, refusals, text_bytes
from turnkeel_adapters.sessions.records import (
    HistoryLine,
    InboundChanges,
    NewMessage,
    OutboundMark,
    OutboundMessage,
    RowFault,
    SessionReading,
)
from turnkeel_adapters.sessions.routing import SessionRouting, get_session_routing
from turnkeel_adapters.sessions.rows import columns_of, text_of
from turnkeel_adapters.sessions.runs import settled_runs, without_context
from turnkeel_adapters.sessions.taking import StoredMessage, Written, places_after, stored_message, written_at
from turnkeel_adapters.timestamps import iso_utc
from turnkeel_core import OutputPolicy
from turnkeel_core.facts import Ack, Run


class SessionOperations:
    """The store operations that a host needs, over any SessionFiles. All raise SessionFault."""

    def __init__(self, files: SessionFiles, output: OutputPolicy = OutputPolicy()) -> None:
        self._files = files
        self._output = output

    def prepare(self) -> None:
        """Bring an older inbound.db up to the current contract; a current one is only read."""
        with self._files.read_inbound() as db:
            old = migrate.needs_migration(db)
        if old:
            with self._files.write_inbound() as db:
                migrate.migrate_inbound(db)

    def read(self, now_ms: int, since: OutboundMark | None = None) -> SessionReading:
        """Read all facts of one pass; `since` asks whether the container got further than that mark."""
        with self._files.read_outbound() as db:
            theirs = None if db is None else read_outbound_facts(db)
            written = () if db is None else newest_replies(db, 0 if since is None else since.replies, self._output)
        with self._files.read_inbound() as db:
            ours = read_inbound_facts(db)
        # The acks of the open rows are asked for by id, after those rows are known and no lock is held on them.
        acks: tuple[Ack, ...] = ()
        if theirs is not None and ours.messages:
            with self._files.read_outbound() as db:
                acks = () if db is None else read_terminal_acks(db, tuple(row.message_id for row in ours.messages))
        refused = tuple(
            RowFault(message_id=key, table="messages_out", column="content", detail=f"refused: {reason}")
            for key, reason in self._refusals(written, now_ms)
        )
        reading = _reading(ours, theirs, acks, since)
        return evolve(reading, row_faults=reading.row_faults + refused) if refused else reading

    def runs(self, since_ms: int, charged: tuple[Run, ...]) -> tuple[Run, ...]:
        """Return the runs settled since then and those `charged`, without the rows that call for no container."""
        with self._files.read_outbound() as db:
            settled = () if db is None else settled_runs(db, since_ms)
        with self._files.read_inbound() as db:
            return without_context(db, (*settled, *charged))

    def insert(self, message: NewMessage, now_ms: int) -> int:
        """Store a message durably and return its seq; raise RefusedMessage if it cannot be stored."""
        with self._files.write_inbound() as db:
            migrate.migrate_messages_in_table(db)
            return inbound.insert_message(db, _row_of(message, now_ms))

    def write_inbound(self, changes: InboundChanges) -> None:
        """Make one pass's changes in one transaction; none if there is nothing to change."""
        if changes != InboundChanges():
            with self._files.write_inbound() as db:
                inbound.apply_changes(db, changes)

    def release_claims(self) -> tuple[str, ...]:
        """Delete the container's `processing` acks and return their ids in order.

        The one write of the host to outbound.db: only after the container is verified dead.
        """
        with self._files.read_outbound() as db:
            if db is None or not outbound.get_stuck_processing_ids(db):
                return ()
        with self._files.write_outbound() as db:
            return outbound.delete_orphan_processing_claims(db)

    def clone_recurrence(self, message_id: str, new_id: str, next_at_ms: int, now_ms: int) -> bool:
        """Store the next occurrence and end the old one's recurrence together; False if it had ended already."""
        with self._files.write_inbound() as db:
            migrate.migrate_messages_in_table(db)
            try:
                return tasks.clone_recurrence(db, message_id, new_id, iso_utc(next_at_ms), now_ms)
            except apsw.ConstraintError as error:
                raise RefusedMessage(f"duplicate: a message {new_id!r} is already stored") from error

    def payload(self, message_id: str) -> str | None:
        """Return an inbound message's content, or None if there is no such message."""
        with self._files.read_inbound() as db:
            sql = "SELECT CAST(content AS BLOB) FROM messages_in WHERE id = ?"
            rows = db.execute(sql, (message_id,)).fetchall()
        return text_of(rows[0][0]) if rows else None

    def error_note(self, message_id: str) -> str | None:
        """Return the JSON text in which the agent said why it failed at a message, if it did."""
        with self._files.read_outbound() as db:
            return None if db is None else outbound_facts.error_note(db, message_id)

    def due_outbound(self, now_ms: int) -> tuple[OutboundMessage, ...]:
        """Return the replies that are due and neither delivered nor given up, oldest first."""
        with self._files.read_inbound() as db:
            settled = delivered.get_delivered_ids(db)
        with self._files.read_outbound() as db:
            return () if db is None else outbound.get_due_outbound_messages(db, now_ms, settled)

    def written_after(self, rowid: int, limit: int) -> Written:
        """Return those of the next `limit` replies after a rowid that have no mark in `delivered`, due or not."""
        with self._files.read_outbound() as db:
            places = () if db is None else places_after(db, rowid, limit)
        if not places:
            return Written(upto=rowid)
        with self._files.read_inbound() as db:
            settled = delivered.marked(db, tuple(place.name for place in places))
        with self._files.read_outbound() as db:
            rows = () if db is None else tuple(written_at(db, place) for place in places if place.name not in settled)
        more, first, last = len(places) == limit, places[0].name, places[-1].name
        return Written(rows=rows, upto=places[-1].rowid, more=more, first=first, last=last)

    def refusal(self, reply: OutboundMessage) -> str | None:
        """Return why a reply may not be sent: over a limit, or with files that may not be taken."""
        content = reply.content.encode(errors="replace")
        written = WrittenReply(message_id=reply.message_id, text_bytes=text_bytes(len(content), content))
        return dict(self._refusals((written,), 0)).get(reply.message_id)

    def stored(self, message_id: str) -> StoredMessage | None:
        """Return an inbound message as it stands, or None if there is no such message."""
        with self._files.read_inbound() as db:
            return stored_message(db, message_id)

    def routing(self) -> SessionRouting | None:
        """Return the session's default address, if it has one."""
        with self._files.read_inbound() as db:
            return get_session_routing(db) if columns_of(db, "session_routing") else None

    def carry_out(self, message_out_id: str, content: str, answer_id: str, now_ms: int) -> str | None:
        """Do once what a container's system row asks about its tasks, or answer why not; why not, if so."""
        if system_actions.action_of(content) is None:
            return None
        with self._files.write_inbound() as db:
            migrate.migrate_messages_in_table(db)
            return system_actions.carry_out(db, message_out_id, content, answer_id, now_ms)

    def mark_delivered(self, message_out_id: str, platform_message_id: str | None, now_ms: int) -> None:
        """Note that a reply was sent; the first mark of a reply wins."""
        with self._files.write_inbound() as db:
            delivered.mark_delivered(db, message_out_id, platform_message_id, now_ms)

    def mark_sent(self, message_out_id: str, platform_message_id: str | None, now_ms: int) -> None:
        """Note that a reply was sent, also one that was given up before."""
        with self._files.write_inbound() as db:
            delivered.mark_sent(db, message_out_id, platform_message_id, now_ms)

    def mark_delivery_failed(self, message_out_id: str, now_ms: int) -> None:
        """Note that a reply was given up; the first mark of a reply wins."""
        with self._files.write_inbound() as db:
            delivered.mark_delivery_failed(db, message_out_id, now_ms)

    def history(self, limit: int, after_seq: int | None = None) -> tuple[HistoryLine, ...]:
        """Return up to `limit` lines after a seq, in seq order; the last line's seq asks for the next page.

        A message that came in while replies were being written may have a lower seq than they (spec §3.4).
        """
        with self._files.read_inbound() as db:
            lines = read_messages(db, limit, after_seq)
        sizes: tuple[WrittenReply, ...] = ()
        with self._files.read_outbound() as out:
            if out is not None:
                replies, sizes = read_replies(out, limit, after_seq, self._output)
                lines += replies
            lines = tuple(sorted(lines, key=_by_seq)[:limit])
            if out is not None:
                lines = tuple(_with_claim(line, out) for line in lines)
        refused = dict(self._refusals(sizes, 0))
        with self._files.read_inbound() as db:
            lines = tuple(_with_delivery(line, db) for line in lines)
        return tuple(evolve(line, refusal=refused.get(line.message_id)) if refused else line for line in lines)

    def _refusals(self, written: tuple[WrittenReply, ...], now_ms: int) -> Iterator[tuple[str, str]]:
        attached = self._files.attachments(frozenset(reply.message_id for reply in written)) if written else {}
        return refusals(written, attached, self._output, now_ms)


def _row_of(message: NewMessage, now_ms: int) -> inbound.InboundRow:
    return inbound.InboundRow(
        id=message.message_id,
        kind=message.kind,
        timestamp=iso_utc(now_ms if message.sent_at_ms is None else message.sent_at_ms),
        content=message.content,
        process_after=None if message.due_at_ms is None else iso_utc(message.due_at_ms),
        recurrence=message.recurrence,
        trigger=int(message.triggers),
        platform_id=message.platform_id,
        channel_type=message.channel_type,
        thread_id=message.thread_id,
        source_session_id=message.source_session_id,
        on_wake=int(message.on_wake),
    )


def _reading(
    ours: InboundFacts, theirs: OutboundFacts | None, acks: tuple[Ack, ...], since: OutboundMark | None
) -> SessionReading:
    settled = frozenset(ack.message_id for ack in acks)
    still_open = {message.message_id for message in ours.messages} - settled
    reading = SessionReading(
        messages=ours.messages,
        acks=acks,
        recurring=tuple(row for row in ours.crons if row.message_id not in still_open),
        outbound_missing=theirs is None,
        row_faults=ours.row_faults,
    )
    if theirs is None:
        return reading
    mark = theirs.mark
    return evolve(
        reading,
        # A claim that was settled between the two looks is no claim any more.
        claims=tuple(claim for claim in theirs.claims if claim.message_id not in settled),
        tool=theirs.tool,
        waiting=theirs.waiting,
        progress_at_ms=theirs.progress_at_ms,
        mark=mark,
        progressed=None if since is None else mark.replies > since.replies or mark.acks > since.acks,
        row_faults=theirs.row_faults + ours.row_faults,
    )


def _by_seq(line: HistoryLine) -> tuple[int, str]:
    return (-1 if line.seq is None else line.seq, line.direction)


def _with_claim(line: HistoryLine, db: apsw.Connection) -> HistoryLine:
    return evolve(line, claim=read_ack(db, line.message_id)) if line.direction == "in" else line


def _with_delivery(line: HistoryLine, db: apsw.Connection) -> HistoryLine:
    return evolve(line, status=read_delivery(db, line.message_id)) if line.direction == "out" else line
