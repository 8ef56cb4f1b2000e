"""Wires the parts of the engine and runs them."""

from collections.abc import Iterable, Sequence
from typing import Final

import anyio
import anyio.abc

from leadhook.engine.api_keys import SharedKeyPool
from leadhook.engine.circuit_breaker import CircuitBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.dispatcher import Dispatcher
from leadhook.engine.executor import Executor
from leadhook.engine.health import Health
from leadhook.engine.lease import Lease
from leadhook.engine.leases import Leases
from leadhook.engine.maintenance import Maintenance
from leadhook.engine.on_demand import OnDemand, OnDemandLead
from leadhook.engine.schedule import Schedule
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.writeback import Writeback


class Engine:
    """Scores leads until it is stopped. Create it inside the event loop, and run it once."""

    def __init__(self, context: EngineContext, *, max_concurrency: int, sweep_interval_s: float) -> None:
        self._faults: Final = context.faults
        self._observer: Final = context.observer
        self._schedule: Final = Schedule(context.timing, sweep_interval_s)
        self._shutdown: Final = Shutdown(context.timing)
        self._keys: Final = SharedKeyPool(context)
        self._leases: Final = Leases(context, self._schedule, self._keys, max_concurrency)
        breaker = CircuitBreaker(context, self._schedule.wake)
        self._dispatcher: Final = Dispatcher(context, self._leases, self._schedule, breaker, self._keys)
        self._executor: Final = Executor(context, self._shutdown, breaker, self._keys)
        self._writeback: Final = Writeback(context, self._leases, self._schedule)
        self._maintenance: Final = Maintenance(context, self._schedule)
        self._on_demand: Final = OnDemand(context, self._leases, self._shutdown)
        self._scope: Final = anyio.CancelScope()
        self._attempts: anyio.abc.TaskGroup | None = None
        self._started: Final = anyio.Event()
        self._ended: Final = anyio.Event()

    def wake(self, hints: Iterable[str] = ()) -> None:
        """Claim soon; see `WakeSignal.set`."""
        self._dispatcher.signal.set(hints)

    async def process(self, leads: Sequence[OnDemandLead]) -> None:
        """Score these leads immediately; afterwards each has an answer or an error.

        If the caller is cancelled, its leads are scored and saved nevertheless.

        Raises:
            TooManyOnDemandError: too many leads are already waiting.
        """
        await self._started.wait()
        if self._attempts is None or self._shutdown.begun or self._ended.is_set():
            return
        request = self._on_demand.admit(leads)
        self._attempts.start_soon(self._on_demand.run, request)
        await request.over.wait()

    def health(self) -> Health:
        fault = self._faults.first
        running = self._attempts is not None and not self._ended.is_set()
        return Health(
            running=running,
            claiming=running and not self._shutdown.begun and not self._faults.stop_claims,
            draining=self._shutdown.begun,
            fault=fault.reason if fault else None,
            fault_code=fault.code if fault else None,
            since=fault.since if fault else None,
            in_flight=self._leases.working,
            held=len(self._leases),
        )

    async def run(self) -> None:
        """Run until `stop` is done. If this is cancelled, all leases are dropped immediately, and they expire."""
        if self._shutdown.begun:
            return
        try:
            with self._scope:
                async with anyio.create_task_group() as writing:
                    writing.start_soon(self._leases.run)
                    writing.start_soon(self._keys.run)
                    writing.start_soon(self._writeback.run)
                    # Maintenance is the inner group: cancelling it must not reach the attempts.
                    async with anyio.create_task_group() as self._attempts, anyio.create_task_group() as maintaining:
                        self._started.set()
                        maintaining.start_soon(self._maintenance.run)
                        await self._dispatch(self._attempts)
                        maintaining.cancel_scope.cancel()
                    while len(self._leases):
                        await self._schedule.wake.wait()
                    writing.cancel_scope.cancel()
        finally:
            self._started.set()
            self._ended.set()

    async def stop(self, drain_s: float) -> None:
        """Stop within this time: model calls that can finish may do so, and the other leads are released.

        Leads that are still held afterwards are dropped, and their leases expire.
        """
        self._shutdown.begin(drain_s)
        if self._attempts is None:
            return
        self._schedule.wake.set()
        for lease in self._leases:
            lease.news.set()
        with anyio.move_on_after(drain_s):
            await self._ended.wait()
        if not self._ended.is_set():
            self._observer.drain_overran(len(self._leases))
            self._scope.cancel()
            await self._ended.wait()

    async def _dispatch(self, attempts: anyio.abc.TaskGroup) -> None:
        while not self._shutdown.begun:
            for lease in await self._dispatcher.step():
                attempts.start_soon(self._attempt, lease)
        self._leases.give_back_waiting("shutting_down", "the service was shutting down")

    async def _attempt(self, lease: Lease) -> None:
        try:
            with lease.scope:
                if await self._leases.wait_for_slot(lease):
                    await self._executor.run(lease)
                self._writeback.put(lease)
        finally:
            self._leases.free_slot(lease)
