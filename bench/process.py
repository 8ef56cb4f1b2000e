"""What a process has used, as the kernel counts it (Linux)."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """Its user and system time since it began; threads included, children not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def postgres_cpu_ms(backend: int) -> float:
    """User and system time of the whole server that this backend belongs to, since the server began."""
    fields = {int(text.split(None, 1)[0]): text.rpartition(")")[2].split() for text in _all_stats()}
    server = int(fields[backend][1])
    alive = (sum(map(int, its[11:13])) for pid, its in fields.items() if pid == server or int(its[1]) == server)
    ended = sum(map(int, fields[server][13:15]))
    return (sum(alive) + ended) * TICK_MS


def peak_mb(pid: int) -> float:
    """The most memory that was resident at once."""
    return _status_kb(pid, "VmHWM") / 1024


def resident_mb(pid: int) -> float:
    """The memory that is resident now."""
    return _status_kb(pid, "VmRSS") / 1024


def busy_ticks() -> tuple[int, int]:
    """The machine's CPU time in use and in all."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _all_stats() -> Iterator[str]:
    """Of all processes that do not end before they are read."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield file.read_text()


def _status_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
