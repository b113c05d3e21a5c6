"""How often is a healthy agent killed and a hang missed: by these rules, and by the rule they started from?

`python tests/scenarios/detection.py` prints the table, `--write` puts it into README.md between its markers.
Every second here is virtual and counts time awake; wall time runs ahead of it where the machine slept.
"""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from attrs import define, field, frozen

from turnkeel_core import (
    Claim,
    DeclaredTool,
    OpenMessage,
    Sleep,
    StopContainer,
    StopIdle,
    StuckSnapshot,
    SweepPolicy,
    SweepSnapshot,
    Waiting,
    explain_sweep,
    plan_sweep,
)

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- detection table: begin -->", "<!-- detection table: end -->"
EPOCH_MS = 1_800_000_000_000
LOOK_S = 60
M, H = 60, 3600

Fact: TypeAlias = tuple[float, str, tuple[object, ...]]


@frozen
class Timeline:
    """What happens to one container, and the truth about it: healthy throughout, or hung since `hung_s`."""

    ids: str
    what: str
    hung_s: float | None
    end_s: float
    facts: tuple[Fact, ...]


@frozen
class Verdict:
    """Stopped at `at_s`, `late_s` after the rule's own limit had passed."""

    at_s: float
    late_s: float


def at(second: float, kind: str, *value: object) -> tuple[Fact, ...]:
    """One fact."""
    return ((second, kind, value),)


