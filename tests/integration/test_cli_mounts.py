"""Does `mounts check` say of each mount what a start would do, and `check` whether the list can be used?"""

import json

import pytest

from turnkeel.cli.app import run_command_line


@pytest.fixture
def root(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("tree")
    for folder in ("home/projects/app/.git", "home/docs", "list", "data"):
        (root / folder).mkdir(parents=True)
    (root / "home/projects/app/.env").touch()
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("TURNKEEL_DATA", str(root / "data"))
    return root


@pytest.fixture
def write(root):
    """Writes the configuration and the list; answers the path of the first."""

    def write(container, roots=("~/projects", "~/gone", "~/.ssh-keys"), blocked=()):
        config = root / "turnkeel.toml"
        config.write_text(f'[container]\nimage = "x"\nmount_allowlist = "{root}/list/mounts.json"\n{container}')
        allowed = [{"path": path, "allowReadWrite": True} for path in roots]
        document = {"allowedRoots": allowed, "blockedPatterns": list(blocked), "nonMainReadOnly": True}
        (root / "list/mounts.json").write_text(json.dumps(document))
        return str(config)

    return write


@pytest.fixture
def run(capsys):
    def run(*argv, expect):
        code = run_command_line(argv)
        told = capsys.readouterr()
        assert (code, told.err) == (expect, ""), told.out + told.err
        return told.out

    return run


MOUNTS = """mounts = [{ host = "~/projects/app", readonly = false }, { host = "~/docs" }]
[container.groups.team]
mounts = [{ host = "~/projects/app", container = "code", readonly = false }]
[container.groups.none]
mounts = []
"""


def test_each_mount_of_each_group_is_told_with_its_reason_and_what_it_shows(root, write, run):
    (root / "home/.ssh-keys").mkdir()
    document = json.loads(run("mounts", "check", "--json", "--config", write(MOUNTS), expect=1))
    lines = {(line["group"], line["host"]): line for line in document["mounts"]}
    assert {key: (line["code"], line["target"], line["readonly"]) for key, line in lines.items()} == {
        ("main", "~/projects/app"): ("ok", "/workspace/extra/app", False),
        ("main", "~/docs"): ("outside_roots", None, None),
        ("team", "~/projects/app"): ("ok", "/workspace/extra/code", True),
        ("*", "~/projects/app"): ("ok", "/workspace/extra/app", True),
        ("*", "~/docs"): ("outside_roots", None, None),
    }
    app = lines["main", "~/projects/app"]
    assert (app["source"], app["exposes"], app["exposes_complete"]) == (f"{root}/home/projects/app", [".env"], True)
    roots = {line["root"]: (line["problem"], line["exposes"]) for line in document["roots"]}
    assert roots == {
        "~/projects": (None, ["app/.env"]),
        "~/gone": ("it does not exist", []),
        "~/.ssh-keys": ("it holds the blocked '.ssh': it allows nothing", []),
    }
    assert document["problems"] == []


def test_a_person_reads_the_same(write, run):
    told = run("mounts", "check", "--config", write(MOUNTS), expect=1)
    assert "outside_roots" in told
    assert "warning: ~/projects/app of main shows .env" in told
    assert "warning: root ~/projects has below it app/.env" in told
    assert "warning: root ~/gone: it does not exist" in told


def test_if_all_are_mounted_the_code_is_0(write, run):
    told = run("mounts", "check", "--config", write('mounts = [{ host = "~/projects/app" }]'), expect=0)
    assert "yes" in told
    assert "no mounts are configured" in run("mounts", "check", "--config", write(""), expect=0)
    assert "no mounts are configured" in run("mounts", "check", expect=0)


@pytest.mark.parametrize("spoil", ["broken", "gone", "below a root"])
def test_a_list_that_cannot_be_used_is_a_problem_of_both_commands(root, write, run, spoil):
    config = write(MOUNTS, roots=("~/projects", str(root / "list")) if spoil == "below a root" else ("~/projects",))
    path = root / "list/mounts.json"
    match spoil:
        case "broken":
            path.write_text("{")
        case "gone":
            path.unlink()
        case _:
            pass
    word = {"broken": "is not JSON", "gone": "there is no allow-list", "below a root": "which agents may see"}[spoil]
    found = json.loads(run("check", "--json", "--config", config, expect=1))["findings"]
    assert [one["subject"] for one in found] == ["mount allow-list"]
    assert word in found[0]["problem"]
    document = json.loads(run("mounts", "check", "--json", "--config", config, expect=1))
    assert {line["code"] for line in document["mounts"]} == {"no_allowlist"}
    assert len(document["problems"]) == 1 and word in document["problems"][0]


def test_check_is_content_with_a_list_that_is_right_and_explain_shows_the_mounts(write, run):
    told = run("check", "--explain", "--config", write('mounts = [{ host = "~/projects/app" }]'), expect=0)
    assert '[{ host = "~/projects/app", readonly = true }]' in told
