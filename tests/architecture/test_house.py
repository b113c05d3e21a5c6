"""Does every part of the house import, contain and measure only what it may?"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STDLIB = tuple(f"{name}.*" for name in sys.stdlib_module_names)

PURE = (
    "__future__",
    "bisect",
    "collections",
    "collections.abc",
    "datetime",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "string",
    "types",
    "typing",
    "unicodedata",
)
"""What of the standard library cannot do I/O or read a clock (of datetime: only when asked to, which is looked for)."""

BELOW_SHELL = (*STDLIB, "attrs.*", "turnkeel_core.*", "turnkeel_adapters.*")
OUTSIDE_HOST = (*BELOW_SHELL, "cattrs.*", "apsw.*", "cyclopts.*", "rich.*", "structlog.*", "turnkeel.*")

ADAPTERS = (*STDLIB, "attrs.*", "cattrs.*", "apsw.*", "turnkeel_core.*", "turnkeel_adapters.*")

INGRESS_USES = ("turnkeel.events", "turnkeel.delivery.intake", "turnkeel.host.ports")

ALLOWED = {
    "turnkeel_core": (*PURE, "attrs.*", "turnkeel_core.*"),
    "turnkeel_core.schedule": (*PURE, "attrs.*", "turnkeel_core.*", "cronsim"),
    "turnkeel_adapters": ADAPTERS,
    "turnkeel_adapters.channels.webhook_call": (*ADAPTERS, "httpx"),
    "turnkeel": OUTSIDE_HOST,
    "turnkeel.events": BELOW_SHELL,
    "turnkeel.followed": BELOW_SHELL,
    "turnkeel.login": BELOW_SHELL,
    "turnkeel.starts": BELOW_SHELL,
    "turnkeel.ingress": (*BELOW_SHELL, "starlette.*", "uvicorn.*", *INGRESS_USES, "turnkeel.ingress.*"),
    "turnkeel.host": (
        *BELOW_SHELL,
        "turnkeel.events",
        "turnkeel.followed",
        "turnkeel.login",
        "turnkeel.starts",
        "turnkeel.host.*",
    ),
    "turnkeel.agent": (*BELOW_SHELL, "turnkeel", "turnkeel.agent.*"),
}
"""Per folder or module, the nearest entry counts. `turnkeel` alone is the version."""

HOUSES = {"turnkeel_core": "core", "turnkeel_adapters": "adapters", "turnkeel": "shell"}
HOST_LINES, MODULE_LINES, FUNCTION_LINES, LINE_LETTERS = 1_200, 300, 45, 120


@pytest.fixture(scope="module")
def house(guards):
    """Every module of the three roots: full name to file."""
    found = {}
    for package, root in HOUSES.items():
        found |= guards.modules_below(ROOT / root, package)
    return found


@pytest.fixture(scope="module")
def core(house):
    return {name: path for name, path in house.items() if name.split(".")[0] == "turnkeel_core"}


def _allowed(name):
    parts = name.split(".")
    return next(ALLOWED[entry] for end in range(len(parts), 0, -1) if (entry := ".".join(parts[:end])) in ALLOWED)


def _package(name, path):
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def _offences(modules, guard):
    return [f"{path.relative_to(ROOT)}, {text}" for path in modules.values() for text in guard(path.read_text())]


def test_the_roots_hold_one_package_each_and_the_modules_are_seen(house):
    for package, root in HOUSES.items():
        held = [path.name for path in (ROOT / root).iterdir() if path.is_dir() and path.name != "__pycache__"]
        assert held == [package]
    assert {"turnkeel_core.stuck", "turnkeel_adapters.wire.strict", "turnkeel.cli.decide"} <= house.keys()


def test_every_module_imports_only_what_its_folder_may(guards, house):
    assert [
        f"{path.relative_to(ROOT)}, {text}"
        for name, path in house.items()
        for text in guards.forbidden_imports(path.read_text(), _package(name, path), _allowed(name))
    ] == []


def test_the_host_may_import_no_other_part_of_the_shell():
    for part in ("agent", "cli", "delivery", "ingress", "lab", "telemetry", "conformance"):
        assert not f"turnkeel.{part}.".startswith(tuple(entry[:-1] for entry in ALLOWED["turnkeel.host"]))
    assert _allowed("turnkeel.host.deep.module") is ALLOWED["turnkeel.host"]
    assert _allowed("turnkeel.cli.decide") is ALLOWED["turnkeel"]


def test_the_core_touches_nothing_outside_and_no_clock(guards, core):
    assert _offences(core, guards.impurities) == []


def test_no_module_imports_itself_by_way_of_others(guards, house):
    assert guards.circle({name: path.read_text() for name, path in house.items()}) == []


def test_every_public_name_of_the_core_has_a_docstring(guards, core):
    assert _offences(core, guards.undocumented) == []


def test_modules_stay_short(house):
    # A register of names, one a line, may be as long as it is.
    modules = (path for name, path in house.items() if name != "turnkeel_core")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_lines_stay_short(house):
    lines = ((name, line) for name, path in house.items() for line in path.read_text().splitlines())
    assert [(name, line) for name, line in lines if len(line) > LINE_LETTERS] == []


def test_functions_stay_short(guards, house):
    assert _offences(house, lambda source: guards.long_functions(source, FUNCTION_LINES)) == []


def test_the_host_stays_small(house):
    host = [path for name, path in house.items() if f"{name}.".startswith("turnkeel.host.")]
    assert host
    assert sum(len(path.read_text().splitlines()) for path in host) <= HOST_LINES
