"""What does an open turn or an outbox row wait for, and until when? The core's own reasons, on fresh facts."""

from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from turnkeel.cli.hiding import learn
from turnkeel.cli.reading import Reading
from turnkeel.cli.render import render_when
from turnkeel.delivery.evidence import LastContainer, Seen, facts_of
from turnkeel_adapters.channels.local import LOCAL, LocalChannel
from turnkeel_adapters.config import HostConfig, load_config
from turnkeel_adapters.config.channels import BUILT_IN
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle.listing import Listing
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_core import (
    ChannelFacts,
    OutboxRow,
    RecoverySnapshot,
    RuleTried,
    SessionFacts,
    SettlePolicy,
    Turn,
    TurnSnapshot,
    explain_deliveries,
    explain_expiry,
    explain_finalize_turn,
    explain_turn_recovery,
)
from turnkeel_core.lifecycle_states import ROW_TERMINAL, TURN_TERMINAL
from turnkeel_core.turn_identity import encode_parts

UNKNOWN_CHANNEL: Final = "what channel {name} can do is known from its configuration alone: give --config"
_PERSON: Final = {
    "hold": "a person's word: turnkeel outbox settle {id} --sent, --not-sent or --drop",
}
_NO_HOST: Final = "it waits for a host, none is at work here"
_PAGE: Final = 100


@frozen(kw_only=True)
class Wait:
    """What is waited for: the rule that holds it, its reason, and until when if time alone ends it.

    `expires_at_ms` is when an outbox row is given up.
    """

    rule: str
    because: str
    until_at_ms: int | None = None
    expires_at_ms: int | None = None


class Judging:
    """The limits and channels of a configuration, or the defaults; what a channel can do is known from there alone."""

    def __init__(self, config: Path | None) -> None:
        self.config: HostConfig = load_config(config)
        learn(self.config)

    @property
    def policy(self) -> SettlePolicy:
        """The limits of turns and rows."""
        return self.config.settle

    def knows(self, name: str) -> bool:
        """Whether what a channel can do is known: it is built in, or has a table."""
        return name in BUILT_IN or any(known == name for known, _ in self.config.channels)

    def channel(self, name: str) -> ChannelFacts:
        """What a channel can do; one that stands nowhere can neither be keyed nor asked."""
        if name == LOCAL:
            return LocalChannel(lambda: 0).capabilities.facts(name)
        for known, settings in self.config.channels:
            if known == name:
                return settings.capabilities.facts(name)
        return ChannelFacts(channel=name)


