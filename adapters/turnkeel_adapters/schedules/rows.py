"""How do schedules and occurrences lie in `turnkeel.db`?"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, cast

import apsw

from turnkeel_adapters.schedules.records import Kind, LastLook, Occurrence, Outcome, Schedule, Status
from turnkeel_core import CatchUp, Overlap, ResumeContext

_COLUMNS: Final = (
    "series, session, kind, value, zone, prompt, channel, account, chat, thread, catch_up, catch_up_limit,"
    " catch_up_window_ms, overlap, grace_ms, status, next_at_ms, moved_at_ms, starts_at_ms, made_at_ms, reason, context"
)
_SEEN: Final = "series, nominal_at_ms, outcome, by_hand, turn_id, noted_at_ms, ended_at_ms, until_at_ms, count, reason"
SQL: Final[dict[str, str]] = {
    "insert": f"INSERT INTO schedule ({_COLUMNS}) VALUES ({', '.join('?' * 22)}) ON CONFLICT DO NOTHING",
    "get": f"SELECT {_COLUMNS} FROM schedule WHERE series = ?",
    "all": f"SELECT {_COLUMNS} FROM schedule ORDER BY series",
    "waiting": f"SELECT {_COLUMNS} FROM schedule WHERE next_at_ms IS NOT NULL OR series IN"
    " (SELECT series FROM occurrence WHERE ended_at_ms IS NULL) ORDER BY series",
    "update": f"UPDATE schedule SET ({_COLUMNS}) = ({', '.join('?' * 22)}) WHERE series = ?",
    "note": f"INSERT INTO occurrence ({_SEEN}) VALUES ({', '.join('?' * 10)}) ON CONFLICT DO NOTHING",
    "settle": "UPDATE occurrence SET outcome = ?, turn_id = ?, noted_at_ms = ?, ended_at_ms = ?, reason = ?"
    " WHERE series = ? AND nominal_at_ms = ? AND ended_at_ms IS NULL",
    "open_of": f"SELECT {_SEEN} FROM occurrence WHERE ended_at_ms IS NULL AND series = ? ORDER BY nominal_at_ms",
    "known": "SELECT nominal_at_ms FROM occurrence WHERE series = ? AND nominal_at_ms BETWEEN ? AND ?"
    " ORDER BY nominal_at_ms",
    "looked": "INSERT INTO scheduler (id, looked_at_ms, alarm_at_ms, trouble) VALUES (1, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET (looked_at_ms, alarm_at_ms, trouble) ="
    " (excluded.looked_at_ms, excluded.alarm_at_ms, excluded.trouble)",
    "last_look": "SELECT looked_at_ms, alarm_at_ms, trouble FROM scheduler WHERE id = 1",
    "forget": "DELETE FROM occurrence WHERE series = ? AND nominal_at_ms < ? AND ended_at_ms IS NOT NULL",
}

_Late: TypeAlias = Literal["skip", "latest", "all", "within"]
_Schedule: TypeAlias = tuple[
    str, str, Kind, str, str, str, str, str, str, str | None, _Late, int | None, int | None, Overlap, int | None,
    Status, int | None, int, int | None, int, str | None, ResumeContext,
]  # fmt: skip
_Occurrence: TypeAlias = tuple[str, int, Outcome, int, str | None, int, int | None, int, int | None, str | None]


class ScheduleRows:
    """The tables `schedule` and `occurrence` on a connection inside a transaction. The port tells the rest."""

    def __init__(self, connection: apsw.Connection, redact: Callable[[str], str]) -> None:
        self._db = connection
        self._redact = redact

    def insert(self, schedule: Schedule) -> bool:
        """False if the name is taken."""
        self._db.execute(SQL["insert"], self._values(schedule)).fetchall()
        return self._db.changes() > 0

    def get(self, series: str) -> Schedule | None:
        """The schedule of this name."""
        return next(iter(self._schedules("get", series)), None)

    def all(self) -> tuple[Schedule, ...]:
        """Every one, those that are done among them."""
        return self._schedules("all")

    def waiting(self) -> tuple[Schedule, ...]:
        """Those with a next time or an open occurrence."""
        return self._schedules("waiting")

    def update(self, schedule: Schedule) -> None:
        """Everything of it as given."""
        self._db.execute(SQL["update"], (*self._values(schedule), schedule.series)).fetchall()

    def note(self, occurrence: Occurrence) -> bool:
        """False if this nominal time has its row already."""
        self._db.execute(SQL["note"], self._seen(occurrence)).fetchall()
        return self._db.changes() > 0

    def settle(self, occurrence: Occurrence) -> None:
        """Its new outcome; one that has ended keeps its own."""
        new = (occurrence.outcome, occurrence.turn_id, occurrence.noted_at_ms, occurrence.ended_at_ms)
        reason = None if occurrence.reason is None else self._redact(occurrence.reason)
        self._db.execute(SQL["settle"], (*new, reason, occurrence.series, occurrence.nominal_at_ms)).fetchall()

    def open_of(self, series: str) -> tuple[Occurrence, ...]:
        """Those claimed or queued."""
        return self._occurrences(SQL["open_of"], series)

    def known(self, series: str, from_at_ms: int, to_at_ms: int) -> tuple[int, ...]:
        """The nominal times between both, included, that have a row."""
        rows = self._db.execute(SQL["known"], (series, from_at_ms, to_at_ms)).fetchall()
        return tuple(cast(int, at_ms) for (at_ms,) in rows)

    def latest(self, series: str | None, outcomes: frozenset[Outcome] | None, limit: int) -> tuple[Occurrence, ...]:
        """The newest first: of one series or of all, of some outcomes or of all."""
        conditions: list[str] = []
        values: list[str | int] = []
        if series is not None:
            conditions.append("series = ?")
            values.append(series)
        if outcomes is not None:
            conditions.append(f"outcome IN ({', '.join('?' * len(outcomes))})")
            values += sorted(outcomes)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {_SEEN} FROM occurrence{where} ORDER BY nominal_at_ms DESC, series LIMIT ?"
        return self._occurrences(sql, *values, limit)

    def forget(self, series: str, before_at_ms: int) -> int:
        """How many ended ones that was."""
        self._db.execute(SQL["forget"], (series, before_at_ms)).fetchall()
        return self._db.changes()

    def looked(self, look: LastLook) -> None:
        """The last look of the host, in the place of the one before."""
        trouble = None if look.trouble is None else self._redact(look.trouble)
        self._db.execute(SQL["looked"], (look.looked_at_ms, look.alarm_at_ms, trouble)).fetchall()

    def last_look(self) -> LastLook | None:
        """None if no host had schedules to look at yet."""
        rows = cast("list[tuple[int, int, str | None]]", self._db.execute(SQL["last_look"]).fetchall())
        found = (LastLook(looked_at_ms=looked, alarm_at_ms=alarm, trouble=why) for looked, alarm, why in rows)
        return next(found, None)

    def _values(self, one: Schedule) -> tuple[str | int | None, ...]:
        late = one.catch_up
        return (
            *(one.series, one.session, one.kind, one.value, one.zone, one.prompt),
            *(one.channel, one.account, one.chat, one.thread),
            *(late.runs, late.limit, late.window_ms, one.overlap, one.grace_ms),
            *(one.status, one.next_at_ms, one.moved_at_ms, one.starts_at_ms, one.made_at_ms),
            None if one.reason is None else self._redact(one.reason),
            one.context,
        )

    def _seen(self, one: Occurrence) -> tuple[str | int | None, ...]:
        reason = None if one.reason is None else self._redact(one.reason)
        begun = (one.series, one.nominal_at_ms, one.outcome, int(one.by_hand), one.turn_id, one.noted_at_ms)
        return (*begun, one.ended_at_ms, one.until_at_ms, one.count, reason)

    def _schedules(self, sql: str, *values: str) -> tuple[Schedule, ...]:
        rows = cast("list[_Schedule]", self._db.execute(SQL[sql], values).fetchall())
        return tuple(_schedule(row) for row in rows)

    def _occurrences(self, sql: str, *values: str | int) -> tuple[Occurrence, ...]:
        rows = cast("list[_Occurrence]", self._db.execute(sql, values).fetchall())
        return tuple(_occurrence(row) for row in rows)


def _schedule(row: _Schedule) -> Schedule:
    series, session, kind, value, zone, prompt, channel, account, chat, thread, runs, limit, window_ms = row[:13]
    overlap, grace_ms, status, next_at_ms, moved_at_ms, starts_at_ms, made_at_ms, reason, context = row[13:]
    return Schedule(
        series=series,
        session=session,
        kind=kind,
        value=value,
        zone=zone,
        prompt=prompt,
        channel=channel,
        account=account,
        chat=chat,
        thread=thread,
        catch_up=CatchUp(runs=runs, limit=limit, window_ms=window_ms),
        overlap=overlap,
        grace_ms=grace_ms,
        status=status,
        next_at_ms=next_at_ms,
        moved_at_ms=moved_at_ms,
        starts_at_ms=starts_at_ms,
        made_at_ms=made_at_ms,
        reason=reason,
        context=context,
    )


def _occurrence(row: _Occurrence) -> Occurrence:
    series, nominal_at_ms, outcome, by_hand, turn_id, noted_at_ms, ended_at_ms, until_at_ms, count, reason = row
    return Occurrence(
        series=series,
        nominal_at_ms=nominal_at_ms,
        outcome=outcome,
        by_hand=bool(by_hand),
        turn_id=turn_id,
        noted_at_ms=noted_at_ms,
        ended_at_ms=ended_at_ms,
        until_at_ms=until_at_ms,
        count=count,
        reason=reason,
    )
