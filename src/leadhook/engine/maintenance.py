"""The sweep, and the slices of replays that are being queued or stopped.

There are pauses between slices, because fresh leads wait while one runs. Several processes may take turns.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import anyio

from leadhook.domain.failure import StoreError
from leadhook.engine.context import EngineContext
from leadhook.engine.health import Part
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import jitter

Slice = TypeVar("Slice")


class Maintenance:
    """Sweeps at the start and then at each interval; runs slices of replays if a claim's reply reports some."""

    def __init__(self, context: EngineContext, schedule: Schedule) -> None:
        self._context: Final = context
        self._timing: Final = context.timing
        self._schedule: Final = schedule

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep_each_interval)
            tasks.start_soon(self._replay_when_asked)

    async def _sweep_each_interval(self) -> None:
        while True:
            started_at = anyio.current_time()
            await self._sweep_round(started_at)
            await anyio.sleep_until(started_at + self._schedule.sweep_interval_s)

    async def _sweep_round(self, started_at: float) -> None:
        counts = Counter(slices=0)
        while True:
            piece = await self._repeat("sweep", partial(self._context.store.sweep, self._context.worker_name))
            if piece.busy:
                # Another process is sweeping and shares the position, but it may have died in the middle.
                await anyio.sleep(jitter(self._timing.sweep_busy_s))
                continue
            counts.update(piece.counts | {"slices": 1})
            self._context.observer.slice_swept(piece.made_ready, piece.figures)
            self._schedule.hear(piece.next_due_ms)
            if piece.made_ready or piece.next_due_ms == 0:
                self._schedule.wake_for_sweep()
            if piece.round_finished:
                break
            await anyio.sleep(jitter(self._timing.sweep_pause_s))
        self._context.observer.sweep_finished(counts, anyio.current_time() - started_at)

    async def _replay_when_asked(self) -> None:
        while True:
            await self._schedule.replays.wait()
            left = True
            while left:
                piece = await self._repeat("replay", self._context.store.replay_slice)
                self._schedule.hear(piece.next_due_ms)
                left = piece.left
                await anyio.sleep(jitter(self._timing.sweep_pause_s))

    async def _repeat(self, part: Part, call: Callable[[], Awaitable[Slice]]) -> Slice:
        """Call the database until it replies."""
        failures = 0
        while True:
            try:
                piece = await call()
            except StoreError as error:
                failures += 1
                self._context.report(part, error)
                await anyio.sleep(self._timing.retry_s(error.kind, failures))
            else:
                self._context.faults.clear(part)
                return piece
