"""Goes on with replays that are made or unmade in slices, when a claim's reply tells of one."""

import anyio
import structlog

from leadhook.domain.failure import StoreError
from leadhook.domain.ports import Store
from leadhook.engine.health import Faults
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Timing, jitter
from leadhook.observability.events import Event

log = structlog.get_logger()


class Filler:
    """Slice by slice with pauses, as fresh leads wait while a slice is made; several processes may be at it."""

    def __init__(self, *, store: Store, schedule: Schedule, faults: Faults, timing: Timing) -> None:
        self._store = store
        self._schedule = schedule
        self._faults = faults
        self._timing = timing

    async def run(self) -> None:
        """Fill whenever woken, until cancelled."""
        while True:
            await self._schedule.replays.wait()
            await self._fill()

    async def _fill(self) -> None:
        failures = 0
        left = True
        while left:
            try:
                piece = await self._store.replay_slice()
            except StoreError as error:
                failures += 1
                if self._faults.add("replay", error):
                    log.warning(Event.REPLAY_FAILED, code=error.code, reason=error.reason)
                await anyio.sleep(self._timing.retry_s(error.kind, failures))
                continue
            failures = 0
            self._faults.clear("replay")
            self._schedule.hear(piece.next_due_ms)
            left = piece.left
            await anyio.sleep(jitter(self._timing.sweep_pause_s))
