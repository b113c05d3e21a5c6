"""Where may secrets stand, and whose replies are not searched for them?"""

from typing import Final

from attrs import Attribute, field, frozen
from attrs.validators import deep_iterable, instance_of

DEFAULT_ENV_FILES: Final = (".env", "groups/*/.env", "../.env", "../groups/*/.env")
"""In the data directory and beside it: where existing hosts have theirs. One that is not there is none."""


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def _is_place(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value or "\0" in value or value.startswith("~"):
        raise ValueError(f"'{attribute.name}' must be paths, from / on or from the data directory")


_PLACES: Final = deep_iterable(member_validator=[instance_of(str), _is_place], iterable_validator=instance_of(tuple))
_NAMES: Final = deep_iterable(member_validator=instance_of(str), iterable_validator=instance_of(tuple))


@frozen(kw_only=True)
class RedactConfig:
    """Table `[redact]`: files whose values are hidden beside all that a host has or hands on itself, and exceptions.

    In paths `*`, `?` and `[…]` stand for what is there at each look; relative ones begin at the data directory.
    """

    env_files: tuple[str, ...] = field(
        default=DEFAULT_ENV_FILES,
        validator=_PLACES,
        metadata=_why("what existing hosts keep for themselves and for each group; every value in them is a secret"),
    )
    credential_files: tuple[str, ...] = field(
        default=(),
        validator=_PLACES,
        metadata=_why("JSON files; the model's login in HOME is known anyway, and so are [container] secret_files"),
    )
    public_names: tuple[str, ...] = field(
        default=(),
        validator=_NAMES,
        metadata=_why("added to the usual ones (LOG_LEVEL, TZ and the like): variables whose values are no secrets"),
    )
    raw_channels: tuple[str, ...] = field(
        default=(),
        validator=_NAMES,
        metadata=_why("none: a secret in a reply leaves this machine; name a channel whose readers may see them"),
    )
