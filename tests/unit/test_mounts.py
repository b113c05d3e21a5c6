"""Does the adapter see where a path leads, read the list as it is now, and notice what was exchanged since?"""

import json
import os
import socket

import pytest

from turnkeel_adapters.config import ContainerConfig
from turnkeel_adapters.config.mounts import mount_decider
from turnkeel_adapters.mounts.allowlist import AllowlistUnusable, read_allowlist
from turnkeel_adapters.mounts.deciding import NO_LIST
from turnkeel_adapters.mounts.exposed import find_exposed
from turnkeel_adapters.mounts.records import MountSetting, allowed_of
from turnkeel_adapters.mounts.resolve import resolve_path
from turnkeel_adapters.runners.oci import ContainerSettings
from turnkeel_core import MountPolicy, RejectMount


@pytest.fixture
def root(tmp_path_factory):
    """A machine in small: a home with projects, the list beside it, a data directory."""
    # Not `tmp_path`: that is named after the test, and must hold no blocked word.
    root = tmp_path_factory.mktemp("tree")
    for folder in ("home/projects/app/src", "home/projects/other", "home/.ssh", "list", "data/v2-sessions", "outside"):
        (root / folder).mkdir(parents=True)
    (root / "home/projects/app/main.py").touch()
    (root / "turnkeel.toml").touch()
    return root


@pytest.fixture
def write_list(root):
    def write(*roots, blocked=(), non_main_read_only=True, path="list/mounts.json"):
        allowed = [{"path": name.removesuffix(":rw"), "allowReadWrite": name.endswith(":rw")} for name in roots]
        document = {"allowedRoots": allowed, "blockedPatterns": list(blocked), "nonMainReadOnly": non_main_read_only}
        (root / path).write_text(json.dumps(document))
        return root / path

    write("~/projects:rw")
    return write


@pytest.fixture
def decider_of(root, write_list):
    def make(*mounts, groups=None, **settings):
        by_list = {"mount_allowlist": str(root / "list/mounts.json"), **settings}
        container = ContainerConfig(
            settings=ContainerSettings(image="x", mounts=tuple(mounts), **by_list),
            groups=tuple(
                (name, ContainerSettings(image="x", mounts=tuple(special), **by_list))
                for name, special in (groups or {}).items()
            ),
            file=root / "turnkeel.toml",
        )
        return mount_decider(container, root / "data", {"HOME": str(root / "home")}, lambda: 7)

    return make


def codes(decided):
    return [one.action.code if isinstance(one.action, RejectMount) else "ok" for one in decided]


APP = MountSetting(host="~/projects/app")


def test_a_path_is_followed_component_by_component(root):
    (root / "home/l1").symlink_to("l2")
    (root / "home/l2").symlink_to(root / "home/projects")
    seen = resolve_path("~/l1/app/main.py", str(root / "home"))
    assert seen is not None
    assert (seen.place.path, seen.kind) == (f"{root}/home/projects/app/main.py", "file")
    assert [link.path for link in seen.links] == [f"{root}/home/l1", f"{root}/home/l2"]
    parts = [root / "home/projects/app/main.py"]
    while parts[-1] != parts[-1].parent:
        parts.append(parts[-1].parent)
    assert seen.place.ids == tuple(f"{p.stat().st_dev}:{p.stat().st_ino}" for p in reversed(parts))


@pytest.mark.parametrize("link", ["..", "../..", "../home/projects/..", "/", "./app/..//.."])
def test_what_comes_out_is_what_the_system_says(root, link):
    (root / "home/projects/up").symlink_to(link)
    for rest in ("", "/home", "/./home/../home"):
        seen = resolve_path(f"~/projects/up{rest}", str(root / "home"))
        real = os.path.normpath(f"{root}/home/projects/up{rest}")
        assert (None if seen is None else seen.place.path) == (os.path.realpath(real) if os.path.exists(real) else None)


NOWHERE = ["~/none", "~/projects/app/main.py/x", "~/projects/app/main.py/../src/x", "~root", "~/loop", "~/dangling"]


