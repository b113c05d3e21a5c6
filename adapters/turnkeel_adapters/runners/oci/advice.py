"""Why did a container not start, and what can be done about it?"""

from collections.abc import Callable
from typing import TypeAlias

from turnkeel_adapters.runners.oci.settings import ContainerSettings

Diagnosis: TypeAlias = tuple[str, str]

_CAUSES: tuple[tuple[tuple[str, ...], Callable[[ContainerSettings], Diagnosis]], ...] = (
    (
        ("no such image", "unable to find image", "image not known", "image does not exist"),
        lambda settings: (
            f"the image {settings.image!r} is not on this machine",
            f"fetch or build it first: {settings.runtime} pull {settings.image}",
        ),
    ),
    (
        ("network not found", "network does not exist", "unable to find network", f"network {'{}'} not found"),
        lambda settings: (
            f"there is no network {settings.network!r}",
            f"make it: {settings.runtime} network create {settings.network}; or correct [container] network",
        ),
    ),
    (
        ("bind source path does not exist", "no such file or directory: bind mount"),
        lambda settings: (
            "the runtime does not see the session folder, the secret files or a mount",
            f"check that {settings.runtime} runs on this machine and may read them",
        ),
    ),
    (("no space left on device",), lambda settings: (f"the disk of {settings.runtime} is full", "make room on it")),
    (
        ("docker-init", "container-init", "catatonit"),
        lambda settings: (
            f"{settings.runtime} lacks its init program, which passes signals on and reaps",
            "install it (tini for docker, catatonit for podman)",
        ),
    ),
)


def diagnose_refusal(text: str, settings: ContainerSettings) -> Diagnosis:
    """(reason, advice) for a `run` that the runtime refused with this text.

    A command that is not in the image is no refusal: the init program starts, and ends with 127.
    """
    said = text.lower()
    for signs, diagnosis in _CAUSES:
        if any(sign.format(settings.network.lower()) in said for sign in signs):
            return diagnosis(settings)
    return f"{settings.runtime} refused to start it: {text}", "see what it says; `doctor` checks the runtime"
