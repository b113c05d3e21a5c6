"""How long is `90s`, `5m`, `1h30m` or `2d`?"""

import re
from typing import Final

from turnkeel.cli.errors import WrongUsage

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART: Final = re.compile(r"([0-9]{1,15})(ms|min|s|m|h|d|w)")


def duration_ms(text: str) -> int:
    """The milliseconds; WrongUsage for anything that does not name its units."""
    words = text.strip().lower().replace(" ", "")
    parts = _PART.findall(words)
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise WrongUsage(f"{text[:40]!r} is no duration: write 250ms, 90s, 5m, 1h30m, 2d or 1w")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
