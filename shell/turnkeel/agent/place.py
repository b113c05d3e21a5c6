"""Where is this agent's session folder, and which incarnation is it?"""

from collections.abc import Mapping
from pathlib import Path

from turnkeel.agent.errors import NoSession

SESSION_DIR = "TURNKEEL_SESSION_DIR"
INCARNATION = "TURNKEEL_INCARNATION"
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
    text = environment.get(INCARNATION)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise NoSession(f"{INCARNATION} is {text[:40]!r}, not a number: it is the host's to set, do not change it")
    return int(text)
