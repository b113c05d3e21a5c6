"""With which arguments is a session's container started?

All of the hardening stands here: no capability, no new privilege, a read-only root, bounded memory, processes and
output, no network unless one is named. No secret's value is ever an argument.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

from attrs import frozen

from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, GUARD_VARIABLE
from turnkeel_adapters.runners.oci.settings import ContainerSettings
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_adapters.sessions.names import DEFAULT_GROUP
from turnkeel_core import AllowMount

WORKSPACE: Final = "/workspace"
SECRETS: Final = "/run/secrets"
EXTRA: Final = f"{WORKSPACE}/extra"
"""Below it lie further mounts: in memory, so that no mount point is left in the session's folder."""
INSTALL_LABEL: Final = "turnkeel.install"
GROUP_LABEL: Final = "turnkeel.group"
SESSION_LABEL: Final = "turnkeel.session"
INCARNATION_LABEL: Final = "turnkeel.incarnation"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_UNFIT = re.compile(r"[^A-Za-z0-9]+")
_NO_PLACE = re.compile(r'[,"\r\n\0]')
_QUOTED = re.compile(r'[,"]')
_SESSION_DIR = "TURNKEEL_SESSION_DIR"
_OUR_PREFIX = "TURNKEEL_"
# The marks of the process runner would make a container's processes look like its own; TZ means the same day inside.
_LEFT_OUT = (AGENT_VARIABLE, GUARD_VARIABLE)
_TAKEN = ("TZ",)


@frozen(kw_only=True)
class Place:
    """Facts of this machine: whose install, which user, the folder of the container's secret files, if any, and the
    further mounts that were decided."""

    install_id: str
    uid: int
    gid: int
    secrets: Path | None = None
    mounts: tuple[AllowMount, ...] = ()


def group_of(session: str) -> str:
    """The group of a session by its name."""
    group, slash, _ = session.partition("/")
    return group if slash else DEFAULT_GROUP


def name_container(install_id: str, session: str, incarnation: int) -> str:
    """The container's name: install, session (readable, with a hash, for names may differ in one sign) and number."""
    slug = _UNFIT.sub("-", session).strip("-")[:40]
    digest = hashlib.sha256(session.encode()).hexdigest()[:8]
    name = f"turnkeel-{install_id[:8]}-{slug}-{digest}-{incarnation}"
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no container name: the install id or the session's name is malformed")
    return name


def compose_run(settings: ContainerSettings, order: SpawnOrder, place: Place) -> tuple[str, ...]:
    """The arguments of `run`, without the program; SpawnFailed if the order cannot be meant for a container.

    Of the order's environment only TURNKEEL_* and TZ go in: the rest describes this machine, not the image.
    """
    command = _command(settings, order)
    return (
        "run",
        "--detach",
        *("--name", name_container(place.install_id, order.session, order.incarnation)),
        *_labels(order, place),
        *_rights(settings, place),
        *_limits(settings),
        *("--network", settings.network),
        *(part for name, address in settings.add_host for part in ("--add-host", f"{name}:{address}")),
        *_mounts(order, place),
        *_environment(settings, order),
        *("--workdir", WORKSPACE),
        # Else a command would be no more than arguments for the image's own entry point.
        *(("--entrypoint", command[0]) if command else ()),
        settings.image,
        *command[1:],
    )


def _labels(order: SpawnOrder, place: Place) -> tuple[str, ...]:
    labels = {
        INSTALL_LABEL: place.install_id,
        GROUP_LABEL: group_of(order.session),
        SESSION_LABEL: order.session,
        INCARNATION_LABEL: str(order.incarnation),
    }
    return tuple(part for name, value in labels.items() for part in ("--label", f"{name}={value}"))


def _rights(settings: ContainerSettings, place: Place) -> tuple[str, ...]:
    # A rootless Podman maps its user to root inside, unless told to keep the numbers: the files need the host's.
    keeps_ids = settings.runtime == "podman" and place.uid != 0 and settings.user is None
    return (
        *("--pull", "never"),
        "--init",
        *("--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges"),
        *(("--read-only",) if settings.read_only_root else ()),
        *("--user", settings.user or f"{place.uid}:{place.gid}"),
        *(("--userns", "keep-id") if keeps_ids else ()),
    )


def _limits(settings: ContainerSettings) -> tuple[str, ...]:
    # Podman's driver keeps one file, begun anew when it is full.
    parts = ("local", f"max-file={settings.log_max_files}") if settings.runtime == "docker" else ("k8s-file",)
    log = (*parts, f"max-size={settings.log_max_size}")
    return (
        *("--tmpfs", f"/tmp:rw,noexec,nosuid,nodev,size={settings.tmpfs_size}"),
        *("--pids-limit", str(settings.pids_limit)),
        *("--memory", settings.memory),
        *("--memory-swap", settings.memory),  # the sum of both: no swap
        *("--cpus", settings.cpus),
        *("--stop-timeout", str(settings.stop_timeout_s)),
        *("--log-driver", log[0]),
        *(part for option in log[1:] for part in ("--log-opt", option)),
    )


def _mounts(order: SpawnOrder, place: Place) -> tuple[str, ...]:
    binds = [f"type=bind,source={_source(order, order.folder)},target={WORKSPACE}"]
    if place.secrets is not None:
        binds.append(f"type=bind,source={_source(order, place.secrets)},target={SECRETS},readonly")
    binds += map(_bind, place.mounts)
    below = ("--tmpfs", f"{EXTRA}:rw,noexec,nosuid,nodev,size=64k,mode=0755")
    return (
        *(below if any(goes_below_extra(mount) for mount in place.mounts) else ()),
        *(part for bind in binds for part in ("--mount", bind)),
    )


def goes_below_extra(mount: AllowMount) -> bool:
    """Does it need the folder of the further mounts?"""
    return mount.container.startswith(f"{EXTRA}/")


def _bind(mount: AllowMount) -> str:
    """One line of CSV, as the runtimes read it: never the `a:b:ro` of `-v`, which a path can break out of."""
    access = ("readonly",) if mount.readonly else ()
    return ",".join(map(_csv, ("type=bind", f"source={mount.host}", f"target={mount.container}", *access)))


def _csv(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if _QUOTED.search(part) else part


def _source(order: SpawnOrder, path: Path) -> str:
    text = str(path)
    if not path.is_absolute() or _NO_PLACE.search(text) is not None:
        advice = "its path must be absolute, without commas, double quotes and line breaks: move the data directory"
        raise SpawnFailed(order.session, f"{text!r} cannot be mounted into a container", advice)
    return text


def _environment(settings: ContainerSettings, order: SpawnOrder) -> tuple[str, ...]:
    told = {
        name: value
        for name, value in order.environment.items()
        if (name.startswith(_OUR_PREFIX) and name not in _LEFT_OUT) or name in _TAKEN
    }
    # HOME: with a read-only root a program's settings have no other place, and a user without an entry has no home.
    values = {"HOME": "/tmp", **told, **dict(settings.environment), _SESSION_DIR: WORKSPACE}
    passed = [name for name in settings.pass_environment if name not in values]
    parts = [*(f"{name}={value}" for name, value in values.items()), *passed]  # a bare name: the client reads the value
    return tuple(part for text in parts for part in ("--env", text))


def _command(settings: ContainerSettings, order: SpawnOrder) -> tuple[str, ...]:
    command = settings.command or order.argv
    if any("\0" in text for text in (*command, *order.environment.values())):
        raise SpawnFailed(order.session, "the agent's command or environment holds NUL", "write them without")
    return command
