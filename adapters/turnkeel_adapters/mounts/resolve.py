"""Where does a path lead on this machine, by way of which links, and what is there?"""

import os
import stat
from typing import Final, Literal, TypeAlias

from attrs import define, field

from turnkeel_core import PathPlace, PathSeen

Kind: TypeAlias = Literal["folder", "file", "several_names", "special"]

_MOST_LINKS: Final = 40


def resolve_path(text: str, home: str, base: str = "/") -> PathSeen | None:
    """What `text` leads to; None if nowhere, in a circle, or where this user may not go.

    `~` and `~/` mean `home`; a relative text counts from `base`. `..` is taken off as it is written, before any link is
    followed: what comes out is looked at without any `..`, so that either reading is safe.
    """
    whole = f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text
    path = "/" + os.path.normpath(os.path.join(base, whole)).lstrip("/")
    try:
        return _Walk().go(path)
    except (OSError, ValueError):
        return None


@define
class _Walk:
    """Component by component, with no help of the system's own resolution: it would not tell what it passed."""

    path: str = ""
    ids: list[str] = field(factory=lambda: [_identity(os.lstat("/"))])
    links: list[PathPlace] = field(factory=list[PathPlace])

    def go(self, path: str) -> PathSeen:
        ahead = path.split("/")[::-1]
        seen = os.lstat("/")
        while ahead:
            name = ahead.pop()
            if name == "..":
                self.path = self.path.rpartition("/")[0]
                del self.ids[1 + self.path.count("/") :]
                seen = os.lstat(self.path or "/")
            elif name not in ("", "."):
                seen = self._step(name, ahead)
        return PathSeen(
            place=PathPlace(path=self.path or "/", ids=tuple(self.ids)), kind=_kind(seen), links=tuple(self.links)
        )

    def _step(self, name: str, ahead: list[str]) -> os.stat_result:
        child = f"{self.path}/{name}"
        seen = os.lstat(child)
        if stat.S_ISLNK(seen.st_mode):
            self.links.append(PathPlace(path=child, ids=(*self.ids, _identity(seen))))
            if len(self.links) > _MOST_LINKS:
                raise OSError("too many links")
            target = os.readlink(child)
            if target.startswith("/"):
                self.path = ""
                del self.ids[1:]
            ahead.extend(target.split("/")[::-1])
            return os.lstat(self.path or "/")
        if any(ahead) and not stat.S_ISDIR(seen.st_mode):
            raise NotADirectoryError(child)
        self.path = child
        self.ids.append(_identity(seen))
        return seen


def _identity(seen: os.stat_result) -> str:
    return f"{seen.st_dev}:{seen.st_ino}"


def _kind(seen: os.stat_result) -> Kind:
    if stat.S_ISDIR(seen.st_mode):
        return "folder"
    if stat.S_ISREG(seen.st_mode):
        return "file" if seen.st_nlink == 1 else "several_names"
    return "special"
