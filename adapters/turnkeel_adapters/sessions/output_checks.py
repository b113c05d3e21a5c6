"""Which replies of a container are too big, or bring files that may not be taken?

The kit refuses such a reply before it is written; this is for agents that write the files themselves.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, cast

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.rows import SqlValue, count_or_none, text_or_none
from turnkeel_core import OutputPolicy, OutputSnapshot, RefuseOutput, decide_output

LOOKED_AT: Final = 100
"""How many of the newest replies one look is about: what an agent writes is bounded, and so is the look."""

_ESCAPED: Final = 6
_FRAME: Final = 4_096


@frozen(kw_only=True)
class Attachments:
    """What lies in `outbox/<id>/`: bytes of all files, and what of it is no plain file."""

    size: int
    odd: str | None = None


@frozen(kw_only=True)
class WrittenReply:
    """One reply as stored: its id and the bytes of its text."""

    message_id: str
    text_bytes: int


def newest_replies(db: apsw.Connection, after_rowid: int, policy: OutputPolicy) -> tuple[WrittenReply, ...]:
    """Return the newest replies after a rowid; the content of one is read only if its size leaves a doubt."""
    limit = policy.output_limit_bytes
    sql = """
        SELECT id, octet_length(content),
               CASE WHEN octet_length(content) BETWEEN ? AND ? THEN CAST(content AS BLOB) END
        FROM messages_out WHERE rowid > ? ORDER BY rowid DESC LIMIT ?
    """
    found = db.execute(sql, (limit + 1, most_bytes(policy), after_rowid, LOOKED_AT))
    return tuple(
        WrittenReply(message_id=text_or_none(key) or "", text_bytes=text_bytes(size, content))
        for key, size, content in found
    )


def most_bytes(policy: OutputPolicy) -> int:
    """The size of a content above which its text must be over the limit: JSON writes a byte as at most six."""
    return policy.output_limit_bytes * _ESCAPED + _FRAME


def text_bytes(size: SqlValue, content: SqlValue) -> int:
    """The bytes that count of a content of `size` bytes: of its text without JSON's escapes, if it is given."""
    whole = count_or_none(size) or 0
    if not isinstance(content, bytes):
        return whole
    try:
        said: object = json.loads(content)
    except (ValueError, RecursionError):
        return whole
    if not isinstance(said, dict):
        return whole
    fields = dict(cast("dict[str, object]", said))
    text = fields.pop("text", None)
    if not isinstance(text, str):
        return whole
    # Keys, file names and the like go with any text; more than that is output, too.
    rest = len(json.dumps(fields))
    return len(text.encode(errors="replace")) + (rest if rest > _FRAME else 0)


def refusals(
    replies: tuple[WrittenReply, ...], attached: Mapping[str, Attachments], policy: OutputPolicy, now_ms: int
) -> Iterator[tuple[str, str]]:
    """The id of each reply that may not be sent, and why."""
    for reply in replies:
        files = attached.get(reply.message_id, Attachments(size=0))
        seen = OutputSnapshot(now_ms=now_ms, text_bytes=reply.text_bytes, attachment_bytes=files.size, odd=files.odd)
        answer = decide_output(seen, policy)
        if isinstance(answer, RefuseOutput):
            yield reply.message_id, answer.reason
