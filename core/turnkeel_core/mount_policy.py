"""Which names, trees and targets may no mount touch, whatever an allow-list says, and why?"""

from typing import Final

from attrs import Attribute, field, frozen
from attrs.validators import ge, instance_of

BLOCKED: Final = (
    ".ssh", ".gnupg", ".gpg", ".aws", ".azure", ".gcloud", ".kube", ".docker", "credentials", ".env", ".netrc",
    ".npmrc", ".pypirc", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", "id_xmss", "private_key", ".secret",
    "secrets.json", "token.json", ".password-store", ".keystore", ".git-crypt", ".vault-token", ".pgpass",
    ".my.cnf", ".config/gcloud", ".config/gh/", ".config/sops", ".config/op/", ".config/nanoclaw", ".config/turnkeel",
    ".local/bin", ".local/share/keyrings", ".local/share/docker", ".local/share/containers", "docker.sock",
    "docker.raw.sock", "docker_engine", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock",
    "cri-dockerd.sock",
)  # fmt: skip
"""Found anywhere in a path, in any case and spelling; a pattern with `/` spans components."""

SYSTEM_TREES: Final = (
    "/boot", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/var/run", "/var/lib/containerd", "/var/lib/containers",
    "/var/lib/docker", "/var/lib/kubelet",
)  # fmt: skip
"""No mount lies in one of them, or holds one."""

RESERVED_TARGETS: Final = (
    "/app", "/bin", "/boot", "/dev", "/etc", "/home/node/.claude", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin",
    "/sys", "/tmp", "/usr", "/var/run", "/workspace",
)  # fmt: skip
"""No target in the container lies in one of them, or covers one, but for those below the policy's `extra`."""


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def _texts(default: tuple[str, ...], reason: str) -> tuple[str, ...]:
    def at_least(_: object, attribute: "Attribute[tuple[str, ...]]", value: tuple[str, ...]) -> None:
        missing = [one for one in default if one not in value]
        if missing:
            raise ValueError(f"'{attribute.name}' can only be added to: it lacks {', '.join(missing)}")
        if "" in value:
            raise ValueError(f"'{attribute.name}' holds an empty text, which is in everything")

    return field(default=default, validator=at_least, metadata=_why(reason))


@frozen(kw_only=True)
class MountPolicy:
    """Limits of `decide_mount` (spec/tars-and-b01.md §5). Lists can be added to; none can be shortened."""

    blocked: tuple[str, ...] = _texts(BLOCKED, "keys, tokens, sockets of runtimes and lists such as this: never needed")
    system_trees: tuple[str, ...] = _texts(SYSTEM_TREES, "whoever writes there owns the machine; its secrets lie there")
    reserved_targets: tuple[str, ...] = _texts(RESERVED_TARGETS, "a mount there replaces the agent or its own files")
    extra: str = field(
        default="/workspace/extra", validator=instance_of(str), metadata=_why("where agents of existing hosts look")
    )
    absolute_targets: bool = field(
        default=False, validator=instance_of(bool), metadata=_why("off: only tools with a fixed place need another")
    )
    main_group: str = field(
        default="main", validator=instance_of(str), metadata=_why("the group of the operator's own sessions")
    )
    descent_limit: int = field(
        default=20_000, validator=(instance_of(int), ge(1)), metadata=_why("a source tree; more takes seconds to list")
    )
