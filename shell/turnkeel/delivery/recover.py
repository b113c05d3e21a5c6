"""Which accepted messages have no session that could be looked at? Their rows were never written, or their folder went.

The turns of sessions with an inbox are followed by the host's passes.
"""

from turnkeel.delivery.join import join_stored
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.errors import AdapterError


def recover_joins(ports: DeliveryPorts, now_ms: int) -> dict[str, str]:
    """Make the inbox of every open turn that has none; what is wrong with each session where that failed.

    Raises AdapterError of the store. A session that has a folder is the host's to look after, whatever is in it.
    """
    with ports.lifecycle.reading() as work:
        waiting = tuple((turn.session, turn.turn_id) for turn in work.tables.turns.open() if turn.in_session)
    faults: dict[str, str] = {}
    for session in dict.fromkeys(session for session, _ in waiting):
        try:
            if not ports.sessions.exists(session):
                for name, turn_id in waiting:
                    if name == session:
                        join_stored(ports.lifecycle, ports.sessions, session, turn_id, now_ms)
        except AdapterError as error:
            faults[session] = str(error)
    return faults


def stopped_sessions(ports: DeliveryPorts) -> tuple[str, ...]:
    """The sessions with a stopped message that may still be in an inbox or in the hands of a container."""
    with ports.lifecycle.reading() as work:
        return tuple(dict.fromkeys(turn.session for turn in work.tables.turns.withdrawals_due()))
