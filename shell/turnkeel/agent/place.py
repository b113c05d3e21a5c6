"""Where is this agent's session folder, and which incarnation is it?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from turnkeel.agent.errors import NoSession
from turnkeel_core import LoginPolicy, OutputPolicy, ResumePolicy

SESSION_DIR = "TURNKEEL_SESSION_DIR"
INCARNATION = "TURNKEEL_INCARNATION"
OUTPUT_LIMIT = "TURNKEEL_OUTPUT_LIMIT"
ATTACHMENT_LIMIT = "TURNKEEL_ATTACHMENT_LIMIT"
RESUME_PATTERNS = "TURNKEEL_RESUME_PATTERNS"
LOGIN_PATTERNS = "TURNKEEL_LOGIN_PATTERNS"
_MOUNTED_AT = Path("/workspace")


def find_session_folder(environment: Mapping[str, str], cwd: Path, mounted_at: Path = _MOUNTED_AT) -> Path:
    """Return the folder named by TURNKEEL_SESSION_DIR, else `cwd` or /workspace if it holds an inbound.db.

    Raises NoSession.
    """
    if named := environment.get(SESSION_DIR):
        return Path(named).absolute()
    for folder in (cwd, mounted_at):
        if (folder / "inbound.db").is_file():
            return folder.absolute()
    raise NoSession(
        f"no session folder: {SESSION_DIR} is not set and neither {cwd} nor {mounted_at} holds an inbound.db; the host "
        f"sets it for its agents, so start this program with `turnkeel run --agent`, or set {SESSION_DIR} yourself"
    )


def read_incarnation(environment: Mapping[str, str]) -> int | None:
    """Return TURNKEEL_INCARNATION, None if it is not set; raises NoSession if it is no number."""
    return _number(environment, INCARNATION)


def read_limits(environment: Mapping[str, str]) -> OutputPolicy:
    """Return the limits of a reply that the host set, the defaults where it set none; raises NoSession."""
    usual = OutputPolicy()
    text, attachments = _number(environment, OUTPUT_LIMIT), _number(environment, ATTACHMENT_LIMIT)
    return OutputPolicy(
        output_limit_bytes=usual.output_limit_bytes if not text else text,
        attachment_limit_bytes=usual.attachment_limit_bytes if attachments is None else attachments,
    )


def read_resume_policy(environment: Mapping[str, str]) -> ResumePolicy:
    """Return what means a lost conversation: the usual patterns, and those that the host adds.

    Raises NoSession for what is no such setting.
    """
    usual = ResumePolicy()
    if not (text := environment.get(RESUME_PATTERNS)):
        return usual
    try:
        fields = _fields(text)
        return ResumePolicy(
            session_patterns=(*usual.session_patterns, *_texts(fields["session_patterns"])),
            anchor_patterns=(*usual.anchor_patterns, *_texts(fields["anchor_patterns"])),
            error_chars=cast(int, fields["error_chars"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoSession(f"{RESUME_PATTERNS} cannot be used ({error}): it is the host's to set") from error


def read_login_policy(environment: Mapping[str, str]) -> LoginPolicy:
    """Return what means a refused login, in the same way; raises NoSession."""
    usual = LoginPolicy()
    if not (text := environment.get(LOGIN_PATTERNS)):
        return usual
    try:
        fields = _fields(text)
        patterns = (*usual.patterns, *_texts(fields["patterns"]))
        return LoginPolicy(patterns=patterns, error_chars=cast(int, fields["error_chars"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoSession(f"{LOGIN_PATTERNS} cannot be used ({error}): it is the host's to set") from error


def _fields(text: str) -> dict[str, object]:
    said: object = json.loads(text)
    return cast("dict[str, object]", said) if isinstance(said, dict) else {}


def _texts(said: object) -> tuple[str, ...]:
    if not isinstance(said, list):
        raise TypeError("no list of patterns")
    patterns = cast("list[object]", said)
    return tuple(pattern if isinstance(pattern, str) else "" for pattern in patterns)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise NoSession(f"{name} is {text[:40]!r}, not a number: it is the host's to set, do not change it")
    return int(text)
