"""Tells the database at once what Google said against a key, so that no other process pays for the same lesson."""

import math

import anyio
import structlog

from leadhook.domain.failure import StoreError
from leadhook.domain.job import ParkedKey
from leadhook.domain.ports import Store
from leadhook.engine.faults import Faults
from leadhook.engine.keyring import Keyring
from leadhook.engine.pace import Pace, growing
from leadhook.engine.wakeup import Wakeup
from leadhook.observability.events import Event

log = structlog.get_logger()


class KeyReports:
    """Sends what waits, in one call, until the database has it."""

    def __init__(self, *, store: Store, worker: str, keyring: Keyring, faults: Faults, pace: Pace) -> None:
        self._store = store
        self._worker = worker
        self._keyring = keyring
        self._faults = faults
        self._pace = pace
        self._waiting: dict[str, ParkedKey] = {}
        self._wakeup = Wakeup()

    def park(self, key: ParkedKey) -> None:
        """Use this key no more, and tell the database."""
        if self._keyring.park(key.fingerprint):
            log.warning(Event.KEY_PARKED, **key.model_dump())
            self._waiting[key.fingerprint] = key
            self._wakeup.set()

    async def run(self) -> None:
        """Report until cancelled."""
        failures = 0
        while True:
            if not self._waiting:
                await self._wakeup.wait(math.inf)
                continue
            sent = dict(self._waiting)
            try:
                await self._store.release(self._worker, [], list(sent.values()))
            except StoreError as error:
                failures += 1
                if self._faults.add("release", error):
                    log.warning(Event.RELEASE_FAILED, leads=0, code=error.code, reason=error.reason)
                await anyio.sleep(growing(self._pace.after(error.kind), failures))
                continue
            failures = 0
            self._faults.clear("release")
            self._keyring.told(sent)
            self._waiting = {name: key for name, key in self._waiting.items() if sent.get(name) is not key}
