"""What does a host need of the operating system, besides files and processes?"""

from turnkeel_adapters.system.clock import Instant, SystemClock
from turnkeel_adapters.system.doorbell import DOORBELL_NAME, Doorbell, ring
from turnkeel_adapters.system.executor import InlineExecutor, ThreadExecutor
from turnkeel_adapters.system.install import INSTALL_ID_NAME, InstallIdUnreadable, install_id
from turnkeel_adapters.system.lock import LOCK_NAME, AlreadyHeld, DataLock, Holder, LockError, LockUnavailable, probe

__all__ = [
    "DOORBELL_NAME",
    "INSTALL_ID_NAME",
    "LOCK_NAME",
    "AlreadyHeld",
    "DataLock",
    "Doorbell",
    "Holder",
    "InlineExecutor",
    "InstallIdUnreadable",
    "Instant",
    "LockError",
    "LockUnavailable",
    "SystemClock",
    "ThreadExecutor",
    "install_id",
    "probe",
    "ring",
]
