"""How does a person watch the demo on a terminal? A table that stays in its place."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table
from rich.text import Text

from turnkeel.cli.output import flat
from turnkeel.lab.board import Board, Standing

_REFRESHES_A_SECOND = 8
_STATE_WIDTH = len("waits: backoff")
_COLOURS = {"running": "green", "stopping": "red", "faulty": "red", "fenced": "red", "done": "dim", "ended": "yellow"}


@contextmanager
def watched(board: Board) -> Generator[None, None, None]:
    """Show the board on the terminal for the length of the block; its last state stays there."""
    with Live(get_renderable=lambda: render(board.standings()), refresh_per_second=_REFRESHES_A_SECOND):
        yield


def render(standings: tuple[Standing, ...]) -> Table:
    """One line per session."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("session", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=_STATE_WIDTH)
    for column in ("run", "answered", "failed"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("last event", ratio=1)
    for one in standings:
        of = one.role.messages
        table.add_row(
            one.role.name,
            Text(one.shown, style=_COLOURS.get(one.shown, "yellow" if one.shown.startswith("waits") else "")),
            str(one.incarnation or "-"),
            f"{one.answered}/{of}" if of else "-",
            Text(str(one.failed or "-"), style="red" if one.failed else ""),
            # Only this column gives way on a narrow terminal, and it does so by being cut, not by growing lines.
            Text(flat(one.last or one.role.plot), style="" if one.last else "dim", no_wrap=True, overflow="ellipsis"),
        )
    return table
