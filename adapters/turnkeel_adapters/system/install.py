"""By which id does an installation recognise what is its own?"""

import errno
import os
import re
import secrets
from pathlib import Path

INSTALL_ID_NAME = "install-id"
_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class InstallIdUnreadable(Exception):
    """The id file holds no id: containers of this install could not be recognised."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no install id; stop every container of this install, then delete the file")
        self.path = path


def install_id(data_dir: Path) -> str:
    """The id kept in `install-id`, made at random the first time. OSError, InstallIdUnreadable.

    Of two processes that make it at once both get the same one (where the file system has no hard links: the later's).
    """
    path = data_dir / INSTALL_ID_NAME
    if not path.exists():
        _create(path, secrets.token_hex(8))
    text = path.read_bytes().decode("ascii", "replace").strip()
    if _PATTERN.fullmatch(text) is None:
        raise InstallIdUnreadable(path)
    return text


def _create(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(draft, "x", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # whole or not at all, and never over another's
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(draft, path)
