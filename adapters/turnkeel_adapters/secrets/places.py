"""In which files may secrets stand, and which names are none?"""

from collections.abc import Iterator, Mapping
from glob import escape, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import evolve, frozen

from turnkeel_adapters.secrets.noted import Note, read_note
from turnkeel_adapters.secrets.settings import DEFAULT_ENV_FILES, RedactConfig
from turnkeel_core import RedactPolicy

if TYPE_CHECKING:  # without a configuration nobody pays for what reads one
    from turnkeel_adapters.config.records import HostConfig

Content: TypeAlias = Literal["env", "json", "secret"]
"""Every value is a secret, those with such names are, or the whole is one."""

_CONTENTS: Final[dict[str, Content]] = {"env": "env", "json": "json", "secret": "secret"}
_USUAL: Final = RedactPolicy()


@frozen(kw_only=True)
class SecretPlace:
    """A file, or with `*` several, and what stands in it; one that must be there is missed if it is not."""

    pattern: str
    content: Content
    must_exist: bool = True


def secret_places(
    config: "HostConfig | None", environ: Mapping[str, str], data_dir: Path | None = None
) -> tuple[SecretPlace, ...]:
    """The files of `[redact]`, `secret_files`, those of the tokens, and the model's login in HOME.

    Relative ones begin at `data_dir`; without it they are left out. With it, what its host noted is added.
    """
    own = _own_places(config, environ, data_dir)
    known = {(place.pattern, place.content) for place in own}
    noted = () if data_dir is None else read_note(data_dir).places
    added = (
        SecretPlace(pattern=pattern, content=_CONTENTS[content], must_exist=False)
        for pattern, content in noted
        if (pattern, content) not in known and content in _CONTENTS
    )
    return tuple(dict.fromkeys((*own, *added)))


def note_of(config: "HostConfig", environ: Mapping[str, str], data_dir: Path) -> Note:
    """What a host notes of its configuration."""
    own = _own_places(config, environ, data_dir)
    return Note(
        places=tuple(dict.fromkeys((place.pattern, place.content) for place in own)),
        public_names=config.redact.public_names,
    )


def policy_of(config: "HostConfig | None", data_dir: Path | None = None) -> RedactPolicy:
    """Which names mean a secret, and which do not."""
    added = () if config is None else config.redact.public_names
    noted = () if data_dir is None else read_note(data_dir).public_names
    return evolve(_USUAL, public_names=tuple(dict.fromkeys((*_USUAL.public_names, *added, *noted))))


def tokens_of(config: "HostConfig | None") -> tuple[tuple[str | None, str | None], ...]:
    """(file, variable) of each token that this host sends or asks for."""
    if config is None:
        return ()
    doors = (*(settings for _, settings in config.channels), *(() if config.ingress is None else (config.ingress,)))
    return tuple(dict.fromkeys((door.token_file, door.token_env) for door in doors))


def _own_places(
    config: "HostConfig | None", environ: Mapping[str, str], data_dir: Path | None
) -> tuple[SecretPlace, ...]:
    return tuple(dict.fromkeys(_placed(_named(config, environ), data_dir)))


def _named(config: "HostConfig | None", environ: Mapping[str, str]) -> Iterator[SecretPlace]:
    redact = RedactConfig() if config is None else config.redact
    for named in redact.env_files:
        yield SecretPlace(pattern=named, content="env", must_exist=named not in DEFAULT_ENV_FILES)
    for named in redact.credential_files:
        yield SecretPlace(pattern=named, content="json")
    containers = () if config is None or config.container is None else config.container.all()
    for table in containers:
        yield from (SecretPlace(pattern=path, content="secret") for _, path in table.secret_files)
    for file, _ in tokens_of(config):
        if file is not None:
            yield SecretPlace(pattern=file, content="secret")
    home = environ.get("CLAUDE_CONFIG_DIR") or (f"{environ['HOME']}/.claude" if environ.get("HOME") else None)
    if home is not None:
        yield SecretPlace(pattern=f"{home}/.credentials.json", content="json", must_exist=False)


def _placed(places: Iterator[SecretPlace], data_dir: Path | None) -> Iterator[SecretPlace]:
    for place in places:
        if place.pattern.startswith("/"):
            yield place
        elif data_dir is not None:
            begin = str(data_dir.absolute())
            yield evolve(place, pattern=f"{escape(begin) if has_magic(place.pattern) else begin}/{place.pattern}")
