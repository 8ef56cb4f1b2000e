"""Gathers leads for one call: a lead may not cost calls, and a lone lead may not wait."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from leadhook.engine.leases import Lease
from leadhook.engine.timing import Wakeup


@dataclass(frozen=True)
class _Entry:
    lease: Lease
    ready_at: float
    """Not sent earlier."""
    flush_at: float
    """Not sent later, except behind the call in flight."""


class Batches:
    """One call in flight; what gathers meanwhile goes next."""

    def __init__(
        self,
        send: Callable[[list[Lease]], Awaitable[None]],
        *,
        gather_s: float,
        largest: int,
        none_will_join: Callable[[], bool],
    ) -> None:
        self._send = send
        self._gather_s = gather_s
        self._most = largest
        self._largest = largest
        self._none_will_join = none_will_join
        self._waiting: list[_Entry] = []
        self._wakeup = Wakeup()

    def put(self, lease: Lease) -> None:
        """Send it with the next batch."""
        now = anyio.current_time()
        self._waiting.append(_Entry(lease, now, now + self._gather_s))
        self._wakeup.set()

    def put_back(self, lease: Lease, after_s: float = 0.0) -> None:
        """Send it again, no sooner than that, and then at once."""
        at = anyio.current_time() + after_s
        self._waiting.append(_Entry(lease, at, at))
        self._wakeup.set()

    def shrink(self, sent: int) -> int:
        """A call with so many leads took too long: from now on a quarter of them at the most, which is returned."""
        self._largest = max(1, sent // 4)
        return self._largest

    def enlarge(self, sent: int) -> None:
        """A call with so many leads was quick: twice as many may go."""
        if sent >= self._largest:
            self._largest = min(self._most, self._largest * 2)

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            wait_s = self._wait_s()
            if wait_s > 0:
                await self._wakeup.wait(wait_s)
            else:
                await self._send(self._take())

    def _wait_s(self) -> float:
        now = anyio.current_time()
        ready = [entry for entry in self._waiting if entry.ready_at <= now]
        if len(ready) >= self._largest or (ready and self._none_will_join()):
            return 0.0
        return min((entry.flush_at for entry in self._waiting), default=math.inf) - now

    def _take(self) -> list[Lease]:
        now = anyio.current_time()
        taken = [entry for entry in self._waiting if entry.ready_at <= now][: self._largest]
        self._waiting = [entry for entry in self._waiting if entry not in taken]
        return [entry.lease for entry in taken]
