"""Which secret values are known to a host?"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from attrs import field, frozen

from turnkeel_adapters.secrets.files import named_files, read_secret_file
from turnkeel_adapters.secrets.places import Content, policy_of, secret_places, tokens_of
from turnkeel_core import RedactPolicy, is_secret_name, secrets_of_env_file, secrets_of_environment

if TYPE_CHECKING:  # without a configuration nobody pays for what reads one
    from turnkeel_adapters.config.records import HostConfig

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DEFAULT: Final = RedactPolicy()


@frozen(kw_only=True)
class KnownSecrets:
    """The values, not shown in `repr`; `unread` names each file that could not be read, and why."""

    values: tuple[str, ...] = field(default=(), repr=False)
    unread: tuple[str, ...] = ()


def known_secrets(
    config: "HostConfig | None", environ: Mapping[str, str], data_dir: Path | None = None
) -> KnownSecrets:
    """Every secret that this host has or hands on, as it stands now.

    These are the variables of `environ` (what `pass_environment` passes on is among them), of `[agent] environment`
    and of `[container] environment` whose names are of the secret class, the tokens of channels and of the ingress, and
    what stands in the `secret_places`; each as it is, and as JSON and URLs write it. A value that is itself a JSON
    document is gone through as well. Never raises: a file that cannot be read is named in `unread`.
    """
    policy = policy_of(config, data_dir)
    given = (environ, *([] if config is None else _environments(config)))
    values = [value for variables in given for value in secrets_of_environment(variables, policy)]
    values += [environ.get(variable, "").strip() for _, variable in tokens_of(config) if variable is not None]
    unread: list[str] = []
    for place in secret_places(config, environ, data_dir):
        for path in named_files(place.pattern):
            found = read_secret_file(path)
            if found.text is not None:
                values += _values_in(found.text, place.content, policy)
            elif found.fault is not None:
                unread.append(found.fault)
            elif place.must_exist:
                unread.append(f"{path}: No such file or directory")
    nested = [inner for value in values for inner in secrets_of_credentials(value, policy)]
    known = dict.fromkeys(form for value in (*values, *nested) if value for form in _forms(value))
    return KnownSecrets(values=tuple(known), unread=tuple(dict.fromkeys(unread)))


def secrets_of_credentials(text: str, policy: RedactPolicy = _DEFAULT) -> tuple[str, ...]:
    """The texts in a JSON document whose names are of the secret class, however deep they stand.

    `accessToken` counts as `access_token`, and a text in a list has the list's name. A text that is a JSON document
    itself is gone through as well. What is no JSON holds none.
    """
    found: list[str] = []
    left: list[tuple[str, object]] = [("", _document(text))]
    while left:  # not by recursion: how deep it goes is for the file to say
        name, value = left.pop()
        if isinstance(value, dict):
            left.extend(cast("dict[str, object]", value).items())
        elif isinstance(value, list):
            left.extend((name, item) for item in cast("list[object]", value))
        elif isinstance(value, str):
            if is_secret_name("_" + _HUMP.sub("_", name), policy):
                found.append(value)
            left.append((name, _document(value)))
    return tuple(found)


def _document(text: str) -> object:
    """A JSON document that can hold others; None for anything else."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return cast(object, json.loads(text))
    except (ValueError, RecursionError):
        return None


def _environments(config: "HostConfig") -> list[dict[str, str]]:
    containers = () if config.container is None else config.container.all()
    return [dict(table.environment) for table in containers] + [dict(config.agent.environment)]


def _values_in(text: str, content: Content, policy: RedactPolicy) -> tuple[str, ...]:
    match content:
        case "env":
            return secrets_of_env_file(text, policy)
        case "json":
            return secrets_of_credentials(text, policy)
        case "secret":
            # Whatever its form: a program may read one line of it, or one value.
            return (text, text.strip(), *secrets_of_env_file(text, policy))


def _forms(value: str) -> tuple[str, ...]:
    """As it is; as it stands in the JSON that programs log, once and in a message's content; and in a URL."""
    escaped = [json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    twice = [json.dumps(text, ensure_ascii=False)[1:-1] for text in escaped]
    return (value, *escaped, *twice, *_in_urls(value))


def _in_urls(value: str) -> tuple[str, ...]:
    try:
        return tuple(quote(value, safe=safe, errors="surrogateescape") for safe in ("", "/"))
    except UnicodeEncodeError:
        return ()  # no URL can hold it
