"""Which secret values are known to a host?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from attrs import field, frozen

from turnkeel_core import RedactPolicy, secrets_of_environment

if TYPE_CHECKING:  # without a configuration nobody pays for what reads one
    from turnkeel_adapters.config.records import HostConfig

SECRET_FILE_BYTES: Final = 1_048_576
"""No key is longer: what is, was put there by mistake, and looking for each of its lines costs too much."""

_TOKENS: Final = ("accessToken", "refreshToken")
_NESTED: Final = "claudeAiOauth"
_DEFAULT: Final = RedactPolicy()


@frozen(kw_only=True)
class KnownSecrets:
    """The values, not shown in `repr`; `unread` names each file that could not be read, and why."""

    values: tuple[str, ...] = field(default=(), repr=False)
    unread: tuple[str, ...] = ()


def known_secrets(
    config: "HostConfig | None", environ: Mapping[str, str], policy: RedactPolicy = _DEFAULT
) -> KnownSecrets:
    """Every secret that this host has or hands on, as it stands now; one that changes later is not known.

    These are the variables of `environ` (what `pass_environment` passes on is among them), of `[agent] environment`
    and of `[container] environment` whose names are of the secret class, the contents of `secret_files`, the tokens of
    channels and of the ingress, and those of the model's login in HOME; each as it is, and as JSON writes it. Never
    raises: a file that cannot be read is named in `unread`.
    """
    containers = () if config is None or config.container is None else config.container.all()
    given = [table.environment for table in containers] + ([] if config is None else [config.agent.environment])
    environments = (environ, *map(dict[str, str], given))
    values = [value for variables in environments for value in secrets_of_environment(variables, policy)]
    unread: list[str] = []
    for path in dict.fromkeys(path for table in containers for _, path in table.secret_files):
        values.append(_text(Path(path), unread))
    for file, variable in _tokens(config):
        token = environ.get(variable or "", "") if file is None else _text(Path(file), unread)
        values.append(token.strip())
    login = _login(environ)
    if login is not None:
        values.extend(secrets_of_credentials(_text(login, unread)))
    known = dict.fromkeys(form for value in values if value for form in (value, *_as_json(value)))
    return KnownSecrets(values=tuple(known), unread=tuple(unread))


def _tokens(config: "HostConfig | None") -> tuple[tuple[str | None, str | None], ...]:
    """(file, variable) of each token that this host sends or asks for."""
    if config is None:
        return ()
    doors = (*(settings for _, settings in config.channels), *(() if config.ingress is None else (config.ingress,)))
    return tuple(dict.fromkeys((door.token_file, door.token_env) for door in doors))


def secrets_of_credentials(text: str) -> tuple[str, ...]:
    """The tokens in the JSON text of `.claude/.credentials.json`, where they stand one level down, or at the top."""
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    top = cast("dict[str, object]", document)
    nested = top.get(_NESTED)
    levels = (top, cast("dict[str, object]", nested) if isinstance(nested, dict) else {})
    return tuple(value for level in levels for name in _TOKENS if isinstance(value := level.get(name), str))


def _as_json(value: str) -> tuple[str, str]:
    """As it stands in the JSON that programs log and that a message's content is."""
    return json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]


def _login(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("CLAUDE_CONFIG_DIR") or (f"{environ['HOME']}/.claude" if environ.get("HOME") else None)
    path = None if home is None else Path(home, ".credentials.json")
    try:
        return path if path is not None and path.is_file() else None
    except (OSError, ValueError):
        return None


def _text(path: Path, unread: list[str]) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        unread.append(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
        return ""
    if len(content) > SECRET_FILE_BYTES:
        unread.append(f"{path}: longer than {SECRET_FILE_BYTES} bytes")
        return ""
    # Bytes that are no UTF-8 stand in logs as they are: escaped alike, they are found again.
    return content.decode("utf-8", "surrogateescape")