class Waits:
    """The waits of one instant; everything is read through one `Listing`."""

    def __init__(self, listing: Listing, reading: Reading, judging: Judging, now_ms: int) -> None:
        self._listing = listing
        self._reading = reading
        self._judging = judging
        self._now_ms = now_ms
        # Without a host at work every lease is a dead one's.
        self._gone = () if reading.host is not None else listing.work.lease_owners()
        self._rows: dict[str, Wait] | None = None
        self._sessions: dict[str, SessionReading | str] = {}

    def of_row(self, row: OutboxRow) -> Wait | None:
        """Why it is not sent yet; None if it has ended."""
        if row.status in ROW_TERMINAL:
            return None
        if self._rows is None:
            self._rows = self._judge_rows()
        return self._rows.get(row.row_id)

    def of_turn(self, turn: Turn, rows: tuple[OutboxRow, ...]) -> Wait | None:
        """Why it has not ended yet; None if it has."""
        if turn.status in TURN_TERMINAL:
            return None
        sent = next((wait for row in rows if row.kind == "final" and (wait := self.of_row(row)) is not None), None)
        facts = self._facts(turn) if turn.in_session else None
        if isinstance(facts, str):
            return sent or Wait(rule="unread", because=f"its session cannot be read: {facts}")
        at = TurnSnapshot(now_ms=self._now_ms, turn=turn, rows=rows, session=facts, gone_owners=self._gone)
        asked = RecoverySnapshot(now_ms=self._now_ms, owner="", turns=(at,), gone_owners=self._gone)
        rule = explain_turn_recovery(asked, self._judging.policy.turn).rules[-1]
        if rule.rule in ("mirror", "decisive"):
            rule = explain_finalize_turn(at, self._judging.policy.turn).rules[-1]
        if sent is not None and rule.rule in ("open_finals", "after_run"):
            return sent
        return self._wait(rule)

    def session(self, session: str) -> SessionReading | str:
        """What the session's files say now; the fault's text if they cannot be read."""
        if session not in self._sessions:
            try:
                self._sessions[session] = self._reading.sessions.store(session).read(self._now_ms)
            except SessionFault as fault:
                self._sessions[session] = str(fault)
        return self._sessions[session]

    def _judge_rows(self) -> dict[str, Wait]:
        work, policy = self._listing.work, self._judging.policy
        channel_of = {row.row_id: row.channel for row in self._listing.tables.outbox.open()}
        channels = tuple(self._judging.channel(name) for name in dict.fromkeys(channel_of.values()))
        seen = work.deliveries("", self._now_ms, channels, gone=self._gone)
        ends = explain_expiry(work.expiry(self._now_ms, gone=self._gone), policy)
        until = {rule.subject: _after(rule) for rule in ends.rules if rule.rule == "expiry"}
        found: dict[str, Wait] = {}
        for rule in explain_deliveries(seen, policy.outbox).rules:
            if rule.subject is not None:
                wait = self._wait(rule, until.get(rule.subject))
                name = channel_of[rule.subject]
                if rule.rule == "hold" and not self._judging.knows(name):
                    wait = evolve(wait, because=f"{wait.because} ({UNKNOWN_CHANNEL.format(name=name)})")
                found[rule.subject] = wait
        return found

    def _wait(self, rule: RuleTried, expires_at_ms: int | None = None) -> Wait:
        because = rule.because
        if rule.rule in _PERSON:
            because = f"{because}; {_PERSON[rule.rule].format(id=rule.subject)}"
        elif rule.result == "fired":
            because += ": the host does that now" if self._reading.host is not None else f"; {_NO_HOST}"
        return Wait(rule=rule.rule, because=because, until_at_ms=_after(rule), expires_at_ms=expires_at_ms)

    def _facts(self, turn: Turn) -> SessionFacts | str:
        found = self.session(turn.session) if turn.session in self._reading.names else SessionReading()
        if isinstance(found, str):
            return found
        latest = self._reading.state.incarnations.latest(turn.session)
        last = (
            LastContainer()
            if latest is None
            else LastContainer(incarnation=latest.number, died_at_ms=latest.died_at_ms)
        )
        try:
            stored, left = self._stored(turn, found)
        except SessionFault as fault:
            return str(fault)
        later = (turn.turn_id,) * left
        seen = Seen(session=turn.session, reading=found, now_ms=self._now_ms, container=last, later=later)
        return facts_of(seen, turn, stored)

    def _stored(self, turn: Turn, found: SessionReading) -> tuple[str | None, int]:
        """The status of a row that is no longer open, and how many replies to it the host has not taken yet."""
        if turn.session not in self._reading.names:
            return None, 0
        store = self._reading.sessions.store(turn.session)
        stored = None
        if all(message.message_id != turn.turn_id for message in found.messages):
            kept = store.stored(turn.turn_id)
            stored = None if kept is None else kept.status
        # Only where the container has said its last word are its replies all that is missing.
        upto, count = 0, 0
        more = turn.ack is not None or any(ack.message_id == turn.turn_id for ack in found.acks)
        while more:
            page = store.written_after(upto, _PAGE)
            new = [row for row in page.rows if row.reply.in_reply_to == turn.turn_id]
            count += sum(not self._is_taken(turn.session, row.reply.message_id) for row in new)
            upto, more = page.upto, page.more
        return stored, count

    def _is_taken(self, session: str, reply_id: str) -> bool:
        source = encode_parts(session, reply_id)
        return bool(self._listing.tables.sources.taken((source,)))


def words_of(wait: Wait | None, now_ms: int) -> str:
    """The same on one line, `-` for nothing."""
    if wait is None:
        return "-"
    until = "" if wait.until_at_ms is None else f", until {render_when(wait.until_at_ms, now_ms)}"
    ends = "" if wait.expires_at_ms is None else f"; given up {render_when(wait.expires_at_ms, now_ms)}"
    return f"{wait.because}{until}{ends}"


def _after(rule: RuleTried) -> int | None:
    return None if rule.fires_after_ms is None else rule.fires_after_ms + 1
