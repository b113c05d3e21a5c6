"""Would the guards catch an offence? Each is shown a bad sample and a good one."""

import pytest

CORE = ["typing", "datetime", "attrs.*", "turnkeel_core.*"]

IMPORTS = [
    ("a module outside the list", "import os", ["line 1: imports os"]),
    ("a part of one", "from os.path import join", ["line 1: imports os.path"]),
    ("inside a function", "def f():\n    import socket", ["line 2: imports socket"]),
    ("only for type checking", "if TYPE_CHECKING:\n    import apsw", ["line 2: imports apsw"]),
    ("upwards, relatively", "from ...turnkeel import host", ["line 1: imports turnkeel"]),
    ("several in one line", "import typing, os", ["line 1: imports os"]),
    ("a name that only begins alike", "import attrsx, turnkeel_core_more", [
        "line 1: imports attrsx", "line 1: imports turnkeel_core_more"
    ]),
    ("what is allowed", "import typing\nfrom attrs.validators import ge\nfrom turnkeel_core import stuck", []),
    ("a neighbour, relatively", "from . import a\nfrom .b import c", []),
]  # fmt: skip


@pytest.mark.parametrize(("source", "offences"), [c[1:] for c in IMPORTS], ids=[c[0] for c in IMPORTS])
def test_imports_outside_the_list_are_seen(guards, source, offences):
    assert guards.forbidden_imports(source, "turnkeel_core.part", CORE) == offences


IMPURE = [
    ("opening a file", "open('x')"),
    ("a builtin given away", "run = eval"),
    ("asking for input", "def f(): return input()"),
    ("importing by name", "__import__('os')"),
    ("a clock of datetime", "datetime.now(UTC)"),
    ("a clock under another name", "from datetime import datetime as d\nd.utcnow()"),
    ("the date", "datetime.date.today()"),
    ("a clock not called", "f = datetime.now"),
    ("the time module", "time.time()"),
    ("a stopwatch", "x.perf_counter()"),
    ("chance", "random.random()"),
    ("the machine's zone", "at.astimezone()"),
    ("the machine's zone for a stamp", "datetime.fromtimestamp(1)"),
]


@pytest.mark.parametrize("source", [c[1] for c in IMPURE], ids=[c[0] for c in IMPURE])
def test_impurities_are_seen(guards, source):
    assert guards.impurities(source)


@pytest.mark.parametrize(
    "source",
    ["at.astimezone(zone)", "datetime.fromtimestamp(1, UTC)", "seen.now_ms", "now = 1", "def printed(): reopen()"],
)
def test_pure_code_is_let_through(guards, source):
    assert guards.impurities(source) == []


def test_long_functions_are_seen(guards):
    body = "\n".join(["    x = 1"] * 3)
    assert guards.long_functions(f"def f():\n{body}", 4) == []
    assert guards.long_functions(f"def f():\n{body}", 3) == ["line 1: f has 4 lines"]
    assert guards.long_functions(f"@one\nasync def f():\n{body}", 4) == ["line 2: f has 5 lines"]
    assert guards.long_functions("class A:\n  def f(self):\n    x = 1\n    x = 2", 2) == ["line 2: f has 3 lines"]


def test_missing_docstrings_are_seen(guards):
    source = '"""?"""\nclass A:\n    """A."""\nclass B: pass\ndef c(): pass\ndef _d(): pass\ndef e():\n    """E."""'
    assert guards.undocumented(source) == ["line 4: B", "line 5: c"]
    assert guards.undocumented("x = 1") == ["line 1: the module"]


CIRCLES = [
    ("two modules", {"p": "", "p.a": "import p.b", "p.b": "from p import a"}, {"p.a", "p.b"}),
    (
        "relative, over three",
        {"p": "", "p.a": "from .b import x", "p.b": "from . import c", "p.c": "from .a import y"},
        {"p.a", "p.b", "p.c"},
    ),
    ("a part that asks its whole", {"p": "from p.a import x", "p.a": "from p import y"}, {"p", "p.a"}),
    ("a row of modules", {"p": "from p.a import x", "p.a": "from p.b import y", "p.b": "import os"}, set()),
    ("a circle that waits for a call", {"p": "", "p.a": "import p.b", "p.b": "def f():\n    import p.a"}, set()),
    ("a circle of types alone", {"p": "", "p.a": "import p.b", "p.b": "if TYPE_CHECKING:\n    import p.a"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("modules", "members"), [c[1:] for c in CIRCLES], ids=[c[0] for c in CIRCLES])
def test_circles_of_imports_are_seen(guards, modules, members):
    assert set(guards.circle(modules)) == members


def test_modules_are_found_by_their_full_names(guards, tmp_path):
    for name in ("p/__init__.py", "p/a.py", "p/q/__init__.py", "p/q/b.py", "other/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(guards.modules_below(tmp_path, "p")) == ["p", "p.a", "p.q", "p.q.b"]


def test_the_snapshot_shows_names_order_types_and_defaults(snapshot):
    import types

    from attrs import field, frozen

    @frozen(kw_only=True)
    class Facts:
        at_ms: int | None = None
        names: tuple[str, ...] = field(factory=tuple)

    @frozen
    class Act:
        name: str

    Act.__module__ = Facts.__module__ = "m"

    def decide(seen: Facts, policy: Facts = Facts()) -> Act | Facts:  # noqa: B008
        return Act("x")

    core = types.ModuleType("core")
    core.__all__ = ["Facts", "Act", "Answer", "decide"]
    core.Facts, core.Act, core.Answer, core.decide = Facts, Act, Act | Facts, decide
    schedule = types.SimpleNamespace(**dict.fromkeys(snapshot.SCHEDULE, Act | Facts))
    assert snapshot.render(core, schedule).splitlines()[:4] == [
        "class Act(name: str)",
        "Answer = Act | Facts",
        "class Facts(*, at_ms: int | None = None, names: tuple[str, ...] = tuple())",
        "def decide(seen: Facts, policy: Facts = Facts()) -> schedule.CronAnswer",
    ]
