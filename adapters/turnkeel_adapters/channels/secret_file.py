"""What is the secret in this file or variable, and may nobody else read it?"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from turnkeel_adapters.errors import AdapterError

_LONGEST: Final = 4_096  # bytes; no token is longer
_LEAST: Final = 16  # characters; what is shorter can be guessed


class SecretUnusable(AdapterError, ValueError):
    """A secret is missing, readable by others, or no secret; the text says where, never what it holds."""


def read_token(file: str | None, variable: str | None, environ: Mapping[str, str]) -> str | None:
    """The secret of whichever is named, as it stands now; None if neither is. SecretUnusable."""
    if file is not None:
        return read_secret(Path(file))
    if variable is None:
        return None
    if variable not in environ:
        raise SecretUnusable(f"variable {variable}: not set")
    return check_secret(environ[variable].strip(), f"variable {variable}")


def read_secret(path: Path) -> str:
    """The file's text without the white space around it. SecretUnusable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place must not block
        try:
            seen = os.fstat(handle)
            if not stat.S_ISREG(seen.st_mode):
                raise SecretUnusable(f"{path}: not a regular file")
            if seen.st_mode & 0o077 or seen.st_uid not in (os.getuid(), 0):
                raise SecretUnusable(f"{path}: others may read or change it; make it yours with mode 0600")
            content = os.read(handle, _LONGEST + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise SecretUnusable(f"{path}: {error.strerror or error}") from None
    if len(content) > _LONGEST:
        raise SecretUnusable(f"{path}: longer than {_LONGEST} bytes")
    return check_secret(content.decode("latin-1").strip(), str(path))


def check_secret(text: str, source: str) -> str:
    """The text, if it can be a secret in a header: printable ASCII without spaces, long enough. SecretUnusable."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SecretUnusable(f"{source}: a secret is printable ASCII without spaces")
    if len(text) < _LEAST:
        raise SecretUnusable(f"{source}: a secret has at least {_LEAST} characters")
    return text
