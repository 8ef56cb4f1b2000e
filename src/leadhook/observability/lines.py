"""A bounded queue between all who log and the one thread that writes: to put a line never waits for a reader."""

import threading
import time
from collections import deque
from typing import Final

MOST_LINES: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024


class Lines:
    """What finds no room is dropped and counted: the newest, so that what led to the trouble is kept."""

    def __init__(self, most: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        # The condition's lock is reentrant: a signal handler may log while its own thread is in here.
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._in_flight = 0
        self._closed = False
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + self._in_flight

    @property
    def dropped(self) -> int:
        """Since the start."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """Whether the writer is to end."""
        return self._closed

    def put(self, line: bytes) -> bool:
        """Leave a line to the writer; False when there was no room."""
        with self._changed:
            if len(self._waiting) >= self._most or self._waiting_bytes + len(line) > self._most_bytes or self._closed:
                self._dropped += 1
                return False
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()
            return True

    def take(self, most: int, most_bytes: int, linger_s: float = 0.0) -> list[bytes]:
        """The oldest lines, once there are any; what was taken before counts as done.

        Args:
            most: lines.
            most_bytes: in sum, unless a single line is longer.
            linger_s: how long to wait for more, after the first one, while the queue is not half full.

        Returns:
            Nothing once the queue is closed and empty.
        """
        with self._changed:
            self._in_flight = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            enough, enough_bytes = min(most, self._most // 2), min(most_bytes, self._most_bytes // 2)
            self._changed.wait_for(
                lambda: self._closed or len(self._waiting) >= enough or self._waiting_bytes >= enough_bytes, linger_s
            )
            taken: list[bytes] = []
            size = 0
            while self._waiting and len(taken) < most and (not taken or size + len(self._waiting[0]) <= most_bytes):
                taken.append(self._waiting.popleft())
                size += len(taken[-1])
            self._waiting_bytes -= size
            self._in_flight = len(taken)
            return taken

    def lose(self, count: int) -> None:
        """Count lines that were taken and could not be written."""
        with self._changed:
            self._dropped += count

    def close(self) -> None:
        """Take no more, and wake the writer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_until_closed(self, seconds: float) -> bool:
        """A pause of the writer that `close` cuts short."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, so long at the most."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            return self._changed.wait_for(lambda: len(self) == 0, max(0.0, deadline - time.monotonic()))
