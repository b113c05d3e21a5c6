"""Does one place lie in another? Component by component, and by identity where it is known."""

from turnkeel_core.mount_records import PathPlace


def lies_in(place: PathPlace, other: PathPlace) -> bool:
    """Is it `other`, or below it, by name or by identity?"""
    return path_in(place.path, other.path) or (bool(other.ids) and other.ids[-1] in place.ids)


def lies_below(place: PathPlace, other: PathPlace) -> bool:
    """Is it in `other` without being `other` itself, so that who can write to `other` can exchange it?"""
    by_name = place.path != other.path and path_in(place.path, other.path)
    return by_name or (bool(other.ids) and other.ids[-1] in place.ids[:-1])


def path_in(path: str, other: str) -> bool:
    """Is an absolute path `other` or below it? `/ab` is not in `/a`."""
    return parts(path)[: len(parts(other))] == parts(other)


def parts(path: str) -> tuple[str, ...]:
    """The components of a path; `.` and empty ones say nothing."""
    return tuple(part for part in path.split("/") if part not in ("", "."))
