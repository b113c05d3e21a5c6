"""How is each session of a data directory?"""

from attrs import evolve

from turnkeel.cli.condition import Condition, condition_of, with_pause
from turnkeel.cli.looking import Looker
from turnkeel.cli.reading import Reading, patiently
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.notes import Fault
from turnkeel_core import SweepPolicy


class Conditions:
    """The conditions of the sessions of one reading; what `turnkeel.db` says of all is asked once."""

    def __init__(self, reading: Reading, looker: Looker, policy: SweepPolicy = SweepPolicy()) -> None:
        self._reading = reading
        self._looker = looker
        self._policy = policy
        state = reading.state
        self.dead = patiently(state.dead.counts)
        self.faults = patiently(state.notes.faults)
        started = patiently(state.incarnations.open)
        # A start and a hold of a host that is gone say nothing of now; what runs is looked for among the processes.
        self._open = {one.session: one for one in started if one.state == "running" or reading.host is not None}
        holds = patiently(state.notes.holds) if reading.host is not None else ()
        self._holds = {hold.session: hold for hold in holds}
        self.pauses = patiently(state.pauses.paused)

    def of(self, session: str) -> Condition:
        """The session's condition; a fault of its files is a condition too."""
        named = {pause.session: pause for pause in self.pauses}
        return with_pause(self._of(session), named.get(session) or named.get(None))

    def _of(self, session: str) -> Condition:
        faults = tuple(fault for fault in self.faults if fault.session == session)
        known = self._known(session, faults)
        if session in self._reading.closed:
            return evolve(known, state="closed")
        try:
            view = self._looker.look(session)
        except SessionFault as fault:
            noted = next((one for one in faults if one.kind == fault.kind), None)
            since = None if noted is None else noted.first_at_ms
            return evolve(known, state="faulty", reason=str(fault), since_at_ms=since, faults=(str(fault),))
        return condition_of(view, known, self._open.get(session), self._holds.get(session), self._policy)

    def _known(self, session: str, faults: tuple[Fault, ...]) -> Condition:
        """What the host remembers of it."""
        dead = self.dead.get(session, 0)
        newest = patiently(lambda: self._reading.state.dead.of_session(session, limit=1)) if dead else ()
        error, at_ms = _last_error(newest, faults)
        return Condition(
            session=session,
            state="idle",
            dead=dead,
            last_error=error,
            last_error_at_ms=at_ms,
            faults=tuple(f"{fault.subject}: {fault.kind}: {fault.detail}" for fault in faults),
        )


def _last_error(dead: tuple[DeadRecord, ...], faults: tuple[Fault, ...]) -> tuple[str | None, int | None]:
    errors = [(fault.last_at_ms, f"{fault.subject}: {fault.kind}: {fault.detail}") for fault in faults]
    errors += [(d.made_at_ms, f"{d.message_id}: {d.reason}{f': {d.detail}' if d.detail else ''}") for d in dead]
    at_ms, text = max(errors, default=(None, None))
    return text, at_ms
