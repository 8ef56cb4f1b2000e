"""SIGTERM and SIGINT: the first one starts the drain at once, a later one ends the process at once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ECHO_S: Final = 0.5
"""Ctrl-C in a terminal reaches a process twice where its parent passes it on; that counts as one signal."""


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal, and what handled it before; at a later one die of it.

    uvicorn tells the application of a signal only after the last request is answered, which may take seconds.

    Args:
        stop: must only set something: it runs between two instructions of whatever runs.
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
