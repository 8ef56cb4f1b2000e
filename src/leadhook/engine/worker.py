"""Claims leads whenever there is a reason and a slot, and starts a task for each."""

import math
from collections.abc import Callable

import anyio

from leadhook.domain.job import Batch
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import CircuitBreaker
from leadhook.engine.claims import Claims
from leadhook.engine.doorbell import Doorbell
from leadhook.engine.leases import Lease, Leases
from leadhook.engine.schedule import NextClaim, Schedule
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.timing import Timing, Wakeup
from leadhook.observability import metrics


class Worker:
    """The loop that brings leads to this process."""

    def __init__(
        self,
        *,
        claims: Claims,
        start: Callable[[Lease], None],
        wakeup: Wakeup,
        bell: Doorbell,
        leases: Leases,
        schedule: Schedule,
        shutdown: Shutdown,
        breaker: CircuitBreaker,
        keys: KeyPool,
        timing: Timing,
    ) -> None:
        self._claims = claims
        self._start = start
        self._wakeup = wakeup
        self._bell = bell
        self._leases = leases
        self._schedule = schedule
        self._shutdown = shutdown
        self._breaker = breaker
        self._keys = keys
        self._timing = timing
        self._gathered_at: float | None = None

    async def run(self) -> None:
        """Claim until a shutdown begins."""
        while not self._shutdown.begun:
            occasion = self._next_occasion()
            wait_s = self._wait_s(occasion)
            if wait_s > 0:
                await self._wakeup.wait(wait_s)
            else:
                await self._claim(occasion)

    def _next_occasion(self) -> NextClaim:
        free = self._leases.free
        unanswered = self._claims.unanswered
        if unanswered:
            return NextClaim(self._schedule.not_before, unanswered, free)
        return self._schedule.next(rung=self._bell.rung, free=free, slow_room=self._leases.slow_room)

    def _wait_s(self, occasion: NextClaim) -> float:
        """How long to wait for the time, for a slot, and for more slots to share the call."""
        now = anyio.current_time()
        at = max(occasion.at, self._breaker.next_probe_at) if self._breaker.open else occasion.at
        if occasion.slots <= 0 or at > now:
            self._gathered_at = None
            return math.inf if occasion.slots <= 0 else at - now
        if occasion.slots >= min(math.ceil(self._leases.slots / 4), self._timing.enough_slots):
            return 0.0
        if self._gathered_at is None:
            self._gathered_at = now + self._timing.gather_slots_s
        return self._gathered_at - now

    async def _claim(self, occasion: NextClaim) -> None:
        self._gathered_at = None
        trying = self._breaker.open
        limit = 1 if trying else min(self._leases.free, self._timing.largest_claim)
        sent_at = anyio.current_time()
        with self._leases.promised(limit):
            batch = await self._claims.send(occasion.cause, limit=limit, slow_limit=min(limit, self._leases.slow_room))
        if batch is None:
            return
        if trying and batch.leads:
            self._breaker.probed()
        self._take(batch, sent_at, tried=1 if trying else 0)

    def _take(self, batch: Batch, sent_at: float, *, tried: int) -> None:
        if batch.leads:
            self._keys.learn(batch.keys, sent_at)
            for lease in self._leases:
                # The database sees that this process claims more, hence works on what it has.
                lease.stored_called = True
        # A claim that is repeated may bring more leads than one.
        for place, lead in enumerate(batch.leads):
            lease = Lease(
                claimed=lead,
                received_at=anyio.current_time(),
                confirmed_at=sent_at,
                start_limit_s=batch.start_limit_ms / 1000,
                renew_s=batch.renew_ms / 1000,
                checkpoint=lead.paid,
                stored_checkpoint=lead.paid,
                probe=place < tried,
            )
            if self._leases.take(lease):
                metrics.CLAIMED.labels(lead.found_by or "unknown").inc()
                self._start(lease)
