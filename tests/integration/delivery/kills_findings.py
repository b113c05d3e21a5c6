"""What do the files and the chat's own record say, once all hosts are gone? Read from nothing else."""

import json
from collections import Counter, defaultdict

from attrs import define, field, frozen

from turnkeel.cli.outbox_settle import settle
from turnkeel.lab.chat import read_calls
from turnkeel_adapters.runners.census import take_census
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.install import install_id
from turnkeel_core.turn_identity import encode_parts

TERMINAL = {"delivered", "failed_terminal", "aborted"}
AMBIGUOUS = {"fails", "drops", "loses", "hangs", "hangs_after", "late"}
FREED = {"DeliverRow", "RetryRow", "DeferRow", "MarkUnknown", "FailRow", "ExpireRow"}
UNKNOWN = "SELECT row_id, parts FROM outbox WHERE status = 'unknown'"


@define
class Findings:
    """The closing figures, and everything that is not as promised."""

    figures: dict = field(factory=dict)
    wrong: list[str] = field(factory=list)

    def require(self, true, text):
        if not true:
            self.wrong.append(text)


@frozen
class Life:
    what: str
    because: str
    detail: dict


@frozen
class Records:
    """All of `turnkeel.db` that is asked about, and the chat's calls."""

    turns: dict
    rows: dict
    life: dict
    ended: dict
    calls: tuple
    leases: int


def all_calls(trial):
    """What both chats ever got."""
    return (*read_calls(trial.place / "keyed"), *read_calls(trial.place / "plain"))


def settle_what_only_a_person_can(trial):
    """Say of each reply that nobody knows about what the chat itself shows; how many there were."""
    with HostState(trial.data, read_only=True) as state:
        held = state.database.rows(UNKNOWN)
    calls = all_calls(trial)
    for row_id, parts in held:
        seen = {call.part for call in calls if call.row_id == row_id and call.shown}
        settle(row_id, "sent" if len(seen) == parts else "drop" if seen else "not_sent", trial.data)
    return len(held)


def read_records(trial):
    with HostState(trial.data, read_only=True) as state:
        rows = state.database.rows
        life, ended = defaultdict(list), defaultdict(list)
        for row_id, what, because, detail in rows(
            "SELECT row_id, what, because, detail FROM life WHERE row_id IS NOT NULL ORDER BY id"
        ):
            life[row_id].append(Life(what, because, json.loads(detail or "{}")))
        aborted = dict(rows("SELECT turn_id, id FROM life WHERE what = 'AbortTurn'"))
        for turn_id, line, row_id in rows(
            "SELECT outbox.turn_id, life.id, life.row_id FROM life JOIN outbox USING (row_id) WHERE what = 'ClaimRow'"
        ):
            if turn_id in aborted and line > aborted[turn_id]:
                ended[turn_id].append(row_id)
        names = "turn_id, session, status, reason, uncertain, in_session, commands_abort"
        turns = {row[0]: dict(zip(names.split(", "), row, strict=True)) for row in rows(f"SELECT {names} FROM turn")}
        names = "row_id, turn_id, session, channel, status, source, parts, reason, attempts"
        outbox = {row[0]: dict(zip(names.split(", "), row, strict=True)) for row in rows(f"SELECT {names} FROM outbox")}
        [(leases,)] = rows(
            "SELECT (SELECT count(*) FROM turn WHERE lease_owner IS NOT NULL)"
            " + (SELECT count(*) FROM outbox WHERE lease_owner IS NOT NULL)"
        )
    return Records(turns, outbox, life, ended, all_calls(trial), leases)


