"""Which turn or row is meant by an id that a person has?"""

from typing import Final

from attrs import frozen

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.reading import Reading, patiently
from turnkeel_adapters.lifecycle.listing import Listing
from turnkeel_core.turn_identity import encode_parts

_NAMED: Final = 10


@frozen(kw_only=True)
class Found:
    """A turn, or a row of nobody's turn, by its full id."""

    turn_id: str | None = None
    row_id: str | None = None


def find_exactly(listing: Listing, reading: Reading, asked: str) -> Found | None:
    """By the full id of a turn, of a row, or of a reply in its container's own words; None if there is none.

    CommandFailed if containers of several sessions gave it to replies.
    """
    if listing.tables.turns.get(asked) is not None:
        return Found(turn_id=asked)
    if listing.tables.outbox.get(asked) is not None:
        return _of_row(listing, asked)
    names = sorted({*reading.names, *patiently(reading.state.registry.known)})
    sources = {name: encode_parts(name, asked) for name in names}
    rows = {name: row for name, source in sources.items() if (row := listing.tables.outbox.by_source(source))}
    if len(rows) > 1:
        told = ", ".join(f"row {row.row_id} of {name}" for name, row in list(rows.items())[:_NAMED])
        raise CommandFailed(f"{asked} is a reply in several sessions: {told}; ask for one of these rows")
    return next((_of_row(listing, row.row_id) for row in rows.values()), None)


def find_by_beginning(listing: Listing, asked: str) -> Found | None:
    """The only turn, row or reply whose id begins like this; None if there is none, CommandFailed if several."""
    turns, rows = listing.turns_named(asked, _NAMED + 1), listing.rows_named(asked, _NAMED + 1)
    replies = () if turns or rows else tuple(row for row in listing.rows_from(f":{asked}", _NAMED + 1))
    found = {_of_row(listing, row_id) for row_id in (*rows, *replies)} | {Found(turn_id=name) for name in turns}
    if len(found) > 1:
        told = ", ".join(sorted(one.turn_id or one.row_id or "" for one in found)[:_NAMED])
        raise CommandFailed(f"{asked} may be {told}{' ...' if len(found) > _NAMED else ''}: write more of the id")
    return next(iter(found), None)


def _of_row(listing: Listing, row_id: str) -> Found:
    row = listing.tables.outbox.get(row_id)
    return Found(row_id=row_id) if row is None or row.turn_id is None else Found(turn_id=row.turn_id)
