"""What do a session's files mean for its turns, and its new replies for the outbox? Asked at each of its passes.

Everything that one look means is stored in one transaction of turnkeel.db, before the host settles any row on it: so
the container's last word is kept when the inbound row that it settles is completed. What follows in the session's own
files (a missing row, a stopped one, a mark in `delivered`) is repeated until it is there.
"""

from collections.abc import Callable

from attrs import define, field

from turnkeel.delivery.adopt import adopt, known_ids, new_ids
from turnkeel.delivery.denial import stop_denied
from turnkeel.delivery.evidence import LastContainer, Seen, decide_turns
from turnkeel.delivery.gather import gather
from turnkeel.delivery.join import join_stored, withdraw
from turnkeel.delivery.losses import losses_of
from turnkeel.delivery.marks import marks_of, marks_of_stopped, set_marks
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.take import take
from turnkeel.followed import Followed, earliest
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.sessions.taking import WrittenRow
from turnkeel_core import WithdrawInbound, WriteInbound

_PAGE = 100
_SYSTEM = "system"


@define
class Known:
    """What is remembered of a session between two looks; a new process begins without it.

    `upto`: rows up to here, which is called `last`, were taken, those in `later` aside, which are not due;
    `busy_at_ms`: held a claim then. `heard`: whose last words were looked at.
    """

    upto: int = 0
    last: str | None = None
    later: dict[int, int] = field(factory=dict[int, int])
    busy_at_ms: int | None = None
    turns: set[str] = field(factory=set[str])
    heard: set[str] = field(factory=set[str])


class Follower:
    """Fits `HostPorts.follow`. One look per session at a time; any thread."""

    def __init__(
        self,
        ports: DeliveryPorts,
        policies: DeliveryPolicies,
        *,
        container: Callable[[str], LastContainer],
        poke: Callable[[], None],
    ) -> None:
        """`container` tells of a session's latest one; `poke` is called when there is something to send."""
        self._ports = ports
        self._policies = policies
        self._container = container
        self._poke = poke
        self._known: dict[str, Known] = {}

    def follow(self, session: str, reading: SessionReading, now_ms: int) -> Followed:
        """One look, with what was read of the session just before; raises AdapterError, and the next look repeats."""
        ports, known = self._ports, self._known.setdefault(session, Known())
        rows, upto, more = self._written(session, known, reading, now_ms)
        due = self._obeyed(session, tuple(row for row in rows if (row.due_at_ms or 0) <= now_ms), now_ms)
        if reading.claims:
            known.busy_at_ms = now_ms
        later = tuple(row for row in rows if (row.due_at_ms or 0) > now_ms)
        seen = Seen(
            session=session,
            reading=reading,
            now_ms=now_ms,
            container=self._container(session),
            busy_at_ms=known.busy_at_ms,
            later=tuple(row.reply.in_reply_to for row in later if row.reply.in_reply_to is not None),
            more=more,
        )
        if not due and self._is_quiet(session, known, seen):
            known.upto = upto
            return Followed(busy=more, next_look_at_ms=now_ms if more else None)
        fresh = new_ids(seen, known.turns)
        gathered, senders = gather(ports, seen, due, fresh), ports.senders()
        with ports.lifecycle.transaction() as work:
            adopt(work, seen, fresh, gathered, self._policies.settle.turn)
            queued = take(work, ports, seen, gathered, self._policies.settle)
            denied = stop_denied(work, seen, senders, self._policies.settle.turn)
            stopped = marks_of_stopped(work, session)  # once its row is withdrawn nobody looks for a turn's replies
            decided = decide_turns(work, ports, seen, gathered.stored, self._policies.settle.turn)
            aborted = tuple(turn.turn_id for turn in work.tables.turns.withdrawals_due() if turn.session == session)
            marks = (*stopped, *marks_of(work, session, due))
        known.turns, known.upto = known_ids(seen, known.turns, fresh), upto
        known.later = {row.rowid: row.due_at_ms or now_ms for row in later}
        for event in denied:
            ports.report(event)
        self._carry_out(session, decided.owed, now_ms)
        set_marks(ports, session, marks, now_ms)
        self._tell_losses(session, known, reading)
        if queued or decided.changed:
            self._poke()
        soon_ms = now_ms if more or decided.owed else None
        next_ms = earliest(soon_ms, decided.next_look_at_ms, *known.later.values())
        soon = next_ms is not None and next_ms - now_ms <= self._policies.settle.turn.no_reply_grace_ms
        return Followed(aborted=aborted, next_look_at_ms=next_ms, busy=soon)

    def _tell_losses(self, session: str, known: Known, reading: SessionReading) -> None:
        acked = {ack.message_id for ack in reading.acks}
        for event in losses_of(self._ports.sessions.mail(session), session, sorted(acked - known.heard)):
            self._ports.report(event)
        known.heard = acked

    def _is_quiet(self, session: str, known: Known, seen: Seen) -> bool:
        """Nothing is open, nothing new is due, and nothing is to be withdrawn: then nothing is written."""
        if known.later or new_ids(seen, known.turns):
            return False
        with self._ports.lifecycle.reading() as work:
            turns = work.tables.turns
            return not turns.open_of(session) and all(turn.session != session for turn in turns.withdrawals_due())

    def _written(
        self, session: str, known: Known, reading: SessionReading, now_ms: int
    ) -> tuple[tuple[WrittenRow, ...], int, bool]:
        """The rows that were not taken yet, up to which one, and whether there are more."""
        mail = self._ports.sessions.mail(session)
        if reading.mark.replies < known.upto:
            known.upto, known.last, known.later = 0, None, {}  # another file stands in its place
        waiting = tuple(row for place in sorted(known.later) for row in mail.written_after(place - 1, 1).rows)
        if reading.mark.replies <= known.upto and not reading.acks:  # a word read after the mark may come with a reply
            return waiting, known.upto, False
        found = mail.written_after(max(known.upto - 1, 0), _PAGE)
        if known.upto and found.first != known.last:
            known.upto, known.last, known.later = 0, None, {}  # the same, and it has grown beyond the other already
            return self._written(session, known, reading, now_ms)
        known.last = found.last
        fresh = tuple(row for row in found.rows if row.rowid > known.upto)
        return (*waiting, *fresh), found.upto, found.more

    def _obeyed(self, session: str, due: tuple[WrittenRow, ...], now_ms: int) -> tuple[WrittenRow, ...]:
        """The replies among the rows that are due; what the others ask of the host is done."""
        for row in due:
            if row.reply.kind == _SYSTEM:
                answer_id = self._ports.new_id("sys")
                self._ports.sessions.mail(session).carry_out(row.reply.message_id, row.reply.content, answer_id, now_ms)
        return tuple(row for row in due if row.reply.kind != _SYSTEM)

    def _carry_out(self, session: str, owed: tuple[WriteInbound | WithdrawInbound, ...], now_ms: int) -> None:
        ports = self._ports
        for action in owed:
            match action:
                case WriteInbound(turn_id):
                    join_stored(ports.lifecycle, ports.sessions, session, turn_id, now_ms)
                case WithdrawInbound(turn_id):
                    withdraw(ports.lifecycle, ports.sessions, session, turn_id)
