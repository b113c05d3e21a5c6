"""`turnkeel` and `python -m turnkeel`."""

import sys


def main() -> int:
    """Run the command line; without the extra `cli` say how to get it."""
    try:
        from turnkeel.cli.app import run_command_line
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"cyclopts", "rich", "structlog"}:
            raise
        print(f"turnkeel: the command line needs {error.name}: pip install 'turnkeel[cli]'", file=sys.stderr)
        return 2
    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
