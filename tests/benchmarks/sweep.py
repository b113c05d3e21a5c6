"""What does a pass over many sessions cost? `python tests/benchmarks/sweep.py [SESSIONS] [ROUNDS]`

Microseconds per session, median of the rounds. In each round every variant walks all folders once, one after the other,
so that a noisy machine is noisy for all of them; the ratios are what counts.

    stat     bare os.stat of the three files: the least that any look can cost
    scan     what the host does for a session that did not change: the signature, compared
    pass     a full pass: facts read, snapshot built, plan made, next change computed
    naive    open both files, ask the same four questions, close: no plan
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("core", "adapters", "shell")]

import apsw

from turnkeel_adapters.sessions.container_side import ContainerFiles
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree
from turnkeel_core import NoContainer, StuckSnapshot, SweepSnapshot, plan_sweep

QUESTIONS = (
    ("inbound.db", "SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger = 1"),
    ("outbound.db", "SELECT message_id, status_changed FROM processing_ack WHERE status = 'processing'"),
    ("outbound.db", "SELECT message_id FROM processing_ack WHERE status IN ('completed', 'failed')"),
    ("outbound.db", "SELECT current_tool, tool_declared_timeout_ms FROM container_state"),
)


def main() -> None:
    sessions, rounds = (int(text) for text in (*sys.argv[1:], "1000", "5")[:2])
    print(f"{sessions} sessions, {rounds} rounds, us per session (ratio to stat)\n")
    print(f"{'folders':<10}{'stat':>9}{'scan':>18}{'pass':>18}{'naive':>18}")
    for name, busy in (("idle", 0), ("1 % busy", sessions // 100), ("all busy", sessions)):
        root = Path(tempfile.mkdtemp(prefix="turnkeel-bench-"))
        try:
            stores = build(root, sessions, busy)
            print(row(name, measure(stores, rounds)))
        finally:
            shutil.rmtree(root)


def build(root: Path, sessions: int, busy: int) -> list[FileSessionStore]:
    tree, stores = SessionTree(root), []
    template = tree.create(SessionName.parse("template"))
    for number in range(sessions):
        folder = template.parent / f"s{number:05d}"
        shutil.copytree(template, folder)
        stores.append(FileSessionStore(folder))
    shutil.rmtree(template)
    now_ms = time.time_ns() // 1_000_000
    for store in stores[:busy]:
        for message in ("m1", "m2"):
            store.insert(NewMessage(message_id=message, content='{"text": "hello"}'), now_ms)
        with closing(ContainerFiles(store.folder)) as container:
            container.claim_next(now_ms, True)
            container.touch_heartbeat()
    return stores


def measure(stores: list[FileSessionStore], rounds: int) -> dict[str, float]:
    known = {store.folder: store.signature() for store in stores}
    variants = {
        "stat": lambda store: [os.stat(store.folder / name) for name in ("inbound.db", "outbound.db")],
        "scan": lambda store: store.signature() == known[store.folder],
        "pass": one_pass,
        "naive": naive,
    }
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            begun = time.perf_counter()
            for store in stores:
                variant(store)
            taken[name].append((time.perf_counter() - begun) / len(stores) * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def one_pass(store: FileSessionStore) -> None:
    now_ms = time.time_ns() // 1_000_000
    reading, files = store.read(now_ms), store.signature()
    container: StuckSnapshot | NoContainer = NoContainer()
    if reading.claims:
        container = StuckSnapshot(
            now_ms=now_ms,
            heartbeat_at_ms=files.heartbeat_at_ms,
            claims=reading.claims,
            tool=reading.tool,
            spawned_at_ms=now_ms - 1_000,
            progress_at_ms=reading.progress_at_ms,
        )
    plan_sweep(SweepSnapshot(now_ms=now_ms, messages=reading.messages, acks=reading.acks, container=container))


def naive(store: FileSessionStore) -> None:
    for name in ("inbound.db", "outbound.db"):
        with closing(apsw.Connection(str(store.folder / name), apsw.SQLITE_OPEN_READONLY)) as db:
            for file, sql in QUESTIONS:
                if file == name:
                    db.execute(sql).fetchall()


def row(name: str, taken: dict[str, float]) -> str:
    cells = "".join(f"{taken[kind]:>9.1f} ({taken[kind] / taken['stat']:>5.1f})" for kind in ("scan", "pass", "naive"))
    return f"{name:<10}{taken['stat']:>9.1f}  {cells}"


if __name__ == "__main__":
    main()
