"""Which limits and rights does a container get, and why these defaults?

A value that cannot be meant raises ValueError or TypeError naming the field. Sizes are texts as the runtimes take
them ("512m"). `mounts` are wishes: what becomes of each is decided anew at every start.
"""

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import and_, deep_iterable, ge, in_, instance_of, optional

from turnkeel_adapters.mounts.records import MountSetting, MountTable, is_whole_path

RuntimeName: TypeAlias = Literal["docker", "podman"]
RUNTIMES: tuple[RuntimeName, ...] = ("docker", "podman")

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_ADDRESS = re.compile(r"host-gateway|[0-9a-fA-F.:]{2,45}")
_SIZE = re.compile(r"[1-9][0-9]{0,15}[bkmg]?")
_CPUS = re.compile(r"(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,2})?")
_USER = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_PROGRAM = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]{0,254}")
_PLACE = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9a-fA-F:]{2,45}\]):(?P<port>[1-9][0-9]{0,4})")
_LAST_PORT = 65_535
_FOREIGN_NAMESPACES = ("host", "default", "private", "slirp4netns", "pasta")


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def _text(pattern: re.Pattern[str], form: str) -> Callable[[object, "Attribute[str]", str], object]:
    def check(_: object, attribute: "Attribute[str]", value: str) -> None:
        if pattern.fullmatch(value) is None:
            # The value is not repeated: it may be a secret, written where a name belongs.
            raise ValueError(f"'{attribute.name}' must be {form}")

    return and_(instance_of(str), check)


def _size(default: str, reason: str) -> str:
    return field(default=default, validator=_text(_SIZE, "a size such as 512m"), metadata=_why(reason))


def _count(default: int, least: int, reason: str) -> int:
    return field(default=default, validator=(instance_of(int), ge(least)), metadata=_why(reason))


def _startable(_: object, attribute: "Attribute[tuple[str, ...]]", value: tuple[str, ...]) -> None:
    if value and not value[0]:
        raise ValueError(f"'{attribute.name}' must begin with a program's name")
    if any("\0" in text for text in value):
        raise ValueError(f"'{attribute.name}' holds a NUL character: no program can be started with it")


def _pairs(first: re.Pattern[str], second: re.Pattern[str] | None, form: str) -> Callable[..., None]:
    def check(
        _: object, attribute: "Attribute[tuple[tuple[str, str], ...]]", value: tuple[tuple[str, str], ...]
    ) -> None:
        for left, right in value:
            good = "\0" not in right if second is None else second.fullmatch(right) is not None
            if first.fullmatch(left) is None or not good:
                raise ValueError(f"'{attribute.name}' has an entry {left[:60]!r} that is not {form}")
        if len({left for left, _ in value}) < len(value):
            raise ValueError(f"'{attribute.name}' gives a name twice")

    return check


def _own_network(_: object, attribute: "Attribute[str]", value: str) -> None:
    if value in _FOREIGN_NAMESPACES:
        raise ValueError(f"'{attribute.name}' must not be {value!r}: write none, bridge or the name of a network")


def _a_place(_: object, attribute: "Attribute[str]", value: str) -> None:
    if address_of(value) is None:
        raise ValueError(f"'{attribute.name}' must be HOST:PORT, as in model.example:443, not {value[:80]!r}")


def address_of(place: str) -> tuple[str, int] | None:
    """(host, port) of a text `host:port` or `[v6 address]:port`; None for any other text."""
    found = _PLACE.fullmatch(place)
    if found is None or int(found["port"]) > _LAST_PORT:
        return None
    return found["host"].strip("[]"), int(found["port"])


