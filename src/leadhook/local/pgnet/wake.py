"""When the worker wakes."""

import asyncio
from contextlib import suppress


class Wake:
    """The real worker's flag and latch: once the flag is set, no commit sets the latch until the flag is cleared."""

    def __init__(self) -> None:
        """Awake: what was queued before the worker started is sent."""
        self._flag = True
        self._latch = asyncio.Event()

    def set(self) -> None:
        """Somebody committed."""
        if not self._flag:
            self._flag = True
            self._latch.set()

    async def cleared(self) -> None:
        """Wait until the flag is set, and clear it."""
        while not self._flag:
            await self._latch.wait()
            self._latch.clear()
        self._flag = False

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until the latch is set."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._latch.wait(), seconds)
        self._latch.clear()
