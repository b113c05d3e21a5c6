"""Which containers did a session have, and how did each end?"""

from typing import Literal, TypeAlias, cast

from attrs import frozen

from turnkeel_adapters.runners.records import Handle
from turnkeel_adapters.sessions.records import OutboundMark
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_core import Death
from turnkeel_core.login import LOGIN_REFUSED_EXIT

Ending: TypeAlias = Literal["exited", "stopped", "not_started", "host_gone"]

# Ends for which the container is not to blame: none of them makes the next start wait.
_BLAMELESS = "('StopIdle', 'StopAborted', 'shutdown', 'stray', 'runtime')"


@frozen(kw_only=True)
class Incarnation:
    """One spawn of a session's container. `intent` is why the host stopped it; None if it did not.

    `oom`: the runtime saw the kernel kill something of it for want of memory.
    """

    session: str
    number: int
    state: Literal["starting", "running", "dead"]
    spawned_at_ms: int
    runtime: str | None = None
    container_id: str | None = None
    mark: OutboundMark
    intent: str | None = None
    died_at_ms: int | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    ending: Ending | None = None
    progressed: bool | None = None
    oom: bool = False

    @property
    def handle(self) -> Handle | None:
        """The container that this record says is running; None if it is dead or never got an identity."""
        if self.state == "dead" or self.container_id is None or self.runtime is None:
            return None
        return Handle(
            runtime=self.runtime,
            container_id=self.container_id,
            session=self.session,
            incarnation=self.number,
            spawned_at_ms=self.spawned_at_ms,
        )


_Row: TypeAlias = tuple[
    str,
    int,
    Literal["starting", "running", "dead"],
    int,
    str | None,
    str | None,
    int,
    int,
    str | None,
    int | None,
    int | None,
    int | None,
    Ending | None,
    int | None,
    int,
]
_COLUMNS = (
    "session, number, state, spawned_at_ms, runtime, container_id, replies_mark, acks_mark, intent,"
    " died_at_ms, exit_code, exit_signal, ending, progressed, oom"
)


class Incarnations:
    """The incarnation rows of `turnkeel.db`."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def begin(self, session: str, number: int, spawned_at_ms: int, mark: OutboundMark) -> None:
        """Record the intent to spawn, before the spawn. Fails if another incarnation of the session is open."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO incarnation (session, number, state, spawned_at_ms, replies_mark, acks_mark)"
                " VALUES (?, ?, 'starting', ?, ?, ?)",
                (session, number, spawned_at_ms, mark.replies, mark.acks),
            )

    def started(self, session: str, number: int, runtime: str, container_id: str) -> None:
        """The spawn worked: the container has this identity."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE incarnation SET state = 'running', runtime = ?, container_id = ?"
                " WHERE session = ? AND number = ? AND state = 'starting'",
                (runtime, container_id, session, number),
            )

    def spawned_by(self, session: str, number: int, at_ms: int) -> None:
        """It was spawned at this instant at the latest: the clock that stamped a later one has been set back since."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE incarnation SET spawned_at_ms = ?1 WHERE session = ?2 AND number = ?3 AND state <> 'dead'"
                " AND spawned_at_ms > ?1",
                (at_ms, session, number),
            )

    def not_started(self, session: str, at_ms: int, *, runtime_down: bool = False) -> None:
        """The start begun last came to nothing: nothing runs. Without one, nothing changes.

        `runtime_down`: the runtime was to blame, not the session; it delays no later start.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE incarnation SET state = 'dead', died_at_ms = ?, ending = 'not_started', progressed = 0,"
                " intent = coalesce(?, intent) WHERE session = ? AND state = 'starting'",
                (at_ms, "runtime" if runtime_down else None, session),
            )

    def intend_stop(self, session: str, number: int, intent: str, at_ms: int) -> None:
        """Record why the host is about to stop it; the first reason that blames the container stays."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE incarnation SET intent = ?, intended_at_ms = ? WHERE session = ? AND number = ?"
                f" AND state <> 'dead' AND (intent IS NULL OR intent IN {_BLAMELESS})",
                (intent, at_ms, session, number),
            )

    def ended(
        self,
        session: str,
        number: int,
        *,
        at_ms: int,
        ending: Ending,
        exit_code: int | None,
        exit_signal: int | None,
        progressed: bool,
        oom: bool = False,
    ) -> None:
        """It is gone. The first record stays."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE incarnation SET state = 'dead', died_at_ms = ?, ending = ?, exit_code = ?, exit_signal = ?,"
                " progressed = ?, oom = ? WHERE session = ? AND number = ? AND state <> 'dead'",
                (at_ms, ending, exit_code, exit_signal, int(progressed), int(oom), session, number),
            )

    def latest(self, session: str) -> Incarnation | None:
        """The newest one, or None if the session never had a container."""
        found = self.history(session, limit=1)
        return found[0] if found else None

    def history(self, session: str, *, limit: int) -> tuple[Incarnation, ...]:
        """The newest `limit`, newest first."""
        sql = f"SELECT {_COLUMNS} FROM incarnation WHERE session = ? ORDER BY number DESC LIMIT ?"
        return tuple(_incarnation(row) for row in self._database.rows(sql, session, limit))

    def open(self) -> tuple[Incarnation, ...]:
        """All that are not dead as far as the host noted."""
        sql = f"SELECT {_COLUMNS} FROM incarnation WHERE state <> 'dead' ORDER BY session"
        return tuple(_incarnation(row) for row in self._database.rows(sql))

    def deaths(self, session: str, *, limit: int = 16) -> tuple[Death, ...]:
        """The latest deaths, oldest first. Stops without fault, refused logins and forgiven deaths are none."""
        rows = self._database.rows(
            "SELECT spawned_at_ms, died_at_ms, progressed FROM incarnation"
            " WHERE session = ? AND state = 'dead' AND ending <> 'host_gone' AND forgiven = 0"
            f" AND NOT (intent IS NULL AND coalesce(exit_code, 0) = {LOGIN_REFUSED_EXIT})"
            f" AND coalesce(intent, '') NOT IN {_BLAMELESS} ORDER BY number DESC LIMIT ?",
            session,
            limit,
        )
        typed = cast("list[tuple[int, int, int]]", rows)
        return tuple(
            Death(spawned_at_ms=spawned, died_at_ms=died, progressed=bool(progressed))
            for spawned, died, progressed in reversed(typed)
        )

    def forgive(self, session: str) -> None:
        """The operator mended what made them die: none of the deaths so far delays the next start."""
        with self._database.transaction() as db:
            db.execute("UPDATE incarnation SET forgiven = 1 WHERE session = ? AND state = 'dead'", (session,))


def _incarnation(row: tuple[object, ...]) -> Incarnation:
    # The table is STRICT with CHECKs: each column holds what its type says.
    typed = cast(_Row, row)
    return Incarnation(
        session=typed[0],
        number=typed[1],
        state=typed[2],
        spawned_at_ms=typed[3],
        runtime=typed[4],
        container_id=typed[5],
        mark=OutboundMark(replies=typed[6], acks=typed[7]),
        intent=typed[8],
        died_at_ms=typed[9],
        exit_code=typed[10],
        exit_signal=typed[11],
        ending=typed[12],
        progressed=None if typed[13] is None else bool(typed[13]),
        oom=bool(typed[14]),
    )
