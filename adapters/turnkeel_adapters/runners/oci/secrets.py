"""Where do a container's secret files lie while it runs? In memory, readable by its user alone."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from turnkeel_adapters.runners.errors import SpawnFailed


@frozen(kw_only=True)
class SecretShelf:
    """The folder of one install's secret files, one folder in it per container. `base` must lie on a tmpfs."""

    base: Path | None
    install_id: str

    def put(self, session: str, name: str, files: tuple[tuple[str, str], ...], user: tuple[int, int]) -> Path | None:
        """Copy `files` (name, source) for the container `name`; None if there are none. SpawnFailed."""
        if not files:
            return None
        try:
            folder = self._home(session) / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            try:
                for target, source in files:
                    _copy(Path(source), folder / target, user)
                _own(folder, user, 0o700)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except OSError as error:
            reason = f"a secret file cannot be handed over: {error}"
            raise SpawnFailed(session, reason, "check secret_files and user in [container]") from error
        return folder

    def drop(self, name: str) -> None:
        """Remove the files of the container `name`; it is gone, or never came to be."""
        if self.base is not None:
            shutil.rmtree(self._path() / name, ignore_errors=True)

    def names(self) -> tuple[str, ...]:
        """The containers that files are kept for."""
        try:
            return () if self.base is None else tuple(sorted(os.listdir(self._path())))
        except FileNotFoundError:
            return ()

    def _path(self) -> Path:
        return Path(self.base or "/") / f"turnkeel-{self.install_id}"

    def _home(self, session: str) -> Path:
        if self.base is None:
            advice = "secret_files need XDG_RUNTIME_DIR or /dev/shm; do without them on this machine"
            raise SpawnFailed(session, "there is no memory file system for secret files", advice)
        home = self._path()
        home.mkdir(mode=0o700, exist_ok=True)
        seen = home.lstat()  # /dev/shm is open to all: another user may have made it first
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
            raise SpawnFailed(session, f"{home} is not this user's alone", "find out who made it, and remove it")
        return home


def memory_folder(environ: Mapping[str, str]) -> Path | None:
    """A folder of this machine that lies in memory and not on a disk; None if there is none."""
    for text in (environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):
        if text.startswith("/") and os.path.isdir(text) and os.access(text, os.W_OK | os.X_OK):
            return Path(text)
    return None


def _copy(source: Path, target: Path, user: tuple[int, int]) -> None:
    data = source.read_bytes()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with open(handle, "wb") as file:
        file.write(data)
    _own(target, user, 0o400)


def _own(path: Path, user: tuple[int, int], mode: int) -> None:
    os.chmod(path, mode)
    if user != (os.getuid(), os.getgid()):
        os.chown(path, *user)
