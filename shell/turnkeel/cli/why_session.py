"""What does a session do now, what does it wait for, and what became of its containers?"""

import time
from pathlib import Path

from attrs import asdict, frozen

from turnkeel.cli.actions import render_plan
from turnkeel.cli.condition import Condition
from turnkeel.cli.conditions import Conditions
from turnkeel.cli.flip import next_in_words, now_in_words
from turnkeel.cli.held import held_in_words
from turnkeel.cli.looking import Looker
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.planned import LimitsOf, Planned, plan_session
from turnkeel.cli.reading import Reading, patiently
from turnkeel.cli.render import render_duration, render_explanation, render_rule, render_when
from turnkeel.cli.status import host_data, host_line, print_notes, state_words
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.state.notes import Fault, Hold, Parked
from turnkeel_adapters.wire import JsonValue, WireFault, loads, parse_json, to_data
from turnkeel_core import Explanation, RuleTried


@frozen(kw_only=True)
class Past:
    """What the host remembers of a session, newest first."""

    incarnations: tuple[Incarnation, ...]
    decisions: tuple[JournalLine, ...]
    faults: tuple[Fault, ...]
    holds: tuple[Hold, ...]
    parked: tuple[Parked, ...]


def why_session(reading: Reading, session: str, config: Path | None, limit: int, json: bool) -> int:
    """Print the session's present, explained on fresh facts, and its past."""
    limits = LimitsOf(config)
    looker = Looker(reading, limits.zone)
    planned, fault = None, None
    try:
        planned = plan_session(session, looker, reading, limits)
    except SessionFault as error:
        fault = str(error)
    policy = limits.session(session, reading.state).policy
    condition = Conditions(reading, looker, policy).of(session)
    past = patiently(lambda: _past(reading, session, limit))
    now_ms = time.time_ns() // 1_000_000
    if json:
        print_json(_document(reading, condition, planned, fault, past, now_ms))
    else:
        print(host_line(reading.host, now_ms))
        print_notes(reading)
        _print_now(reading, condition, planned, fault, now_ms)
        _print_past(past, now_ms)
    return 0


def fired_rules(why: Explanation) -> tuple[RuleTried, ...]:
    """The rules that decided, those of the decisions asked along the way last."""
    here = tuple(rule for rule in why.rules if rule.result == "fired")
    return here + tuple(rule for part in why.parts for rule in fired_rules(part))


def _past(reading: Reading, session: str, limit: int) -> Past:
    state = reading.state
    return Past(
        incarnations=state.incarnations.history(session, limit=limit),
        decisions=state.journal.of_session(session, limit=limit),
        faults=state.notes.faults(session),
        # A hold of a host that is gone says nothing of now.
        holds=tuple(hold for hold in state.notes.holds() if hold.session == session and reading.host is not None),
        parked=state.notes.parked(session),
    )


def _document(
    reading: Reading, condition: Condition, planned: Planned | None, fault: str | None, past: Past, now_ms: int
) -> dict[str, object]:
    now = None
    if planned is not None:
        seen = planned.view.snapshot
        now = {
            "limits_from": planned.limits.source,
            "plan": to_data(planned.plan),
            "why": to_data(planned.why),
            "now": now_in_words(seen, planned.plan, planned.why, host_at_work=reading.host is not None),
            "next": next_in_words(planned.why),
        }
    return {
        "read_at_ms": now_ms,
        "session": condition.session,
        "host": host_data(reading.host),
        "notes": reading.notes,
        "condition": asdict(condition),
        "held": held_in_words(condition, now_ms),
        "now": now,
        "fault": fault,
        "incarnations": [asdict(incarnation) for incarnation in past.incarnations],
        "decisions": [_decision(line) for line in past.decisions],
        "faults": [asdict(noted) for noted in past.faults],
        "holds": [asdict(hold) for hold in past.holds],
        "parked": [asdict(parked) for parked in past.parked],
    }


