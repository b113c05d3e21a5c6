"""Does a path that is denied stay denied, however it is reached and spelled?"""

import os
import tempfile
import unicodedata
from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel_adapters.mounts.allowlist import parse_allowlist
from turnkeel_adapters.mounts.resolve import resolve_path
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
    find_blocked,
    fold_name,
    plan_mounts,
)

POLICY = MountPolicy()
LIST = """{"allowedRoots": [{"path": "~/projects", "allowReadWrite": true}, {"path": "~/links"}],
"blockedPatterns": ["private"], "nonMainReadOnly": false}"""
DENIED = ["home/.ssh", "home/projects/.ssh/deep", "home/projects/prod.env", "outside/data", "home",
          "home/projects/private", "home/projects-evil", "home/projects/Credentials", "home/projects/docker.sock",
          "home/projects/a:b"]  # fmt: skip
LOOKS_LIKE = dict(zip("aceiopsxyh.", "асеіорѕхуһ․", strict=True))
INVISIBLE = st.sampled_from(["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\ufe0f", "\u0301", "\u034f", "\u3164"])


def wide(sign: str) -> str:
    return chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign


def script(sign: str) -> str:
    return chr(0x1D4B6 + ord(sign) - ord("a")) if sign in "abcdf" else sign


DISGUISES = [str.upper, str.title, wide, script, lambda sign: LOOKS_LIKE.get(sign, sign), lambda sign: sign]


@st.composite
def spellings(draw: st.DrawFn, name: st.SearchStrategy[str]) -> tuple[str, str]:
    """A name, and the same as it could be written to be overlooked."""
    plain = draw(name)
    signs = [sign if sign == "/" else draw(st.sampled_from(DISGUISES))(sign) for sign in plain]
    text = "".join(sign + draw(st.just("") | INVISIBLE) for sign in signs)
    form = draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    return plain, unicodedata.normalize(form, text)


@given(
    pair=spellings(st.sampled_from(POLICY.blocked)),
    before=st.sampled_from(["", "x", "my-"]),
    after=st.sampled_from(["", "/a"]),
)
def test_a_blocked_name_is_found_however_it_is_written(pair: tuple[str, str], before: str, after: str) -> None:
    plain, written = pair
    before = "" if "/" in plain else before
    after = "" if plain.endswith("/") else after
    assert find_blocked(f"/srv/{before}{plain}{after}", POLICY.blocked) is not None
    assert find_blocked(f"/srv/{before}{written}{after}", POLICY.blocked) is not None


@given(text=st.text(max_size=12))
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold_name(fold_name(text)) == fold_name(text)


