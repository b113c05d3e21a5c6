"""Does the process live? A thread of its own touches the heartbeat, whatever the work does."""

import threading
from collections.abc import Callable

_REPEAT_EVERY = 60


class Heartbeat:
    """Beats every `every_s` seconds until stopped or the process ends; failures go to `report` and never end it.

    It keeps beating while the work waits for a child or runs C code that lets other threads run.
    """

    def __init__(self, touch: Callable[[], None], every_s: float, report: Callable[[str], None]) -> None:
        """Beat once at once, then in the background."""
        self._touch = touch
        self._every_s = every_s
        self._report = report
        self._failures = 0
        self._stopped = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="turnkeel-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the heartbeat file stays."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._beat()

    def _beat(self) -> None:
        try:
            self._touch()
        except Exception as error:  # whatever it is, the next beat may succeed
            if self._failures % _REPEAT_EVERY == 0:
                self._report(f"the heartbeat cannot be written, the host may take this agent for dead: {error!r}")
            self._failures += 1
        else:
            if self._failures:
                self._report(f"the heartbeat can be written again, after {self._failures} failures")
            self._failures = 0
