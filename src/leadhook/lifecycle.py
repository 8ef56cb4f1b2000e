"""Starts and stops the engine with the application. The first signal starts the drain, which takes bounded time."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, Final, NoReturn, Protocol

import anyio
import structlog

from leadhook.observability import logs
from leadhook.observability.events import Event
from leadhook.observability.operator_log import operator_log
from leadhook.settings import GIVE_BACK_SEC
from leadhook.web.request_log import WebhookSum

log: structlog.stdlib.BoundLogger = structlog.get_logger()

START_FAILED: Final = 3
"""The exit code, the same as uvicorn's."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ECHO_S: Final = 0.5
"""Ctrl-C in a terminal reaches a process twice if its parent forwards it; this counts as one signal."""


class Runnable(Protocol):
    """The part of the engine that this module needs."""

    async def run(self) -> None: ...

    async def stop(self, drain_s: float) -> None:
        """Claim no more leads; return when every lead is saved or released, after `drain_s` at the latest."""


@asynccontextmanager
async def running(engine: Runnable, *, drain_s: float, give_back_s: float = GIVE_BACK_SEC) -> AsyncIterator[None]:
    """Run the engine until the block ends or the first signal arrives; then drain it.

    Args:
        engine: can be run only once.
        drain_s: how long leads in progress may take.
        give_back_s: how much longer the engine may take before it is cancelled.
    """
    stopping = anyio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(stopping.set)

    with stop_on_signal(stop):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_work, engine, stopping, drain_s, give_back_s)
            yield
            stopping.set()


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` and the previous handler at the first signal; at a later one, end by that signal.

    uvicorn ends the application's lifespan only after the last request is answered, which may take seconds.

    Args:
        stop: must only set a flag, because it can interrupt any code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first_at: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        now = time.monotonic()
        if first_at is None:
            first_at = now
            stop()
            if callable(before := previous[number]):
                before(number, frame)
        elif now - first_at > ECHO_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    previous: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


@asynccontextmanager
async def logging_to_the_end(webhook_sum: WebhookSum) -> AsyncIterator[None]:
    """Deliver all remaining log lines in bounded time when the block ends."""
    try:
        yield
    finally:
        webhook_sum.report()
        logs.finish()


@contextmanager
def reporting_a_failed_start() -> Iterator[Callable[[], None]]:
    """Log the exception that keeps the service from starting.

    Yields:
        A function to call once the service has started; a later exception is a defect.
    """
    has_started = False

    def started() -> None:
        nonlocal has_started
        has_started = True

    try:
        yield started
    except Exception as error:
        if has_started:
            log.critical(Event.EXCEPTION_UNCAUGHT, exc_info=error)
        else:
            report_failed_start(error)
        raise


def report_failed_start(error: BaseException) -> None:
    """Log the kind of the failure and its message, which can't quote a lead because none has been read yet."""
    innermost = error
    while isinstance(innermost, BaseExceptionGroup):
        innermost = innermost.exceptions[0]
    kind, reason = type(innermost).__name__, " ".join(str(innermost).split())
    log.critical(Event.START_FAILED, error=kind, reason=reason, exc_info=error)
    operator_log.start_failed(kind, reason)


def end_failed_start(error: Exception) -> NoReturn:
    """Report what kept the service from starting, and end the process, which answers requests already."""
    report_failed_start(error)
    logs.finish()
    os._exit(START_FAILED)


async def _work(engine: Runnable, stopping: anyio.Event, drain_s: float, give_back_s: float) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_run, engine)
        await stopping.wait()
        log.info(Event.SERVICE_STOPPING, drain_s=drain_s)
        with anyio.move_on_after(drain_s + give_back_s):
            await engine.stop(drain_s)
        tasks.cancel_scope.cancel()
    log.info(Event.SERVICE_STOPPED)


async def _run(engine: Runnable) -> None:
    try:
        await engine.run()
    except Exception:
        log.critical(Event.SERVICE_FAILED, exc_info=True)
        logs.finish()
        # Without the engine, the service would answer 202 and do nothing. Its leases expire.
        os._exit(1)
