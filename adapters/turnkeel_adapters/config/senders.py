"""Where is the list of those who may start an agent?"""

from attrs import field, frozen
from attrs.validators import and_, instance_of, optional

from turnkeel_adapters.channels.settings import is_path


@frozen(kw_only=True)
class SendersConfig:
    """Table `[senders]`: which of those who write to an agent may start it."""

    file: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_path)),
        metadata={"reason": "unset: everybody may whom a channel lets write; name a file that no agent can change"},
    )
