"""Where lines end up: a descriptor, or a file that is rotated by size."""

import contextlib
import os
import select
import stat
from pathlib import Path
from typing import Final, Protocol

LARGEST_FILE: Final = 10 * 1024 * 1024
KEPT_FILES: Final = 5


class Outlet(Protocol):
    """What the one writer thread of a sink writes to."""

    def write(self, data: memoryview) -> int:
        """Write as much as goes, and say how much that was.

        Raises:
            OSError: nothing was written.
        """

    def close(self) -> None:
        """Let go of it."""


class Descriptor:
    """A file descriptor of our own, e.g. a copy of stdout's.

    Not `sys.stdout`: the interpreter waits for its lock when it ends, and a writer that nobody reads holds it for ever.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: memoryview) -> int:
        """See `Outlet`; waits for the reader, also where the descriptor was set not to."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select((), (self._descriptor,), ())

    def close(self) -> None:
        """Close the copy."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class RotatingFile:
    """Readable by its owner alone; `file`, then `file.1` to `file.4`, the oldest last."""

    def __init__(self, path: Path, *, largest: int = LARGEST_FILE, kept: int = KEPT_FILES) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._descriptor: int | None = None
        self._size = 0
        self._at_line_start = True

    def write(self, data: memoryview) -> int:
        """See `Outlet`; a file is changed between two lines only."""
        if self._descriptor is not None and self._at_line_start and self._size + len(data) > self._largest:
            self._rotate()
        if self._descriptor is None:
            self._descriptor = self._open()
            self._size = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, data)
        self._size += written
        self._at_line_start = bytes(data[written - 1 : written]) == b"\n"
        return written

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # not /dev/null
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        return descriptor

    def _rotate(self) -> None:
        self.close()
        for place in range(self._kept - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{place}")
            newer = self._path if place == 1 else self._path.with_name(f"{self._path.name}.{place - 1}")
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
