"""Which names and signatures does turnkeel_core promise?

`python tests/architecture/snapshot.py --write` renews public_api.txt; without `--write` the current text is printed.
"""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, Factory, fields, has

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "public_api.txt"
SCHEDULE = ("next_cron_run", "CronRun", "CronRefused", "CronAnswer")
NEXT = {"schedule_next": ("ScheduleSnapshot", "compute_next_run", "explain_next_run"), "schedule_due": ("due_runs",)}


def render(core: ModuleType, schedule: ModuleType) -> str:
    """One line per public name, sorted; those of `schedule`, which is imported by name, after the others."""
    names = {name: getattr(core, name) for name in sorted(core.__all__)}
    names |= {f"schedule.{name}": getattr(schedule, name) for name in SCHEDULE}
    for module, held in NEXT.items():
        names |= {f"{module}.{name}": getattr(import_module(f"turnkeel_core.{module}"), name) for name in held}
    unions = {frozenset(get_args(item)): name for name, item in names.items() if isinstance(item, UnionType)}
    return "".join(f"{_line(name, item, unions)}\n" for name, item in names.items())


def _line(name: str, item: object, unions: dict[frozenset[object], str]) -> str:
    if isinstance(item, type) and has(item):
        return f"class {name}({_fields(item, unions)})"
    if inspect.isfunction(item):
        hints = get_type_hints(item)
        parameters = inspect.signature(item).parameters.values()
        taken = (f"{p.name}: {_type(hints[p.name], unions)}{_default(p.default)}" for p in parameters)
        return f"def {name}({', '.join(taken)}) -> {_type(hints['return'], unions)}"
    return f"{name} = {_type(item, {})}"


def _fields(cls: type, unions: dict[frozenset[object], str]) -> str:
    hints = get_type_hints(cls)
    star = ["*"] if any(field.kw_only for field in fields(cls)) else []
    return ", ".join(star + [f"{f.name}: {_type(hints[f.name], unions)}{_default(f.default)}" for f in fields(cls)])


def _default(default: object) -> str:
    if default is NOTHING or default is inspect.Parameter.empty:
        return ""
    if isinstance(default, Factory):
        return f" = {default.factory.__name__}()"
    return f" = {type(default).__name__}()" if has(type(default)) else f" = {default!r}"


def _type(annotation: object, unions: dict[frozenset[object], str]) -> str:
    """The same text on every Python version; a public union by its name."""
    members, origin = get_args(annotation), get_origin(annotation)
    if annotation is None or annotation is NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, members))}]"
    if origin in (Union, UnionType):
        return unions.get(frozenset(members)) or " | ".join(_type(member, unions) for member in members)
    name = (origin or annotation).__name__
    return f"{name}[{', '.join(_type(member, unions) for member in members)}]" if members else name


def main() -> None:
    """Print the promise as it is now, or store it."""
    sys.path.insert(0, str(ROOT / "core"))
    import turnkeel_core
    import turnkeel_core.schedule

    text = render(turnkeel_core, turnkeel_core.schedule)
    if "--write" in sys.argv[1:]:
        STORED.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
