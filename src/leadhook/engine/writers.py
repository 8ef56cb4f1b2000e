"""The two roads back to the database: results are saved, everything else is released."""

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies
from leadhook.domain.ports import Store
from leadhook.engine.health import Faults
from leadhook.engine.leases import Lease, Leases
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Timing
from leadhook.engine.writer import Writer


class Writers:
    """Takes leads whose judgement is over."""

    def __init__(
        self, *, store: Store, worker: str, leases: Leases, schedule: Schedule, faults: Faults, timing: Timing
    ) -> None:
        self._store = store
        self._worker = worker
        self._leases = leases
        self.saver = Writer(
            "save",
            send=self._save,
            refused=self._bury,
            leases=leases,
            schedule=schedule,
            faults=faults,
            timing=timing,
        )
        self.releaser = Writer(
            "release",
            send=self._release,
            refused=self._abandon,
            leases=leases,
            schedule=schedule,
            faults=faults,
            timing=timing,
        )

    def put(self, lease: Lease) -> None:
        """Save it, or release it when its attempt decided so."""
        writer = self.saver if lease.release is None else self.releaser
        writer.put(lease)

    async def _save(self, batch: list[Lease]) -> LeaseReplies:
        return await self._store.save(self._worker, [lease.result() for lease in batch])

    async def _release(self, batch: list[Lease]) -> LeaseReplies:
        releases = [lease.release for lease in batch if lease.release is not None]
        return await self._store.release(self._worker, releases)

    def _bury(self, lease: Lease, error: StoreError) -> None:
        """The database can't even read this result: the lead is dead, its answer is kept."""
        lease.give_back("dead", "result_refused", error.reason)
        self.releaser.put(lease)

    def _abandon(self, lease: Lease, error: StoreError) -> None:
        """Its lease runs out by itself, which the database counts."""
        self._leases.finish(lease, LeaseOutcome.LEASE_LOST, error.reason)
