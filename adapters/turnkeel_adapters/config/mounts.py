"""Who decides about the mounts that a configuration asks for?"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from turnkeel_adapters.config.records import ContainerConfig
from turnkeel_adapters.mounts.deciding import MountDecider


def mount_decider(
    container: ContainerConfig, data_dir: Path, environ: Mapping[str, str], now_ms: Callable[[], int]
) -> MountDecider:
    """Decides for every group of the configuration. Its file, the data directory and secret files are no agent's."""
    home = environ.get("HOME", "")
    secrets = (Path(path) for settings in container.all() for _, path in settings.secret_files)
    files = () if container.file is None else (container.file,)
    return MountDecider(
        general=container.settings.mount_table,
        groups={name: settings.mount_table for name, settings in container.groups},
        own=(data_dir, *files, *dict.fromkeys(secrets)),
        home=home if home.startswith("/") else os.path.expanduser("~"),
        now_ms=now_ms,
    )
