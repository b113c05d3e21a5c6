"""What becomes of a file of the former queue?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation
from turnkeel_core.lifecycle_policy import OutboxPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires
from turnkeel_core.outbox_records import EnqueueRow, OutboxRow
from turnkeel_core.turn_identity import encode_parts, idempotency_key


@frozen(kw_only=True)
class LegacyEntry:
    """One `*.json` file as read; a field that is missing or of another type is None. `fault`: it is no JSON object.

    `turn_id` only if the store has that turn.
    """

    file: str
    fault: str | None = None
    entry_id: str | None = None
    channel: str | None = None
    target: str | None = None
    account: str | None = None
    turn_id: str | None = None
    parts: int = 1
    enqueued_at_ms: int | None = None
    retry_count: int | None = None
    last_attempt_at_ms: int | None = None
    last_error: str | None = None


@frozen(kw_only=True)
class LegacySnapshot:
    """The files of the queue's folder, and the ids of rows that the outbox already has."""

    now_ms: int
    entries: tuple[LegacyEntry, ...] = ()
    known_ids: tuple[str, ...] = ()


@frozen
class RemoveFile:
    """After the commit is on disk: remove the file, its row is stored."""

    file: str


@frozen
class QuarantineFile:
    """Move the file to `failed/` and keep it there: this is wrong with it."""

    file: str
    fault: str


LegacyAction: TypeAlias = EnqueueRow | RemoveFile | QuarantineFile


def plan_legacy_import(seen: LegacySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> tuple[LegacyAction, ...]:
    """Each file becomes one row or is quarantined; a second run adds nothing. Its age goes with it, so the usual expiry
    ends what is too old. Source: spec/openclaw-lifecycle.md §6.
    """
    return actions_of(_evaluate(seen))


def explain_legacy_import(seen: LegacySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> Explanation:
    """One rule per file."""
    return explained("plan_legacy_import", seen.now_ms, _evaluate(seen))


def _evaluate(seen: LegacySnapshot) -> tuple[Verdict[LegacyAction], ...]:
    known, verdicts = set(seen.known_ids), list[Verdict[LegacyAction]]()
    for entry in sorted(seen.entries, key=lambda one: (one.enqueued_at_ms or seen.now_ms, one.file)):
        fault, remove = _fault(entry), RemoveFile(entry.file)
        if fault is not None:
            verdicts.append(fires("malformed", fault, entry.file, QuarantineFile(entry.file, fault)))
        elif entry.entry_id in known:
            verdicts.append(fires("known", "its row is stored", entry.file, remove))
        else:
            row = _row(entry, seen.now_ms)
            known.add(row.row_id)
            verdicts.append(fires("import", "it is new", entry.file, EnqueueRow(row), remove))
    return tuple(verdicts)


def _fault(entry: LegacyEntry) -> str | None:
    if entry.fault is not None:
        return entry.fault
    needed = {"id": entry.entry_id, "channel": entry.channel, "to": entry.target}
    missing = [name for name, value in needed.items() if not value]
    return f"{', '.join(missing)} missing" if missing else None


def _row(entry: LegacyEntry, now_ms: int) -> OutboxRow:
    entry_id, channel = entry.entry_id or "", entry.channel or ""
    queued_ms = now_ms if entry.enqueued_at_ms is None else entry.enqueued_at_ms
    return OutboxRow(
        row_id=entry_id,
        turn_id=entry.turn_id,
        kind="final",
        channel=channel,
        lane=encode_parts(channel, entry.account, entry.target),
        ordinal=0,  # a lane keeps the order of age then, in whichever snapshots its files came
        queued_at_ms=queued_ms,
        due_at_ms=queued_ms if entry.last_attempt_at_ms is None else entry.last_attempt_at_ms,
        attempts=max(entry.retry_count or 0, 0),
        last_attempt_at_ms=entry.last_attempt_at_ms,
        last_error=entry.last_error,
        parts=max(entry.parts, 1),
        idempotency_key=idempotency_key(entry_id, "legacy", 0),
    )
