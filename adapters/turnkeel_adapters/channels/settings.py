"""Where does a webhook send replies, with which token, and within which limits?

A value that cannot be meant raises ValueError or TypeError naming the field. No httpx is needed to read this.
"""

import ipaddress
import re
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, in_, instance_of, optional

from turnkeel_adapters.channels.records import Capabilities, SizeUnit, TextLimit

KEY: Final = "{key}"
"""In `ask_url`: where the key of the send stands."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_URL: Final = re.compile(r"[!-~]{1,2000}")
_LABELS: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_variable(_: object, attribute: "Attribute[str]", value: str) -> None:
    """An attrs validator: the name of an environment variable. The value is not repeated: it may be the secret."""
    if _VARIABLE.fullmatch(value) is None:
        raise ValueError(f"'{attribute.name}' must be the name of a variable")


def is_path(_: object, attribute: "Attribute[str]", value: str) -> None:
    """An attrs validator: a path from the root on, so that it means the same wherever the host was started."""
    if not value.startswith("/") or "\0" in value:
        raise ValueError(f"'{attribute.name}' must be a path that begins with /")


def _is_url(_: object, attribute: "Attribute[str]", value: str) -> None:
    # The value is not repeated: what follows the host is a secret of some services.
    problem = _url_problem(value.replace(KEY, "key"))
    if problem is not None:
        raise ValueError(f"'{attribute.name}' {problem}")


def _url_problem(url: str) -> str | None:
    if _URL.fullmatch(url) is None:
        return "must be a URL in printable ASCII without blanks"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a URL with a host and, if any, a port from 1 to 65535"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// or http://"
    if parts.hostname is None or port == 0 or _LABELS.fullmatch(parts.hostname) is None or ".." in parts.hostname:
        return "must name a host"
    if parts.username is not None or parts.password is not None:
        return "must hold no user and no password; write token_file or token_env"
    return "must have no part behind #" if "#" in url else None


@frozen(kw_only=True)
class WebhookSettings:
    """Table `[channels.NAME]`: each part of a reply is posted to `url` as JSON."""

    kind: Literal["webhook"] = field(validator=in_(("webhook",)), metadata=_why("which program takes the replies"))
    url: str = field(
        validator=(instance_of(str), _is_url), metadata=_why("where replies are posted; not shown to its end")
    )
    token_file: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_path)),
        metadata=_why("a file with mode 0600 holds the bearer token; read at each send, so that it can be changed"),
    )
    token_env: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), is_variable)),
        metadata=_why("or a variable of the host does; no agent gets it unless it is passed on by name"),
    )
    timeout_ms: int = field(
        default=15_000,
        validator=(instance_of(int), ge(100)),
        metadata=_why("the whole call, half a lease: who answers slower has hung"),
    )
    idempotent: bool = field(
        default=True,
        validator=instance_of(bool),
        metadata=_why("the server keeps Idempotency-Key and shows a reply once; false if it does not"),
    )
    ask_url: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), _is_url)),
        metadata=_why("unset: the server cannot be asked about a send; {key} stands for the send's key"),
    )
    text_limit: int | None = field(
        default=None,
        validator=optional(and_(instance_of(int), ge(16))),
        metadata=_why("unset: a reply is one part, however long"),
    )
    text_unit: SizeUnit = field(
        default="characters",
        validator=in_(("characters", "utf16", "utf8")),
        metadata=_why("what text_limit counts; chats differ"),
    )
    pace_ms: int = field(
        default=0, validator=(instance_of(int), ge(0)), metadata=_why("a server that is hurt says 429 and how long")
    )
    response_limit_bytes: int = field(
        default=65_536, validator=(instance_of(int), ge(0)), metadata=_why("an id fits; what is longer is no answer")
    )
    allow_http: bool = field(
        default=False,
        validator=instance_of(bool),
        metadata=_why("without TLS the replies and the token can be read on the way; to this machine it is allowed"),
    )

    def __attrs_post_init__(self) -> None:
        problems = [*_token_problems(self), *_transport_problems(self), *_ask_problems(self)]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def capabilities(self) -> Capabilities:
        """What a channel with these settings can do."""
        limit = None if self.text_limit is None else TextLimit(size=self.text_limit, unit=self.text_unit)
        return Capabilities(
            idempotent=self.idempotent, queryable=self.ask_url is not None, text_limit=limit, pace_ms=self.pace_ms
        )


def _token_problems(settings: WebhookSettings) -> list[str]:
    both = settings.token_file is not None and settings.token_env is not None
    return ["token_file and token_env are both given; keep one of them"] if both else []


def _transport_problems(settings: WebhookSettings) -> list[str]:
    parts = urlsplit(settings.url)
    safe = parts.scheme == "https" or settings.allow_http or is_loopback(parts.hostname or "")
    return [] if safe else ["url is http to another machine; use https, or set allow_http = true"]


def _ask_problems(settings: WebhookSettings) -> list[str]:
    if settings.ask_url is None:
        return []
    if KEY not in settings.ask_url:
        return [f"ask_url has no {KEY}, where the key of a send belongs"]
    # The token goes with the question.
    same = _origin(urlsplit(settings.ask_url.replace(KEY, "key"))) == _origin(urlsplit(settings.url))
    return [] if same else ["ask_url must have the scheme, host and port of url"]


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
