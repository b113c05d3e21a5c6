"""What does one line of a turn's or row's life say, in words?"""

from typing import Final, TypeAlias, get_args

from turnkeel.cli.render import render_duration, render_when
from turnkeel_adapters.lifecycle.tables import LifeLine
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import (
    AbortTurn,
    AwaitDelivery,
    ClaimRow,
    ClaimTurn,
    DeferRow,
    DeliverRow,
    ExpireRow,
    FailRow,
    MarkUnknown,
    MirrorRun,
    NoteAck,
    RecordReceipts,
    RetryRow,
    RetryTurn,
    SettleDelivered,
    SettleFailed,
)

_TurnLine: TypeAlias = (
    ClaimTurn | MirrorRun | NoteAck | AwaitDelivery | RetryTurn | SettleDelivered | SettleFailed | AbortTurn
)
_RowLine: TypeAlias = ClaimRow | RecordReceipts | DeliverRow | RetryRow | DeferRow | MarkUnknown | FailRow | ExpireRow
_TURN: Final[dict[str, type[_TurnLine]]] = {kind.__name__: kind for kind in get_args(_TurnLine)}
_ROW: Final[dict[str, type[_RowLine]]] = {kind.__name__: kind for kind in get_args(_RowLine)}


def words_of_line(line: LifeLine) -> str:
    """The action in words; its name and fields as they were written, if another version wrote them."""
    plain = " ".join((line.what, *([line.detail] if line.detail else []), *([line.because] if line.because else [])))
    if line.detail is None:
        return plain
    try:
        if line.what in _TURN:
            return _turn_words(loads(line.detail, _TURN[line.what]), line)
        return _row_words(loads(line.detail, _ROW[line.what]), line) if line.what in _ROW else plain
    except WireFault:
        return plain


def _turn_words(action: _TurnLine, line: LifeLine) -> str:
    match action:
        case ClaimTurn():
            return f"run {action.attempts_started} begins, by {action.owner}"
        case MirrorRun():
            holder = f" by {line.because}" if line.because else ""
            return f"claimed{holder}: attempt {action.attempts_started}"
        case NoteAck():
            holder = f" ({line.because})" if line.because else ""
            return f"its container said {action.outcome}{holder}"
        case AwaitDelivery():
            return f"{action.open_finals} final {_replies(action.open_finals)} under way"
        case RetryTurn():
            again = render_when(action.retry_at_ms, line.at_ms)
            return f"{action.attempts_started} of {action.max_attempts} runs ended: {action.error}; again {again}"
        case SettleDelivered():
            lost = ", uncertain: a reply may have been lost" if action.uncertain else ""
            return f"turn delivered: {action.reason}{lost}"
        case SettleFailed():
            return f"turn failed: {action.reason}: {action.error}"
        case AbortTurn(reason="aborted"):
            return "turn stopped by a person"
        case AbortTurn(reason=reason):
            return f"turn stopped: {reason}"


def _row_words(action: _RowLine, line: LifeLine) -> str:
    match action:
        case ClaimRow():
            again = ", again after an unknown end" if action.again else ""
            return f"send {action.token} begins at part {action.first_part + 1}, by {action.owner}{again}"
        case RecordReceipts():
            each = ((one.part + 1, one.platform_id or "(no id)") for one in action.receipts)
            return "; ".join(f"part {part} arrived as {name}" for part, name in each)
        case DeliverRow():
            why = f" ({line.because})" if line.because else ""
            return f"reply delivered, {action.parts} {'part' if action.parts == 1 else 'parts'}{why}"
        case RetryRow():
            again = render_when(action.retry_at_ms, line.at_ms)
            return f"not sent: {action.error}; {action.attempts} of {action.max_attempts} tries, again {again}"
        case DeferRow():
            return f"channel not usable: {action.error}; looked at again {render_when(action.retry_at_ms, line.at_ms)}"
        case MarkUnknown():
            return f"arrival unknown: {action.because}"
        case FailRow():
            error = "" if action.error in (None, action.detail) else f" ({action.error})"
            return f"reply failed: {action.reason}: {action.detail}{error}"
        case ExpireRow():
            age, limit = render_duration(action.age_ms), render_duration(action.limit_ms)
            return f"reply expired: {action.error} ({age} old, limit {limit})"


def _replies(count: int) -> str:
    return "reply is" if count == 1 else "replies are"
