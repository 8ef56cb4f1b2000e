"""What stands behind the log may be full, slow or gone: nothing else waits for it, and what is lost is counted."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.conftest import poll

from leadhook.observability.sinks import LineQueue, RotatingFile, StreamSink


class FullDisk:
    """Takes a few bytes at a time, and for a while none."""

    def __init__(self) -> None:
        self.written = self.rest = b""
        self.full = threading.Event()

    def write(self, data: bytes) -> None:
        self.rest = self.rest or data
        while self.rest:
            if self.full.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written, self.rest = self.written + self.rest[:7], self.rest[7:]

    def close(self) -> None:
        """Close."""


def test_a_full_disk_costs_no_line_and_no_half_of_one() -> None:
    """Writing resumes at the very byte where it failed; the fault is shown while it lasts."""
    disk = FullDisk()
    with capture_logs() as lines:
        sink = StreamSink("stdout", disk)
        sink.put("before")
        assert sink.flush(10)
        disk.full.set()
        sink.put("during")
        poll(lambda: sink.trouble == "No space left on device")
        disk.full.clear()
        assert sink.flush(10)
        sink.close(5)

    assert disk.written == b"before\nduring\n"
    assert sink.trouble is None
    assert [(each["event"], each.get("reason")) for each in lines] == [
        ("log.failed", "No space left on device"),
        ("log.recovered", None),
    ]


@pytest.mark.parametrize(("size", "fit"), [(1, 10_000), (1024 * 1024, 8)])
def test_the_queue_holds_10000_lines_or_8_mb(size: int, fit: int) -> None:
    """Unless set otherwise; memory is bounded while no one reads."""
    lines = LineQueue()
    line = b"x" * size
    for _ in range(fit + 1):
        lines.put_nowait(line)
    assert (lines.qsize(), lines.dropped) == (fit, 1)


def test_lines_beyond_the_limit_are_counted_and_reported() -> None:
    disk = FullDisk()
    disk.full.set()
    with capture_logs() as lines:
        sink = StreamSink("stdout", disk, LineQueue(most=10, most_bytes=1000))
        sink.put("first")
        poll(lambda: sink.trouble is not None)
        for number in range(25):
            sink.put(str(number))
        sink.put("x" * 2000)
        assert sink.dropped == 16
        disk.full.clear()
        assert sink.flush(10)
        sink.put("later")
        assert sink.flush(10)
        sink.close(5)

    assert disk.written.split() == [b"first", *[str(number).encode() for number in range(10)], b"later"]
    assert [(each["sink"], each["lines"]) for each in lines if each["event"] == "log.dropped"] == [("stdout", 16)]


def test_an_outlet_that_fails_for_good_is_let_go_at_the_end() -> None:
    disk = FullDisk()
    disk.full.set()
    with capture_logs():
        sink = StreamSink("stdout", disk)
        sink.put("a")
        sink.put("b")
        poll(lambda: sink.trouble is not None)
        sink.close(5)
        poll(lambda: sink.dropped == 2)


def test_an_outlet_that_hangs_is_left_alone_and_closed_by_its_thread() -> None:
    """Its lines are counted as lost once, also when the write ends after all."""
    hanging, free, closed = threading.Event(), threading.Event(), threading.Event()

    class Hanging:
        def write(self, data: bytes) -> None:
            hanging.set()
            free.wait(30)
            raise OSError(errno.ENOSPC, data.decode())

        def close(self) -> None:
            closed.set()

    with capture_logs() as lines:
        sink = StreamSink("stdout", Hanging())
        sink.put("a")
        assert hanging.wait(30)
        sink.put("b")
        sink.close(0.05)
        assert (sink.dropped, closed.is_set()) == (2, False)
        free.set()
        assert closed.wait(30)

    assert sink.dropped == 2
    assert [each["lines"] for each in lines if each["event"] == "log.dropped"] == [2]


def test_a_file_is_its_owners_alone_and_rotates_between_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "processing.log"
    path.parent.mkdir()
    path.touch(0o666)
    file = RotatingFile(path, largest=100, kept=3)
    before = os.umask(0)
    try:
        for number in range(50):
            line = f"{number:03d} {'x' * 25}\n".encode()
            file.write(line)
    finally:
        os.umask(before)
        file.close()
    files = sorted(path.parent.iterdir())

    assert [each.name for each in files] == ["processing.log", "processing.log.1", "processing.log.2"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert all(each.stat().st_size <= 100 for each in files)
    kept = b"".join(each.read_bytes() for each in reversed(files)).decode().splitlines()
    assert [line[:3] for line in kept] == [f"{number:03d}" for number in range(50 - len(kept), 50)]


def test_a_file_that_is_there_is_appended_to_after_a_restart(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        file = RotatingFile(tmp_path / "new" / "log")
        file.write(text)
        file.close()

    assert (tmp_path / "new" / "log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("path", ["/proc/nowhere/log", "/dev/null/log", "/"])
def test_a_file_that_cannot_be_opened_is_reported(path: str) -> None:
    with capture_logs() as lines:
        sink = StreamSink("operator_file", RotatingFile(Path(path)))
        sink.put("a")
        poll(lambda: bool(lines))
        sink.close(5)

    assert lines[0]["event"] == "log.failed"
    assert lines[0]["sink"] == "operator_file"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Its target is neither written to nor made private."""
    target, link = tmp_path / "target", tmp_path / "operator.log"
    target.write_text("of someone else\n")
    target.chmod(0o644)
    link.symlink_to(target)
    file = RotatingFile(link)
    with pytest.raises(OSError, match="symbolic link"):
        file.write(b"a line\n")
    file.close()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("of someone else\n", 0o644)
