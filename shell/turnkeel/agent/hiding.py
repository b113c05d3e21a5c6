"""What must an agent not write down of its own failures?"""

import os
from functools import cache

from turnkeel_adapters.sessions.container_side import ErrorNote
from turnkeel_core import Redactions, redact, redactions_of, secrets_of_environment


def error_note(reason: str, detail: str) -> ErrorNote:
    """The note without the secrets of this process's environment, and without what is one by its form."""
    return ErrorNote(reason=redact(reason, _known()), detail=redact(detail, _known()))


@cache
def _known() -> Redactions:
    return redactions_of(secrets_of_environment(os.environ))
