"""By which door do messages come in over the network, and who may knock?"""

import ipaddress
import re
from typing import Final

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, instance_of, optional

from turnkeel_adapters.channels.settings import is_loopback, is_path, is_variable

_LISTEN: Final = re.compile(r"(?P<host>[0-9.]{7,15}|localhost|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>0|[1-9][0-9]{0,4})")
_LAST_PORT: Final = 65_535


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def listen_address(text: str) -> tuple[str, int] | None:
    """(address, port) of `127.0.0.1:8790`, `[::1]:8790` or `localhost:8790`; None for any other text."""
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > _LAST_PORT:
        return None
    host = "127.0.0.1" if found["host"] == "localhost" else found["host"].strip("[]")
    try:
        return str(ipaddress.ip_address(host)), int(found["port"])
    except ValueError:
        return None


def _is_listen(_: object, attribute: "Attribute[str]", value: str) -> None:
    if listen_address(value) is None:
        raise ValueError(f"'{attribute.name}' must be ADDRESS:PORT, as in 127.0.0.1:8790, not {value[:80]!r}")


@frozen(kw_only=True)
class IngressConfig:
    """Table `[ingress]`: messages come in over HTTP, from whoever knows the token."""

    listen: str = field(
        default="127.0.0.1:8790", validator=(instance_of(str), _is_listen), metadata=_why("this machine alone")
    )
    token_file: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_path)),
        metadata=_why("a file with mode 0600 holds the token; without a token nothing listens"),
    )
    token_env: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_variable)),
        metadata=_why("or a variable of the host does; no agent gets it unless it is passed on by name"),
    )
    allow_remote: bool = field(
        default=False,
        validator=instance_of(bool),
        metadata=_why("there is no TLS here: let a proxy listen for other machines"),
    )
    max_body_bytes: int = field(
        default=1_048_576, validator=(instance_of(int), ge(1)), metadata=_why("texts and references, as in a turn")
    )
    max_connections: int = field(
        default=64, validator=(instance_of(int), ge(1)), metadata=_why("more at once are told to come again")
    )
    read_timeout_ms: int = field(
        default=10_000, validator=(instance_of(int), ge(100)), metadata=_why("who sends slower keeps others out")
    )

    def __attrs_post_init__(self) -> None:
        problems: list[str] = []
        if (self.token_file is None) == (self.token_env is None):
            problems.append("needs token_file or token_env, one of them: without a token nothing listens")
        place = listen_address(self.listen)
        if place is not None and not is_loopback(place[0]) and not self.allow_remote:
            problems.append("listen is open to other machines; set allow_remote = true if that is meant")
        if problems:
            raise ValueError("; ".join(problems))
