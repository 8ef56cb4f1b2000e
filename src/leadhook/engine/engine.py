"""Puts the parts together, and gives them a beginning and an end."""

from collections.abc import Iterable, Sequence

import anyio
import anyio.abc
import structlog

from leadhook.domain.ports import Scorer, Store
from leadhook.domain.spend import Tariff
from leadhook.engine.api_keys import SharedKeyPool
from leadhook.engine.attempt import Attempts
from leadhook.engine.circuit_breaker import CircuitBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.dispatcher import Dispatcher
from leadhook.engine.errands import Errand, Errands
from leadhook.engine.filler import Filler
from leadhook.engine.health import Health
from leadhook.engine.leases import Lease, Leases
from leadhook.engine.schedule import Schedule
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.sweeper import Sweeper
from leadhook.engine.writeback import Writeback
from leadhook.observability.events import Event

log = structlog.get_logger()


class Engine:
    """Leads in, answers out, until stopped. To be made inside the event loop and run once."""

    def __init__(
        self,
        *,
        store: Store,
        scorer: Scorer,
        max_concurrency: int,
        sweep_interval_s: float,
        worker_name: str,
        tariff: Tariff | None = None,
    ) -> None:
        context = EngineContext(store=store, scorer=scorer, worker_name=worker_name, tariff=tariff)
        self._faults = faults = context.faults
        timing = context.timing
        self._schedule = schedule = Schedule(timing, sweep_interval_s)
        self._leases = leases = Leases(context, schedule, max_concurrency)
        self._shutdown = Shutdown(timing)
        breaker = CircuitBreaker(context, schedule.wake)
        self._keys = SharedKeyPool(context)
        self._attempts = Attempts(
            scorer=scorer, shutdown=self._shutdown, breaker=breaker, keys=self._keys, tariff=tariff
        )
        self._writeback = Writeback(context, leases, schedule)
        self._sweeper = Sweeper(
            store=store,
            worker=worker_name,
            schedule=schedule,
            faults=faults,
            interval_s=sweep_interval_s,
            timing=timing,
        )
        self._filler = Filler(store=store, schedule=schedule, faults=faults, timing=timing)
        self._dispatcher = Dispatcher(context, leases, schedule, breaker, self._keys)
        self._errands = Errands(
            store=store,
            scorer=scorer,
            worker=worker_name,
            leases=leases,
            writeback=self._writeback,
            shutdown=self._shutdown,
            timing=timing,
            tariff=tariff,
        )
        self._scope = anyio.CancelScope()
        self._attempt_tasks: anyio.abc.TaskGroup | None = None
        self._started = anyio.Event()
        self._ended = anyio.Event()

    def ring(self, hints: Iterable[str] = ()) -> None:
        """Claim soon; see `WakeSignal.set`."""
        self._dispatcher.signal.set(hints)

    async def process(self, errands: Sequence[Errand]) -> None:
        """Judge these leads at once; afterwards each errand knows its answer or its trouble.

        Who waits may be cancelled: what was begun goes on and is saved.

        Raises:
            TooManyErrandsError: too many wait already.
        """
        await self._started.wait()
        if self._attempt_tasks is None or self._shutdown.begun or self._ended.is_set():
            return
        request = self._errands.admit(errands)
        self._attempt_tasks.start_soon(self._errands.run, request)
        await request.over.wait()

    def health(self) -> Health:
        """How it stands."""
        fault = self._faults.first
        running = self._attempt_tasks is not None and not self._ended.is_set()
        return Health(
            running=running,
            claiming=running and not self._shutdown.begun and not self._faults.stop_claims,
            draining=self._shutdown.begun,
            last_claim_ok_at=self._dispatcher.claims.last_ok_at,
            fault=fault.reason if fault else None,
            fault_code=fault.code if fault else None,
            since=fault.since if fault else None,
            in_flight=self._leases.working,
            held=len(self._leases),
            hints_dropped=self._dispatcher.signal.dropped,
        )

    async def run(self) -> None:
        """Work until `stop` has had its way. Cancelled, it lets go at once: the leases run out by themselves."""
        if self._shutdown.begun:
            return
        try:
            with self._scope:
                async with anyio.create_task_group() as writing:
                    writing.start_soon(self._leases.run)
                    writing.start_soon(self._keys.run)
                    writing.start_soon(self._writeback.run)
                    # The sweep is the inner group: to cancel it must not reach the attempts.
                    async with anyio.create_task_group() as self._attempt_tasks, anyio.create_task_group() as sweeping:
                        self._started.set()
                        sweeping.start_soon(self._sweeper.run)
                        sweeping.start_soon(self._filler.run)
                        await self._dispatch(self._attempt_tasks)
                        sweeping.cancel_scope.cancel()
                    while len(self._leases):
                        await self._schedule.wake.wait()
                    writing.cancel_scope.cancel()
        finally:
            self._started.set()
            self._ended.set()

    async def stop(self, drain_s: float) -> None:
        """End within this time: model calls in flight may finish if they can, the other leads are given back.

        Args:
            drain_s: what is lease afterwards is let go; its leases run out by themselves.
        """
        self._shutdown.begin(drain_s)
        if self._attempt_tasks is None:
            return
        self._schedule.wake.set()
        for lease in self._leases:
            lease.news.set()
        with anyio.move_on_after(drain_s):
            await self._ended.wait()
        if not self._ended.is_set():
            log.warning(Event.DRAIN_OVERRUN, leads=len(self._leases))
            self._scope.cancel()
            await self._ended.wait()

    async def _dispatch(self, tasks: anyio.abc.TaskGroup) -> None:
        while not self._shutdown.begun:
            for lease in await self._dispatcher.step():
                tasks.start_soon(self._attend, lease)

    async def _attend(self, lease: Lease) -> None:
        try:
            with lease.scope:
                await self._attempts.run(lease)
                self._writeback.put(lease)
        finally:
            self._leases.free_slot(lease)
