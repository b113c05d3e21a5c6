"""What do the session's two files say about its turn?

`tries` of the inbound row is the authority over attempts: the turn only mirrors it. Each rule is silent about turns
that no session works on.
"""

from turnkeel_core.explain import Fact
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, fires, passed, waits
from turnkeel_core.turn_fail import failed
from turnkeel_core.turn_records import MirrorRun, NoteAck, RetryTurn, SettleDelivered, TurnAction, TurnSnapshot

UNSAFE = "its run was interrupted and must not be repeated"
CHARGED_AGAIN = "the container let go of the message; its row waits for the next run"


def noted(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    """The final word is kept with the turn first: once the inbound row is completed nobody looks for it again."""
    turn, session = seen.turn, seen.session
    if session is None or turn.ack is not None:
        return passed("noted", "there is no new word", turn.turn_id)
    # A completed row without a word is what a crash leaves of a host that did not note it.
    word = session.ack or ("completed" if session.row == "completed" else None)
    if word is None:
        return passed("noted", "its container has not said its last word", turn.turn_id)
    action = NoteAck(turn.turn_id, word, seen.now_ms)
    return fires("noted", f"its container said {word}", turn.turn_id, action)


def held_by_container(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    """A claim is the container's lease: while it lasts only the mirror follows."""
    turn, session = seen.turn, seen.session
    if session is None or not session.claimed or turn.ack is not None:
        return passed("claimed", "no container holds it", turn.turn_id)
    if session.abandoned and turn.replay != "allowed":
        return passed("claimed", "the container that held it is dead", turn.turn_id)
    started = session.tries + 1
    if (turn.status, turn.attempts_started) == ("running", started) or turn.status == "delivery_pending":
        return waits("claimed", "its container decides", turn.turn_id, Fact("attempts_started", started))
    return fires("claimed", "its container took it", turn.turn_id, MirrorRun(turn.turn_id, started))


def released(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    """Without the container's last word the work is not done, whatever was said on the way to it.

    The row, charged by the sweep, says when the next run may come.
    """
    turn, session = seen.turn, seen.session
    if session is None and turn.in_session and turn.ack is None:
        return waits("released", "its session was not read, and has not said its last word", turn.turn_id)
    if session is None or session.row not in {"pending", "paused"} or turn.ack is not None:
        return passed("released", "no row waits for a container", turn.turn_id)
    if turn.replay != "allowed" and (session.claimed or session.tries or turn.attempts_started):
        return failed(seen, "replay_unsafe", UNSAFE, attempts=max(turn.attempts_started, session.tries))
    waiting = turn.status in {"accepted", "failed_retryable"} and turn.attempts_started == session.tries
    if waiting:
        return waits("released", "its row waits for a container", turn.turn_id)
    at_ms = seen.now_ms if session.due_at_ms is None else session.due_at_ms
    retry = RetryTurn(turn.turn_id, at_ms, session.tries, policy.max_attempts, CHARGED_AGAIN)
    return fires("released", CHARGED_AGAIN, turn.turn_id, retry)


def gone(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    """Row failed and turn failed go together; so does a row that somebody deleted after the work had begun."""
    turn, session = seen.turn, seen.session
    if session is not None and session.row == "failed":
        return failed(seen, "attempts_exhausted", "all tries of its row are used up", attempts=session.tries)
    if session is not None and session.row == "missing" and turn.status != "accepted" and turn.ack is None:
        return failed(seen, "message_gone", "its row is no longer in the session")
    return passed("gone", "its row is there", turn.turn_id)


def acked(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    """Done without a reply, once the grace is over that a runner needs which answers after its last word.

    The grace begins anew while its container holds other claims: such a runner may answer several at the end.
    """
    turn, session = seen.turn, seen.session
    if session is None or turn.ack != "completed" or turn.acked_at_ms is None:
        return passed("acked", "not completed by a container", turn.turn_id)
    if session.replies_left:
        return waits("acked", "replies are to be taken first", turn.turn_id, Fact("replies_left", session.replies_left))
    quiet_ms = max(turn.acked_at_ms, session.busy_at_ms or turn.acked_at_ms)
    over_ms = quiet_ms + policy.no_reply_grace_ms
    facts = (Fact("quiet_since_at_ms", quiet_ms), Fact("died_at_ms", session.died_at_ms))
    if seen.now_ms < over_ms:
        return waits("acked", "a reply may still come", turn.turn_id, *facts, until_ms=over_ms)
    lost = session.died_at_ms is not None and turn.acked_at_ms <= session.died_at_ms <= over_ms
    action = SettleDelivered(turn.turn_id, seen.now_ms, "no_reply", 0, uncertain=lost)
    because = "its container died where a reply may have been lost" if lost else "completed without a reply"
    return fires("acked", because, turn.turn_id, action, facts=facts)
