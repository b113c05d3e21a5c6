"""What does one file of the former queue say? Its shape: spec/openclaw-lifecycle.md §1.2 and §6.

A number that is none, a key given twice (the last one counts) or a field of another type harms only itself. What
cannot become a message at all is a fault of the file.
"""

import json
import math
from typing import Final, TypeAlias, cast

from attrs import frozen

from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle.payloads import Outgoing
from turnkeel_core import LegacyEntry
from turnkeel_core.turn_identity import is_malformed

_NAMES: Final = {"id": "entry_id", "channel": "channel", "to": "target", "accountId": "account", "turnId": "turn_id"}
_NAME_CHARS: Final = 512
_ERROR_CHARS: Final = 2_000
_WHOLE: Final = 2**53  # what the writer's language counts exactly
_CARRIED: Final = frozenset(
    (*_NAMES, "enqueuedAt", "payloads", "threadId", "replyToId", "retryCount", "lastAttemptAt", "lastError")
)
_CARRIED_PAYLOAD: Final = frozenset(("text", "mediaUrl", "mediaUrls", "replyToId"))

_Object: TypeAlias = "dict[str, object]"


@frozen(kw_only=True)
class LegacyFile:
    """A file as read: what the plan needs, and the text of its row, None if it can be none.

    `left_out` names what the file says and no row can hold, such as `silent`.
    """

    entry: LegacyEntry
    payload: str | None = None
    left_out: tuple[str, ...] = ()


class _Fault(Exception):
    pass


def faulty(name: str, fault: str) -> LegacyFile:
    """A file that is none of the queue's entries."""
    return LegacyFile(entry=LegacyEntry(file=name, fault=fault))


def read_entry(name: str, content: bytes, now_ms: int) -> LegacyFile:
    """The entry in a file's bytes; never raises. An instant after `now_ms` is a broken clock's and counts as none."""
    try:
        return _read(name, _object(content), now_ms)
    except _Fault as fault:
        return faulty(name, str(fault))


def _object(content: bytes) -> _Object:
    try:
        data = cast(object, json.loads(content.decode("utf-8-sig")))
    except RecursionError as error:
        raise _Fault("nested too deeply") from error
    except ValueError as error:
        raise _Fault(f"not JSON: {error!s:.200}") from error
    if not isinstance(data, dict):
        raise _Fault("no JSON object")
    return cast(_Object, data)


def _read(name: str, data: _Object, now_ms: int) -> LegacyFile:
    payloads = _payloads(data)
    texts = tuple(text for one in payloads if (text := _text(one)))
    if not texts:
        raise _Fault("it says nothing: no text and no media")
    names = {field: _name(data, key) for key, field in _NAMES.items()}
    thread = data.get("threadId")
    outgoing = Outgoing(
        parts=texts,
        chat=names["target"] or "",
        account=names["account"] or "",
        thread=str(thread) if _is_count(thread) else _name(data, "threadId"),
        in_reply_to=_reply_to(data, payloads),
    )
    error = data.get("lastError")
    entry = LegacyEntry(
        file=name,
        **names,
        parts=len(texts),
        enqueued_at_ms=_past(data.get("enqueuedAt"), now_ms),
        retry_count=_whole(data.get("retryCount")),
        last_attempt_at_ms=_past(data.get("lastAttemptAt"), now_ms),
        last_error=_sound(error)[:_ERROR_CHARS] if isinstance(error, str) else None,
    )
    whole = entry.entry_id and entry.channel and entry.target
    return LegacyFile(entry=entry, payload=wire.dumps(outgoing) if whole else None, left_out=_left_out(data, payloads))


def _payloads(data: _Object) -> list[_Object]:
    found = data.get("payloads")
    if not isinstance(found, list):
        raise _Fault("payloads missing")
    payloads = cast("list[object]", found)
    if not all(isinstance(one, dict) for one in payloads):
        raise _Fault("a payload is no JSON object")
    return cast("list[_Object]", payloads)


def _text(payload: _Object) -> str:
    """The payload's text and the addresses of its media, one a line: whoever reads it can open them."""
    text, more = payload.get("text"), payload.get("mediaUrls")
    if text is not None and not isinstance(text, str):
        raise _Fault("a payload's text is no text")
    listed = cast("list[object]", more) if isinstance(more, list) else []
    urls = [one for one in (payload.get("mediaUrl"), *listed) if isinstance(one, str) and one.strip()]
    lines = [text] if text is not None and text.strip() else []
    return _sound("\n".join([*lines, *dict.fromkeys(urls)]))


def _name(data: _Object, key: str) -> str | None:
    value = data.get(key)
    if not isinstance(value, str):
        return None
    if is_malformed(value) or len(value) > _NAME_CHARS:
        raise _Fault(f"{key} holds control characters or is longer than {_NAME_CHARS}")
    return value.strip() or None


def _reply_to(data: _Object, payloads: list[_Object]) -> str | None:
    """A row answers one message: that of the entry, or the first that a payload names."""
    return next((found for one in (data, *payloads) if (found := _name(one, "replyToId")) is not None), None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value):
        value = math.floor(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= _WHOLE else None


def _past(value: object, now_ms: int) -> int | None:
    at_ms = _whole(value)
    return None if at_ms is None or at_ms > now_ms else at_ms


def _sound(text: str) -> str:
    """Halves of characters, which no store and no channel takes, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _left_out(data: _Object, payloads: list[_Object]) -> tuple[str, ...]:
    more = (key for one in payloads for key in one if one[key] and key not in _CARRIED_PAYLOAD)
    keys = (key for key in data if data[key] and key not in _CARRIED)
    return tuple(dict.fromkeys(_sound(key)[:40] for key in (*keys, *more)))
