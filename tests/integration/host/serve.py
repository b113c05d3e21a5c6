"""A host in a process of its own: serve.py DATA CONFIG; each event is one JSON line on stderr."""

import sys
from pathlib import Path

from turnkeel.cli.errors import exit_code_of, line_of
from turnkeel.cli.host_commands import run

try:
    code = run(
        Path(sys.argv[1]), config=Path(sys.argv[2]), until_idle=sys.argv[3:] == ["until-idle"], log_format="json"
    )
except Exception as error:
    print(line_of(error), file=sys.stderr)
    sys.exit(exit_code_of(error) or 70)
sys.exit(code)
