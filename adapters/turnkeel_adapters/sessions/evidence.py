"""What do a session's files tell of its container, also when its last writer was killed in the middle?"""

from typing import Protocol

from attrs import evolve

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.records import FolderSignature, OutboundMark, SessionReading
from turnkeel_core import StuckSnapshot
from turnkeel_core.suspend import SetBack


class _Files(Protocol):
    def read(self, now_ms: int, since: OutboundMark | None = None) -> SessionReading: ...
    def roll_back(self, *, inbound_only: bool = False) -> None: ...


def read_files(store: _Files, now_ms: int, since: OutboundMark | None, *, writer_dead: bool) -> SessionReading:
    """Read the session's files; what a killed writer left half-written is rolled back, if it is known dead.

    Of inbound.db the writers are on the host's side, where SQLite's own locks tell a dead one from a live one; of
    outbound.db it is the container, and only a verified end counts.
    """
    for inbound_only in (True, False):
        try:
            return store.read(now_ms, since)
        except SessionFault as fault:
            if fault.kind != "hot_journal" or (fault.path.name != "inbound.db" and not writer_dead):
                raise
            store.roll_back(inbound_only=inbound_only and not writer_dead)
    return store.read(now_ms, since)


def running_facts(
    now_ms: int,
    spawned_at_ms: int | None,
    reading: SessionReading,
    files: FolderSignature,
    set_back: SetBack | None = None,
    read_at_ms: int | None = None,
) -> StuckSnapshot:
    """A running container by what its files say; what only the host knows is not in it.

    Stamps of a clock that was set back since are set right, too young and never too old. `read_at_ms` is the clock
    after the files were read: no stamp lies after that only because reading took its time. Of a heartbeat after the
    claim it stays true that it was. Progress is left as it is: a stamp that lies ahead may hide a later one.
    """
    after_ms = now_ms if read_at_ms is None else read_at_ms

    def right(at_ms: int | None, later_ms: int = 0) -> int | None:
        before = set_back is not None and at_ms is not None and after_ms < at_ms <= set_back.until_ms
        return set_back.at_ms + later_ms if before and set_back is not None else at_ms

    beat_at_ms = files.heartbeat_at_ms
    beat_since = beat_at_ms is not None and all(beat_at_ms > (claim.claimed_at_ms or 0) for claim in reading.claims)
    beat_at_ms = right(beat_at_ms, later_ms=1 if beat_since else 0)
    claims = tuple(evolve(claim, claimed_at_ms=right(claim.claimed_at_ms)) for claim in reading.claims)
    if spawned_at_ms is not None and spawned_at_ms > now_ms:
        # What earlier containers left was removed before the spawn: every sign of life is this one's.
        signs = (now_ms, beat_at_ms, *(claim.claimed_at_ms for claim in claims))
        spawned_at_ms = min(at_ms for at_ms in signs if at_ms is not None)
    instants = [at_ms for at_ms in (right(reading.progress_at_ms), spawned_at_ms) if at_ms is not None]
    return StuckSnapshot(
        now_ms=now_ms,
        heartbeat_at_ms=beat_at_ms,
        claims=claims,
        tool=reading.tool,
        spawned_at_ms=spawned_at_ms,
        outbound_at_ms=None if files.outbound is None else right(files.outbound.mtime_ns // 1_000_000),
        progress_at_ms=reading.progress_at_ms,
        waiting=reading.waiting,
        last_activity_at_ms=max(instants, default=None),
    )
