"""In which time zone do schedules run?"""

from collections.abc import Mapping
from datetime import tzinfo
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.errors import AdapterError


class BadZone(AdapterError, ValueError):
    """Whoever named the zone gave a name that the time zone database does not have."""


def load_zone(name: str) -> tzinfo:
    """The zone of an IANA name such as `Europe/Berlin`; BadZone for anything else."""
    try:
        return ZoneInfo(name)
    # ZoneInfoNotFoundError is a KeyError; names that are folders, paths or too long end as OSError or ValueError.
    except (KeyError, ValueError, OSError) as error:
        near = get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "use an IANA name such as Europe/Berlin"
        raise BadZone(f"{name[:80]!r} names no time zone; {hint}") from error


def resolve_zone(config: HostConfig, environ: Mapping[str, str], etc: Path = Path("/etc")) -> tuple[str, tzinfo]:
    """The zone's name and the zone: of the configuration, else of TZ, else of the system (`etc`), else UTC.

    BadZone if the first of these that is set names no zone: a schedule must not run by another clock unnoticed.
    """
    if config.timezone is not None:
        return config.timezone, _blame("timezone", config.timezone)
    if named := environ.get("TZ", "").removeprefix(":"):
        name = _zone_of_path(Path(named)) or named
        return name, _blame("TZ", name)
    localtime = etc / "localtime"
    if localtime.is_symlink() and (linked := _zone_of_path(localtime.resolve())):
        return linked, _blame(str(localtime), linked)
    if written := _first_word(etc / "timezone"):
        return written, _blame(str(etc / "timezone"), written)
    if localtime.is_file():
        return "localtime", _from_file(localtime)
    return "UTC", load_zone("UTC")


def _blame(source: str, name: str) -> tzinfo:
    try:
        return load_zone(name)
    except BadZone as error:
        raise BadZone(f"{source}: {error}") from error


def _zone_of_path(path: Path) -> str | None:
    """`Europe/Berlin` of `/usr/share/zoneinfo/Europe/Berlin`; None if the path is not one of these."""
    parts = path.parts
    if not path.is_absolute() or "zoneinfo" not in parts:
        return None
    return "/".join(parts[parts.index("zoneinfo") + 1 :]).removeprefix("posix/").removeprefix("right/") or None


def _first_word(path: Path) -> str | None:
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        # The file is one of several places; that it cannot be read says nothing about the others.
        return None
    return words[0] if words else None


def _from_file(path: Path) -> tzinfo:
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (ValueError, OSError) as error:
        raise BadZone(f"{path}: no time zone file ({error}); set timezone in the configuration") from error
