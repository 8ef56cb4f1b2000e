"""The two roads back to the database: results are saved, everything else is released."""

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies
from leadhook.domain.ports import Store
from leadhook.engine.agenda import Agenda
from leadhook.engine.book import Book
from leadhook.engine.health import Faults
from leadhook.engine.held import HeldLead
from leadhook.engine.report import report_finished
from leadhook.engine.timing import Timing
from leadhook.engine.writer import Writer


class Writers:
    """Takes leads whose judgement is over."""

    def __init__(
        self, *, store: Store, worker: str, book: Book, agenda: Agenda, faults: Faults, timing: Timing
    ) -> None:
        self._store = store
        self._worker = worker
        self._book = book
        self.saver = Writer(
            "save",
            send=self._save,
            refused=self._bury,
            book=book,
            agenda=agenda,
            faults=faults,
            timing=timing,
        )
        self.releaser = Writer(
            "release",
            send=self._release,
            refused=self._abandon,
            book=book,
            agenda=agenda,
            faults=faults,
            timing=timing,
        )

    def put(self, held: HeldLead) -> None:
        """Save it, or release it when its attempt decided so."""
        writer = self.saver if held.release is None else self.releaser
        writer.put(held)

    async def _save(self, batch: list[HeldLead]) -> LeaseReplies:
        return await self._store.save(self._worker, [held.result() for held in batch])

    async def _release(self, batch: list[HeldLead]) -> LeaseReplies:
        releases = [held.release for held in batch if held.release is not None]
        return await self._store.release(self._worker, releases)

    def _bury(self, held: HeldLead, error: StoreError) -> None:
        """The database can't even read this result: the lead is dead, its answer is kept."""
        held.give_back("dead", "result_refused", error.reason)
        self.releaser.put(held)

    def _abandon(self, held: HeldLead, error: StoreError) -> None:
        """Its lease runs out by itself, which the database counts."""
        self._book.remove(held)
        held.end(LeaseOutcome.LEASE_LOST, error.reason)
        report_finished(held, LeaseOutcome.LEASE_LOST, error.reason)
