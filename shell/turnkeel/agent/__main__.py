"""What does `python -m turnkeel.agent` do? It starts `agent exec` without the rest of the command line, and so fast."""

import sys
from collections.abc import Sequence

from turnkeel.agent.exec import exec_main

_USAGE = "usage: python -m turnkeel.agent exec [OPTIONS] -- CMD [ARG...]"


def main(argv: Sequence[str]) -> int:
    """Run the named command; returns the exit code."""
    if argv[:1] == ["exec"]:
        return exec_main(argv[1:])
    print(_USAGE, file=sys.stdout if argv[:1] in (["-h"], ["--help"]) else sys.stderr)
    return 0 if argv[:1] in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
