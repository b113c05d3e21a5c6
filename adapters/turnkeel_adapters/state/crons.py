"""When do recurring rows run next, and which cron texts were refused before?"""

from datetime import tzinfo

from turnkeel_adapters.sessions.records import RecurringRow
from turnkeel_adapters.state.notes import Parked
from turnkeel_core import ParkRecurrence, Recurring
from turnkeel_core.schedule import CronRun, next_cron_run


def standing(parked: tuple[Parked, ...], rows: tuple[RecurringRow, ...]) -> tuple[Parked, ...]:
    """The refused cron texts that still stand in their rows."""
    texts = {(row.message_id, row.cron) for row in rows}
    return tuple(note for note in parked if (note.message_id, note.cron) in texts)


def next_occurrences(
    rows: tuple[RecurringRow, ...], parked: tuple[Parked, ...], zone: tzinfo, now_ms: int
) -> tuple[Recurring, ...]:
    """The rows that are not parked, each with its next run or with the reason why its text is refused."""
    refused = {(note.message_id, note.cron) for note in parked}
    return tuple(_recurring(row, zone, now_ms) for row in rows if (row.message_id, row.cron) not in refused)


def _recurring(row: RecurringRow, zone: tzinfo, now_ms: int) -> Recurring:
    answer = next_cron_run(row.cron, zone, now_ms)
    if isinstance(answer, CronRun):
        return Recurring(message_id=row.message_id, cron=row.cron, next_at_ms=answer.at_ms)
    return Recurring(message_id=row.message_id, cron=row.cron, next_at_ms=None, refusal=answer.reason)


def park_of(session: str, action: ParkRecurrence, at_ms: int) -> Parked:
    """The note that keeps a refused cron text from being tried again."""
    return Parked(
        session=session, message_id=action.message_id, cron=action.cron, reason=action.reason, parked_at_ms=at_ms
    )
