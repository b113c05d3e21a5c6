"""How does a person watch the demo on a terminal? A table that stays in its place."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table
from rich.text import Text

from turnkeel.cli.output import flat
from turnkeel.lab.board import Board, Standing

_REFRESHES_A_SECOND = 8
_COLOURS = {"running": "green", "stopping": "red", "faulty": "red", "fenced": "red", "done": "dim", "ended": "yellow"}


@contextmanager
def watched(board: Board) -> Iterator[None]:
    """Show the board on the terminal for the length of the block; its last state stays there."""
    with Live(get_renderable=lambda: render(board.standings()), refresh_per_second=_REFRESHES_A_SECOND):
        yield


def render(standings: tuple[Standing, ...]) -> Table:
    """One line per session."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("session", "state", "container", "answered", "failed"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("container", "answered", "failed") else "left")
    table.add_column("last event", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in standings:
        of = one.role.messages
        table.add_row(
            one.role.name,
            Text(one.state, style=_COLOURS.get(one.state, "yellow" if one.state.startswith("waits") else "")),
            str(one.incarnation or "-"),
            f"{one.answered}/{of}" if of else "-",
            Text(str(one.failed or "-"), style="red" if one.failed else ""),
            Text(flat(one.last or one.role.plot), style="" if one.last else "dim"),
        )
    return table