@pytest.mark.parametrize("text", [*NOWHERE, "~/a\0b", ""])
def test_a_path_that_leads_nowhere_is_none(root, text):
    (root / "home/loop").symlink_to("loop")
    (root / "home/dangling").symlink_to("gone")
    assert resolve_path(text, str(root / "home"), str(root / "none")) is None


def test_sockets_fifos_devices_and_files_with_two_names_are_told_apart(root):
    os.mkfifo(root / "home/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "home/s"))
    os.link(root / "home/projects/app/main.py", root / "home/twice.py")
    kinds = [resolve_path(path, str(root / "home")).kind for path in ("~/fifo", "~/s", "/dev/null", "~/twice.py", "~")]
    assert kinds == ["special", "special", "special", "several_names", "folder"]


def test_without_a_list_every_mount_is_refused_and_says_so(decider_of):
    (one,) = decider_of(APP, mount_allowlist=None).decide("main")
    assert one.action == RejectMount("no_allowlist", NO_LIST)


REST = '"blockedPatterns": [], "nonMainReadOnly": true}'
BROKEN = [
    ("no JSON", "{", "the allow-list is not JSON"),
    ("a key given twice", '{"allowedRoots": [], "allowedRoots": []}', "given twice"),
    ("no object", "[]", "the allow-list must be an object"),
    ("no roots", '{"blockedPatterns": [], "nonMainReadOnly": true}', "allowedRoots must be a list"),
    ("a root that is a text", '{"allowedRoots": ["~"], ' + REST, r"allowedRoots\[0\] must be an object"),
    ("a root without a path", '{"allowedRoots": [{}], ' + REST, r"allowedRoots\[0\].path must be a path"),
    ("a root that counts from somewhere", '{"allowedRoots": [{"path": "a"}], ' + REST,
     "would count from wherever the host is started"),
    ("an invisible pattern", '{"allowedRoots": [], "blockedPatterns": ["\\u200b"], "nonMainReadOnly": true}',
     r"blockedPatterns\[0\] must be a text with something in it"),
    ("a flag that is a text", '{"allowedRoots": [], "blockedPatterns": [], "nonMainReadOnly": "yes"}',
     "must be true or false"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_list_with_anything_wrong_allows_nothing(root, decider_of, text, problem):
    (root / "list/mounts.json").write_text(text)
    with pytest.raises(AllowlistUnusable, match=problem):
        read_allowlist(str(root / "list/mounts.json"), str(root / "home"), ())
    (one,) = decider_of(APP).decide("main")
    assert one.action.code == "no_allowlist"


def test_a_list_where_agents_could_get_at_it_allows_nothing(root, write_list, decider_of):
    for path, roots, where in (
        ("data/v2-sessions/mounts.json", ["~/projects"], "data"),
        ("home/projects/app/mounts.json", ["~/projects"], "projects"),
        ("home/projects/app/mounts.json", ["/"], "/"),
    ):
        write_list(*roots, path=path)
        (one,) = decider_of(APP, mount_allowlist=str(root / path)).decide("main")
        assert one.action.code == "no_allowlist"
        assert f"{where}, which agents may see" in one.action.because
    (root / "outside/link.json").symlink_to(root / "data/v2-sessions/mounts.json")
    (one,) = decider_of(APP, mount_allowlist=str(root / "outside/link.json")).decide("main")
    assert "data, which agents may see" in one.action.because


def test_a_list_that_everybody_may_write_or_that_is_no_plain_file_allows_nothing(root, write_list, decider_of):
    path = write_list("~/projects")
    path.chmod(0o666)
    (one,) = decider_of(APP).decide("main")
    assert "chmod o-w" in one.action.because
    path.unlink()
    os.mkfifo(path)
    (one,) = decider_of(APP).decide("main")
    assert "is no plain file" in one.action.because
    path.unlink()
    (one,) = decider_of(APP).decide("main")
    assert "there is no allow-list" in one.action.because


def test_the_list_counts_as_it_is_now(write_list, decider_of):
    decider = decider_of(APP)
    assert codes(decider.decide("main")) == ["ok"]
    write_list("~/elsewhere")
    assert codes(decider.decide("main")) == ["outside_roots"]
    write_list("~/projects", blocked=["~/projects/app"])
    assert codes(decider.decide("main")) == ["blocked_pattern"]


OWN = ["/", "~/../data", "~/../data/v2-sessions", "~/..", "~/../turnkeel.toml", "~/../list", "~/../list/mounts.json"]


@pytest.mark.parametrize("host", OWN)
def test_what_is_the_hosts_own_is_refused_whatever_is_allowed(root, decider_of, write_list, host):
    write_list(*(str(root / name) for name in ("home", "data", "turnkeel.toml")), str(root / "outside"))
    (one,) = decider_of(MountSetting(host=host, container="x")).decide("main")
    assert one.action.code in ("own_path", "system_path")


def test_a_secret_file_is_the_hosts_own(root, write_list, decider_of):
    (root / "home/projects/app/key").touch()
    (one,) = decider_of(APP, secret_files=(("key", str(root / "home/projects/app/key")),)).decide("main")
    assert one.action.code == "own_path"


def test_another_groups_mount_for_writing_bars_what_is_below_it(decider_of, write_list):
    writes = MountSetting(host="~/projects", readonly=False)
    decider = decider_of(writes, groups={"team": [APP]})
    assert codes(decider.decide("main")) == ["ok"]
    assert codes(decider.decide("team")) == ["agent_writable"]
    write_list("~/projects")  # no more for writing
    assert codes(decider.decide("team")) == ["ok"]


def test_each_group_has_its_own_and_one_without_a_table_the_general_ones(decider_of):
    decider = decider_of(APP, groups={"team": [], "lab": [MountSetting(host="~/projects/other")]})
    assert [len(decider.decide(name)) for name in ("main", "any", "team", "lab")] == [1, 1, 0, 1]


def exchange(place, by):
    place.rename(place.with_name(f"{place.name}-before"))
    by(place)


EXCHANGES = {
    "a link in the place of the folder": lambda root: exchange(
        root / "home/projects/app", lambda place: place.symlink_to(root / "home/.ssh")
    ),
    "another folder of the same name": lambda root: exchange(root / "home/projects/app", lambda place: place.mkdir()),
    "another folder above": lambda root: exchange(
        root / "home/projects", lambda place: (place / "app").mkdir(parents=True)
    ),
    "a link to the same place above": lambda root: exchange(
        root / "home/projects", lambda place: place.symlink_to("projects-before")
    ),
    "nothing": lambda root: exchange(root / "home/projects", lambda place: None),
}


@pytest.mark.parametrize("change", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_what_was_exchanged_after_the_decision_is_refused(root, decider_of, change):
    decider = decider_of(APP, MountSetting(host="~/projects/none"))
    decided = decider.decide("main")
    assert decider.recheck(decided) == decided
    change(root)
    again = decider.recheck(decided)
    assert codes(again) == ["changed", "host_missing"]
    assert allowed_of(again) == ()


def test_a_link_that_leads_elsewhere_by_now_is_refused(root, decider_of):
    link = root / "home/projects/link"
    link.symlink_to("app")
    decider = decider_of(MountSetting(host="~/projects/link"))
    decided = decider.decide("main")
    assert [mount.host for mount in allowed_of(decided)] == [str(root / "home/projects/app")]
    link.unlink()
    link.symlink_to("other")
    assert codes(decider.recheck(decided)) == ["changed"]


def test_what_changes_inside_a_folder_is_no_exchange(root, decider_of):
    decider = decider_of(APP)
    decided = decider.decide("main")
    (root / "home/projects/app/new.py").touch()
    (root / "home/projects/app/src").rmdir()
    assert decider.recheck(decided) == decided


def test_blocked_names_below_a_folder_are_found_but_not_looked_into(root):
    app = root / "home/projects/app"
    (app / ".env").touch()
    (app / "sub/.ssh").mkdir(parents=True)
    (app / "sub/.ssh/id_rsa").touch()
    (app / "sub/round").symlink_to(app)
    policy = MountPolicy()
    assert find_exposed(str(app), ("main",), policy).paths == (".env", "main.py", "sub/.ssh")
    few = find_exposed(str(app), (), MountPolicy(descent_limit=2))
    assert not few.complete
    assert find_exposed(str(app), (), policy).complete
