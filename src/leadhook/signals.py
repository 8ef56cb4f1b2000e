"""SIGTERM and SIGINT: the first one starts the drain immediately, a later one ends the process immediately."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ECHO_S: Final = 0.5
"""Ctrl-C in a terminal reaches a process twice if its parent forwards it; this counts as one signal."""


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
