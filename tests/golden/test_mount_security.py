"""May each of these be mounted, by the rules measured in the existing hosts and with their holes closed?"""

import pytest

from turnkeel_adapters.mounts.allowlist import AllowlistUnusable, parse_allowlist
from turnkeel_adapters.mounts.resolve import resolve_path
from turnkeel_core import AllowMount, MountPolicy, MountSnapshot, decide_mount

KIND = "mount_security"


@pytest.fixture
def root(tmp_path_factory):
    # Not `tmp_path`: it is named after the vector, and the root must hold no blocked word.
    return tmp_path_factory.mktemp("tree")


def build(root, tree):
    """`x/` is a folder, `x` a file, `a -> b` a link."""
    for entry in tree:
        name, _, target = entry.replace("$ROOT", str(root)).partition(" -> ")
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        elif not name.endswith("/"):
            path.touch()


def put_in(value, root):
    """The value with the real root in the place of `$ROOT`."""
    match value:
        case str():
            return value.replace("$ROOT", str(root))
        case dict():
            return {key: put_in(item, root) for key, item in value.items()}
        case _:
            return value


def asked(mount):
    """A configuration refuses what is no text before it comes to a decision; here it counts as blank."""
    host, container = mount.get("hostPath"), mount.get("containerPath")
    return {
        "host": host if isinstance(host, str) else " ",
        "container": container if isinstance(container, str | None) else " ",
        "readonly": mount.get("readonly") is not False,
    }


def test_the_answer(vector, root):
    build(root, vector["input"]["tree"])
    given = {key: put_in(value, root) for key, value in vector["input"].items() if key != "tree"}
    home, cwd = given["home"], given["cwd"]
    wanted = asked(given["mount"])
    try:
        allowed = parse_allowlist(given["allowlist"] or "", lambda text: resolve_path(text, home, cwd), home)
    except AllowlistUnusable:
        allowed = None
    seen = MountSnapshot(
        now_ms=0,
        group="main" if given["is_main"] else "team",
        seen=resolve_path(wanted["host"], home, cwd),
        allowed=allowed,
        **wanted,
    )
    action = decide_mount(seen, MountPolicy(absolute_targets=given["allow_absolute_container_path"]))
    if isinstance(action, AllowMount):
        answer = {"allowed": True, "code": "ok", "host_path": action.host, "container_path": action.container}
        answer["readonly"] = action.readonly
    else:
        answer = {"allowed": False, "code": action.code}
        answer |= {} if action.pattern is None else {"pattern": action.pattern}
    assert answer == put_in(vector["expected"], root)