def every(step: float, start: float, end: float, kind: str) -> tuple[Fact, ...]:
    """The same fact again and again."""
    return tuple((start + step * n, kind, ()) for n in range(int((end - start) // step) + 1))


def beats(start: float, end: float) -> tuple[Fact, ...]:
    """A heartbeat every 10 s."""
    return every(10, start, end, "beat")


def begins(*before: Fact) -> tuple[Fact, ...]:
    """Spawned at 0, beating and at work on m1 from second 2."""
    return (*before, *at(0, "spawn"), *at(2, "claim", "m1"), *at(3, "beat"))


def fine(ids: str, what: str, end_s: float, *facts: tuple[Fact, ...]) -> Timeline:
    """A healthy one."""
    return Timeline(ids, what, None, end_s, sum(facts, ()))


def hung(ids: str, what: str, since_s: float, *facts: tuple[Fact, ...]) -> Timeline:
    """One that hangs and would for three hours."""
    return Timeline(ids, what, since_s, since_s + 3 * H, sum(facts, ()))


OLD_CLAIM, OLD_BEAT = at(-2 * H, "claim", "m1"), at(-2 * H, "beat")
DONE = at(600, "settle", "m1")
BASH_50, TASK_50 = at(10, "tool", "Bash", 50 * M), at(10, "tool", "Task", 50 * M)

TIMELINES = (
    fine("FK-01", "starts beside a claim its predecessor left 2 h ago", 620, begins(*OLD_CLAIM), beats(12, 600), DONE),
    fine("FK-02", "starts beside a heartbeat file from 2 h ago", 620, begins(*OLD_BEAT), beats(12, 600), DONE),
    fine(
        "FK-05", "declared: rate-limited for 45 min; silent", 3000,
        begins(), at(10, "wait", 45 * M), beats(2710, 2990), at(2710, "wait_end"),
    ),
    fine(
        "FK-05", "declared: rate-limited for 20 min; silent", 1500,
        begins(), at(10, "wait", 20 * M), beats(1210, 1490), at(1210, "wait_end"),
    ),
    fine("FK-06", "slow model: 8 min without output, beating", 620, begins(), beats(12, 600), DONE),
    fine("FK-06", "very slow model: 40 min without output, beating, undeclared", 2420, begins(), beats(12, 2410)),
    fine(
        "FK-07", "2 h of machine sleep; its stream is back 50 s after", 900,
        begins(), beats(12, 612), at(615, "sleep", 2 * H), beats(665, 890),
    ),
    fine(
        "FK-07", "2 h of machine sleep; beats on at once", 900,
        begins(), beats(12, 612), at(615, "sleep", 2 * H), beats(616, 890),
    ),
    fine("FK-08", "wall clock set forward 40 min between two beats", 900,
         begins(), beats(12, 890), at(597, "sleep", 40 * M)),
    fine("FK-10", "a run of 2 h that shows progress every 10 min", 7300,
         begins(), beats(12, 7290), every(600, 600, 7200, "progress")),
    fine("FK-11", "set-up of 90 s before the first sign of life", 620,
         at(0, "due", "m1"), at(0, "spawn"), beats(90, 600), at(95, "claim", "m1"), DONE),
    fine("FK-11", "set-up of 180 s before the first sign of life", 620,
         at(0, "due", "m1"), at(0, "spawn"), beats(180, 600), at(185, "claim", "m1"), DONE),
    fine("FK-11", "claims first, then 90 s of set-up without a beat", 620,
         at(0, "spawn"), at(2, "claim", "m1"), beats(92, 600), DONE),
    fine("FK-12", "a sub-agent blocks the beat for 10 min, undeclared", 900, begins(), beats(620, 890)),
    fine("FK-12", "a sub-agent blocks the beat for 40 min, undeclared", 2700, begins(), beats(2420, 2690)),
    fine("FK-12", "Bash, declared for 50 min, blocks the beat for 48", 3000, begins(), BASH_50, beats(2890, 2990)),
    fine("FK-12", "another tool, declared for 50 min, blocks the beat for 48", 3000,
         begins(), TASK_50, beats(2890, 2990)),
    fine("FK-15", "declared: waits 50 min for an approval; silent", 3300,
         begins(), at(10, "wait", None), beats(3010, 3290), at(3010, "wait_end")),
    fine("FK-15", "the same, but withdraws the wait a second before it beats", 3300,
         begins(), at(10, "wait", None), at(3010, "wait_end"), beats(3011, 3290)),
    fine("FK-15", "declared: waits 2 h for an approval; silent", 7500,
         begins(), at(10, "wait", None), beats(7210, 7490), at(7210, "wait_end")),
    fine("FK-16", "a turn of 3 h on a slow model, progress every 20 min", 10900,
         begins(), beats(12, 10890), every(1200, 1200, 10800, "progress")),
    hung("MH-01", "never gives a sign of life; work is due", 0, at(0, "due", "m1"), at(0, "spawn")),
    hung("MH-01", "beats once, then silence; messages keep coming", 5,
         at(0, "spawn"), at(4, "beat"), at(60, "due", "m1"), at(600, "due", "m2"), at(1200, "due", "m3")),
    hung("MH-02 MH-04", "alive and beating, its work stands still", 30, begins(), beats(12, 11000)),
    hung("MH-05", "a tool without a declared limit never returns; beating", 30,
         begins(), beats(12, 11000), at(30, "tool", "Task", None)),
    hung("MH-05", "Bash, declared for 10 min, never returns; beating", 30,
         begins(), beats(12, 11000), at(30, "tool", "Bash", 10 * M)),
    hung("MH-07", "hangs in its set-up right after the claim", 2, at(0, "spawn"), at(2, "claim", "m1")),
    hung("MH-12", "its stream stops, and the beat with it", 620, begins(), beats(12, 612), at(600, "progress")),
    hung("MH-14", "answered; beats, but takes no further work", 100,
         begins(), at(90, "settle", "m1"), beats(12, 11000), at(200, "due", "m2")),
    hung("MH-16", "retries its provider for ever and calls it progress", 30,
         begins(), beats(12, 11000), every(60, 60, 10980, "progress")),
    hung("MH-24", "beats once after the claim, then wedges in silence", 4, begins()),
    hung("FK-13", "silent hang under the 2 h Bash that its predecessor declared", 2,
         at(-600, "tool", "Bash", 2 * H), at(0, "spawn"), at(2, "claim", "m1")),
    hung("CR-06", "silent hang while a forgotten copy keeps the heartbeat fresh", 2,
         at(0, "spawn"), at(2, "claim", "m1"), beats(3, 11000)),
    hung("FK-05 MH-20", "hangs inside a wait it declared without an end", 10, begins(), at(10, "wait", None)),
    hung("FK-07 MH-07", "silent hang; the machine sleeps 2 h in its first minute", 2,
         at(0, "spawn"), at(2, "claim", "m1"), at(31, "sleep", 2 * H)),
)  # fmt: skip


@define
class Seen:
    """The facts as they stand; instants are wall milliseconds."""

    heartbeat_ms: int | None = None
    spawned_ms: int | None = None
    progress_ms: int | None = None
    asleep_ms: int = 0
    claims: dict[str, int] = field(factory=dict)
    due: dict[str, int] = field(factory=dict)
    sleeps: tuple[Sleep, ...] = ()
    tool: DeclaredTool | None = None
    waiting: Waiting | None = None

    def wall(self, second: float) -> int:
        """The wall clock at a second awake."""
        return EPOCH_MS + round(second * 1000) + self.asleep_ms

    def take(self, second: float, kind: str, value: tuple[object, ...]) -> None:
        """One more fact."""
        if kind == "sleep":
            gap_ms = int(value[0]) * 1000  # type: ignore[call-overload]
            self.asleep_ms += gap_ms
            self.sleeps += (Sleep(resumed_at_ms=self.wall(second), gap_ms=gap_ms),)
        now = self.wall(second)
        name = str(value[0]) if value else ""
        match kind:
            case "beat":
                self.heartbeat_ms = now
            case "spawn":
                self.spawned_ms = now
            case "due":
                self.due[name] = now
            case "claim":
                self.due.setdefault(name, now)
                self.claims[name] = now
            case "settle":
                self.due.pop(name)
                self.claims.pop(name)
            case "tool":
                timeout_ms = None if value[1] is None else int(value[1]) * 1000  # type: ignore[call-overload]
                self.tool = DeclaredTool(name=name, timeout_ms=timeout_ms, started_at_ms=now)
            case "wait":
                until_ms = None if value[0] is None else now + int(value[0]) * 1000  # type: ignore[call-overload]
                self.waiting = Waiting(reason="declared", since_at_ms=now, until_at_ms=until_ms)
            case "wait_end":
                self.waiting = None
            case _:
                assert kind in ("sleep", "progress"), kind
        if kind in ("claim", "settle", "tool", "wait_end", "progress"):
            self.progress_ms = now


def ours(line: Timeline) -> Verdict | None:
    """`plan_sweep` as the host asks it: at every change but a heartbeat, and at the instant the plan itself names."""
    seen, change_ms = Seen(), None
    for second, kind, value in (*sorted(line.facts, key=lambda fact: fact[0]), (line.end_s, "end", ())):
        while change_ms is not None and change_ms < seen.wall(second):
            verdict, change_ms = _ask(seen, change_ms)
            if verdict is not None:
                return verdict
        if kind == "end":
            return None
        seen.take(second, kind, value)
        if kind != "beat" and seen.spawned_ms is not None:
            verdict, change_ms = _ask(seen, seen.wall(second))
            if verdict is not None:
                return verdict
    raise AssertionError("a timeline ends")


def _ask(seen: Seen, now_ms: int) -> tuple[Verdict | None, int | None]:
    container = StuckSnapshot(
        now_ms=now_ms,
        heartbeat_at_ms=seen.heartbeat_ms,
        claims=tuple(Claim(message_id=key, claimed_at_ms=at_ms) for key, at_ms in seen.claims.items()),
        tool=seen.tool,
        spawned_at_ms=seen.spawned_ms,
        outbound_at_ms=seen.progress_ms,
        progress_at_ms=seen.progress_ms,
        waiting=seen.waiting,
        last_activity_at_ms=max(seen.spawned_ms or 0, seen.progress_ms or 0),
        sleeps=seen.sleeps,
    )
    messages = tuple(OpenMessage(message_id=key, since_at_ms=at_ms) for key, at_ms in seen.due.items())
    snapshot = SweepSnapshot(now_ms=now_ms, incarnation=2, messages=messages, container=container)
    plan = plan_sweep(snapshot, SweepPolicy())
    for action in plan.actions:
        if isinstance(action, StopContainer) and not isinstance(action.because, StopIdle):
            fires_after_ms = explain_sweep(snapshot, SweepPolicy()).parts[0].rules[-1].fires_after_ms
            assert fires_after_ms is not None
            return Verdict((now_ms - EPOCH_MS - seen.asleep_ms) / 1000, (now_ms - fires_after_ms) / 1000), None
    return None, plan.next_change_at_ms


def seed(line: Timeline) -> Verdict | None:
    """The rule these rules started from, asked once a minute."""
    seen, facts = Seen(), sorted(line.facts, key=lambda fact: fact[0])
    for look_s in range(0, int(line.end_s) + 1, LOOK_S):
        while facts and facts[0][0] <= look_s:
            seen.take(*facts.pop(0))
        bash_ms = (seen.tool.timeout_ms or 0) if seen.tool is not None and seen.tool.name == "Bash" else 0
        late_ms = seed_rule(seen.wall(look_s), seen.heartbeat_ms, tuple(seen.claims.values()), bash_ms)
        if late_ms is not None:
            return Verdict(look_s, late_ms / 1000)
    return None


def seed_rule(now_ms: int, heartbeat_ms: int | None, claims: tuple[int, ...], bash_ms: int) -> int | None:
    """By how much the limit is passed, if the container is to be killed. No heartbeat: no ceiling."""
    ceiling_ms, tolerance_ms = max(1_800_000, bash_ms), max(60_000, bash_ms)
    if heartbeat_ms is not None and now_ms - heartbeat_ms > ceiling_ms:
        return now_ms - heartbeat_ms - ceiling_ms
    for claimed_ms in claims:
        if now_ms - claimed_ms > tolerance_ms and not (heartbeat_ms is not None and heartbeat_ms > claimed_ms):
            return now_ms - claimed_ms - tolerance_ms
    return None


NOTE = """Each line is the life of one container, named after the field report it comes from (ids as in
[tests/scenarios](tests/scenarios/README.md)). *Ours* is `plan_sweep` with its default policy, asked as the host asks it: at
every change and at the instant it names itself (the host adds a poll of 0.2 s). The *seed's* is the rule it started from:
heartbeat age over max(30 min, Bash timeout), or a claim older than max(60 s, Bash timeout) without a heartbeat since,
asked every 60 s. Both see the same raw facts; a host around either may clear leftovers first (the seed's removes the
old heartbeat at a spawn, ours the claims too). The limits are not all the same: set-up (120 s), progress (30 min) and
untaken work (30 min) have one with us only, and a declared wait is silence to the seed. Its looks fall on whole minutes
after the spawn; at another phase some lines end otherwise. Seconds count time awake. What we still kill wrongly was
silent or without progress past a limit and had not said why, declared a tool whose word is not taken by default
(`timeout_tools`), or waited for longer than a wait may last; what we still miss calls every retry progress (`run_limit_ms` ends it, and is off by default). A longer limit is a line of configuration.
"""


def table() -> str:
    """The text between the markers."""
    judged = [(line, ours(line), seed(line)) for line in TIMELINES]
    rows = "\n".join(f"| {line.ids} | {line.what} | {_says(line, a)} | {_says(line, b)} |" for line, a, b in judged)
    well = [(a, b) for line, a, b in judged if line.hung_s is None]
    sick = [(line, a, b) for line, a, b in judged if line.hung_s is not None]
    both = [(line.hung_s or 0, a, b) for line, a, b in sick if a is not None and b is not None]
    # A limit counted in wall time cannot have passed, awake, for longer than the hang has lasted.
    late = [max(min(v.late_s, v.at_s - h) for h, v in side) for side in _sides(both)]
    mean = [statistics.mean(v.at_s - h for h, v in side) for side in _sides(both)]
    totals = (
        ("false kills", f"of {len(well)} healthy", *(str(sum(v is not None for v in s)) for s in zip(*well, strict=True))),
        ("missed hangs", f"of {len(sick)}, within 3 h", *(str(sum(s[i] is None for s in sick)) for i in (1, 2))),
        ("past the rule's own limit until noticed", f"worst of the {len(both)} both noticed", *(f"{s:.3f} s" for s in late)),
        ("from the hang until noticed", f"mean of the {len(both)} both noticed", *(_span(s) for s in mean)),
    )  # fmt: skip
    head = "| | | ours | the seed's |\n|---|---|---|---|\n"
    total = "\n".join(f"| {what} | {of} | {a} | {b} |" for what, of, a, b in totals)
    detail = (
        "<details><summary>Line by line</summary>\n\n| id | the container | ours | the seed's |\n|---|---|---|---|\n"
    )
    return f"{NOTE}\n{head}{total}\n\n{detail}{rows}\n\n</details>"


def _sides(both: list[tuple[float, Verdict, Verdict]]) -> list[list[tuple[float, Verdict]]]:
    return [[(since_s, pair[side]) for since_s, *pair in both] for side in (0, 1)]


def _says(line: Timeline, verdict: Verdict | None) -> str:
    if line.hung_s is None:
        return "left alone" if verdict is None else f"**killed** at {_span(verdict.at_s)}"
    if verdict is None:
        return "**missed**"
    assert verdict.at_s >= line.hung_s, "killed before it hung"
    return f"noticed after {_span(verdict.at_s - line.hung_s)}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def committed(readme: str) -> str:
    """What stands between the markers."""
    return readme.split(BEGIN)[1].split(END)[0].strip()


def written(readme: str) -> str:
    """The README with the table as it is."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> Iterator[str]:
    """Print, or write."""
    if arguments == ["--write"]:
        README.write_text(written(README.read_text("utf-8")), "utf-8")
    else:
        yield table()


if __name__ == "__main__":
    print(*main(sys.argv[1:]), sep="\n")
