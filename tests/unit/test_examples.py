"""Does a host of another kind need nothing but the core and attrs?"""

import os
import subprocess
import sys
import venv
from pathlib import Path

import attr
import attrs
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "examples" / "link_minimal.py"
SAID = [
    "left alone (healthy), next look at 62001",
    "stop: KillStaleClaim(message_id='hangs', claim_age_ms=60001, tolerance_ms=60000)",
    "stop: KillStaleClaim(message_id='hangs', claim_age_ms=60001, tolerance_ms=60000)",
    "hangs: try 1 failed, again in 5000 ms",
    "last: failed, 5 of 5 tries are used up",
]
UNAVAILABLE = """
import importlib.util
assert not [name for name in ("apsw", "cattrs", "cronsim", "turnkeel", "turnkeel_adapters")
            if importlib.util.find_spec(name)]
"""


def run(*argv, env=None):
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def core_and_attrs_alone(tmp_path):
    """An environment whose Python finds the standard library, attrs and the core, and nothing else."""
    for package in (attr, attrs):
        folder = Path(package.__file__).parent
        (tmp_path / folder.name).symlink_to(folder)
    return {"PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(tmp_path)]), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_surroundings_of_the_example_lack_every_other_package(core_and_attrs_alone):
    assert run(sys.executable, "-S", "-c", UNAVAILABLE, env=core_and_attrs_alone).stderr == ""


def test_the_example_checks_itself_and_says_why(core_and_attrs_alone):
    done = run(sys.executable, "-S", "-W", "error", str(EXAMPLE), env=core_and_attrs_alone)

    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, SAID, "")


def test_the_example_is_short_and_uses_public_names_only():
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()

    assert len(lines) < 80
    assert all(line.startswith("from turnkeel_core import") for line in lines if "turnkeel_core" in line)


@pytest.mark.long
def test_the_example_runs_on_the_installed_wheel_without_its_dependencies(tmp_path):
    wheel_of = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    built = run(*wheel_of, str(ROOT))
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("turnkeel-*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    installed = run(python, "-m", "pip", "install", "--no-deps", str(wheel), "attrs")
    assert installed.returncode == 0, installed.stderr

    done = run(python, "-I", str(EXAMPLE))

    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, SAID, "")
