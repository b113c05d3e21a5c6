"""What a stranger gets: the built packages, and a fresh environment that holds the wheel and attrs alone."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*argv, cwd=ROOT, check=True):
    """The finished process, its output as text; a failure shows that output."""
    # The checkout must not be found by way of the environment: only what is installed counts.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    words = [str(word) for word in argv]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done


def build_wheel(source, folder):
    """The one wheel that pip builds from `source`."""
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """The source distribution of this checkout, unpacked."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """The python of a fresh environment with the wheel and attrs, and no other dependency."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    library = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    # attrs is copied from here, so that no network is needed.
    for file in importlib.metadata.files("attrs") or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            (library / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), library / file)
    return python


@pytest.fixture(scope="session")
def command():
    """run() for the tests of this folder."""
    return run


@pytest.fixture(scope="session")
def wheel_from():
    """build_wheel() for the tests of this folder."""
    return build_wheel
