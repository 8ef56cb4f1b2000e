"""One thread that writes lines to one outlet; whatever happens to the outlet, nobody else waits for it."""

import os
import threading
import time
from typing import Final

import structlog

from leadhook.observability.events import Event
from leadhook.observability.lines import Lines
from leadhook.observability.outlets import Outlet

LARGEST_WRITE: Final = 64 * 1024
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
TELL_AGAIN_S: Final = 1.0
"""How often drops are told of while a slow reader makes them all the time."""
FAILURE_AGAIN_S: Final = 300.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Sink:
    """Lines in, bytes out, in order. An outlet that fails is tried again with the very bytes that it did not take."""

    def __init__(self, name: str, outlet: Outlet, lines: Lines | None = None) -> None:
        """Start the thread.

        Args:
            name: for metrics and events.
            outlet: used by the thread alone.
            lines: the queue.
        """
        self.name = name
        self.lines = Lines() if lines is None else lines  # an empty one is false
        self._outlet = outlet
        self._told = 0
        self._told_at = -TELL_AGAIN_S
        self._failure_told_at = -FAILURE_AGAIN_S
        self.trouble: str | None = None
        """Why the outlet takes nothing, while it does not."""
        self._thread = threading.Thread(target=self._run, name=f"leadhook-{name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start."""
        return self.lines.dropped

    def put(self, line: str) -> None:
        """Leave a line to the thread."""
        self.lines.put(line.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, so long at the most."""
        return self.lines.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Write what is left in that time, and end; a thread that hangs in a write is left alone."""
        self.lines.close()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while batch := self.lines.take(1000, LARGEST_WRITE):
            if self.trouble is None:
                # Now that some were taken there is room for the line that tells of it.
                self._tell_of_drops()
            if not self._write(b"".join(batch)):
                self.lines.lose(len(batch))
        self._outlet.close()

    def _write(self, data: bytes) -> bool:
        left = memoryview(data)
        failures = 0
        while left:
            try:
                left = left[self._outlet.write(left) :]
            except OSError as error:
                self._note_failure(error)
                failures += 1
                if self.lines.wait_until_closed(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))):
                    return False
        self.trouble = None
        return True

    def _note_failure(self, error: OSError) -> None:
        self.trouble = os.strerror(error.errno) if error.errno else type(error).__name__
        if (now := time.monotonic()) - self._failure_told_at >= FAILURE_AGAIN_S:
            self._failure_told_at = now
            log.error(Event.LOG_FAILED, sink=self.name, reason=self.trouble)

    def _tell_of_drops(self) -> None:
        """Once lines are written again."""
        dropped, now = self.lines.dropped, time.monotonic()
        if dropped > self._told and now - self._told_at >= TELL_AGAIN_S:
            self._told_at = now
            log.warning(Event.LOG_DROPPED, sink=self.name, lines=dropped - self._told)
            self._told = dropped
