"""A program that logs all the time, to good sinks and bad ones in turn, and measures how late its event loop is.

Good and bad windows alternate in one process, so that a busy machine disturbs both alike.
"""

import asyncio
import fcntl
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from leadhook.observability import logs
from leadhook.observability.sinks import LineQueue
from leadhook.settings import load_settings

TICK_S = 0.005
LINES_A_TICK = 2
TEXT = "x" * 8000
"""Long enough that ten seconds fill the 8 MB that a queue holds, and a batch in flight."""
REQUIRED = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SECRET_KEY": "visibly-fake-key"}


class Stdout:
    """All that the log wants of stdout."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False


@contextmanager
def opened(path: str) -> Iterator[Stdout]:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        yield Stdout(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def piped(bytes_a_second: int) -> Iterator[Stdout]:
    """A pipe that is read that slowly, and to its end when the block ends."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(0.1):
            if bytes_a_second:
                os.read(reader, bytes_a_second // 10)
        while os.read(reader, 1 << 20):
            pass
        os.close(reader)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield Stdout(writer)
    finally:
        ended.set()
        os.close(writer)


async def chat() -> None:
    """Log until cancelled."""
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(TICK_S)
        for _ in range(LINES_A_TICK):
            log.info("lead.finished", lead_id="lead-1", outcome="saved", score=80, text=TEXT)


async def measure(seconds: float) -> list[float]:
    """How late each tick was, in milliseconds, while another task of the loop logs."""
    late = []
    chatting = asyncio.create_task(chat())
    until = time.perf_counter() + seconds
    while (now := time.perf_counter()) < until:
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - now - TICK_S) * 1000)
    chatting.cancel()
    return late


def window(case: str, urls: dict[str, str], seconds: float) -> tuple[list[float], int]:
    """Log to such a sink for so long; how late the loop was, and how many lines were lost."""
    where, _, manner = case.partition(" ")
    env = {**REQUIRED, "LOG_SHIP": "otlp", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": urls["good"]}
    with ExitStack() as exits:
        stdout = opened("/dev/null")
        if where == "stdout":
            stdout = opened("/dev/full") if manner == "full" else piped(2_000 if manner == "slow" else 0)
        elif where == "otlp":
            env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = urls[manner]
        sys.stdout = exits.enter_context(stdout)
        logs.configure(load_settings(env))
        sinks = logs.sinks()
        late = asyncio.run(measure(seconds))
        lost = sum(sink.dropped for sink in sinks)
        logs.close()
        sys.stdout = sys.__stdout__
    return late, lost


def main(order: dict[str, object], result: Path) -> None:
    """Go through the cases, a good window before each."""
    cases, urls, seconds, rounds = order["cases"], order["urls"], order["seconds"], order["rounds"]
    assert isinstance(cases, list)
    assert isinstance(urls, dict)
    assert isinstance(seconds, float)
    assert isinstance(rounds, int)
    if not order["long"]:
        LineQueue.__init__.__defaults__ = (30, 30_000)  # full at once, and all the time
    late: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    window("good", urls, 0.2)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(rounds):
        for case in cases:
            for each in ("good", case):
                ticks, dropped = window(each, urls, seconds)
                late.setdefault(each, []).extend(ticks)
                lost[each] = lost.get(each, 0) + dropped
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    p99 = {case: sorted(ticks)[len(ticks) * 99 // 100] for case, ticks in late.items()}
    means = {case: statistics.mean(ticks) for case, ticks in late.items()}
    measured = {"p99_ms": p99, "mean_ms": means, "lost": lost, "grown_kb": grown_kb}
    result.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
