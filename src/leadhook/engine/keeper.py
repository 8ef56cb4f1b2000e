"""Keeps every lease that this process holds, in one call, until its lead has left."""

import math
from collections.abc import Sequence

import anyio
import structlog

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome
from leadhook.domain.ports import Store
from leadhook.engine.agenda import Agenda
from leadhook.engine.book import Book
from leadhook.engine.health import Faults
from leadhook.engine.held import HeldLead
from leadhook.engine.report import report_finished
from leadhook.engine.timing import Timing
from leadhook.observability.events import Event

log = structlog.get_logger()

LOST = (LeaseOutcome.LEASE_LOST, LeaseOutcome.GONE)


class Keeper:
    """Renews when the oldest confirmation is due, and makes no call while nothing is held."""

    def __init__(
        self, *, store: Store, worker: str, book: Book, agenda: Agenda, faults: Faults, timing: Timing
    ) -> None:
        self._store = store
        self._worker = worker
        self._book = book
        self._agenda = agenda
        self._faults = faults
        self._timing = timing
        self._not_before = -math.inf

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            wait_s = self._wait_s()
            if wait_s == math.inf:
                # Nothing is held: what kept it from being renewed keeps nobody from anything.
                self._faults.clear("renew")
            if wait_s > 0:
                await self._book.taken.wait(wait_s)
            else:
                await self._renew()

    def _wait_s(self) -> float:
        due_at = min((self._due_at(held) for held in self._book), default=math.inf)
        return max(due_at, self._not_before) - anyio.current_time()

    def _due_at(self, held: HeldLead) -> float:
        """A lease that costs money is confirmed soon after its first call: if this process dies, that is booked."""
        due_at = held.confirmed_at + held.renew_s
        if held.stored_called or not held.claimed.reserved_usd:
            return due_at
        called_at = held.called_at if held.called else anyio.current_time()
        return min(due_at, called_at + self._timing.report_call_s)

    async def _renew(self) -> None:
        self._not_before = anyio.current_time() + self._timing.renew_again_s
        await self._renew_these(list(self._book))

    async def _renew_these(self, leads: Sequence[HeldLead]) -> None:
        """One that the database can't read must not cost the others their leases."""
        sent_at = anyio.current_time()
        told = {held.name: (held.paid, held.called) for held in leads}
        try:
            replies = await self._store.renew(self._worker, [held.renewal() for held in leads])
        except StoreError as error:
            if error.kind == "caller_bug" and len(leads) > 1:
                middle = len(leads) // 2
                await self._renew_these(leads[:middle])
                await self._renew_these(leads[middle:])
                return
            self._not_before = anyio.current_time() + self._timing.renew_again_s
            if self._faults.add("renew", error):
                log.warning(Event.RENEW_FAILED, leads=len(told), code=error.code, reason=error.reason)
            return
        self._faults.clear("renew")
        self._agenda.hear(replies.next_due_ms)
        for reply in replies.leases:
            held = self._book.find((reply.lead_id, reply.fence))
            if held is None:
                continue
            if reply.outcome == LeaseOutcome.RENEWED:
                # The database's clock starts no earlier than the request: dating from there errs on the safe side.
                held.confirmed_at = sent_at
                held.stored_paid, held.stored_called = told[held.name]
                held.news.set()
            elif reply.outcome in LOST and not held.written:
                self._lose(held, reply.outcome)

    def _lose(self, held: HeldLead, outcome: LeaseOutcome) -> None:
        """Drop it without a write. Of a lead that is being written, its own reply tells."""
        held.lost = True
        held.scope.cancel()
        self._book.remove(held)
        held.end(outcome)
        log.warning(Event.LEASE_LOST, lead_id=held.claimed.lead_id, fence=held.claimed.fence, outcome=outcome.value)
        report_finished(held, outcome)