def build(root: Path) -> None:
    for folder in ("home/.ssh", "home/projects/.ssh/deep", "home/projects/app", "outside/data", "home/projects/private",
                   "home/projects-evil", "home/projects/Credentials", "home/projects/a:b", "home/links"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    for file in ("home/projects/prod.env", "home/projects/docker.sock"):
        (root / file).touch()


EACH_WAY = ["link", "relative link", "link to the folder", "dot", "slashes", "up and down", "tail"]
WAYS = st.lists(st.sampled_from(EACH_WAY), max_size=5)


def lead(root: Path, path: str, ways: list[str]) -> str:
    """Another way to the same place; links lie where they are allowed to lie."""
    for number, way in enumerate(ways):
        link = root / "home/links" / f"l{number}"
        folder, _, name = path.rpartition("/")
        match way:
            case "link":
                link.symlink_to(path)
                path = str(link)
            case "relative link":
                link.symlink_to(os.path.relpath(os.path.realpath(path), link.parent))
                path = str(link)
            case "link to the folder" if len(folder) > len(str(root)):
                link.symlink_to(folder)
                path = f"{link}/{name}"
            case "dot":
                path = f"{folder}/./{name}"
            case "slashes":
                path = f"{folder}//{name}"
            case "up and down":
                path = f"{root}/home/projects/app/../../../{os.path.relpath(path, root)}"
            case _:
                path = f"{path}/"
    return path


def decided(root: Path, host: str) -> AllowMount | RejectMount:
    home = str(root / "home")
    allowed = parse_allowlist(LIST, lambda text: resolve_path(text, home), home)
    seen = resolve_path(host, home)
    return decide_mount(MountSnapshot(now_ms=0, group="main", host=host, container="x", seen=seen, allowed=allowed))


@settings(max_examples=60, deadline=None)
@given(target=st.sampled_from(DENIED), ways=WAYS)
def test_no_way_leads_to_what_is_denied(target: str, ways: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="tree") as folder:
        root = Path(os.path.realpath(folder))
        build(root)
        path = lead(root, str(root / target), ways)
        assert os.path.realpath(path) == str(root / target)
        action = decided(root, path)
        assert isinstance(action, RejectMount)
        # `file/` in a link is no file to the system, though it is one to `realpath`.
        nowhere = {"host_missing"} if (root / target).is_file() else set()
        assert action.code in {"blocked_pattern", "outside_roots", "unsafe_host_path"} | nowhere


@settings(max_examples=30, deadline=None)
@given(ways=WAYS)
def test_every_way_leads_to_what_is_allowed_and_its_real_path_is_mounted(ways: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="tree") as folder:
        root = Path(os.path.realpath(folder))
        build(root)
        action = decided(root, lead(root, str(root / "home/projects/app"), ways))
        assert isinstance(action, AllowMount)
        assert action.host == str(root / "home/projects/app")


@settings(max_examples=60, deadline=None)
@given(pair=spellings(st.sampled_from([".ssh", ".env", "credentials", "id_rsa", "docker.sock", "private"])), ways=WAYS)
def test_a_folder_with_a_disguised_name_stays_denied(pair: tuple[str, str], ways: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="tree") as folder:
        root = Path(os.path.realpath(folder))
        build(root)
        place = root / "home/projects/app" / pair[1]
        place.mkdir(exist_ok=True)
        assert isinstance(decided(root, lead(root, str(place), ways)), RejectMount)


NAMES = st.sampled_from(["a", "b", ".ssh", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/srv/" + "/".join(names))


def seen_at(path: str) -> PathSeen:
    return PathSeen(place=PathPlace(path=path), kind="folder")


ROOTS = st.lists(
    st.builds(AllowedRoot, written=st.just("r"), seen=PATHS.map(seen_at) | st.none(), read_write=st.booleans()),
    max_size=3,
)
SNAPSHOTS = st.builds(
    lambda path, roots, blocked, readonly: MountSnapshot(
        now_ms=0,
        group="main",
        host=path,
        readonly=readonly,
        seen=seen_at(path),
        allowed=MountAllowlist(roots=tuple(roots), blocked=tuple(blocked)),
    ),
    PATHS,
    ROOTS,
    st.lists(NAMES, max_size=2),
    st.booleans(),
)


@given(seen=SNAPSHOTS, path=PATHS, blocked=NAMES, kind=st.sampled_from(["own", "writable", "blocked", "strict root"]))
def test_what_is_added_to_the_rules_only_ever_takes_away(
    seen: MountSnapshot, path: str, blocked: str, kind: str
) -> None:
    allowed = seen.allowed
    assert allowed is not None
    match kind:
        case "own":
            stricter = evolve(seen, own=(PathPlace(path=path),))
        case "writable":
            stricter = evolve(seen, writable=(PathPlace(path=path),))
        case "blocked":
            stricter = evolve(seen, allowed=evolve(allowed, blocked=(*allowed.blocked, blocked)))
        case _:
            places = [root.seen.place.path for root in allowed.roots if root.seen is not None]
            within = [place for place in places if f"{path}/".startswith(f"{place}/")]
            more = (AllowedRoot(written="s", seen=seen_at(path)),) if within else ()
            stricter = evolve(seen, allowed=evolve(allowed, roots=(*allowed.roots, *more)))
    before, after = decide_mount(seen), decide_mount(stricter)
    if isinstance(after, AllowMount):
        assert isinstance(before, AllowMount)
        assert after.host == before.host
        assert after.readonly or not before.readonly


@given(mounts=st.lists(SNAPSHOTS, max_size=4), others=st.lists(SNAPSHOTS, max_size=3))
def test_no_plan_allows_what_one_decision_refuses_nor_what_an_agent_could_exchange(
    mounts: list[MountSnapshot], others: list[MountSnapshot]
) -> None:
    actions = plan_mounts(MountsSnapshot(now_ms=0, mounts=tuple(mounts), others=tuple(others)))
    assert len(actions) == len(mounts)
    kept = [action for action in actions if isinstance(action, AllowMount)]
    alone = [decide_mount(mount) for mount in (*mounts, *others)]
    written = [one.host for one in alone if isinstance(one, AllowMount) and not one.readonly]
    for mount, action in zip(mounts, actions, strict=True):
        if isinstance(action, AllowMount):
            assert decide_mount(mount) == action
            assert not any(action.host.startswith(f"{place}/") for place in written)
    targets = [f"{action.container}/" for action in kept]
    assert not any(one.startswith(other) for i, one in enumerate(targets) for j, other in enumerate(targets) if i != j)
