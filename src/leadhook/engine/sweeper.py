"""Walks slowly through everything, for what no touch told of."""

import anyio
import structlog

from leadhook.domain.failure import StoreError
from leadhook.domain.ports import Store
from leadhook.engine.health import Faults
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Timing, jitter
from leadhook.observability import metrics
from leadhook.observability.events import Event

log = structlog.get_logger()


class Sweeper:
    """A full round at the start and then each interval, slice by slice; what it finds is for the worker to claim."""

    def __init__(
        self, *, store: Store, worker: str, schedule: Schedule, faults: Faults, interval_s: float, timing: Timing
    ) -> None:
        self._store = store
        self._worker = worker
        self._schedule = schedule
        self._faults = faults
        self._interval_s = interval_s
        self._timing = timing

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            started_at = anyio.current_time()
            await self._sweep_round()
            await anyio.sleep_until(started_at + self._interval_s)

    async def _sweep_round(self) -> None:
        started_at = anyio.current_time()
        slices = looked_at = made_ready = held = removed = failures = 0
        while True:
            try:
                piece = await self._store.sweep(self._worker)
            except StoreError as error:
                failures += 1
                await self._pause_after(error, failures)
                continue
            failures = 0
            self._faults.clear("sweep")
            if piece.busy:
                # The position is shared, so its round is ours; it may also have died in the middle.
                await anyio.sleep(jitter(self._timing.sweep_busy_s))
                continue
            slices, looked_at, made_ready = slices + 1, looked_at + piece.looked_at, made_ready + piece.made_ready
            held, removed = held + piece.held, removed + piece.removed
            metrics.SWEPT.inc(piece.made_ready)
            metrics.hear_figures(piece.figures)
            self._schedule.hear(piece.next_due_ms)
            if piece.made_ready or piece.next_due_ms == 0:
                self._schedule.wake_for_sweep()
            if piece.round_finished:
                break
            await anyio.sleep(jitter(self._timing.sweep_pause_s))
        metrics.SWEEPS.inc()
        log.info(
            Event.SWEEP_FINISHED,
            slices=slices,
            looked_at=looked_at,
            made_ready=made_ready,
            held=held,
            removed=removed,
            duration_ms=round((anyio.current_time() - started_at) * 1000),
        )

    async def _pause_after(self, error: StoreError, failures: int) -> None:
        if self._faults.add("sweep", error):
            log.warning(Event.SWEEP_FAILED, code=error.code, reason=error.reason)
        await anyio.sleep(self._timing.retry_s(error.kind, failures))
