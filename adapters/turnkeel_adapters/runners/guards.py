"""How does a guard come to work for this host: newly started, or taken over from a host that died?"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from turnkeel_adapters.runners.advice import diagnose
from turnkeel_adapters.runners.census import ContainerKey
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.guard.door import peer_of
from turnkeel_adapters.runners.guard.processes import read_process, signal_process
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, GUARD_VARIABLE, write_marker
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_adapters.runners.rundir import RunFolder

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from guard.main import run; run()"
_ANSWER_LIMIT_MS = 600


def start_guard(order: SpawnOrder, log_order: Mapping[str, object], run: RunFolder) -> GuardLink:
    """Start a guard and hand it its order; SpawnFailed. What came of it are the link's first words."""
    marker = write_marker(run.install_id, order.session, order.incarnation)
    environment = {name: value for name, value in order.environment.items() if name != GUARD_VARIABLE}
    stage = "log"
    try:
        order.log_path.parent.mkdir(parents=True, exist_ok=True)
        stage = "run folder"
        run.prepare(order.session)
        stage = "guard"
        link = _start(marker)
    except OSError as error:
        raise SpawnFailed(order.session, *diagnose(stage, error.errno or 0, order)) from error
    told = {
        "host": os.getpid(),
        "argv": order.argv,
        "environment": {**environment, AGENT_VARIABLE: marker},
        "folder": os.path.abspath(order.folder),
        "log_path": os.path.abspath(order.log_path),
        **log_order,
        **run.order((order.session, order.incarnation)),
    }
    link.say(json.dumps(told))
    return link


def take_over_guard(key: ContainerKey, run: RunFolder) -> GuardLink | None:
    """The link to a guard that an earlier host started; None if it is gone, or does not answer within 1 s."""
    connection = run.knock(key)
    if connection is None:
        return None
    pid, _ = peer_of(connection)
    line = os.fdopen(connection.detach(), "r+b", buffering=0)
    guard = read_process(pid)
    link = GuardLink(
        line,
        line,
        kill=lambda: guard is not None and signal_process(guard, signal.SIGKILL),
        reap=lambda: None,  # it is no child of this host
    )
    if link.first_words(_ANSWER_LIMIT_MS)[:1] == ["started"]:
        return link
    link.let_go()
    return None


def _start(marker: str) -> GuardLink:
    # -I -S: 25 ms to start, and nothing the session or the user has lying about is imported.
    home = str(Path(__file__).parent)
    environment = {GUARD_VARIABLE: marker}
    if "LD_LIBRARY_PATH" in os.environ:  # some Python builds find their own library by it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    return GuardLink(process.stdin, process.stdout, kill=process.kill, reap=process.wait)
