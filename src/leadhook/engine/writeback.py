"""Saves finished answers and releases the other leads, in batches that are repeated until the database replies.

A call with an unknown outcome is repeated, because the fence prevents a second effect.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import anyio

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies, LeaseReply, Refusal
from leadhook.engine.context import EngineContext
from leadhook.engine.lease import Lease
from leadhook.engine.leases import Leases
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Range, Wakeup, backoff_s, jitter

OUT_OF_TIME: Final = "out_of_time"
"""The database's code for a lead that it did not try because the others took too long."""
WRITTEN: Final = (LeaseOutcome.SAVED, LeaseOutcome.SAVED_WITHOUT_MESSAGE, LeaseOutcome.RELEASED)
SILENCES: Final = ("disconnected", "timeout")
"""How some firewalls refuse a call. The database may cause these too, but then the lead's refusal can be written."""
MANY_STRIKES: Final = 12
"""After so many, between which others were written, the text of the lead is what does not reach the database."""
LOCKS: Final = ("40", "55P03")
"""Prefixes of SQLSTATEs for waits on other transactions, which may last as long as those of the application."""


@dataclass(frozen=True)
class _Entry:
    lease: Lease
    ready_at: float
    """Earliest time to send it."""
    flush_at: float
    """Latest time to send it, except after the call in progress."""