@frozen(kw_only=True)
class ContainerSettings:
    """Table `[container]`: image, rights and limits of a session's container; also per group.

    `command` is all that is started in the image, in place of its own entry point; an empty one is the order's; if
    that is empty too, the image's own. `pass_environment` names variables of the host whose values go in: anyone who
    may inspect the container reads them, so a secret belongs in `secret_files`: (name, path on the host), found in
    the container as /run/secrets/name. `python` is started for an agent that knows stdin and stdout only; `model` is
    (`host:port`) what the agent must reach.
    """

    image: str = field(
        validator=_text(_IMAGE, "the name of an image"),
        metadata=_why("there is no sensible default; write one with a digest"),
    )
    runtime: RuntimeName = field(default="docker", validator=in_(RUNTIMES), metadata=_why("the more common of the two"))
    command: tuple[str, ...] = field(
        default=(), validator=_startable, metadata=_why("the agent command is known elsewhere")
    )
    network: str = field(
        default="none",
        validator=(_text(_NETWORK, "none, bridge or the name of a network"), _own_network),
        metadata=_why("nothing leaks by default; a remote model needs bridge, or better a network of its own"),
    )
    add_host: tuple[tuple[str, str], ...] = field(
        default=(), validator=_pairs(_HOST, _ADDRESS, "a host name and an address"), metadata=_why("no name is added")
    )
    environment: tuple[tuple[str, str], ...] = field(
        default=(), validator=_pairs(_VARIABLE, None, "a variable"), metadata=_why("nothing of the host's is inherited")
    )
    pass_environment: tuple[str, ...] = field(
        default=(),
        validator=deep_iterable(_text(_VARIABLE, "names of variables")),
        metadata=_why("a secret in the environment is opt-in"),
    )
    secret_files: tuple[tuple[str, str], ...] = field(
        default=(),
        validator=_pairs(_FILE, None, "a file name and a path"),
        metadata=_why("no secret unless it is named"),
    )
    mounts: tuple[MountSetting, ...] = field(
        default=(), metadata=_why("an agent sees its session's folder; whatever else must be named, and be allowed")
    )
    mount_allowlist: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_whole_path)),
        metadata=_why("unset: no mount is allowed; the form is ~/.config/nanoclaw/mount-allowlist.json"),
    )
    mount_absolute: bool = field(
        default=False,
        validator=instance_of(bool),
        metadata=_why("off: mounts appear below /workspace/extra; on: a target may be absolute, but for reserved ones"),
    )
    memory: str = _size("2g", "a coding agent with its tools fits; a runaway does not take the machine. No swap on top")
    pids_limit: int = _count(512, 1, "enough for a build, too few for a fork bomb")
    cpus: str = field(
        default="2",
        validator=_text(_CPUS, "a number such as 1.5 above 0, as a text"),
        metadata=_why("one busy agent leaves the host responsive"),
    )
    tmpfs_size: str = _size("256m", "/tmp is memory: it counts as the container's and must not eat all of it")
    log_max_size: str = _size("10m", "an agent that floods its output must not fill the disk")
    log_max_files: int = _count(2, 1, "the end of the output is what explains a crash")
    user: str | None = field(
        default=None,
        validator=optional(_text(_USER, "UID or UID:GID, in numbers")),
        metadata=_why("unset: the host's own uid and gid, so that both can write the session's files"),
    )
    read_only_root: bool = field(
        default=True,
        validator=instance_of(bool),
        metadata=_why("what an agent changes must lie in its session's folder"),
    )
    python: str = field(
        default="python3",
        validator=_text(_PROGRAM, "a program's name or path"),
        metadata=_why("found on the image's own PATH; turnkeel must be installed for it"),
    )
    model: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), _a_place)),
        metadata=_why("unset: nothing is tried; `doctor` tries the way to it from a container, and sends nothing"),
    )
    stop_timeout_s: int = _count(10, 1, "for stops by others (daemon, machine); the host's own stop brings its grace")

    @property
    def mount_table(self) -> MountTable:
        """What there is to decide about mounts."""
        return MountTable(mounts=self.mounts, allowlist=self.mount_allowlist, absolute_targets=self.mount_absolute)


@frozen(kw_only=True)
class RuntimeLimits:
    """How long the host waits for the container runtime, and how often it asks. Durations are milliseconds."""

    call_ms: int = _count(10_000, 1, "a healthy daemon answers in 0.1 s; one under load in seconds")
    start_ms: int = _count(60_000, 1, "the first start from an image may have to unpack its layers")
    kill_ms: int = _count(10_000, 1, "after KILL the kernel needs moments, a loaded daemon seconds")
    alive_holds_ms: int = _count(1_000, 0, "each look runs a client program (20 ms of CPU): an answer serves for 1 s")
    backoff_ms: int = _count(1_000, 1, "a daemon that is down is asked again after 1 s, then doubling")
    backoff_max_ms: int = _count(30_000, 1, "it is never left unasked for over half a minute")
    log_kept_bytes: int = _count(1_000_000, 1, "this much of an ended container's output is kept in its log file")
