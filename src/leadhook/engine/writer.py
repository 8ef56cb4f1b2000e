"""Brings leads to the database and keeps at it until the database has had its last word about each.

One lead that can't be written never stops the others. A call that takes too long is repeated in smaller calls, down to
one lead. A lead that fails by itself is tried again beside the others, alone. While nothing else can be written either,
that is the installation's fault, and the lead is tried until it is put right; once others are written and it still
fails, the fault is the lead's: it is refused with the reason, and its answer is kept.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import anyio
import structlog

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies, LeaseReply, Refusal
from leadhook.engine.batches import Batches
from leadhook.engine.health import Faults
from leadhook.engine.leases import Lease, Leases
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Range, Timing, backoff_s, jitter
from leadhook.observability.events import Event

log = structlog.get_logger()

FAILED = {"save": Event.SAVE_FAILED, "release": Event.RELEASE_FAILED}
OUT_OF_TIME = "out_of_time"
"""The database's word for a lead that it did not try, as the others had taken too long."""
LOCKS = ("40", "55P03")
"""SQLSTATEs of waiting for somebody else, which can last as long as a transaction of the application."""


class Writer:
    """Saves, or releases. An unknown outcome is repeated: the fence forbids a second effect."""

    def __init__(
        self,
        operation: Literal["save", "release"],
        *,
        send: Callable[[list[Lease]], Awaitable[LeaseReplies]],
        refused: Callable[[Lease, StoreError], None],
        leases: Leases,
        schedule: Schedule,
        faults: Faults,
        timing: Timing,
    ) -> None:
        self._operation: Literal["save", "release"] = operation
        self._send = send
        self._refused = refused
        self._leases = leases
        self._schedule = schedule
        self._faults = faults
        self._timing = timing
        self._failures = 0
        self._written_at = float("-inf")
        self._batches = Batches(
            self._write,
            gather_s=timing.gather_writes_s,
            largest=timing.largest_write,
            none_will_join=lambda: leases.working == 0,
        )
        self._alone = Batches(self._write, gather_s=0, largest=1, none_will_join=lambda: True)
        self.put = self._batches.put

    async def run(self) -> None:
        """Write until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._batches.run)
            tasks.start_soon(self._alone.run)

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
            self._batches.enlarge(len(batch))
        self._failures = 0
        self._faults.clear(self._operation)
        self._schedule.hear(replies.next_due_ms)
        self._settle(batch, replies)

    def _settle(self, batch: Sequence[Lease], replies: LeaseReplies) -> None:
        answered = {(reply.lead_id, reply.fence): reply for reply in replies.leases}
        unwritten = []
        for lease in batch:
            reply = answered.get(lease.name)
            if reply is None or reply.outcome == LeaseOutcome.BUSY:
                lease.writing = False
                unwritten.append((lease, reply))
                continue
            if reply.outcome == LeaseOutcome.SAVED:
                self._written_at = anyio.current_time()
            self._leases.finish(lease, reply.outcome, reply.reason)
        if any(reply and reply.error_code == OUT_OF_TIME for _, reply in unwritten):
            self._batches.shrink(len(batch))
        for lease, reply in unwritten:
            self._put_back(lease, reply)

    def _put_back(self, lease: Lease, reply: LeaseReply | None) -> None:
        code = reply.error_code if reply else None
        if code is None or reply is None:
            self._batches.put_back(lease, jitter(self._timing.busy_write_s))
        elif code == OUT_OF_TIME:
            self._batches.put_back(lease)
        else:
            reason = reply.reason or code
            pause = self._timing.busy_write_s if code.startswith(LOCKS) else self._timing.unavailable_s
            self._try_alone(lease, Refusal(code=code, reason=reason), pause)

    async def _repeat(self, batch: list[Lease], error: StoreError) -> None:
        if error.kind == "caller_bug":
            await self._single_out(batch, error)
            return
        if self._faults.add(self._operation, error):
            log.warning(FAILED[self._operation], leads=len(batch), code=error.code, reason=error.reason)
        if error.timed_out and len(batch) > 1:
            self._divide(batch)
        elif error.may_concern_one_lead:
            refusal = Refusal(code=error.code, reason=error.reason)
            for lease in batch:
                self._try_alone(lease, refusal, self._timing.retry_range(error.kind))
                if error.connection_lost:
                    # A database may restart several times: others must be saved after each failure for it to count.
                    lease.failed_at = anyio.current_time()
        else:
            await self._pause(error)
            for lease in batch:
                self._batches.put_back(lease)

    def _divide(self, batch: list[Lease]) -> None:
        """One of them may be at fault, or all of them take their time."""
        lane = self._alone if self._batches.shrink(len(batch)) == 1 else self._batches
        for lease in batch:
            lease.failed_at = lease.failed_at or anyio.current_time()
            lane.put_back(lease)

    async def _pause(self, error: StoreError) -> None:
        self._failures += 1
        pause_s = self._timing.retry_s(error.kind, self._failures)
        if error.kind == "misconfigured":
            # Whatever is bought now could not be written either.
            self._schedule.postpone(pause_s + self._timing.renew_again_s)
        await anyio.sleep(pause_s)

    def _try_alone(self, lease: Lease, refusal: Refusal, pause: Range) -> None:
        """Again beside the others; at last it is the lead that is at fault."""
        now = anyio.current_time()
        lease.failures += 1
        lease.failed_at = lease.failed_at or now
        if self._written_at >= lease.failed_at:
            lease.strikes += 1
        is_lock = refusal.code.startswith(LOCKS)
        patient = is_lock and now - lease.failed_at < self._timing.lock_patience_s
        if self._operation == "save" and lease.strikes >= self._timing.strikes and not patient:
            lease.refusal = refusal
        if lease.refusal is None or lease.failures > self._timing.strikes + 1:
            after_s = backoff_s(pause, lease.failures)
        else:
            after_s = 0.0
        self._alone.put_back(lease, after_s)

    async def _single_out(self, batch: list[Lease], error: StoreError) -> None:
        if len(batch) == 1:
            batch[0].writing = False
            self._refused(batch[0], error)
            return
        for lease in batch:
            await self._write([lease])