class _Queue:
    """Collects leads for one call at a time. A single lead does not wait for others."""

    def __init__(self, leases: Leases, *, gather_s: float, largest: int) -> None:
        self._leases: Final = leases
        self._gather_s: Final = gather_s
        self._most: Final = largest
        self._largest = largest
        self._waiting: list[_Entry] = []
        self._wakeup: Final = Wakeup()

    def put(self, lease: Lease) -> None:
        now = anyio.current_time()
        self._waiting.append(_Entry(lease, now, now + self._gather_s))
        self._wakeup.set()

    def put_again(self, lease: Lease, after_s: float = 0.0) -> None:
        """Send it after this delay, without waiting for others."""
        at = anyio.current_time() + after_s
        self._waiting.append(_Entry(lease, at, at))
        self._wakeup.set()

    def shrink(self, sent: int) -> int:
        """After a call with this many leads took too long, limit calls to a quarter of it, and return the limit."""
        self._largest = max(1, sent // 4)
        return self._largest

    def enlarge(self, sent: int) -> None:
        """After a quick call with this many leads, allow twice as many."""
        if sent >= self._largest:
            self._largest = min(self._most, self._largest * 2)

    async def take(self) -> list[Lease]:
        while (wait_s := self._wait_s()) > 0:
            await self._wakeup.wait(wait_s)
        now = anyio.current_time()
        taken = [entry for entry in self._waiting if entry.ready_at <= now][: self._largest]
        self._waiting = [entry for entry in self._waiting if entry not in taken]
        return [entry.lease for entry in taken]

    def _wait_s(self) -> float:
        now = anyio.current_time()
        ready = [entry for entry in self._waiting if entry.ready_at <= now]
        if len(ready) >= self._largest or (ready and self._leases.working == 0):
            return 0.0
        return min((entry.flush_at for entry in self._waiting), default=math.inf) - now


class _Writer(ABC):
    """Writes batches and, in parallel, single leads that failed."""

    operation: ClassVar[Literal["save", "release"]]

    def __init__(self, context: EngineContext, leases: Leases, schedule: Schedule) -> None:
        self._context: Final = context
        self._timing: Final = context.timing
        self._leases: Final = leases
        self._schedule: Final = schedule
        self._failures = 0
        self._written_at = -math.inf
        self._queue: Final = _Queue(leases, gather_s=self._timing.gather_writes_s, largest=self._timing.largest_write)
        self._alone: Final = _Queue(leases, gather_s=0, largest=1)
        self.put: Final = self._queue.put

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._empty, self._queue)
            tasks.start_soon(self._empty, self._alone)

    @abstractmethod
    async def _send(self, batch: list[Lease]) -> LeaseReplies:
        """Call the database."""

    @abstractmethod
    def _reject(self, lease: Lease, reason: str) -> None:
        """Handle a lead whose data the database can't read."""

    @abstractmethod
    def _go_on_without_text(self, lease: Lease, refusal: Refusal) -> None:
        """Handle a lead whose text does not reach the database."""

    async def _empty(self, queue: _Queue) -> None:
        while True:
            await self._write(await queue.take())

    async def _write(self, batch: list[Lease]) -> None:
        batch = [lease for lease in batch if not lease.lost]
        if not batch:
            return
        for lease in batch:
            lease.writing = True
        sent_at = anyio.current_time()
        try:
            replies = await self._send(batch)
        except StoreError as error:
            await self._repeat(batch, error)
            return
        if anyio.current_time() - sent_at < self._timing.quick_write_s:
            self._queue.enlarge(len(batch))
        self._failures = 0
        self._context.faults.clear(self.operation)
        self._leases.hear(replies, sent_at)
        self._finish(batch, replies)

    def _finish(self, batch: Sequence[Lease], replies: LeaseReplies) -> None:
        answered = {(reply.lead_id, reply.fence): reply for reply in replies.leases}
        unwritten = []
        for lease in batch:
            reply = answered.get(lease.name)
            if reply is None or reply.outcome == LeaseOutcome.BUSY:
                lease.writing = False
                unwritten.append((lease, reply))
                continue
            if reply.outcome in WRITTEN:
                self._written_at = anyio.current_time()
            self._leases.finish(lease, reply.outcome, reply.reason)
        if any(reply and reply.error_code == OUT_OF_TIME for _, reply in unwritten):
            self._queue.shrink(len(batch))
        for lease, reply in unwritten:
            self._put_again(lease, reply)

    def _put_again(self, lease: Lease, reply: LeaseReply | None) -> None:
        code = reply.error_code if reply else None
        if code is None or reply is None:
            self._queue.put_again(lease, jitter(self._timing.busy_write_s))
        elif code == OUT_OF_TIME:
            self._queue.put_again(lease)
        else:
            pauses = self._timing.busy_write_s if code.startswith(LOCKS) else self._timing.unavailable_s
            self._try_alone(lease, Refusal(code=code, reason=reply.reason or code), pauses)

    async def _repeat(self, batch: list[Lease], error: StoreError) -> None:
        if error.kind == "caller_bug":
            await self._single_out(batch, error)
            return
        self._context.report(self.operation, error, leads=len(batch))
        if error.timed_out and len(batch) > 1:
            self._divide(batch)
        elif error.may_concern_one_lead:
            refusal = Refusal(code=error.code, reason=error.said)
            for lease in batch:
                self._try_alone(lease, refusal, self._timing.retry_range(error.kind))
                if error.connection_lost or error.code in SILENCES:
                    # A failure counts only if others are saved after it, because a database may restart several times.
                    lease.failed_at = anyio.current_time()
        elif error.kind == "unavailable":
            await self._try_others_first(batch, error)
        else:
            await self._pause(error)
            for lease in batch:
                self._queue.put_again(lease)

    async def _try_others_first(self, batch: list[Lease], error: StoreError) -> None:
        """After a pause, send fewer leads, and these last: the text of one may be why something on the way refuses it.

        What fails alone while others are written is tried apart from them. In an outage this is one call a pause.
        """
        lease = batch[0]
        if len(batch) == 1 and (lease.failures or self._written_at >= (lease.failed_at or math.inf)):
            refusal = Refusal(code=error.code, reason=error.said)
            self._try_alone(lease, refusal, self._timing.retry_range(error.kind), on_the_way=True)
            lease.failed_at = anyio.current_time()
            return
        self._queue.shrink(len(batch))
        for lease in batch:
            lease.failed_at = anyio.current_time()
        await self._pause(error)
        for lease in batch:
            self._queue.put_again(lease)

    def _divide(self, batch: list[Lease]) -> None:
        """Split a batch: one lead may be at fault, or all of them are slow."""
        queue = self._alone if self._queue.shrink(len(batch)) == 1 else self._queue
        for lease in batch:
            lease.failed_at = lease.failed_at or anyio.current_time()
            queue.put_again(lease)

    async def _pause(self, error: StoreError) -> None:
        self._failures += 1
        pause_s = self._timing.retry_s(error.kind, self._failures)
        if error.kind == "misconfigured":
            # New answers could not be written either.
            self._schedule.postpone(pause_s + self._timing.renew_again_s)
        await anyio.sleep(pause_s)

    def _try_alone(self, lease: Lease, refusal: Refusal, pauses: Range, *, on_the_way: bool = False) -> None:
        """Retry it in parallel; refuse it after it has failed often enough while others succeeded.

        `on_the_way`: its refusal would not reach the database either, because its text goes with it.
        """
        now = anyio.current_time()
        lease.failures += 1
        lease.failed_at = lease.failed_at or now
        if self._written_at >= lease.failed_at:
            lease.strikes += 1
        if lease.strikes >= MANY_STRIKES and (on_the_way or refusal.code in SILENCES):
            self._go_on_without_text(lease, refusal)
            return
        is_lock = refusal.code.startswith(LOCKS)
        patient = on_the_way or (is_lock and now - lease.failed_at < self._timing.lock_patience_s)
        if self.operation == "save" and lease.strikes >= self._timing.strikes and not patient:
            lease.refusal = refusal
        at_once = lease.refusal is not None and lease.failures <= self._timing.strikes + 1
        self._alone.put_again(lease, 0.0 if at_once else backoff_s(pauses, lease.failures))

    async def _single_out(self, batch: list[Lease], error: StoreError) -> None:
        if len(batch) == 1:
            batch[0].writing = False
            self._reject(batch[0], error.reason)
            return
        for lease in batch:
            await self._write([lease])