def read_back(trial):
    """Every promise, against the files."""
    seen, found = read_records(trial), Findings()
    _turns(trial, seen, found)
    _shown(trial, seen, found)
    _calls(seen, found)
    _aborts(trial, seen, found)
    _sessions(trial, seen, found)
    found.require(not take_census(install_id(trial.data)), "a process is left")
    found.require(seen.leases == 0, f"{seen.leases} leases are open")
    served = trial.served()
    found.require("Traceback" not in served, "a traceback in the log of the hosts")
    found.require("fault of the host" not in served, "a fault of the host in its log")
    found.wrong += trial.ledger.wrong
    return found


def _turns(trial, seen, found):
    ledger = trial.ledger
    accepted = {one.turn_id for one in ledger.sent} | set(trial.promised())
    for turn_id in accepted:
        turn = seen.turns.get(turn_id)
        if turn is None:
            found.wrong.append(f"{turn_id}: accepted, and lost")
        elif turn["status"] not in TERMINAL:
            found.wrong.append(f"{turn_id}: accepted, and still {turn['status']}")
    for turn_id, turn in seen.turns.items():
        found.require(turn["status"] in TERMINAL, f"{turn_id}: still {turn['status']}")
    stopped = {turn_id for stop in ledger.stops for turn_id in stop.turn_ids}
    for one in ledger.sent:
        turn = seen.turns.get(one.turn_id)
        if turn is None or one.turn_id in stopped or turn["status"] == "aborted" or turn["commands_abort"]:
            continue
        end = (turn["status"], turn["reason"])
        refuses = one.text.startswith("refuse") and one.session.startswith(("kit", "stopped"))
        to_fail = refuses or "too long" in one.text
        dropped = any(row["turn_id"] == one.turn_id and row["reason"] for row in seen.rows.values())
        good = end[0] == "failed_terminal" if to_fail else end[0] == "delivered" and end[1] != "no_reply"
        found.require(good or dropped, f"{one.turn_id} ({one.session}, {one.channel}): {one.text!r} ended {end}")
        found.require(not turn["uncertain"], f"{one.turn_id} is uncertain")
    counts = Counter(turn["status"] for turn in seen.turns.values())
    found.figures |= {"accepted": len(accepted), "turns": len(seen.turns), **counts}
    found.figures |= {"duplicates": ledger.duplicates, "refused": dict(ledger.refused)}


def _shown(trial, seen, found):
    """Nothing twice, and everything that is called delivered was shown."""
    per_key = Counter(call.key for call in seen.calls if call.shown)
    found.require(max(per_key.values(), default=0) <= 1, f"shown twice: {[k for k, n in per_key.items() if n > 1]}")
    per_turn = defaultdict(set)
    parts = defaultdict(set)
    for call in seen.calls:
        if call.shown:
            parts[call.row_id].add(call.part)
            if call.turn_id is not None:
                per_turn[call.turn_id].add(call.row_id)
    twice = {turn_id: rows for turn_id, rows in per_turn.items() if len(rows) > 1}
    found.require(not twice, f"answered twice: {twice}")
    for row_id, row in seen.rows.items():
        if row["status"] == "delivered" and row["channel"] != "local":
            whole = parts[row_id] == set(range(row["parts"]))
            found.require(whole, f"{row_id}: delivered, but people saw parts {parts[row_id]} of {row['parts']}")
    with_files = [call for call in seen.calls if call.text.startswith("echo file") and call.part == 0]
    bare = [call.key for call in with_files if not call.attachments]
    found.require(not bare, f"sent without its file: {bare}")
    strangers = {call.row_id for call in seen.calls} - seen.rows.keys()
    found.require(not strangers, f"the chat got rows that nobody has: {strangers}")
    found.figures |= {"calls": len(seen.calls), "shown": len(per_key), "rows": len(seen.rows)}
    found.figures["with files"] = len(with_files)
    found.figures["troubles"] = dict(Counter(call.trouble for call in seen.calls))


