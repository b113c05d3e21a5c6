"""How is the outcome of the demo told? As tables and lines, from what was read back."""

from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO

from turnkeel.cli.output import flat, print_table
from turnkeel.cli.reading import Reading
from turnkeel.lab.cast import Role
from turnkeel.lab.readback import read_acts, waited
from turnkeel.lab.verdict import Aftermath, MessageEnd, closing_line


def tell(
    reading: Reading,
    cast: tuple[Role, ...],
    after: Aftermath,
    wrong: tuple[str, ...],
    *,
    notes: tuple[str, ...] = (),
    plain: bool,
) -> None:
    """Print what became of every message, what the host did and why, what is left, and what is wrong."""
    print("\nWhat became of every message (read back from the files):\n")
    print_rows(("message", "became", "its agent", "tries", "reason"), [_row(end, cast) for end in after.ends], plain)
    print("\nKills, retries and failures, with the rules that fired (read back from the journal):")
    for role in cast:
        for act in read_acts(reading, role.session):
            print(f"\n  {role.name}: {flat(act.what[0])}")
            for line in act.what[1:]:
                print(f"    then     {flat(line)}")
            for rule in act.because:
                print(f"    {flat(rule)}")
    print("\nWhat else was seen:\n")
    queued = [role.name for role in cast if not role.broken and waited(reading, role.session)]
    print(f"  waited for one of the places to run: {', '.join(queued) or 'nobody'}")
    for fault in reading.state.notes.faults():
        print(flat(f"  {fault.session} is faulty, the others went on: {fault.subject}: {fault.kind}"))
    name, size = max(after.logs, key=lambda log: log[1])
    print(f"  largest log: {size:,} bytes, of {name}")
    print(f"  processes left: {len(after.leftovers)}")
    for note in notes:
        print(f"  {note}")
    if wrong:
        print("\nWRONG:\n")
        for line in wrong:
            print(flat(f"  {line}"))
    print(f"\n{closing_line(after)}")


def _row(end: MessageEnd, cast: tuple[Role, ...]) -> tuple[str, ...]:
    plot = next(role.plot for role in cast if role.session == end.session)
    became = {"answered": "answered once", "failed": "failed visibly", "twice": "ANSWERED TWICE"}
    return (end.message_id, became.get(end.fate, end.fate.upper()), plot, str(end.tries), end.dead or "")


def print_rows(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], plain: bool) -> None:
    """A table, without colours if `plain`."""
    if not plain:
        print_table(columns, list(rows))
        return
    text = StringIO()
    with redirect_stdout(text):
        print_table(columns, list(rows))
    print(text.getvalue(), end="")
