"""How does a container take work from its session folder and give answers back? The container's half of the contract.

The only writer of outbound.db (spec/nanoclaw.md §3.2, §11). What the existing runner does in two steps, the end of a
claim and its reply, is one transaction here (DESIGN §6.6).
"""

import os
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions import container_inbound as inbound
from turnkeel_adapters.sessions import container_outbound as outbound
from turnkeel_adapters.sessions import container_resume as resume
from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.container_attachments import attached_replies, drop_attachments
from turnkeel_adapters.sessions.container_inbound import Candidate, ClaimedWork, InboundRow, Routing
from turnkeel_adapters.sessions.container_outbound import ClaimLost, ErrorNote, Reply
from turnkeel_adapters.sessions.container_resume import KeptResume, ResumeHandles
from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.timestamps import iso_utc

__all__ = ["ClaimLost", "ClaimedWork", "ContainerFiles", "ErrorNote", "InboundRow", "Reply", "Routing"]


class ContainerFiles:
    """The files of one session folder as its container uses them.

    Safe to use from several threads. Every method but `touch_heartbeat` raises SessionFault for a file it cannot use.
    """

    def __init__(self, folder: Path) -> None:
        """Open outbound.db for the life of the process; a missing or foreign file is a SessionFault."""
        self._folder = folder
        self._inbound = folder / "inbound.db"
        self._outbound = folder / "outbound.db"
        self._heartbeat = folder / ".heartbeat"
        self._lock = threading.RLock()
        self._woken_by: frozenset[str] = frozenset()
        self._top_seq = 0
        self._db = outbound.open_outbound(self._outbound)
        self._opened = _identity(self._outbound)

    def close(self) -> None:
        """Close outbound.db."""
        with self._lock:
            self._db.close()

    def touch_heartbeat(self) -> None:
        """Set the heartbeat's mtime to the present; raises OSError."""
        try:
            os.utime(self._heartbeat)
        except FileNotFoundError:
            self._heartbeat.touch()

    def clear_stale_claims(self) -> None:
        """Forget what an earlier container left half done: claims, a tool or wait, files of unwritten replies."""
        attachments = attached_replies(self._folder)
        with self._writing() as db:
            db.execute("DELETE FROM processing_ack WHERE status = 'processing'")
            db.execute(
                """UPDATE container_state SET current_tool = NULL, tool_declared_timeout_ms = NULL,
                   tool_started_at = NULL WHERE current_tool IS NOT NULL"""
            )
            outbound.drop_state(db, outbound.WAITING_KEY)
            written = outbound.reply_ids(db) if attachments else frozenset[str]()
        drop_attachments(self._folder, attachments - written)

    def claim_next(self, now_ms: int, first_poll: bool) -> ClaimedWork | None:
        """Claim the oldest due message without an ack, and the context rows before it; None if there is none.

        A task that stands alone takes no context rows along.

        Rows meant for a container's first poll that are there at that poll stay open to this container while it
        lives: it takes one message at a time and would miss the others.
        """
        with self._lock:
            if _identity(self._outbound) != self._opened:
                # The folder was removed and made again: what is written to the old file, nobody will ever read.
                raise SessionFault(self._outbound, "missing", "another file took the place of the opened one")
            with inbound.looking_into(self._inbound) as db:
                seen = inbound.read_candidates(db, now_ms)
            if first_poll:
                self._woken_by = frozenset(row.message_id for row in seen if row.on_wake)
            if not (chosen := self._choose(seen)):
                return None
            with inbound.looking_into(self._inbound) as db:
                self._top_seq = max(self._top_seq, inbound.read_top_seq(db))
                rows = [row for key in chosen if (row := inbound.read_row(db, key)) is not None]
            # The host may have settled a row between the two looks; without the message there is nothing to claim.
            if not rows or rows[-1].message_id != chosen[-1]:
                return None
            # What was said before is for the next message of the conversation, not for a task beside it.
            context = () if rows[-1].stands_alone else tuple(rows[:-1])
            return self._claim(ClaimedWork(message=rows[-1], context=context, stamp=iso_utc(now_ms)), now_ms)

    def settle(
        self,
        work: ClaimedWork,
        outcome: Literal["completed", "failed"],
        reply: Reply | None,
        now_ms: int,
        note: ErrorNote | None = None,
        kept: KeptResume | None = None,
    ) -> None:
        """End a claim: ack, reply, cleared tool, error note and resume handle in one transaction; raises ClaimLost.

        `outcome` is the message's own; its context rows were read either way and are completed. A note of an earlier
        attempt is replaced by `note`. `kept` None leaves the handles as they are.
        """
        top_seq = self._read_top_seq() if reply is not None else 0
        message_id = work.message.message_id
        with self._writing() as db:
            outbound.require_claim(db, message_id, work.stamp)
            outbound.put_acks(db, work.context_ids, "completed", iso_utc(now_ms))
            outbound.put_acks(db, (message_id,), outcome, iso_utc(now_ms))
            if reply is not None:
                outbound.insert_reply(db, reply, top_seq, now_ms)
            outbound.drop_tool(db, now_ms)
            outbound.drop_state(db, outbound.ERROR_KEY + message_id)
            if note is not None:
                outbound.put_note(db, message_id, note, now_ms)
            if kept is not None:
                resume.put_handles(db, kept, now_ms)

    def resume_handles(self, provider: str, now_ms: int) -> ResumeHandles:
        """Return the handles that the session goes on with."""
        with self._writing() as db:
            return resume.read_handles(db, provider, now_ms)

    def keep_resume(self, kept: KeptResume, now_ms: int) -> None:
        """Store handles in place of the ones before."""
        with self._writing() as db:
            resume.put_handles(db, kept, now_ms)

    def clear_session(self, provider: str, if_still: str) -> bool:
        """Forget the conversation if the stored handle is still this one; whether it was."""
        with self._writing() as db:
            return resume.clear_session(db, provider, if_still)

    def clear_anchor(self, provider: str, if_still: str) -> bool:
        """Forget the place in the conversation if the stored one is still this one; whether it was."""
        with self._writing() as db:
            return resume.clear_anchor(db, provider, if_still)

    def send(self, reply: Reply, now_ms: int) -> None:
        """Write an extra reply that settles nothing."""
        top_seq = self._read_top_seq()
        with self._writing() as db:
            outbound.insert_reply(db, reply, top_seq, now_ms)
            outbound.stamp_progress(db, now_ms)

    def default_routing(self) -> Routing:
        """Return where the host says that this session talks to."""
        with self._lock, inbound.looking_into(self._inbound) as db:
            return inbound.read_default_routing(db)

    def progress(self, now_ms: int) -> None:
        """Record that the work moves."""
        with self._writing() as db:
            outbound.stamp_progress(db, now_ms)

    def declare_tool(self, name: str, timeout_ms: int | None, now_ms: int, started_at_ms: int | None = None) -> None:
        """Say which tool runs and how long it may stay silent; it started at `now_ms` unless told otherwise."""
        with self._writing() as db:
            outbound.put_tool(db, name, timeout_ms, now_ms if started_at_ms is None else started_at_ms, now_ms)

    def clear_tool(self, now_ms: int) -> None:
        """Say that no tool runs."""
        with self._writing() as db:
            outbound.drop_tool(db, now_ms)

    def declare_waiting(self, reason: str, until_at_ms: int | None, now_ms: int) -> None:
        """Say what the work waits for, and until when at most (DESIGN §4.5)."""
        with self._writing() as db:
            outbound.put_waiting(db, reason, until_at_ms, now_ms)
            outbound.stamp_progress(db, now_ms)

    def clear_waiting(self, now_ms: int) -> None:
        """Say that the wait is over."""
        with self._writing() as db:
            outbound.drop_state(db, outbound.WAITING_KEY)
            outbound.stamp_progress(db, now_ms)

    def note_error(self, message_id: str, note: ErrorNote, now_ms: int) -> None:
        """Leave the reason of a failed attempt for the host; the claim stays as it is."""
        with self._writing() as db:
            outbound.put_note(db, message_id, note, now_ms)

    def _choose(self, seen: Sequence[Candidate]) -> tuple[str, ...]:
        visible = [row for row in seen if row.due and (not row.on_wake or row.message_id in self._woken_by)]
        with faults_named(self._outbound):
            acked = outbound.acked_of(self._db, [row.message_id for row in visible])
        context: list[str] = []
        for row in visible:
            if row.message_id in acked or row.triggers is None:
                continue
            if row.triggers:
                return (*context, row.message_id)
            context.append(row.message_id)
        return ()

    def _claim(self, work: ClaimedWork, now_ms: int) -> ClaimedWork | None:
        ids = (*work.context_ids, work.message.message_id)
        with self._writing() as db:
            # Asked again inside the transaction: a second container in this folder must not share a message.
            if outbound.acked_of(db, ids):
                return None
            outbound.put_acks(db, ids, "processing", work.stamp)
            outbound.stamp_progress(db, now_ms)
        return work

    def _read_top_seq(self) -> int:
        try:
            with self._lock, inbound.looking_into(self._inbound) as db:
                self._top_seq = max(self._top_seq, inbound.read_top_seq(db))
        except SessionFault as fault:
            # The number only keeps the order: an answer is not thrown away because the host holds its file.
            if fault.kind not in ("busy", "hot_journal"):
                raise
        return self._top_seq

    @contextmanager
    def _writing(self) -> Generator[apsw.Connection, None, None]:
        with self._lock, faults_named(self._outbound), transaction(self._db):
            yield self._db


def _identity(path: Path) -> tuple[int, int]:
    with faults_named(path):
        found = path.stat()
    return found.st_dev, found.st_ino