def _decision(line: JournalLine) -> dict[str, object]:
    texts = {"policy": line.policy, "input": line.input, "actions": line.actions, "why": line.why}
    return {**asdict(line), **{name: _parsed(text) for name, text in texts.items()}}


def _parsed(text: str) -> JsonValue:
    try:
        return parse_json(text)
    except WireFault:
        return text


def _print_now(reading: Reading, condition: Condition, planned: Planned | None, fault: str | None, now_ms: int) -> None:
    since = "" if condition.since_at_ms is None else f", since {render_when(condition.since_at_ms, now_ms)}"
    print(flat(f"{condition.session}: {state_words(condition, now_ms)}{since}"))
    counts = f"{condition.due} due, {condition.claimed} claimed, {condition.failed} failed, {condition.tries} tries"
    print(f"  {counts}, {condition.dead} dead")
    for line in held_in_words(condition, now_ms):
        print(f"  {flat(line)}")
    if fault is not None or planned is None:
        print(f"  cannot be looked at: {flat(fault or 'unknown')}")
        return
    words = now_in_words(planned.view.snapshot, planned.plan, planned.why, host_at_work=reading.host is not None)
    print(f"now: {flat(words)}")
    print(render_plan(planned.plan, planned.view.snapshot.now_ms))
    print(f"because (limits: {planned.limits.source}):")
    print(render_explanation(planned.why, "  "))


def _print_past(past: Past, now_ms: int) -> None:
    print("containers:" if past.incarnations else "containers: none is on record")
    for incarnation in past.incarnations:
        print(f"  {flat(_life(incarnation, now_ms))}")
    print("decisions:" if past.decisions else "decisions: none is on record")
    for line in past.decisions:
        print("\n".join(f"  {text}" for text in _decided(line, now_ms)))
    for noted in past.faults:
        seen = f"since {render_when(noted.first_at_ms, now_ms)}"
        print(flat(f"fault: {noted.subject}: {noted.kind} {seen}: {noted.detail}"))
    for hold in past.holds:
        until = "" if hold.until_at_ms is None else f", until {render_when(hold.until_at_ms, now_ms)}"
        print(flat(f"held: {hold.reason}, since {render_when(hold.since_at_ms, now_ms)}{until}"))
    for parked in past.parked:
        when = render_when(parked.parked_at_ms, now_ms)
        print(flat(f"parked: {parked.message_id} {parked.cron!r} {when}: {parked.reason}"))


def _life(one: Incarnation, now_ms: int) -> str:
    begin = f"{one.number}: started {render_when(one.spawned_at_ms, now_ms)}"
    intent = "" if one.intent is None else f"; the host stopped it: {one.intent}"
    if one.died_at_ms is None:
        return f"{begin}, {one.state} as far as the host noted{intent}"
    ways = {
        "exited": f"ended by itself, {_exit(one)}",
        "stopped": f"stopped, {_exit(one)}",
        "not_started": "did not start, nothing was charged",
        "host_gone": "ended with its host",
    }
    how = ways[one.ending or "exited"]
    lived = render_duration(max(0, one.died_at_ms - one.spawned_at_ms))
    progress = "" if one.progressed is None else ", with progress" if one.progressed else ", without progress"
    return f"{begin}, {how} after {lived}{progress}{intent}"


def _exit(one: Incarnation) -> str:
    memory = ", out of memory" if one.oom else ""
    if one.exit_signal is not None:
        return f"signal {one.exit_signal}{memory}"
    return "exit unseen" if one.exit_code is None else f"exit {one.exit_code}{memory}"


def _decided(line: JournalLine, now_ms: int) -> list[str]:
    when = render_when(line.at_ms, now_ms)
    try:
        found = loads(line.why, Explanation)
    except WireFault:
        return [f"{when}: {line.decision}; its reasons were written by another version (see --json)"]
    rules = [f"  {flat(render_rule(rule, line.at_ms))}" for rule in fired_rules(found)]
    return [f"{when}: {flat(found.answer)}", *rules]
