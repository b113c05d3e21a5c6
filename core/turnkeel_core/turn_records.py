"""What is known of a turn, of its run and of its session's row, and what may be done with it?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.leases import Lease
from turnkeel_core.lifecycle_states import Replay, TurnStatus
from turnkeel_core.outbox_records import FailRow, OutboxRow

TurnFailure: TypeAlias = Literal[
    "final_failed",
    "final_partially_delivered",
    "failed_ack",
    "attempts_exhausted",
    "replay_unsafe",
    "stale",
    "message_gone",
]


@frozen(kw_only=True)
class Turn:
    """One accepted message. `token` is the highest ever given; `due_at_ms` None means at once.

    `in_session`: a session's container does the work, and the inbound row's `tries` count the attempts.
    `commands_abort` marks the turn of a stop word, which no stop ends. `ack` is the container's final word as noted.
    """

    turn_id: str
    session: str
    accepted_at_ms: int
    status: TurnStatus = "accepted"
    identity: str | None = None
    attempts_started: int = 0
    due_at_ms: int | None = None
    token: int = 0
    lease: Lease | None = None
    replay: Replay = "allowed"
    in_session: bool = False
    commands_abort: bool = False
    payload_ok: bool = True
    ack: Literal["completed", "failed"] | None = None
    acked_at_ms: int | None = None
    completed_at_ms: int | None = None
    reason: str | None = None


@frozen(kw_only=True)
class RunFacts:
    """What a run of this turn that has just ended did with its finals; `token` is the one it was claimed with.

    `finals_sent` counts final sends that by design have no row. `error`: the run ended by failing.
    """

    finals_attempted: int = 0
    finals_suppressed: int = 0
    finals_queued: bool = False
    finals_sent: int = 0
    token: int | None = None
    error: str | None = None


@frozen(kw_only=True)
class SessionFacts:
    """What the session's two files say about the turn's message, read in this order: acks, then replies.

    `ack` and `died_at_ms` (the latest end of its container) are the container's; `busy_at_ms` is the last instant at
    which it held another claim; `abandoned`: the one that claimed it is dead. `replies_left` are its outbound
    rows not yet taken into the outbox.
    """

    row: Literal["missing", "pending", "paused", "completed", "failed"]
    tries: int = 0
    claimed: bool = False
    abandoned: bool = False
    due_at_ms: int | None = None
    ack: Literal["completed", "failed"] | None = None
    died_at_ms: int | None = None
    busy_at_ms: int | None = None
    replies_left: int = 0


@frozen(kw_only=True)
class TurnSnapshot:
    """One turn and its rows, read in one transaction; `rows` None: they could not be read, so nothing is decided."""

    now_ms: int
    turn: Turn
    rows: tuple[OutboxRow, ...] | None
    run: RunFacts | None = None
    session: SessionFacts | None = None
    gone_owners: tuple[str, ...] = ()


@frozen
class AwaitDelivery:
    """`open_finals` final rows are under way: the turn is `delivery_pending`."""

    turn_id: str
    open_finals: int


@frozen
class SettleDelivered:
    """The turn is done. `uncertain`: its container died where a reply may have been lost."""

    turn_id: str
    at_ms: int
    reason: Literal["sent", "no_reply", "suppressed"]
    finals: int
    uncertain: bool = False


@frozen
class SettleFailed:
    """The turn has failed; `notify` asks for one notice to the chat, without the content."""

    turn_id: str
    at_ms: int
    reason: TurnFailure
    error: str
    attempts_started: int
    finals_delivered: int = 0
    notify: bool = True


@frozen
class RetryTurn:
    """`attempts_started` of `max_attempts` runs have ended without an answer: the next one not before `retry_at_ms`."""

    turn_id: str
    retry_at_ms: int
    attempts_started: int
    max_attempts: int
    error: str


@frozen
class MirrorRun:
    """The session's container holds the message: the turn runs, in its `attempts_started`th attempt."""

    turn_id: str
    attempts_started: int


@frozen
class NoteAck:
    """Keep the container's final word with the turn, before the inbound row is completed and the word forgotten."""

    turn_id: str
    outcome: Literal["completed", "failed"]
    at_ms: int


TurnAction: TypeAlias = AwaitDelivery | SettleDelivered | SettleFailed | RetryTurn | MirrorRun | NoteAck | FailRow


@frozen
class ClaimTurn:
    """Start a run with the new token, in place of `expected_token` (compare and set)."""

    turn_id: str
    owner: str
    token: int
    expected_token: int
    attempts_started: int
    until_at_ms: int


@frozen
class RefuseClaim:
    """No run may start now, for this reason."""

    turn_id: str
    reason: Literal["terminal", "leased", "not_due", "final_exists", "exhausted", "in_session", "unreadable"]


@frozen
class WriteInbound:
    """Write the turn's row into its session's inbound.db, with the turn id as its id; once, however often asked."""

    turn_id: str
    session: str


@frozen
class WithdrawInbound:
    """Complete the aborted turn's pending row, so that no container takes it."""

    turn_id: str
    session: str


ClaimAction: TypeAlias = ClaimTurn | RefuseClaim
RecoveryAction: TypeAlias = TurnAction | ClaimTurn | WriteInbound | WithdrawInbound
