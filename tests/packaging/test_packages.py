"""Does what we ship work and type-check where nothing but attrs is installed?"""

import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]

CASES = """
        case LeaveAlone():
            return "fine"
        case KillOverCeiling() | KillNeverStarted() | KillStaleClaim() | KillNoProgress() | KillOverRunLimit():
            return "kill"
        case KillIgnoringDue():
            return "kill"
"""
CONSUMER = f"""
from turnkeel_core import (
    KillIgnoringDue, KillNeverStarted, KillNoProgress, KillOverCeiling, KillOverRunLimit, KillStaleClaim, LeaveAlone,
    StopIdle, StuckSnapshot, decide_stuck_action,
)

def verdict(seen: StuckSnapshot) -> str:
    match decide_stuck_action(seen):
{CASES}        case StopIdle(idle_ms, limit_ms):
            return f"{{idle_ms}} > {{limit_ms}}"
"""
FORGETFUL = CONSUMER[: CONSUMER.index("        case StopIdle")] + '\n    return "?"\n'
CARELESS = CONSUMER + '\nverdict(StuckSnapshot(now_ms="7"))\n'


def _names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_three_packages_and_their_type_marks(wheel):
    names = _names(wheel)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "turnkeel",
        "turnkeel_adapters",
        "turnkeel_core",
    }
    for package in ("turnkeel", "turnkeel_adapters", "turnkeel_core"):
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_wheel_holds_every_module_of_the_checkout(wheel):
    roots = [ROOT / "core", ROOT / "adapters", ROOT / "shell"]
    modules = {str(path.relative_to(root)) for root in roots for path in root.rglob("*.py")}
    assert modules - _names(wheel) == set()


def test_the_source_distribution_builds_the_same_wheel(wheel, sdist, wheel_from, tmp_path):
    assert (sdist / "pyproject.toml").is_file() and (sdist / "tests" / "architecture").is_dir()
    assert _names(wheel_from(sdist, tmp_path)) == _names(wheel)


def test_the_core_decides_with_attrs_alone(installed, command, tmp_path):
    code = (
        "from importlib.util import find_spec\n"
        "assert not [name for name in ('apsw', 'cattrs', 'cronsim', 'pytest') if find_spec(name)]\n"
        "from turnkeel_core import StuckSnapshot, decide_stuck_action\n"
        "print(type(decide_stuck_action(StuckSnapshot(now_ms=9_000_000, heartbeat_at_ms=1))).__name__)\n"
    )
    assert command(installed, "-I", "-c", code, cwd=tmp_path).stdout == "KillOverCeiling\n"


CHECKED = [
    ("a host that matches every case", CONSUMER, None),
    ("a host that forgot a case", FORGETFUL, "[exhaustive-match]"),
    ("a host that passes a text for a time", CARELESS, "[arg-type]"),
]


@pytest.mark.parametrize(("source", "error"), [c[1:] for c in CHECKED], ids=[c[0] for c in CHECKED])
def test_a_host_is_type_checked_against_the_installed_wheel(installed, command, tmp_path, source, error):
    pytest.importorskip("mypy")
    (tmp_path / "consumer.py").write_text(source)
    options = ["--strict", "--config-file=", "--enable-error-code=exhaustive-match", "--no-incremental"]
    argv = [sys.executable, "-m", "mypy", *options, f"--python-executable={installed}", "consumer.py"]
    done = command(*argv, cwd=tmp_path, check=False)
    assert done.stderr == ""
    if error is None:
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode == 1
        assert done.stdout.count("error:") == 1 and error in done.stdout
