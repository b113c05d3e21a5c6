"""What does one check of `doctor` answer?"""

from typing import Literal, TypeAlias

from attrs import frozen

Level: TypeAlias = Literal["ok", "info", "warn", "FAIL"]


@frozen(kw_only=True)
class Checked:
    """One line: what was seen, and what to do about it. `info` is no judgement; FAIL keeps a host from working."""

    level: Level
    subject: str
    seen: str
    advice: str | None = None


def ok(subject: str, seen: str) -> Checked:
    """As it should be."""
    return Checked(level="ok", subject=subject, seen=seen)


def info(subject: str, seen: str, advice: str | None = None) -> Checked:
    """Good to know."""
    return Checked(level="info", subject=subject, seen=seen, advice=advice)


def warn(subject: str, seen: str, advice: str) -> Checked:
    """A host works, but not as well as it could."""
    return Checked(level="warn", subject=subject, seen=seen, advice=advice)


def fail(subject: str, seen: str, advice: str) -> Checked:
    """A host, or a part of its work, does not work."""
    return Checked(level="FAIL", subject=subject, seen=seen, advice=advice)
