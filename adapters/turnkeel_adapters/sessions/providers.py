"""What can a provider of conversations be called?"""

import re
from typing import Final

from turnkeel_adapters.errors import AdapterError

_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class BadHandle(AdapterError, ValueError):
    """A provider's name or a handle cannot be one; the text says why."""


def provider_key(name: str) -> str:
    """The name as it stands in the keys, in lower case; raises BadHandle."""
    lowered = name.lower()
    if _PROVIDER.fullmatch(lowered) is None:
        raise BadHandle(f"provider {name[:80]!r}: write 1 to 64 letters, digits, '.', '_' or '-'")
    return lowered
