"""Which data directory is meant?"""

import os
from pathlib import Path
from typing import Final

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.hiding import keeper

TREE: Final = "v2-sessions"


def data_dir_of(option: Path | None) -> Path:
    """The data directory: the option, else TURNKEEL_DATA, else `./data`; for its session folder, what holds that.

    What is shown from now on does not show the secrets that stand beside it.
    """
    named = option if option is not None else Path(os.environ.get("TURNKEEL_DATA") or "data")
    if Path(os.path.abspath(named)).name == TREE and not (named / TREE).is_dir():
        named = Path(os.path.abspath(named)).parent
    keeper().learn(data_dir=named)
    return named


def make_data_dir(data_dir: Path) -> None:
    """Make it where there is none, for its owner alone: all that is said lies in it. One that is there stays."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def existing_data_dir(option: Path | None) -> Path:
    """The same; CommandFailed if it does not exist."""
    data_dir = data_dir_of(option)
    if not data_dir.is_dir():
        problem = "is no directory" if data_dir.exists() else "does not exist"
        raise CommandFailed(f"{data_dir.absolute()} {problem}: give --data DIR, or set TURNKEEL_DATA")
    return data_dir
