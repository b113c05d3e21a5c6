"""What lies in the outbox of a session, for these replies? Only looked at: no link is followed, nothing is opened."""

import os
import stat
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Final

from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.sessions.output_checks import Attachments

_FOLDERS: Final = 10_000
_FILES: Final = 1_000


def look_at_outbox(outbox: Path, message_ids: Collection[str]) -> dict[str, Attachments]:
    """Return what each of the replies has beside its row; one without a folder is left out. Raises SessionFault."""
    with faults_named(outbox):
        try:
            mode = outbox.lstat().st_mode
        except FileNotFoundError:
            return {}
        if not stat.S_ISDIR(mode):
            odd = "outbox is a link or a file, not a folder"
            return {key: Attachments(size=0, odd=odd) for key in message_ids}
        with os.scandir(outbox) as found:
            names = [entry.name for entry in islice(found, _FOLDERS)]
        return {name: _folder(outbox / name) for name in names if name in message_ids}


def _folder(folder: Path) -> Attachments:
    name = folder.name
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return Attachments(size=0, odd=f"outbox/{name} is a link or a file, not a folder")
        with os.scandir(folder) as found:
            entries = list(islice(found, _FILES + 1))
        if len(entries) > _FILES:
            return Attachments(size=0, odd=f"outbox/{name} holds over {_FILES:,} files")
        stats = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return Attachments(size=0)  # sent and cleared meanwhile
    except OSError as error:
        return Attachments(size=0, odd=f"outbox/{name} cannot be read ({error.strerror})")
    odd = next((f"outbox/{name}/{file} is no plain file" for file, seen in stats if not _plain(seen)), None)
    return Attachments(size=sum(seen.st_size for _, seen in stats), odd=odd)


def _plain(seen: os.stat_result) -> bool:
    # A second name of a file may be one of the host's own, outside of this folder.
    return stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1
