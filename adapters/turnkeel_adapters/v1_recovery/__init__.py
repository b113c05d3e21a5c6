"""How are interrupted messages of a v1 host handed on again? (B-02)

Opt-in: a host imports this and passes a policy with `enabled=True`, or nothing happens. Detection
(`turnkeel_adapters.v1_messages`) works without it and never imports it.
"""

from turnkeel_adapters.v1_recovery.recover import HandOn, finish_without_reply, get_unmarked_messages, recover

__all__ = ["HandOn", "finish_without_reply", "get_unmarked_messages", "recover"]
