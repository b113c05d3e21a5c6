"""Which arguments do several commands share?"""

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter


def _at_least_one(_: object, value: int) -> None:
    if value < 1:
        raise ValueError("Must be at least 1.")


Data: TypeAlias = Annotated[
    Path | None, Parameter(help="The data directory; default: TURNKEEL_DATA, else ./data.", show_default=False)
]
Config: TypeAlias = Annotated[Path | None, Parameter(help="The configuration, a TOML file.", show_default=False)]
Json: TypeAlias = Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")]
Limit: TypeAlias = Annotated[int, Parameter(validator=_at_least_one, help="Show at most this many.")]
Agent: TypeAlias = Annotated[
    str | None, Parameter(help="Any program: the message on stdin, the reply on stdout.", show_default=False)
]
AgentRunner: TypeAlias = Annotated[
    str | None, Parameter(help="A program that speaks the session contract itself.", show_default=False)
]
Session: TypeAlias = Annotated[str, Parameter(help="NAME or GROUP/NAME.")]
OneSession: TypeAlias = Annotated[str | None, Parameter(help="NAME or GROUP/NAME.", show_default=False)]
Every: TypeAlias = Annotated[bool, Parameter(name="--all", negative="", help="Every session, those to come as well.")]
