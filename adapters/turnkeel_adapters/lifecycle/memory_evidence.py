"""What outlasts turns and rows, in memory: receipts, identities, taken replies, lives and dead letters?"""

from collections.abc import Sequence
from typing import Literal

from attrs import evolve

from turnkeel_adapters.lifecycle.tables import CameAgain, LifeLine, Outcome
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_core import KeptIdentity, OutboxRow, Receipt, Turn


class Receipts:
    def __init__(self) -> None:
        self.by_row: dict[str, tuple[Receipt, ...]] = {}

    def add(self, row_id: str, receipts: tuple[Receipt, ...]) -> int:
        had = self.of_row(row_id)
        both = dict.fromkeys((*had, *receipts))
        self.by_row[row_id] = tuple(sorted(both, key=lambda one: (one.part, one.at_ms, one.platform_id or "")))
        return len(self.by_row[row_id]) - len(had)

    def of_row(self, row_id: str) -> tuple[Receipt, ...]:
        return self.by_row.get(row_id, ())


class Identities:
    def __init__(self, turns: dict[str, Turn]) -> None:
        self.by_key: dict[str, KeptIdentity] = {}
        self.repeats: dict[str, CameAgain] = {}
        self._turns = turns

    def get(self, identity: str) -> KeptIdentity | None:
        kept = self.by_key.get(identity)
        turn = None if kept is None else self._turns.get(kept.turn_id)
        if kept is None or turn is None or kept.settled_at_ms is not None:
            return kept
        return evolve(kept, settled_at_ms=turn.completed_at_ms)

    def keep(self, identity: str, turn_id: str, settled_at_ms: int | None) -> bool:
        kept = KeptIdentity(identity=identity, turn_id=turn_id, settled_at_ms=settled_at_ms)
        return self.by_key.setdefault(identity, kept) is kept

    def came_again(self, identity: str, at_ms: int) -> None:
        known = self.repeats.get(identity)
        self.repeats[identity] = CameAgain(1 if known is None else known.times + 1, at_ms)

    def again(self, identity: str) -> CameAgain | None:
        return self.repeats.get(identity)

    def settle(self, identity: str, at_ms: int) -> None:
        self.by_key[identity] = evolve(self.by_key[identity], settled_at_ms=at_ms)

    def forget(self, identity: str) -> bool:
        self.repeats.pop(identity, None)
        return self.by_key.pop(identity, None) is not None

    def settled_before(self, at_ms: int, limit: int) -> tuple[KeptIdentity, ...]:
        settled = ((one.settled_at_ms, one) for one in self.by_key.values() if one.turn_id not in self._turns)
        old = [(ms, one.identity, one) for ms, one in settled if ms is not None and ms < at_ms]
        return tuple(one for _, _, one in sorted(old, key=lambda found: found[:2])[:limit])


class Sources:
    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[int, Outcome]] = {}

    def taken(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in sources if one in self.outcomes)

    def outcome(self, source: str) -> Outcome | None:
        return self.outcomes[source][1] if source in self.outcomes else None

    def take(self, source: str, session: str, outcome: Outcome, at_ms: int) -> None:
        self.outcomes.setdefault(source, (at_ms, outcome))

    def forget_before(self, at_ms: int, limit: int) -> int:
        old = sorted((taken_ms, source) for source, (taken_ms, _) in self.outcomes.items() if taken_ms < at_ms)
        for _, source in old[:limit]:
            del self.outcomes[source]
        return len(old[:limit])


class Life:
    def __init__(self, turns: dict[str, Turn], rows: dict[str, OutboxRow]) -> None:
        self.lines: dict[int, LifeLine] = {}
        self._turns, self._rows = turns, rows

    def add(self, lines: Sequence[LifeLine]) -> None:
        self.lines.update(enumerate(lines, len(self.lines) + 1))

    def of_turn(self, turn_id: str) -> tuple[LifeLine, ...]:
        return tuple(line for line in self._kept() if line.turn_id == turn_id)

    def of_row(self, row_id: str) -> tuple[LifeLine, ...]:
        return tuple(line for line in self._kept() if line.row_id == row_id)

    def _kept(self) -> list[LifeLine]:
        """Lines go with their turn and their row."""
        known = ((line, line.turn_id is None or line.turn_id in self._turns) for line in self.lines.values())
        return [line for line, has_turn in known if has_turn and (line.row_id is None or line.row_id in self._rows)]


class Dead:
    def __init__(self) -> None:
        self.records: dict[int, DeadRecord] = {}

    def keep(self, record: DeadRecord) -> bool:
        if any(_letter(one) == _letter(record) and one.state == "dead" for one in self.records.values()):
            return False
        self.records[len(self.records) + 1] = record
        return True

    def settle(self, record: DeadRecord, state: Literal["retried", "dropped"]) -> bool:
        found = (n for n, one in self.records.items() if _letter(one) == _letter(record) and one.state == "dead")
        number = next(found, None)
        if number is not None:
            self.records[number] = evolve(self.records[number], state=state)
        return number is not None

    def of_message(self, session: str, message_id: str) -> tuple[DeadRecord, ...]:
        return tuple(one for one in self.records.values() if (one.session, one.message_id) == (session, message_id))


def _letter(record: DeadRecord) -> tuple[str, str, str]:
    return (record.session, record.direction, record.message_id)
