"""Why did an agent not start, and what can be done about it?"""

import errno
import os
from typing import TypeAlias

from turnkeel_adapters.runners.records import SpawnOrder

Diagnosis: TypeAlias = tuple[str, str]

_SHORTAGES: dict[int, Diagnosis] = {
    errno.EAGAIN: ("this machine allows no more processes", "raise the process limit (ulimit -u) or run fewer agents"),
    errno.EMFILE: ("this host has too many files open", "raise the limit of open files (ulimit -n)"),
    errno.ENFILE: ("this machine has too many files open", "raise the system's limit of open files"),
    errno.ENOMEM: ("this machine has no memory left", "run fewer agents, or give it more memory"),
    errno.ENOSPC: ("the disk is full", "make room on it"),
}


def diagnose(stage: str, number: int, order: SpawnOrder) -> Diagnosis:
    """(reason, advice) for a step of the start that failed with this errno."""
    if number in _SHORTAGES:
        return _SHORTAGES[number]
    if stage == "folder":
        return _about_folder(number, order)
    if stage == "program":
        return _about_program(number, order)
    if stage == "log":
        return f"the log {order.log_path} cannot be opened: {os.strerror(number)}", "check the folder it lies in"
    if stage == "run folder":
        reason = f"the folder for what runs (run_dir) cannot be used: {os.strerror(number)}"
        return reason, "check who owns it, and whether its disk can be written"
    return f"starting the guard failed at step {stage!r}: {os.strerror(number)}", "check the Python installation"


def diagnose_answer(words: list[str], order: SpawnOrder) -> Diagnosis:
    """(reason, advice) for a guard's answer that is not `started`; no words: it gave none."""
    if words[:1] == ["failed"]:
        return diagnose(words[1], int(words[2]), order)
    return "its guard gave no answer", "check the Python installation, and whether this machine is overloaded"


def find_flaw(order: SpawnOrder) -> Diagnosis | None:
    """(reason, advice) if no system could start this order; None if it can be tried."""
    if not order.argv or not order.argv[0]:
        return "the agent command is empty", "name a program"
    texts = (*order.argv, *order.environment, *order.environment.values(), order.session, str(order.folder))
    if any("\0" in text for text in texts) or any(not name or "=" in name for name in order.environment):
        advice = "no text may hold NUL, and no variable's name may be empty or hold '='"
        return "the agent's command or environment cannot be handed over", advice
    return None


def _about_folder(number: int, order: SpawnOrder) -> Diagnosis:
    folder = order.folder
    match number:
        case errno.ENOENT:
            return f"the session folder {folder} does not exist", "restore it, or close the session"
        case errno.ENOTDIR:
            return f"the session folder {folder} is not a folder", "move away the file that lies in its place"
        case errno.EACCES:
            return f"the session folder {folder} may not be entered", "give the host's user the right to enter it"
        case _:
            return f"the session folder {folder} cannot be entered: {os.strerror(number)}", "check the disk it lies on"


def _about_program(number: int, order: SpawnOrder) -> Diagnosis:
    program = order.argv[0]
    searched = order.environment.get("PATH", os.defpath)
    match number:
        case errno.ENOENT | errno.ENOTDIR if _exists(program, order):
            return f"the interpreter that {program!r} names in its first line does not exist", "correct that line"
        case errno.ENOENT | errno.ENOTDIR if os.sep in program:
            return f"the program {program!r} does not exist", "correct the agent command"
        case errno.ENOENT | errno.ENOTDIR:
            return f"no program {program!r} on the agent's PATH ({searched})", "install it, or write its full path"
        case errno.EACCES:
            return f"the program {program!r} may not be executed", "make it executable (chmod +x)"
        case errno.ENOEXEC:
            reason = f"the program {program!r} is no program this machine can run"
            return reason, "a script needs a first line like #!/bin/sh"
        case errno.E2BIG:
            return "the agent's arguments and environment are too long", "pass big texts in files"
        case _:
            return f"the program {program!r} cannot be started: {os.strerror(number)}", "correct the agent command"


def _exists(program: str, order: SpawnOrder) -> bool:
    if os.sep in program:
        return os.path.exists(os.path.join(order.folder, program))
    folders = order.environment.get("PATH", os.defpath).split(os.pathsep)
    return any(os.path.exists(os.path.join(folder, program)) for folder in folders)