def _calls(seen, found):
    """Each call belongs to a claim, each claim comes to a stored end, and every doubt is on record."""
    calls, doubts = Counter(call.key for call in seen.calls), Counter()
    for call in seen.calls:
        doubts[call.row_id] += call.trouble in AMBIGUOUS
    claims, unknown = Counter(), Counter()
    for row_id, lines in seen.life.items():
        claimed = False
        for before, line in zip((None, *lines), lines, strict=False):
            if line.what == "ClaimRow":
                found.require(not claimed, f"{row_id}: claimed under a live claim")
                keyless = seen.rows[row_id]["channel"] == "plain" and before is not None
                found.require(not (keyless and before.what == "MarkUnknown"), f"{row_id}: resent blindly")
                claims[row_id] += 1
            claimed = line.what == "ClaimRow" or (claimed and line.what not in FREED)
            unknown[row_id] += line.what == "MarkUnknown"
    keys = {call.key: call.row_id for call in seen.calls}
    for key, count in calls.items():
        found.require(count <= claims[keys[key]], f"{key}: {count} calls, {claims[keys[key]]} claims")
    for row_id, count in doubts.items():
        row = seen.rows.get(row_id, {})
        known = unknown[row_id] + (row.get("reason") == "turn_aborted")
        found.require(known >= count, f"{row_id}: {count} doubtful calls, {unknown[row_id]} on record")
    found.figures |= {"unknown": sum(unknown.values()), "rows once unknown": sum(n > 0 for n in unknown.values())}


def _aborts(trial, seen, found):
    for turn_id, rows in seen.ended.items():
        found.wrong.append(f"{turn_id}: {rows} were claimed after the abort")
    after = 0
    for stop in trial.ledger.stops:
        for turn_id in stop.turn_ids:
            after += sum(call.turn_id == turn_id and call.at_ms > stop.back_at_ms for call in seen.calls)
            found.require(seen.turns[turn_id]["status"] == "aborted", f"{turn_id} was stopped: {seen.turns[turn_id]}")
            # What had been claimed before may still arrive, within the time of one call.
            late = [c for c in seen.calls if c.turn_id == turn_id and c.at_ms > stop.back_at_ms + 1_000]
            found.require(not late, f"{turn_id}: called long after it was stopped: {late}")
    found.figures["calls claimed before a stop and read after it"] = after
    found.figures["stopped"] = sum(len(stop.turn_ids) for stop in trial.ledger.stops)
    marks = [turn for turn in seen.turns.values() if turn["status"] == "aborted"]
    found.figures["stop commands"] = sum(bool(turn["commands_abort"]) for turn in seen.turns.values())
    found.require(len(marks) >= found.figures["stopped"], "a stopped turn is not aborted")


def _sessions(trial, seen, found):
    """The session's own files say the same: no row waits, and `delivered` has each reply as its row ended."""
    by_source = {row["source"]: row for row in seen.rows.values() if row["source"] is not None}
    marks = 0
    for name in sorted({turn["session"] for turn in seen.turns.values()}):
        short = name.removeprefix("main/")
        assert str(SessionName.parse(short)) == name
        left = trial.sql(short, "SELECT id FROM messages_in WHERE status = 'pending' AND trigger = 1")
        found.require(not left, f"{name}: still pending: {left}")
        marked = dict(trial.sql(short, "SELECT message_out_id, status FROM delivered"))
        out = trial.sql(short, "SELECT id FROM messages_out WHERE kind <> 'system'", file="outbound.db")
        folder = trial.sessions.tree.folder(SessionName.parse(short)) / "outbox"
        for (reply_id,) in out:
            row = by_source.get(encode_parts(name, reply_id))
            wanted = "delivered" if row is not None and row["status"] == "delivered" else "failed"
            if wanted == "delivered":
                found.require(not (folder / reply_id).exists(), f"{name}: the files of {reply_id} are still there")
            found.require(
                marked.get(reply_id) == wanted, f"{name}: reply {reply_id} is marked {marked.get(reply_id)}: {row}"
            )
        marks += len(marked)
    found.figures["marks"] = marks
