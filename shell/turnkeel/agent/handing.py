"""How do a program and its wrapper hand each other the handles of a conversation?

In: `{resume}` and `{resume_at}` in the words of the command. Out: a file in a private folder, named in the environment.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from turnkeel.agent.errors import AgentError
from turnkeel_adapters.sessions.container_resume import HANDLE_CHARS, ResumeHandles

SESSION_WORD: Final = "{resume}"
ANCHOR_WORD: Final = "{resume_at}"
RESUME_FILE: Final = "TURNKEEL_RESUME_FILE"
ERROR_FILE: Final = "TURNKEEL_ERROR_FILE"
_HANDED: Final = "resume"
_ERROR: Final = "error"
_ERROR_BYTES: Final = 8_192
# Two handles of characters of up to four bytes, and their line ends.
_HANDED_BYTES: Final = 2 * (4 * HANDLE_CHARS + 2)


class UnusableHandle(AgentError):
    """A program wrote what cannot be a handle; the handles of before stay."""


def asks_for_resume(words: Sequence[str]) -> bool:
    """Whether the command says where its handle goes."""
    return any(SESSION_WORD in word or ANCHOR_WORD in word for word in words)


def filled_words(words: Sequence[str], handles: ResumeHandles) -> tuple[str, ...]:
    """The command with the handles in their places.

    A word whose handle there is not is left out as a whole. If it does not begin with `-` itself, the word right before
    it goes too, if that is an option (begins with `-`, is not `--`, and has no `=`).
    """
    filled: list[str] = []
    for word in words:
        values = ((SESSION_WORD, handles.session), (ANCHOR_WORD, handles.anchor))
        wanted = [(place, value) for place, value in values if place in word]
        if any(value is None for _, value in wanted):
            if not word.startswith("-") and filled and _is_bare_option(filled[-1]):
                filled.pop()
            continue
        for place, value in wanted:
            word = word.replace(place, value or "")
        filled.append(word)
    return tuple(filled)


class HandOver:
    """The private folder in which a program leaves its new handle, or the error it failed with; removed at the end."""

    def __init__(self) -> None:
        """Make the folder; raises AgentError where that cannot be done."""
        try:
            self._path = tempfile.mkdtemp(prefix="turnkeel-resume-")
            # Held open: whatever a program puts in the folder's place later is not looked into.
            self._folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise AgentError(f"no private folder for the resume handle can be made: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._folder)
        shutil.rmtree(self._path, ignore_errors=True)

    def environment(self, source: Mapping[str, str]) -> dict[str, str]:
        """`source` and the names of both files."""
        files = {RESUME_FILE: f"{self._path}/{_HANDED}", ERROR_FILE: f"{self._path}/{_ERROR}"}
        return {**source, **files}

    def forget(self) -> None:
        """Take away what an earlier run left."""
        for name in (_HANDED, _ERROR):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._folder)

    def error(self) -> str:
        """The end of what the program wrote as its error; empty if it wrote none."""
        try:
            return _end_of(_ERROR, self._folder, _ERROR_BYTES).decode(errors="replace").strip()
        except (OSError, UnusableHandle):
            return ""

    def handles(self) -> ResumeHandles | None:
        """What the program wrote: the handle, on a second line the place; None for nothing. Raises UnusableHandle."""
        try:
            content = _end_of(_HANDED, self._folder, _HANDED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableHandle(f"{RESUME_FILE} cannot be read: {error.strerror}") from error
        try:
            lines = [line.rstrip("\r") for line in content.decode().rstrip("\r\n").split("\n")]
        except UnicodeDecodeError as error:
            raise UnusableHandle(f"{RESUME_FILE} holds no text") from error
        if lines == [""]:
            return None
        if len(content) > _HANDED_BYTES or len(lines) > 2:
            raise UnusableHandle(f"{RESUME_FILE} holds more than a handle and a place, one line each")
        return ResumeHandles(session=lines[0], anchor=lines[1] if len(lines) > 1 else None)


def _is_bare_option(word: str) -> bool:
    return word.startswith("-") and word != "--" and "=" not in word


def _end_of(name: str, folder: int, limit: int) -> bytes:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UnusableHandle(f"{name} is no plain file")
        return os.pread(handle, limit, max(0, found.st_size - limit))
    finally:
        os.close(handle)
