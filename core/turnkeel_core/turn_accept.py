"""Is this message new, known, or refused?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires
from turnkeel_core.lifecycle_states import Replay, TurnStatus
from turnkeel_core.turn_identity import MessageIdentity, encode_identity, is_malformed, own_identity
from turnkeel_core.turn_records import Turn


@frozen(kw_only=True)
class KnownTurn:
    """The turn that an identity already has; `status` None: only its identity is still kept."""

    turn_id: str
    status: TurnStatus | None


@frozen(kw_only=True)
class AcceptSnapshot:
    """A message at the door. `turn_id` is a new id; `turn_id_taken`: the store already has a turn of that id.

    `known` is the turn stored under `encode_identity(identity)`, read in the transaction that will store the new one.
    `payload_fault` says why the payload cannot be kept, if so.
    """

    now_ms: int
    turn_id: str
    session: str
    identity: MessageIdentity
    payload_bytes: int
    payload_fault: str | None = None
    known: KnownTurn | None = None
    turn_id_taken: bool = False
    replay: Replay = "allowed"
    in_session: bool = False
    commands_abort: bool = False


@frozen
class AcceptTurn:
    """Store the turn, with its identity, unique; only after the commit may the channel be told."""

    turn: Turn


@frozen
class ReturnExisting:
    """The same message again: its turn is `turn_id`; acknowledge, store nothing."""

    turn_id: str
    status: TurnStatus | None


@frozen
class RefuseTurn:
    """Nothing is stored and the channel must not acknowledge: `fault` says what is wrong with `what`."""

    what: Literal["payload", "identity", "session", "turn_id"]
    fault: str


AcceptAction: TypeAlias = AcceptTurn | ReturnExisting | RefuseTurn


def accept_turn(seen: AcceptSnapshot, policy: TurnPolicy = TurnPolicy()) -> AcceptAction:
    """One turn per identity; a malformed message is refused, never half accepted.

    Source: DESIGN §6, promise 1. A store that cannot be read or written has no snapshot: the host refuses.
    """
    return actions_of(_evaluate(seen, policy))[0]


def explain_accept_turn(seen: AcceptSnapshot, policy: TurnPolicy = TurnPolicy()) -> Explanation:
    """The rule of `accept_turn` that answered; time does not change it."""
    return explained("accept_turn", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: AcceptSnapshot, policy: TurnPolicy) -> tuple[Verdict[AcceptAction], ...]:
    refused = _refusal(seen, policy)
    if refused is not None:
        return (fires("malformed", refused.fault, seen.turn_id, refused),)
    key = encode_identity(seen.identity)
    facts = (Fact("identity", key),)
    if key is not None and seen.known is not None:
        known = ReturnExisting(seen.known.turn_id, seen.known.status)
        return (fires("duplicate", "its identity has a turn", seen.turn_id, known, facts=facts),)
    if seen.turn_id_taken:
        # Another message under a used id must not pass for a duplicate of that one.
        taken = RefuseTurn("turn_id", "another turn has this id")
        return (fires("turn_id_taken", taken.fault, seen.turn_id, taken, facts=facts),)
    turn = Turn(
        turn_id=seen.turn_id,
        session=seen.session,
        accepted_at_ms=seen.now_ms,
        identity=own_identity(seen.turn_id) if key is None else key,
        replay=seen.replay,
        in_session=seen.in_session,
        commands_abort=seen.commands_abort,
    )
    because = "nobody can send it twice knowingly" if key is None else "its identity is new"
    return (fires("new", because, seen.turn_id, AcceptTurn(turn), facts=facts),)


def _refusal(seen: AcceptSnapshot, policy: TurnPolicy) -> RefuseTurn | None:
    parts = {
        "channel": seen.identity.channel,
        "account": seen.identity.account,
        "chat": seen.identity.chat,
        "thread": seen.identity.thread or "",
        "message_id": seen.identity.message_id or "",
    }
    suspicious = is_malformed("".join(parts.values()))
    for name, part in parts.items():
        if suspicious and is_malformed(part.strip()):
            return RefuseTurn("identity", f"{name} holds control characters or broken letters")
        if len(part) > policy.identity_limit_chars:
            return RefuseTurn("identity", f"{name} has {len(part)} letters, over {policy.identity_limit_chars}")
    if not seen.turn_id or is_malformed(seen.turn_id):
        return RefuseTurn("turn_id", "the turn id is empty or malformed")
    if not seen.session.strip() or is_malformed(seen.session):
        return RefuseTurn("session", "the session is empty or malformed")
    if seen.payload_fault is not None:
        return RefuseTurn("payload", seen.payload_fault)
    if seen.payload_bytes > policy.payload_limit_bytes:
        return RefuseTurn("payload", f"{seen.payload_bytes} bytes, over {policy.payload_limit_bytes}")
    return None
