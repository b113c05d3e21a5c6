"""Are the core's records frozen, fully typed and kept as promised, and does importing them load nothing?"""

import os
import subprocess
import sys
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from attrs import define, frozen, has
from attrs.exceptions import FrozenInstanceError

import turnkeel_core
import turnkeel_core.schedule

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "core" / "turnkeel_core").glob("*.py") if path.stem != "__init__")
RECORDS = sorted(
    {
        item
        for module in MODULES
        for item in vars(import_module(f"turnkeel_core.{module}")).values()
        if isinstance(item, type) and has(item)
    },
    key=lambda cls: cls.__qualname__,
)
MUTABLE = (list, dict, set, bytearray)
EFFECTFUL = {
    "apsw",
    "asyncio",
    "cattrs",
    "cronsim",
    "logging",
    "multiprocessing",
    "random",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "zoneinfo",
}


def is_frozen(cls):
    """Whether an instance refuses to be changed; made without its constructor, whatever that asks for."""
    try:
        object.__new__(cls).anything = 1
    except FrozenInstanceError:
        return True
    except AttributeError:
        return False
    return False


def parts(annotation):
    """The annotation and everything in it."""
    yield annotation
    for inner in get_args(annotation):
        yield from parts(inner)


def bad_types(cls):
    """The fields whose annotation holds Any, a bare object or something that can change."""
    bad = (Any, object, *MUTABLE)
    hints = get_type_hints(cls).items()
    return [name for name, hint in hints if any(part in bad or get_origin(part) in bad for part in parts(hint))]


@define
class Changing:
    names: list[str]
    anything: object | None = None


@frozen
class Loose:
    one: dict[str, Any]
    two: tuple[Any, ...]
    three: int | None


def test_the_checks_below_can_fail():
    assert not is_frozen(Changing)
    assert is_frozen(Loose)
    assert set(bad_types(Changing)) == {"names", "anything"}
    assert set(bad_types(Loose)) == {"one", "two"}


def test_the_records_are_found():
    assert len(RECORDS) > 45
    assert turnkeel_core.StuckSnapshot in RECORDS and turnkeel_core.schedule.CronRun in RECORDS


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_every_record_is_frozen_and_fully_typed(cls):
    assert is_frozen(cls)
    assert bad_types(cls) == []


def _functions():
    named = {**vars(turnkeel_core), **vars(turnkeel_core.schedule)}
    return {name: item for name, item in named.items() if isfunction(item) and name[0] != "_"}


@pytest.mark.parametrize(("name", "function"), sorted(_functions().items()), ids=sorted(_functions()))
def test_every_public_function_is_fully_typed_and_says_what_it_does(name, function):
    hints = get_type_hints(function)
    assert "return" in hints and len(hints) == function.__code__.co_argcount + 1
    assert not any(part is Any for hint in hints.values() for part in parts(hint))
    assert function.__doc__


def test_every_public_record_says_what_it_is():
    public = [getattr(turnkeel_core, name) for name in turnkeel_core.__all__]
    assert [cls.__name__ for cls in public if isinstance(cls, type) and not cls.__doc__] == []


def test_the_list_of_public_names_is_sorted_and_complete():
    assert turnkeel_core.__all__ == sorted(turnkeel_core.__all__)
    held = {name for name, item in vars(turnkeel_core).items() if name[0] != "_" and type(item).__name__ != "module"}
    assert set(turnkeel_core.__all__) == held


def test_names_and_signatures_are_as_promised(snapshot):
    now = snapshot.render(turnkeel_core, turnkeel_core.schedule)
    assert now == snapshot.STORED.read_text(), (
        "the public names or signatures of turnkeel_core changed; if that is meant, renew the promise with "
        "`python tests/architecture/snapshot.py --write` and say so in CHANGELOG.md"
    )


LOADS = "import sys; before = set(sys.modules); {}; print(' '.join(sorted(set(sys.modules) - before)))"


def _loaded_by(statement):
    done = subprocess.run(
        [sys.executable, "-c", LOADS.format(statement)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_core_loads_nothing_that_acts():
    loaded = _loaded_by("from turnkeel_core import decide_stuck_action")
    assert "turnkeel_core.stuck" in loaded
    assert loaded & EFFECTFUL == set()


def test_the_watch_over_imports_sees_what_is_loaded():
    assert {"sqlite3", "cronsim"} <= _loaded_by("import sqlite3, turnkeel_core.schedule") & EFFECTFUL
