"""What can be typed about schedules? Each command loads its own module when it is called."""

from typing import Annotated, Literal, TypeAlias

from cyclopts import App, Parameter

from turnkeel.cli.options import Config, Data, Json, Limit

Series: TypeAlias = Annotated[str, Parameter(name="NAME", help="Of the schedule.")]
Every: TypeAlias = Annotated[
    str | None, Parameter(help="Every 90s, 5m, 1h30m, 2d; counted from the time due: no drift.", show_default=False)
]
Cron: TypeAlias = Annotated[str | None, Parameter(help="Five cron fields, or @daily and the like.", show_default=False)]
At: TypeAlias = Annotated[str | None, Parameter(help="Once, at this instant: 2026-03-10T09:00.", show_default=False)]
Zone: TypeAlias = Annotated[
    str | None, Parameter(help="Its own IANA zone; default: that of the configuration.", show_default=False)
]
Starts: TypeAlias = Annotated[
    str | None, Parameter(help="Not before this instant; an interval runs first then.", show_default=False)
]
Missed: TypeAlias = Annotated[
    str, Parameter(help="Of those due while no host ran: skip, latest, all, all:NUMBER or within:DURATION.")
]
Overlaps: TypeAlias = Annotated[
    Literal["skip", "queue", "replace"], Parameter(help="If the one before still runs: skip, wait, or stop that one.")
]
Grace: TypeAlias = Annotated[
    str | None,
    Parameter(help="With --missed skip: how late it may still run; default: by its period.", show_default=False),
]
Context: TypeAlias = Annotated[
    Literal["isolated", "group"],
    Parameter(help="Each run alone, without the conversation of its session; or in that."),
]
Chat: TypeAlias = Annotated[
    str | None, Parameter(help="To which chat of that channel; default: the session's name.", show_default=False)
]

sched_app = App(name="sched", help="Schedules: list, add, show, run, pause, resume or cancel them; what was missed.")


@sched_app.command(name="list")
def sched_list(*, data: Data = None, json: Json = False) -> int:
    """Show every schedule: when it runs, and when next."""
    from turnkeel.cli.sched import list_schedules

    return list_schedules(data, json=json)


@sched_app.command(name="add")
def sched_add(
    name: Annotated[str, Parameter(name="NAME", help="A new name, or one whose schedule is over.")],
    session: Annotated[str, Parameter(name="SESSION", help="Where it runs: NAME or GROUP/NAME.")],
    prompt: Annotated[str, Parameter(name="PROMPT", help="What its agent is told each time.")],
    /,
    *,
    every: Every = None,
    cron: Cron = None,
    at: At = None,
    zone: Zone = None,
    starts: Starts = None,
    missed: Missed = "latest",
    overlap: Overlaps = "skip",
    grace: Grace = None,
    context: Context = "isolated",
    channel: Annotated[str, Parameter(help="Where the answers go.")] = "local",
    chat: Chat = None,
    thread: Annotated[str | None, Parameter(help="To which thread of that chat.", show_default=False)] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Have a session's agent told something at its times, each once, whatever is restarted in between."""
    from turnkeel.cli.sched_change import Wanted, add_schedule

    wanted = Wanted(
        series=name,
        session=session,
        prompt=prompt,
        every=every,
        cron=cron,
        at=at,
        zone=zone,
        starts=starts,
        catch_up=missed,
        overlap=overlap,
        grace=grace,
        context=context,
        channel=channel,
        chat=chat,
        thread=thread,
    )
    return add_schedule(wanted, data, config=config, json=json)


@sched_app.command(name="show")
def sched_show(name: Series, /, *, limit: Limit = 20, data: Data = None, json: Json = False) -> int:
    """Show one schedule and what became of its latest times."""
    from turnkeel.cli.sched import show_schedule

    return show_schedule(name, data, limit=limit, json=json)


@sched_app.command(name="missed")
def sched_missed(
    name: Annotated[str | None, Parameter(name="NAME", help="Only of this schedule.", show_default=False)] = None,
    /,
    *,
    limit: Limit = 50,
    data: Data = None,
    json: Json = False,
) -> int:
    """Show the times that did not run, the newest first, and why."""
    from turnkeel.cli.sched import missed

    return missed(name, data, limit=limit, json=json)


@sched_app.command(name="run")
def sched_run(name: Series, /, *, data: Data = None, config: Config = None, json: Json = False) -> int:
    """Run it once now and print the id of its message; its times do not move."""
    from turnkeel.cli.sched_change import run_schedule

    return run_schedule(name, data, config=config, json=json)


@sched_app.command(name="pause")
def sched_pause(name: Series, /, *, data: Data = None, config: Config = None, json: Json = False) -> int:
    """Let its times pass; each is recorded as skipped."""
    from turnkeel.cli.sched_change import change_schedule

    return change_schedule("pause", name, data, config=config, json=json)


@sched_app.command(name="resume")
def sched_resume(name: Series, /, *, data: Data = None, config: Config = None, json: Json = False) -> int:
    """Go on with its next time; what passed meanwhile is not made up for."""
    from turnkeel.cli.sched_change import change_schedule

    return change_schedule("resume", name, data, config=config, json=json)


@sched_app.command(name="cancel")
def sched_cancel(name: Series, /, *, data: Data = None, config: Config = None, json: Json = False) -> int:
    """End it; a run under way goes on (`turnkeel abort SESSION` stops it)."""
    from turnkeel.cli.sched_change import change_schedule

    return change_schedule("cancel", name, data, config=config, json=json)
