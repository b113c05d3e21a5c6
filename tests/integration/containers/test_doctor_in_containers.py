"""Does `doctor` start what a session would start, and say what is wrong with it before a message is lost on it?"""

import json
import os
import tarfile

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.long]

IMAGE = '[container]\nimage = "turnkeel-test:agent"\n'
TOOLS = '[container]\nimage = "turnkeel-test:tools"\n'


@pytest.fixture
def examine(site):
    """The checks of containers by subject, of a configuration."""

    def examine(settings, agent="cat", expect=0):
        site.settings, site.agent = settings, agent
        site.data.mkdir(exist_ok=True)
        done = site.command("doctor", "--config", str(site.config), "--json")
        assert done.returncode == expect, done.stdout + done.stderr
        checks = json.loads(done.stdout)["checks"]
        assert not {"agent", "docker", "podman"} & {one["subject"] for one in checks}
        assert os.listdir(site.data) == []
        assert site.call("ps", "--all", "--quiet") == ""
        return {
            one["subject"].removeprefix("container "): one for one in checks if one["subject"].startswith("container")
        }

    return examine


def test_all_is_well_with_an_image_that_has_python_and_turnkeel(examine):
    found = examine(IMAGE)
    levels = {subject: one["level"] for subject, one in found.items()}
    assert levels == {"runtime": "ok", "image": "ok", "network": "warn", "start": "ok"}
    assert found["start"]["seen"] == "a container starts, and finds cat"


UNFIT = [
    ("the program is not in the image", IMAGE, "claude -p", "has no program 'claude'"),
    ("no python in the image", TOOLS, "cat", "has no program 'python3'"),
    ("another user cannot write the session folder", IMAGE + 'user = "1234:1234"\n', "cat", "cannot write its session"),
    ("the same without python", TOOLS + 'command = ["sh"]\nuser = "1234"\n', "", "cannot write its session folder"),
    ("a command that is not there", TOOLS + 'command = ["claude", "-p"]\n', "", "has no program 'claude'"),
    ("nothing says what to start", TOOLS, "", "names no command"),
    ("an interpreter without turnkeel", IMAGE + 'python = "/work-python"\n', "cat", "has no program '/work-python'"),
]


@pytest.mark.parametrize(("settings", "agent", "told"), [c[1:] for c in UNFIT], ids=[c[0] for c in UNFIT])
def test_what_would_keep_an_agent_from_working_is_named(examine, site, settings, agent, told):
    site.home.chmod(0o755)
    start = examine(settings, agent, expect=1)["start"]
    assert start["level"] == "FAIL"
    assert told in start["seen"], start
    assert start["advice"]


def test_an_image_without_turnkeel_is_told_apart(examine, site):
    name = site.call("create", "--entrypoint", "sh", "turnkeel-test:agent", "-c", "true").splitlines()[-1]
    bare = site.home / "bare.tar"
    try:
        site.call("export", "--output", str(bare), name)
    finally:
        site.call("rm", name)
    without = site.home / "without.tar"
    with tarfile.open(bare) as whole, tarfile.open(without, "w") as rest:
        for member in whole:
            if "/turnkeel/" not in f"/{member.name}/":
                rest.addfile(member, whole.extractfile(member) if member.isreg() else None)
    site.call("import", "--change", "ENV PATH=/py/bin:/bin", str(without), "turnkeel-test:without")
    try:
        start = examine('[container]\nimage = "turnkeel-test:without"\n', expect=1)["start"]
        assert "cannot load turnkeel" in start["seen"]
        assert "install turnkeel in the image" in start["advice"]
    finally:
        site.call("rmi", "turnkeel-test:without")


def test_each_group_is_looked_at_and_the_way_to_its_model_is_tried(examine):
    found = examine(
        TOOLS + 'command = ["cat"]\n'
        '[container.groups.team]\nimage = "turnkeel-test:agent"\ncommand = []\nmodel = "10.9.8.7:443"\n'
        '[container.groups.away]\nimage = "turnkeel-test:none"\nnetwork = "away"\n',
        expect=1,
    )
    assert {subject: one["level"] for subject, one in found.items()} == {
        "runtime": "ok",
        "image": "ok",
        "network": "warn",
        "start": "ok",
        "image of team": "ok",
        "network of team": "warn",
        "model of team": "FAIL",
        "start of team": "ok",
        "image of away": "FAIL",
        "network of away": "FAIL",
    }
    assert "10.9.8.7:443 cannot be reached over network none" in found["model of team"]["seen"]


def test_a_daemon_that_does_not_answer_is_one_line(examine, site):
    site.environ = {**site.environ, "DOCKER_HOST": f"unix://{site.home}/none.sock"}
    site.settings, site.agent = IMAGE, "cat"
    done = site.command("doctor", "--config", str(site.config))
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "  container " in line]
    assert len(lines) == 1
    assert lines[0].startswith("FAIL") and "cannot be reached" in lines[0]
