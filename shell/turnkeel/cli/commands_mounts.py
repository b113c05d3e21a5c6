"""What can be typed about mounts? The command loads its own module when it is called."""

from cyclopts import App

from turnkeel.cli.options import Config, Data, Json

mounts_app = App(name="mounts", help="What else of this machine containers see.")


@mounts_app.command(name="check")
def mounts_check(*, data: Data = None, config: Config = None, json: Json = False) -> int:
    """Say of each configured mount of each group whether it is mounted, why not, and what it shows; mounts nothing."""
    from turnkeel.cli.mounts import check as command

    return command(data, config=config, json=json)
