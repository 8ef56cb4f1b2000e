"""Brings leads to the database and keeps at it until the database has had its last word about each."""

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import structlog

from leadhook.domain.job import LeaseOutcome, LeaseReplies, LeaseReply
from leadhook.engine.agenda import Agenda
from leadhook.engine.batches import Batches
from leadhook.engine.book import Book
from leadhook.engine.faults import Faults
from leadhook.engine.held import HeldLead
from leadhook.engine.pace import Pace, drawn, growing
from leadhook.engine.report import report_finished
from leadhook.observability.events import Event
from leadhook.store import StoreError

log = structlog.get_logger()

FAILED = {"save": Event.SAVE_FAILED, "release": Event.RELEASE_FAILED}


class Writer:
    """Saves, or releases. An unknown outcome is repeated: the fence forbids a second effect."""

    def __init__(
        self,
        operation: Literal["save", "release"],
        *,
        send: Callable[[list[HeldLead]], Awaitable[LeaseReplies]],
        refused: Callable[[HeldLead, StoreError], None],
        book: Book,
        agenda: Agenda,
        faults: Faults,
        pace: Pace,
    ) -> None:
        self._operation: Literal["save", "release"] = operation
        self._send = send
        self._refused = refused
        self._book = book
        self._agenda = agenda
        self._faults = faults
        self._pace = pace
        self._failures = 0
        self._batches = Batches(
            self._write,
            gather_s=pace.gather_writes_s,
            largest=pace.largest_write,
            none_will_join=lambda: book.working == 0,
        )
        self.put = self._batches.put
        self.run = self._batches.run

    async def _write(self, batch: list[HeldLead]) -> None:
        batch = [held for held in batch if not held.lost]
        if not batch:
            return
        for held in batch:
            held.written = True
        try:
            replies = await self._send(batch)
        except StoreError as error:
            await self._repeat(batch, error)
            return
        self._failures = 0
        self._faults.clear(self._operation)
        self._agenda.hear(replies.next_due_ms)
        answered = {(reply.lead_id, reply.fence): reply for reply in replies.leases}
        for held in batch:
            self._settle(held, answered.get(held.name))

    def _settle(self, held: HeldLead, reply: LeaseReply | None) -> None:
        if reply is None or reply.outcome == LeaseOutcome.BUSY:
            held.written = False
            self._batches.put_back(held, drawn(self._pace.busy_write_s))
            return
        self._book.remove(held)
        held.end(reply.outcome, reply.reason)
        report_finished(held, reply.outcome, reply.reason)

    async def _repeat(self, batch: list[HeldLead], error: StoreError) -> None:
        if error.kind == "caller_bug":
            await self._single_out(batch, error)
            return
        self._failures += 1
        if self._faults.add(self._operation, error):
            log.warning(FAILED[self._operation], leads=len(batch), code=error.code, reason=error.reason)
        await anyio.sleep(growing(self._pace.after(error.kind), self._failures))
        for held in batch:
            self._batches.put_back(held)

    async def _single_out(self, batch: list[HeldLead], error: StoreError) -> None:
        if len(batch) == 1:
            batch[0].written = False
            self._refused(batch[0], error)
            return
        for held in batch:
            await self._write([held])
