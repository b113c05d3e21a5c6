"""`sched add|run|pause|resume|cancel`: how does an operator make and change schedules?"""

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from turnkeel.cli.answer_channel import require_channel
from turnkeel.cli.assemble_schedules import firing_of
from turnkeel.cli.durations import duration_ms
from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.hiding import keeper, learn
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.pause import open_state
from turnkeel.cli.place import data_dir_of, existing_data_dir, make_data_dir
from turnkeel.cli.render import render_when
from turnkeel.schedules.changing import Changed, add, cancel, pause, resume, run_now
from turnkeel.schedules.ports import FiringPorts
from turnkeel_adapters.config.load import load_config
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.config.zones import load_zone, resolve_zone
from turnkeel_adapters.schedules.records import Schedule
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import HostState
from turnkeel_core import CatchUp, Overlap, ResumeContext

_MOVES: Final[dict[str, Callable[[FiringPorts, str], Changed]]] = {"pause": pause, "resume": resume, "cancel": cancel}


@frozen(kw_only=True)
class Wanted:
    """A new schedule as it was typed; exactly one of `every`, `cron` and `at` is given."""

    series: str
    session: str
    prompt: str
    every: str | None = None
    cron: str | None = None
    at: str | None = None
    zone: str | None = None
    starts: str | None = None
    catch_up: str = "latest"
    overlap: Overlap = "skip"
    grace: str | None = None
    context: ResumeContext = "isolated"
    channel: str = "local"
    chat: str | None = None
    thread: str | None = None


def _firing(state: HostState, data_dir: Path, settings: HostConfig) -> FiringPorts:
    learn(settings, data_dir)
    return firing_of(state, data_dir, settings, keeper())


def add_schedule(wanted: Wanted, data: Path | None, *, config: Path | None, json: bool) -> int:
    """Store a new schedule and say when it runs first. WrongUsage, BadSchedule."""
    settings, data_dir = load_config(config), data_dir_of(data)
    schedule = schedule_of(wanted, settings)
    require_channel(wanted.channel, settings, config)
    make_data_dir(data_dir)
    with open_state(data_dir) as state:
        made = add(_firing(state, data_dir, settings), schedule)
    _tell(made, "first", json)
    return 0


def schedule_of(wanted: Wanted, settings: HostConfig) -> Schedule:
    """What was typed as a schedule, without its first time. WrongUsage, BadSessionName, BadZone."""
    every, cron, at = wanted.every, wanted.cron, wanted.at
    if sum(one is not None for one in (every, cron, at)) != 1:
        raise WrongUsage("give one of --every DURATION, --cron TEXT and --at INSTANT")
    name, zone = str(SessionName.parse(wanted.session)), _zone(wanted.zone, settings, needed=cron is not None)
    return Schedule(
        series=wanted.series,
        session=name,
        kind="interval" if every is not None else "cron" if cron is not None else "once",
        value=str(duration_ms(every)) if every is not None else cron if cron is not None else at or "",
        zone=zone,
        prompt=wanted.prompt,
        channel=wanted.channel,
        chat=wanted.chat or name,
        thread=wanted.thread,
        catch_up=catch_up_of(wanted.catch_up),
        overlap=wanted.overlap,
        grace_ms=None if wanted.grace is None else duration_ms(wanted.grace),
        context=wanted.context,
        next_at_ms=None if at is None else _instant(at, zone),
        starts_at_ms=None if wanted.starts is None else _instant(wanted.starts, zone),
        moved_at_ms=0,
        made_at_ms=0,
    )


def change_schedule(move: str, series: str, data: Path | None, *, config: Path | None, json: bool) -> int:
    """`pause`, `resume` or `cancel` it. BadSchedule."""
    data_dir, settings = existing_data_dir(data), load_config(config)
    with open_state(data_dir) as state:
        changed = _MOVES[move](_firing(state, data_dir, settings), series)
    _tell(changed.after, "next", json)
    return 0


def run_schedule(series: str, data: Path | None, *, config: Path | None, json: bool) -> int:
    """Run it once now and print the turn's id. BadSchedule."""
    data_dir, settings = existing_data_dir(data), load_config(config)
    with open_state(data_dir) as state:
        started = run_now(_firing(state, data_dir, settings), series)
    if json:
        print_json({"series": series, "session": started.session, "turn_id": started.turn_id})
    else:
        print(started.turn_id)
    return 0


def catch_up_of(text: str) -> CatchUp:
    """`skip`, `latest`, `all`, `all:5` or `within:2h`; WrongUsage."""
    word, colon, value = text.partition(":")
    match word:
        case "skip" | "latest" | "all" if not colon:
            return CatchUp(runs=word)
        case "all" if value.isascii() and value.isdigit() and int(value) > 0:
            return CatchUp(runs="all", limit=int(value))
        case "within" if colon:
            return CatchUp(runs="within", window_ms=duration_ms(value))
        case _:
            raise WrongUsage(f"{text[:40]!r}: write skip, latest, all, all:NUMBER or within:DURATION")


def schedule_data(schedule: Schedule) -> dict[str, object]:
    """A schedule as data."""
    return asdict(schedule)


def _zone(name: str | None, settings: HostConfig, *, needed: bool) -> str:
    found = resolve_zone(settings, os.environ)[0] if name is None else name
    if name is None and found == "localtime":
        if needed:
            raise WrongUsage("this system's zone has no name: give --zone, such as Europe/Berlin")
        return "UTC"
    load_zone(found)
    return found


def _instant(text: str, zone: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"{text[:40]!r} is no instant: write 2026-03-10T09:00, or with an offset") from None
    local = at if at.tzinfo is not None else at.replace(tzinfo=load_zone(zone))
    return round(local.timestamp() * 1000)


def _tell(schedule: Schedule, word: str, json: bool) -> None:
    if json:
        print_json({"schedule": schedule_data(schedule)})
        return
    at_ms, now_ms = schedule.next_at_ms, time.time_ns() // 1_000_000
    runs = "no more runs" if at_ms is None else f"{word} run {render_when(at_ms, now_ms)}"
    print(flat(f"schedule {schedule.series}: {schedule.status}, {runs}"))
