"""Which session does a text name?"""

import re
from typing import Final

from attrs import frozen

from turnkeel_adapters.errors import BadSessionName

DEFAULT_GROUP: Final = "main"

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}")
_SHOWN = 60


@frozen(kw_only=True, order=True)
class SessionName:
    """A session's place in the tree: `group/name`, both safe as folder names."""

    group: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "SessionName":
        """Read `name` (in the group `main`) or `group/name`; raise BadSessionName for anything else."""
        group, slash, name = text.partition("/")
        if not slash:
            group, name = DEFAULT_GROUP, text
        for part, what in ((group, "group"), (name, "name")):
            if _PART.fullmatch(part) is None:
                raise BadSessionName(f"{_shown(text)} names no session: {what} {_shown(part)} {_complaint(part)}")
        return cls(group=group, name=name)

    def __str__(self) -> str:
        """Return `group/name`."""
        return f"{self.group}/{self.name}"


def _complaint(part: str) -> str:
    if not part:
        return "is empty; write NAME or GROUP/NAME"
    if len(part) > 128:
        return f"has {len(part)} characters; at most 128 are allowed"
    if not re.match(r"[A-Za-z0-9]", part):
        return "must begin with a letter or a digit"
    return "may hold only letters, digits and . _ @ : + -"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
