"""One sender of several on one store, as a process: `python two_hosts_process.py DATA OWNER CHANNEL-JSON LEASE_MS`.

Its channel is a folder: `calls` has a line per call and per answer, `shown` a file for every message that people see.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.sender import Sender, call_workers
from turnkeel_adapters.channels import Capabilities
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_core import DeliveryPolicy, LeasePolicy, NotSent, OutboxPolicy, Receipt, Sent, SettlePolicy


class FolderChannel:
    """A chat that outlives its senders. `lasts_ms` passes between showing a message and the answer."""

    def __init__(self, folder, owner, *, idempotent=False, queryable=False, lasts_ms=0):
        self.folder, self.owner, self.lasts_ms = Path(folder), owner, lasts_ms
        self.capabilities = Capabilities(idempotent=idempotent, queryable=queryable)

    def deliver(self, dispatch, part, key):
        self._log(f"call {self.owner} {dispatch.row_id} {part.index} {key}")
        name = self.folder / "shown" / f"{dispatch.row_id}.{part.index}"
        if name.exists() and not self.capabilities.idempotent:
            name = name.with_suffix(f".again-{time.time_ns()}")
        name.write_text(part.text)
        time.sleep(self.lasts_ms / 1000)
        self._log(f"answer {self.owner} {dispatch.row_id} {part.index} {key}")
        return Sent((Receipt(part.index, name.name, time.time_ns() // 1_000_000),))

    def ask(self, part, key):
        self._log(f"ask {self.owner} {key}")
        known = f"{key}\n" in "".join(line for line in (self.folder / "calls").open() if line.startswith("call"))
        return Sent((Receipt(part.index, "asked", time.time_ns() // 1_000_000),)) if known else NotSent()

    def _log(self, line):
        handle = os.open(self.folder / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


def policies(lease_ms):
    """Short leases and waits, so that a test need not wait for real ones."""
    outbox = OutboxPolicy(lease=LeasePolicy(lease_ms=lease_ms), backoff_ms=(100,), pace_ms=0)
    return DeliveryPolicies(settle=SettlePolicy(outbox=outbox), delivery=DeliveryPolicy(fallback_ms=200))


async def send(data, owner, channel, limits, stop, made=lambda sender: None):
    """Send until told to stop."""
    database, store = StateDatabase(data / "turnkeel.db"), ThreadExecutor(4)
    calls = ThreadExecutor(call_workers({"chat": channel}, limits))
    ports = DeliveryPorts(
        clock=SystemClock(),
        executor=store,
        calls=calls,
        lifecycle=StateLifecycle(database),
        sessions=FileMailboxes(FileSessions(data)),
        channels={"chat": channel},
        owner=owner,
        alone=False,
        new_id=lambda kind: f"{kind}-{owner}",
        report=lambda event: print(owner, event, file=sys.stderr),
    )
    try:
        sender = Sender(ports, limits)
        made(sender)
        await sender.run(stop)
    finally:
        calls.close()
        store.close()
        database.close()


if __name__ == "__main__":
    data, owner, settings, lease_ms = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
    asyncio.run(send(data, owner, FolderChannel(data / "chat", owner, **settings), policies(lease_ms), asyncio.Event()))
