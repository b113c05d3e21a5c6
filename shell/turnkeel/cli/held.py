"""What keeps the messages of a session waiting? In plain words, with since when and until when."""

from typing import Final

from turnkeel.cli.condition import Condition
from turnkeel.cli.render import render_when

WAITS: Final = {
    "slot": "all places to run are taken (max_running)",
    "group": "it waits for a slot of its group (max_running_per_group)",
    "claimed": "another session works on the same task",
    "backoff": "its containers keep dying, so it is started ever more rarely",
    "rate": "it has had its runs of this hour (runs_per_hour)",
    "retry": "a failed attempt is tried again later",
    "draining": "the host is stopping",
    "paused": "it is paused",
    "fenced": "a container of it could not be stopped, and a second one must not start",
    "runtime": "the container runtime does not answer",
}


def held_in_words(condition: Condition, now_ms: int) -> tuple[str, ...]:
    """One line for each thing that holds the session back, or that was refused of it; none if nothing does."""
    name, since = condition.session, _instant(", since", condition.since_at_ms, now_ms)
    lines: list[str] = []
    if condition.state == "closed":
        lines += [f"closed: no container is started and send refuses it; turnkeel session open {name}"]
    if condition.paused_since_at_ms is not None:
        why = "" if condition.paused_reason is None else f" ({condition.paused_reason})"
        begun = render_when(condition.paused_since_at_ms, now_ms)
        lines += [f"paused since {begun}{why}: no container is started until turnkeel resume {name}, or --all"]
    if condition.state == "waiting" and condition.reason is not None:
        until = _instant(", until", condition.until_at_ms, now_ms)
        lines += [f"waiting: {WAITS.get(condition.reason, condition.reason)}{since}{until}"]
    if condition.state == "faulty":
        lines += [f"quarantined{since}: {condition.reason}"]
        lines += [f"looked at again by itself, in growing steps; at once: turnkeel session clear {name}"]
    else:
        lines += [f"fault: {fault}" for fault in condition.faults]
    return tuple(lines)


def _instant(word: str, at_ms: int | None, now_ms: int) -> str:
    return "" if at_ms is None else f"{word} {render_when(at_ms, now_ms)}"