class _Releaser(_Writer):
    operation = "release"

    async def _send(self, batch: list[Lease]) -> LeaseReplies:
        releases = [lease.release for lease in batch if lease.release is not None]
        return await self._context.store.release(self._context.worker_name, releases)

    def _reject(self, lease: Lease, reason: str) -> None:
        """Drop it: its lease expires, which the database counts."""
        self._leases.finish(lease, LeaseOutcome.LEASE_LOST, reason)

    def _go_on_without_text(self, lease: Lease, refusal: Refusal) -> None:
        """Release it without what was bought, and drop it if its id alone is refused."""
        if lease.checkpoint is None:
            self._reject(lease, refusal.reason)
            return
        lease.drop_text()
        self.put(lease)


class _Saver(_Writer):
    operation = "save"

    def __init__(self, context: EngineContext, leases: Leases, schedule: Schedule, releaser: _Releaser) -> None:
        super().__init__(context, leases, schedule)
        self._releaser: Final = releaser

    async def _send(self, batch: list[Lease]) -> LeaseReplies:
        return await self._context.store.save(self._context.worker_name, [lease.result() for lease in batch])

    def _reject(self, lease: Lease, reason: str) -> None:
        """Mark the lead as dead, and keep its answer."""
        lease.give_back("dead", "result_refused", reason)
        self._releaser.put(lease)

    def _go_on_without_text(self, lease: Lease, refusal: Refusal) -> None:
        """Mark the lead as dead: its answer is lost."""
        lease.drop_text()
        self._reject(lease, f"the answer does not reach the database: {refusal.reason}"[:500])


class Writeback:
    """Takes leads whose attempt is over."""

    def __init__(self, context: EngineContext, leases: Leases, schedule: Schedule) -> None:
        self._releaser: Final = _Releaser(context, leases, schedule)
        self._saver: Final = _Saver(context, leases, schedule, self._releaser)

    def put(self, lease: Lease) -> None:
        writer = self._saver if lease.release is None else self._releaser
        writer.put(lease)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._saver.run)
            tasks.start_soon(self._releaser.run)
