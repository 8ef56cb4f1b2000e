"""Judges leads beside the application's answers, with slots that nobody else needs."""

import math
from uuid import UUID, uuid4

import anyio
import anyio.abc
import structlog

from leadhook.domain.job import Batch, LeaseOutcome
from leadhook.domain.spend import Tariff
from leadhook.engine.agenda import Agenda
from leadhook.engine.attempt import Attempts
from leadhook.engine.batches import Batches
from leadhook.engine.book import Book
from leadhook.engine.brake import Brake
from leadhook.engine.drain import Drain
from leadhook.engine.faults import Faults
from leadhook.engine.held import HeldLead
from leadhook.engine.keyring import Keyring
from leadhook.engine.pace import Pace, growing
from leadhook.engine.ports import Store
from leadhook.observability.events import Event
from leadhook.store import StoreError

log = structlog.get_logger()


class Comparer:
    """A small worker beside the worker: it borrows slots from the book, and renews nothing, as its leases are long."""

    def __init__(
        self,
        *,
        store: Store,
        worker: str,
        tariff: Tariff | None,
        keyring: Keyring,
        attempts: Attempts,
        book: Book,
        agenda: Agenda,
        brake: Brake,
        drain: Drain,
        faults: Faults,
        pace: Pace,
    ) -> None:
        self._store = store
        self._worker = worker
        self._terms = tariff.terms() if tariff else None
        self._keyring = keyring
        self._attempts = attempts
        self._book = book
        self._agenda = agenda
        self._brake = brake
        self._drain = drain
        self._faults = faults
        self._pace = pace
        self._due_at = math.inf
        self._not_before = -math.inf
        self._token: UUID | None = None
        self._failures = 0
        self._held: set[HeldLead] = set()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._batches = Batches(
            self._save,
            gather_s=pace.gather_writes_s,
            largest=pace.largest_write,
            none_will_join=lambda: book.lent == 0,
        )

    def hear(self, due_ms: int | None) -> None:
        """Take a reply's word for when a comparison could be handed out; None: it knows of none."""
        if due_ms is not None:
            self._due_at = min(self._due_at, anyio.current_time() + due_ms / 1000)
        self._book.spare.set()

    async def run(self) -> None:
        """Compare until a shutdown begins; return when all that was begun is written."""
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._batches.run)
            async with anyio.create_task_group() as self._tasks:
                while not self._drain.under_way:
                    wait_s = self._wait_s()
                    if wait_s > 0:
                        await self._book.spare.wait(wait_s)
                    else:
                        await self._claim()
            while self._held:
                await self._book.spare.wait()
            writing.cancel_scope.cancel()

    def _wait_s(self) -> float:
        if self._agenda.fresh_waits or self._book.compare_room == 0:
            return math.inf
        at = max(self._due_at, self._not_before)
        return (max(at, self._brake.next_try_at) if self._brake.applied else at) - anyio.current_time()

    async def _claim(self) -> None:
        trying = self._brake.applied
        limit = 1 if trying else min(self._book.compare_room, self._pace.largest_claim)
        self._book.lend(limit)
        self._token = self._token or uuid4()
        self._due_at = math.inf
        sent_at = anyio.current_time()
        self._not_before = sent_at + self._pace.claim_gap_s
        try:
            batch = await self._store.claim_comparisons(self._worker, self._token, limit, self._terms)
        except StoreError as error:
            self._book.give_back(limit)
            self._note_failure(error)
            self._due_at = self._not_before = anyio.current_time() + growing(
                self._pace.after(error.kind), self._failures
            )
            return
        self._token = None
        self._clear_failure()
        self._book.give_back(limit - len(batch.leads))
        if trying and batch.leads:
            self._brake.tried()
        if not batch.leads and batch.next_due_ms == 0:
            # Somebody else is about to take them.
            self._not_before = anyio.current_time() + self._pace.renew_again_s
        if batch.leads:
            self._keyring.learn(batch.keys, sent_at)
        self._start(batch, sent_at, tried=trying)
        self.hear(batch.next_due_ms)

    def _start(self, batch: Batch, sent_at: float, *, tried: bool) -> None:
        assert self._tasks is not None, "leads come only while it runs"  # noqa: S101 - for the type checker
        for lead in batch.leads:
            held = HeldLead(
                claimed=lead,
                received_at=anyio.current_time(),
                confirmed_at=sent_at,
                start_limit_s=batch.start_limit_ms / 1000,
                renew_s=math.inf,
                paid=lead.paid,
                tried=tried,
                scope=anyio.CancelScope(deadline=sent_at + batch.lease_ms / 1000),
            )
            self._held.add(held)
            self._tasks.start_soon(self._attend, held)

    async def _attend(self, held: HeldLead) -> None:
        try:
            with held.scope:
                await self._attempts.run(held)
        finally:
            self._book.give_back(1)
        if held.scope.cancelled_caught:
            self._let_go(held, LeaseOutcome.LEASE_LOST)
        else:
            self._batches.put(held)

    async def _save(self, batch: list[HeldLead]) -> None:
        results = [held.result() for held in batch if held.release is None]
        releases = [held.release for held in batch if held.release is not None]
        try:
            replies = await self._store.save_comparisons(self._worker, results, releases)
        except StoreError as error:
            await self._repeat(batch, error)
            return
        self._clear_failure()
        self._batches.enlarge(len(batch))
        outcomes = {(reply.lead_id, reply.fence): reply.outcome for reply in replies.leases}
        for held in batch:
            self._let_go(held, outcomes.get(held.name, LeaseOutcome.LEASE_LOST))
        self.hear(replies.next_due_ms)

    async def _repeat(self, batch: list[HeldLead], error: StoreError) -> None:
        """One that can't be saved must not cost the others their answers."""
        if error.kind == "caller_bug" and len(batch) > 1:
            for held in batch:
                await self._save([held])
            return
        self._note_failure(error)
        if error.timed_out and len(batch) > 1:
            self._batches.shrink(len(batch))
        elif error.kind != "caller_bug":
            await anyio.sleep(growing(self._pace.after(error.kind), self._failures))
        self._save_again(batch, lost=error.kind == "caller_bug")

    def _save_again(self, batch: list[HeldLead], *, lost: bool) -> None:
        for held in batch:
            if lost or anyio.current_time() > held.scope.deadline:
                self._let_go(held, LeaseOutcome.LEASE_LOST)
            else:
                self._batches.put_back(held)

    def _let_go(self, held: HeldLead, outcome: LeaseOutcome) -> None:
        self._held.discard(held)
        self._book.spare.set()
        release = held.release
        log.info(
            Event.COMPARISON_FINISHED,
            lead_id=held.claimed.lead_id,
            fence=held.claimed.fence,
            outcome=outcome.value,
            score=held.paid.score.score if held.paid else None,
            model_ms=round(held.model_ms),
            calls=held.usage.calls,
            input_tokens=held.usage.input_tokens,
            output_tokens=held.usage.output_tokens,
            key=held.key_fingerprint,
            error_code=release.error_code if release else None,
            reason=release.reason if release else None,
        )

    def _note_failure(self, error: StoreError) -> None:
        self._failures += 1
        if self._faults.add("compare", error):
            log.warning(Event.COMPARE_FAILED, code=error.code, reason=error.reason)

    def _clear_failure(self) -> None:
        self._failures = 0
        self._faults.clear("compare")
