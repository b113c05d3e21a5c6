"""Which conversation of its provider does a session go on with? The caller holds the transaction.

The key is that of the existing runners (spec/nanoclaw.md §11), so that a session changes hands with its conversation.
"""

from typing import Final

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.providers import BadHandle
from turnkeel_adapters.timestamps import iso_utc

SESSION_KEY: Final = "continuation:"
ANCHOR_KEY: Final = "turnkeel:anchor:"
LEGACY_KEY: Final = "sdk_session_id"
HANDLE_CHARS: Final = 512


@frozen(kw_only=True)
class ResumeHandles:
    """The conversation to go on with, and the place in it; None is a fresh one, or its end."""

    session: str | None = None
    anchor: str | None = None


@frozen(kw_only=True)
class KeptResume:
    """The handles with which the next message of this provider goes on."""

    provider: str
    handles: ResumeHandles


def check_handles(handles: ResumeHandles) -> ResumeHandles:
    """The handles, if they can be ones; raises BadHandle."""
    for handle in (handles.session, handles.anchor):
        if handle is not None and not is_handle(handle):
            raise BadHandle(
                f"resume handle {handle[:80]!r}: must be 1 to {HANDLE_CHARS} printable characters, the first no '-'"
            )
    if handles.session is None and handles.anchor is not None:
        raise BadHandle("an anchor is a place in a conversation: give the handle of that, too")
    return handles


def is_handle(text: str) -> bool:
    """Whether a program may get this as a word: no option, no control characters, not endless."""
    return 0 < len(text) <= HANDLE_CHARS and text.isprintable() and not text.startswith("-")


def read_handles(db: apsw.Connection, provider: str, now_ms: int) -> ResumeHandles:
    """The stored handles; what cannot be one counts as none. The key of old runners is taken over, and removed."""
    _adopt_legacy(db, provider, now_ms)
    session = _read(db, SESSION_KEY + provider)
    return ResumeHandles(session=session, anchor=None if session is None else _read(db, ANCHOR_KEY + provider))


def put_handles(db: apsw.Connection, kept: KeptResume, now_ms: int) -> None:
    """Store the handles in place of the ones before."""
    handles = kept.handles
    for key, value in ((SESSION_KEY, handles.session), (ANCHOR_KEY, handles.anchor)):
        if value is None:
            db.execute("DELETE FROM session_state WHERE key = ?", (key + kept.provider,))
        else:
            _put(db, key + kept.provider, value, now_ms)


def clear_session(db: apsw.Connection, provider: str, if_still: str) -> bool:
    """Forget the conversation and the place in it, unless a newer handle is stored by now; whether it was forgotten."""
    if not _delete(db, SESSION_KEY + provider, if_still):
        return False
    db.execute("DELETE FROM session_state WHERE key = ?", (ANCHOR_KEY + provider,))
    return True


def clear_anchor(db: apsw.Connection, provider: str, if_still: str) -> bool:
    """Forget the place in the conversation, unless a newer one is stored by now; whether it was forgotten."""
    return _delete(db, ANCHOR_KEY + provider, if_still)


def _adopt_legacy(db: apsw.Connection, provider: str, now_ms: int) -> None:
    old = _read(db, LEGACY_KEY)
    if old is not None and _read(db, SESSION_KEY + provider) is None:
        _put(db, SESSION_KEY + provider, old, now_ms)
    db.execute("DELETE FROM session_state WHERE key = ?", (LEGACY_KEY,))


def _read(db: apsw.Connection, key: str) -> str | None:
    rows = db.execute("SELECT value FROM session_state WHERE key = ?", (key,)).fetchall()
    return value if rows and isinstance(value := rows[0][0], str) and is_handle(value) else None


def _put(db: apsw.Connection, key: str, value: str, now_ms: int) -> None:
    db.execute(
        "INSERT OR REPLACE INTO session_state (key, value, updated_at) VALUES (?, ?, ?)", (key, value, iso_utc(now_ms))
    )


def _delete(db: apsw.Connection, key: str, if_still: str) -> bool:
    gone = db.execute("DELETE FROM session_state WHERE key = ? AND value = ? RETURNING key", (key, if_still)).fetchall()
    return bool(gone)
