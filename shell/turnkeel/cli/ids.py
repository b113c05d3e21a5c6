"""Which id does a new record get?"""

import secrets
import time


def new_message_id(prefix: str = "msg") -> str:
    """An id in the contract's form: `msg-<ms>-<six characters>`."""
    return f"{prefix}-{time.time_ns() // 1_000_000}-{secrets.token_hex(3)}"
