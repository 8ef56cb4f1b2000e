"""Sinks for log lines. Each has a bounded queue and a thread, so logging never blocks and no sink delays another."""

import contextlib
import os
import queue
import select
import stat
import threading
import time
from abc import abstractmethod
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from leadhook.observability.events import Event

MOST_LINES: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024
LARGEST_FILE: Final = 10 * 1024 * 1024
KEPT_FILES: Final = 5
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
DROPS_AGAIN_S: Final = 1.0
"""Interval between reports of drops while a slow reader causes them continuously."""
FAILURE_AGAIN_S: Final = 300.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class LineQueue(queue.Queue[bytes | None]):
    """Limits lines and bytes. New lines are dropped and counted, so that those before a problem are kept."""

    def __init__(self, most: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        # Reentrant, unlike the parent's lock: a finalizer or a signal handler may log while its thread holds the lock.
        self.mutex = threading.RLock()  # type: ignore[assignment]  # the parent declares a plain lock
        self.not_empty = threading.Condition(self.mutex)
        self.not_full = threading.Condition(self.mutex)
        self.all_tasks_done = threading.Condition(self.mutex)
        self.closed = threading.Event()
        self.dropped = 0
        self.abandoned = False
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def put_nowait(self, item: bytes | None) -> None:
        """Add the line, or count it as dropped. Never blocks or raises."""
        size = len(item or b"")
        with self.mutex:
            if self._qsize() >= self._most or self._bytes + size > self._most_bytes or self.closed.is_set():
                self.dropped += 1
            else:
                self.put(item)

    def take_more(self, most: int, most_bytes: int, linger_s: float) -> list[bytes]:
        """Return the lines after the one just taken, waiting up to `linger_s` until there are enough for a batch."""
        enough, enough_bytes = min(most, self._most // 2), min(most_bytes, self._most_bytes // 2)
        with self.not_empty:
            self.not_empty.wait_for(
                lambda: self.closed.is_set() or self._qsize() >= enough or self._bytes >= enough_bytes, linger_s
            )
            taken: list[bytes] = []
            while self.queue and self.queue[0] is not None and len(taken) < most:
                most_bytes -= len(self.queue[0])
                if most_bytes < 0:
                    break
                taken.append(self._get() or b"")
            return taken

    def lose(self, count: int) -> None:
        """Count lines that were taken and could not be delivered."""
        with self.mutex:
            if not self.abandoned:
                self.dropped += count

    def abandon(self) -> None:
        """Count every undelivered line as lost, once. The thread hangs, and no one waits for it any more."""
        with self.mutex:
            self.dropped += max(0, self.unfinished_tasks - 1)  # the end mark is not a line
            self.abandoned = True
            self.queue.clear()
            self._bytes = 0
            self.put(None)

    def close(self) -> None:
        """Accept no more lines, and end the thread after the waiting ones."""
        self.closed.set()
        self.put(None)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is delivered, at most this long."""
        with self.all_tasks_done:
            return self.all_tasks_done.wait_for(lambda: not self.unfinished_tasks, timeout_s)

    def _put(self, item: bytes | None) -> None:
        super()._put(item)
        self._bytes += len(item or b"")

    def _get(self) -> bytes | None:
        item = super()._get()
        self._bytes -= len(item or b"")
        return item


class Sink(QueueListener):
    """A queue and the thread that delivers its lines, in order.

    Subclasses call `start` at the end of their constructor.
    """

    most_lines = 1000
    most_bytes = 64 * 1024
    linger_s = 0.0

    def __init__(self, name: str, lines: LineQueue | None = None) -> None:
        self.name: Final = name
        self.lines: Final = LineQueue() if lines is None else lines  # an empty one may be false
        super().__init__(self.lines)
        self.trouble: str | None = None
        """Why it accepts no lines now."""
        self._failing_since: float | None = None
        self._failure_reported_at = 0.0
        self._drops_reported = 0
        self._drops_reported_at = -DROPS_AGAIN_S

    @abstractmethod
    def deliver(self, batch: list[bytes]) -> None:
        """Deliver the lines, or count them as lost once the queue is closed."""

    def start(self) -> None:
        super().start()
        assert self._thread is not None  # noqa: S101 - for mypy
        self._thread.name = f"leadhook-{self.name}"

    @property
    def dropped(self) -> int:
        return self.lines.dropped

    def put(self, line: str) -> None:
        self.lines.put_nowait(line.encode("utf-8", "backslashreplace"))

    def flush(self, timeout_s: float) -> bool:
        return self.lines.flush(timeout_s)

    @abstractmethod
    def release(self) -> None:
        """Close the destination. The thread calls this last."""

    def dequeue(self, block: bool) -> Any:  # noqa: FBT001 - as the parent has it
        line: Any = super().dequeue(block)
        if line is None:
            self.release()
        return line

    def handle(self, record: Any) -> None:
        """Deliver this line and those after it."""
        batch = [record, *self.lines.take_more(self.most_lines - 1, self.most_bytes - len(record), self.linger_s)]
        if self.trouble is None:
            self._report_drops(DROPS_AGAIN_S)  # the batch has left room for the line that reports it
        self.deliver(batch)
        for _ in batch[1:]:
            self.lines.task_done()

    def close(self, timeout_s: float) -> None:
        """Deliver the remaining lines within this time, and end. A thread that hangs is abandoned: it is a daemon."""
        if self.lines.closed.is_set() or self._thread is None:
            return
        self.lines.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.lines.abandon()
        self._report_drops(0)

    def note_success(self) -> None:
        """Report the end of a failure."""
        self.trouble = None
        if self._failing_since is not None:
            log.warning(Event.LOG_RECOVERED, sink=self.name, down_s=round(time.monotonic() - self._failing_since))
            self._failing_since = None

    def note_failure(self, reason: str) -> None:
        """Report a failure when it starts, and every five minutes while it lasts."""
        self.trouble = reason
        now = time.monotonic()
        if self._failing_since is None or now - self._failure_reported_at >= FAILURE_AGAIN_S:
            self._failing_since = self._failing_since or now
            self._failure_reported_at = now
            log.error(Event.LOG_FAILED, sink=self.name, reason=reason)

    def _report_drops(self, interval_s: float) -> None:
        count, now = self.lines.dropped - self._drops_reported, time.monotonic()
        if count > 0 and now - self._drops_reported_at >= interval_s:
            self._drops_reported += count
            self._drops_reported_at = now
            log.warning(Event.LOG_DROPPED, sink=self.name, lines=count)


class Outlet(Protocol):
    """The destination of a `StreamSink`. Only the sink's thread uses it."""

    def write(self, data: bytes) -> None:
        """Write all data.

        Raises:
            OSError: not all was written; the next call with the same data continues at the byte that failed.
        """

    def close(self) -> None: ...


class StreamSink(Sink):
    """Writes lines to an outlet; a failed write is repeated until it succeeds or the sink is closed."""

    def __init__(self, name: str, outlet: Outlet, lines: LineQueue | None = None) -> None:
        super().__init__(name, lines)
        self._outlet = outlet
        self.start()

    def deliver(self, batch: list[bytes]) -> None:
        data = b"".join(line + b"\n" for line in batch)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._outlet.write(data)
            except OSError as error:
                self.note_failure(os.strerror(error.errno) if error.errno else type(error).__name__)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                if self.lines.closed.wait(pause_s):
                    return self.lines.lose(len(batch))
            else:
                return self.note_success()

    def release(self) -> None:
        self._outlet.close()


class Descriptor:
    """A separate file descriptor, such as a copy of stdout's.

    Not `sys.stdout`: the interpreter waits for its lock at exit, and a write that no one reads holds it for ever.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = bytearray()

    def write(self, data: bytes) -> None:
        self._rest = self._rest or bytearray(data)
        _write(self._descriptor, self._rest)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class RotatingFile(RotatingFileHandler):
    """A file with the standard library's rotation: `file`, then `file.1` to `file.4`; readable only by its owner.

    It is not used as a logging handler: `emit` would print a failed write to stderr and lose the line.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST_FILE, kept: int = KEPT_FILES) -> None:
        super().__init__(path, maxBytes=largest, backupCount=kept - 1, delay=True)
        self._rest = bytearray()

    def write(self, data: bytes) -> None:
        """See `Outlet`. Rotates only between two lines."""
        if not self._rest:
            size = self.stream.seek(0, os.SEEK_END) if self.stream is not None and self.stream.seekable() else 0
            if size and size + len(data) > self.maxBytes:
                self.doRollover()
            self._rest = bytearray(data)
        if self.stream is None:
            self.stream = self._open()
        _write(self.stream.fileno(), self._rest)

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return open(self.baseFilename, "a", encoding="utf-8", opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    # Another user who may write in the directory could link to a file, which would be written to and made private.
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # not /dev/null
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600)
    return descriptor


def _write(descriptor: int, rest: bytearray) -> None:
    """Write, and remove the written part from `rest`. Waits for the reader, even with a non-blocking descriptor."""
    while rest:
        try:
            del rest[: os.write(descriptor, rest)]
        except BlockingIOError:
            select.select((), (descriptor,), ())
