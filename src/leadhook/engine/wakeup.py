"""A flag that one task sleeps on; set while nobody sleeps, it is not forgotten."""

import math

import anyio


class Wakeup:
    """Level-triggered: the sleeper looks at the world again, it is not told what happened."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake the sleeper, now or when it next wants to sleep."""
        self._event.set()

    async def wait(self, seconds: float = math.inf) -> None:
        """Sleep until set, at most so long; the flag is down afterwards."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
