"""How is an explanation shown to a person? Plain text; every command that explains uses this."""

from datetime import datetime

from turnkeel.cli.output import flat
from turnkeel_core import Explanation, Fact, RuleTried

_MARK = {"fired": "fired", "not_yet": "not yet", "skipped": "skipped"}
_INSTANTS = ("_at_ms", "_since_ms", "_until_ms")


def render_explanation(why: Explanation, indent: str = "") -> str:
    """The whole tree: what was answered, each rule with its facts and limits, and when the answer flips."""
    lines = [f"{indent}{why.decision}: {why.answer}"]
    inner = f"{indent}  "
    lines += [f"{inner}{render_rule(rule, why.at_ms)}" for rule in why.rules]
    if why.flip_at_ms is not None:
        lines.append(f"{inner}then: {why.flip_to} {render_when(why.flip_at_ms, why.at_ms)}, if nothing else happens")
    lines += [render_explanation(part, inner) for part in why.parts]
    return "\n".join(lines)


def render_rule(rule: RuleTried, now_ms: int) -> str:
    """One rule on one line."""
    subject = "" if rule.subject is None else f" {flat(rule.subject)}"
    facts = ", ".join(render_fact(fact, now_ms) for fact in rule.facts)
    limits = ", ".join(render_fact(fact, now_ms) for fact in rule.limits)
    text = f"{_MARK[rule.result]:<7}  {rule.rule}{subject}: {rule.because}"
    text += f" ({facts})" if facts else ""
    text += f" [{limits}]" if limits else ""
    if rule.result == "not_yet" and rule.fires_after_ms is not None:
        text += f", fires after {render_when(rule.fires_after_ms, now_ms)}"
    return text


def render_fact(fact: Fact, now_ms: int) -> str:
    """`name value`, with durations and instants in words."""
    name, _, note = fact.name.partition(" ")
    label = f"{name.removesuffix('_ms').removesuffix('_at')}{f' {note}' if note else ''}"
    if fact.value is None:
        return f"{label} none"
    if isinstance(fact.value, int) and not isinstance(fact.value, bool) and name.endswith("_ms"):
        words = render_when if name.endswith(_INSTANTS) else None
        return f"{label} {render_duration(fact.value) if words is None else words(fact.value, now_ms)}"
    return f"{label} {flat(str(fact.value))}"


def render_duration(ms: int) -> str:
    """Two units at most: `40 ms`, `1.5 s`, `14 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`."""
    if ms < 0:
        return f"-{render_duration(-ms)}"
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 10_000 and ms % 1_000 >= 100:
        return f"{ms // 100 / 10} s"
    seconds = ms // 1_000
    for size, unit, part_size, part_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // part_size
            return f"{seconds // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{seconds} s"


def render_when(at_ms: int, now_ms: int) -> str:
    """Local time with its zone, and how far away it is; a day is named if it is another one."""
    distance = at_ms - now_ms
    away = "now" if distance == 0 else f"in {render_duration(distance)}" if distance > 0 else render_ago(-distance)
    try:
        then, now = (datetime.fromtimestamp(ms / 1000).astimezone() for ms in (at_ms, now_ms))
    except (OverflowError, OSError, ValueError):
        return f"{at_ms} ms since 1970"  # no calendar holds it
    shape = "%H:%M:%S %Z" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S %Z"
    return f"{then:{shape}} ({away})"


def render_ago(ms: int) -> str:
    """`14 s ago`; `in 1 d` of what a clock says that was set back since."""
    if ms < 0:
        return f"in {render_duration(-ms)}"
    return f"{render_duration(ms)} ago"
