"""Is a mount decided by where it leads, and everything that could be meant badly refused?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    AllowedRoot,
    AllowMount,
    MountAllowlist,
    MountPolicy,
    MountSnapshot,
    MountsSnapshot,
    PathPlace,
    PathSeen,
    RejectMount,
    decide_mount,
    explain_mount,
    explain_mounts,
    find_blocked,
    fold_name,
    plan_mounts,
)

BLOCKED = MountPolicy().blocked


def at(path, *links, kind="folder", ids=()):
    return PathSeen(place=PathPlace(path=path, ids=ids), kind=kind, links=tuple(PathPlace(path=link) for link in links))


def allow(*roots, **more):
    """A list whose roots `path` or `path:rw` are where they say they are."""
    return MountAllowlist(
        roots=tuple(
            AllowedRoot(written=path, seen=at(path), read_write=mode == "rw")
            for path, _, mode in (root.partition(":") for root in roots)
        ),
        **more,
    )


def asked(host, real=None, **changes):
    plain = MountSnapshot(now_ms=5, group="main", host=host, seen=at(real or host), allowed=allow("/srv:rw"))
    return evolve(plain, **changes)


def code_of(seen, policy=MountPolicy()):
    action = decide_mount(seen, policy)
    return action.code if isinstance(action, RejectMount) else "ok"


REFUSED = [
    ("no list", asked("/srv/a", allowed=None, no_list="it is broken"), "no_allowlist"),
    ("a blank path", asked(" "), "invalid_host_path"),
    ("a NUL in it", asked("/srv/a\0b"), "unsafe_host_path"),
    ("a line separator in it", asked("/srv/a\u2028b"), "unsafe_host_path"),
    ("bytes that are no text", asked("/srv/a\udcff"), "unsafe_host_path"),
    ("a path that leads nowhere", asked("/srv/a", seen=None), "host_missing"),
    ("a colon where it leads", asked("/srv/a", "/srv/b:/etc"), "unsafe_host_path"),
    ("a line end where it leads", asked("/srv/a", "/srv/b\nc"), "unsafe_host_path"),
    ("the whole machine", asked("/", container="x", allowed=allow("/")), "system_path"),
    ("what holds a tree of the system", asked("/var", allowed=allow("/var")), "system_path"),
    ("a tree of the system", asked("/srv/a", "/etc/cron.d", allowed=allow("/")), "system_path"),
    ("one in another case", asked("/srv/a", "/ETC/cron.d", allowed=allow("/")), "system_path"),
    ("the runtime's own files", asked("/srv/a", "/var/lib/docker/volumes", allowed=allow("/")), "system_path"),
    ("the home of root", asked("/root/work", allowed=allow("/root/work")), "system_path"),
    ("the host's data directory", asked("/srv/data", own=(PathPlace(path="/srv/data"),)), "own_path"),
    ("something in it", asked("/srv/data/v2-sessions", own=(PathPlace(path="/srv/data"),)), "own_path"),
    ("what holds it", asked("/srv", own=(PathPlace(path="/srv/data"),)), "own_path"),
    ("the data directory under another name", asked(
        "/srv/alias", seen=at("/srv/alias", ids=("r", "s", "d")), own=(PathPlace(path="/data", ids=("r", "d")),)
    ), "own_path"),
    ("what holds it under another name", asked(
        "/srv/alias", seen=at("/srv/alias", ids=("r", "s", "h")), own=(PathPlace(path="/h/data", ids=("r", "h", "d")),)
    ), "own_path"),
    ("a socket", asked("/srv/s", seen=at("/srv/s", kind="special")), "special_file"),
    ("a file with another name", asked("/srv/f", seen=at("/srv/f", kind="several_names")), "special_file"),
    ("no root", asked("/srv2/a"), "outside_roots"),
    ("a root that does not exist", asked(
        "/srv/a", allowed=MountAllowlist(roots=(AllowedRoot(written="/srv", seen=None, read_write=True),))
    ), "outside_roots"),
    ("a folder in what an agent writes", asked("/srv/w/a", writable=(PathPlace(path="/srv/w"),)), "agent_writable"),
    ("a link in what an agent writes", asked(
        "/srv/w/l", seen=at("/srv/b", "/srv/w/l"), writable=(PathPlace(path="/srv/w"),)
    ), "agent_writable"),
    ("the same under another name", asked(
        "/srv/a/b", seen=at("/srv/a/b", ids=("r", "s", "w", "b")), writable=(PathPlace(path="/w", ids=("r", "w")),)
    ), "agent_writable"),
    ("a root that is reached by what an agent writes", asked("/srv/b/c", allowed=MountAllowlist(
        roots=(AllowedRoot(written="/w/l", seen=at("/srv/b", "/w/l"), read_write=True),)
    ), writable=(PathPlace(path="/w"),)), "agent_writable"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(seen, code):
    action = decide_mount(seen)
    assert isinstance(action, RejectMount)
    assert action.code == code
    told = explain_mount(seen)
    assert (told.answer, told.at_ms, told.rules[-1].result, told.rules[-1].because) == (
        "RejectMount", 5, "fired", action.because
    )  # fmt: skip


TARGETS = [
    (".", "invalid_container_path"), ("./", "invalid_container_path"), ("./.", "invalid_container_path"),
    ("//", "invalid_container_path"), ("/opt/a", "invalid_container_path"), ("a\x7f", "invalid_container_path"),
    ("a\u2029", "invalid_container_path"), ("a..b", "invalid_container_path"), ("a:ro", "invalid_container_path"),
    ("a\udc80", "invalid_container_path"), ("./a", "ok"), (".a", "ok"), ("a,b", "ok"), ('a"b', "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "code"), TARGETS)
def test_which_relative_targets_name_a_place_of_their_own(container, code):
    assert code_of(asked("/srv/a", container=container)) == code


ABSOLUTE = [
    ("/", "reserved_container_path"), ("//", "reserved_container_path"), ("/.", "reserved_container_path"),
    ("/app", "reserved_container_path"), ("/app/src", "reserved_container_path"), ("//app", "reserved_container_path"),
    ("/./app", "reserved_container_path"), ("/home", "reserved_container_path"),
    ("/home/node", "reserved_container_path"),
    ("/workspace", "reserved_container_path"), ("/workspace/group", "reserved_container_path"),
    ("/workspace/inbound.db", "reserved_container_path"), ("/workspace/extra", "reserved_container_path"),
    ("/workspace/extra/", "reserved_container_path"), ("/run/secrets", "reserved_container_path"),
    ("/usr/lib/python3", "reserved_container_path"), ("/tmp/x", "reserved_container_path"),
    ("/var", "reserved_container_path"), ("/opt/../app", "invalid_container_path"),
    ("/workspace/extra/x", "ok"), ("/opt", "ok"), ("/appendix", "ok"), ("/home/node/.config/tool", "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "code"), ABSOLUTE)
def test_an_absolute_target_leaves_alone_what_makes_up_the_container(container, code):
    assert code_of(asked("/srv/a", container=container), MountPolicy(absolute_targets=True)) == code
    assert code_of(asked("/srv/a", container=container)) == "invalid_container_path"


ACCESS = [
    ("the root allows it", "main", allow("/srv:rw"), False),
    ("the root does not", "main", allow("/srv"), True),
    ("a root within forbids it", "main", allow("/srv:rw", "/srv/a"), True),
    ("a root within forbids it, whichever comes first", "main", allow("/srv/a", "/srv:rw"), True),
    ("a root within allows it", "main", allow("/srv", "/srv/a:rw"), False),
    ("of two for one folder the strict one counts", "main", allow("/srv:rw", "/srv"), True),
    ("another group may not", "team", allow("/srv:rw"), True),
    ("another group may", "team", allow("/srv:rw", non_main_read_only=False), False),
]


@pytest.mark.parametrize(("group", "allowed", "readonly"), [c[1:] for c in ACCESS], ids=[c[0] for c in ACCESS])
def test_a_write_that_is_not_allowed_becomes_a_read(group, allowed, readonly):
    action = decide_mount(asked("/srv/a/b", group=group, allowed=allowed, readonly=False))
    assert isinstance(action, AllowMount)
    assert action.readonly is readonly
    asks_nothing = decide_mount(asked("/srv/a/b", group=group, allowed=allowed))
    assert isinstance(asks_nothing, AllowMount) and asks_nothing.readonly


def test_the_real_path_is_mounted_under_the_name_that_was_written():
    seen = asked("/srv/link/", "/srv/real")
    assert decide_mount(seen) == AllowMount("/srv/real", "/workspace/extra/link", True, "below /srv: read-only")
    told = explain_mount(seen)
    assert told.answer == "AllowMount"
    assert [rule.result for rule in told.rules] == ["not_yet"] * 12 + ["fired"]
    assert told.rules[-1].because == "below /srv: read-only"


SPELLINGS = [
    ".ssh", ".SSH", ".Ssh", "．ssh", "․ssh", ".ѕѕh", ".ꜱsh", ".s\u200bsh", ".s\u0301sh", ".ſsh", "。ssh", ".ｓｓｈ",
    "x.ssh-old",
    ".\U0001d42c\U0001d42c\U0001d421", "．ЅЅＨ", ".s\u00adsh", ".s\ufe0fsh", "\u202e.ssh",
]  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_blocked_name_is_found_in_every_spelling(name):
    assert find_blocked(f"/srv/{name}", BLOCKED) == ".ssh"
    assert find_blocked(f"/srv/{name}/deep/er", BLOCKED) == ".ssh"


FINE = ["ssh", "env", "secret", "ünï", "проекты", "プロジェクト", ".config/ghostty", "dockerfiles", ".github", "tokens"]


@pytest.mark.parametrize("name", FINE)
def test_a_name_that_only_resembles_one_is_not(name):
    assert find_blocked(f"/srv/{name}", BLOCKED) is None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/srv/docker.sock", "docker.sock"), ("/srv/Docker.Sock", "docker.sock"), ("/srv/podman.sock", "podman.sock"),
        ("/srv/containerd.sock", "containerd.sock"), ("/srv/id_ecdsa_sk", "id_ecdsa"), ("/srv/id_dsa", "id_dsa"),
        ("/h/.config/gcloud", ".config/gcloud"), ("/h/.config/gh", ".config/gh/"), ("/h/.config/gh/x", ".config/gh/"),
        ("/h/.config/turnkeel/t.toml", ".config/turnkeel"), ("/h/.local/share/docker", ".local/share/docker"),
    ],
)  # fmt: skip
def test_what_existing_lists_forget_is_blocked(path, pattern):
    assert find_blocked(path, BLOCKED) == pattern


def test_what_the_list_blocks_is_added_and_nothing_can_be_taken_away():
    allowed = allow("/srv", blocked=("Private/Notes",))
    action = decide_mount(asked("/srv/private/notes", allowed=allowed))
    assert isinstance(action, RejectMount)
    assert (action.code, action.pattern) == ("blocked_pattern", "Private/Notes")
    assert code_of(asked("/srv/.env", allowed=allowed)) == "blocked_pattern"
    for name in ("blocked", "system_trees", "reserved_targets"):
        usual = getattr(MountPolicy(), name)
        assert getattr(MountPolicy(**{name: (*usual, "one more")}), name) == (*usual, "one more")
        with pytest.raises(ValueError, match=f"'{name}' can only be added to: it lacks {usual[3]}"):
            MountPolicy(**{name: (*usual[:3], *usual[4:])})
        with pytest.raises(ValueError):
            MountPolicy(**{name: (*usual, "")})


def test_folding_keeps_what_is_plain():
    assert fold_name("/srv/my-project_2/a.b") == "/srv/my-project_2/a.b"


def plan(*mounts, others=()):
    return plan_mounts(MountsSnapshot(now_ms=5, mounts=mounts, others=others))


def codes(actions):
    return [action.code if isinstance(action, RejectMount) else "ok" for action in actions]


def test_of_targets_in_each_others_way_the_first_is_kept():
    names = ("a", "a/", "a/b", "./a", "b", "c/d", "c")
    actions = plan(*(asked(f"/srv/{number}", container=name) for number, name in enumerate(names)))
    wanted = ["ok", "duplicate_target", "duplicate_target", "duplicate_target", "ok", "ok", "duplicate_target"]
    assert codes(actions) == wanted


def test_a_mount_that_is_refused_takes_no_target():
    assert codes(plan(asked("/srv/.ssh", container="a"), asked("/srv/b", container="a"))) == ["blocked_pattern", "ok"]


WRITES = asked("/srv/w", readonly=False)


@pytest.mark.parametrize("place", ["before", "after", "of another"])
def test_below_what_an_agent_may_write_nothing_is_mounted(place):
    below = asked("/srv/w/sub", container="x")
    match place:
        case "before":
            assert codes(plan(WRITES, below)) == ["ok", "agent_writable"]
        case "after":
            assert codes(plan(below, WRITES)) == ["agent_writable", "ok"]
        case _:
            writes = evolve(WRITES, group="team", allowed=allow("/srv:rw", non_main_read_only=False))
            assert codes(plan(below, others=(writes,))) == ["agent_writable"]


def test_the_same_folder_may_be_written_by_several():
    assert codes(plan(WRITES, others=(evolve(WRITES),))) == ["ok"]


def test_what_others_may_only_read_cannot_be_exchanged():
    other = evolve(WRITES, group="team")
    assert codes(plan(asked("/srv/w/sub"), others=(other,))) == ["ok"]


def test_the_explanation_of_a_plan_tells_of_each():
    seen = MountsSnapshot(now_ms=5, mounts=(WRITES, asked("/srv/w/sub")))
    told = explain_mounts(seen)
    assert (told.answer, told.at_ms) == ("AllowMount RejectMount", 5)
    assert [(rule.subject, rule.result) for rule in told.rules] == [("/srv/w", "not_yet"), ("/srv/w/sub", "fired")]
    assert [part.answer for part in told.parts] == ["AllowMount", "RejectMount"]
    assert "an agent can write to /srv/w" in told.rules[1].because
