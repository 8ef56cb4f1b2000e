"""The leases that this process holds: their slots, their renewal, and their log line at the end."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio

from leadhook.domain.failure import StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.context import EngineContext
from leadhook.engine.lease import Lease, LeaseName
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Wakeup

AHEAD_SHARE: Final = 4
"""At most a quarter of the slots is claimed ahead; once three quarters of these have begun, more is claimed."""
LATELY_S: Final = 2.0
MOST_REFUSED_RENEWALS: Final = 10
"""So many in a row, without one that passes in between, are an outage. Finding one lead of 256 takes nine."""
LOST: Final = (LeaseOutcome.LEASE_LOST, LeaseOutcome.GONE)


class Leases:
    """All leases of this process, and the slots for leads being scored.

    A lead that is claimed ahead waits for a slot. As many may wait as slots will probably become free within half a
    second, an estimate from how long leads take; at most a quarter of all slots, and no more than became free lately:
    none while the model is slow or hangs.
    """

    def __init__(self, context: EngineContext, schedule: Schedule, keys: KeyPool, slots: int) -> None:
        self._context: Final = context
        self._schedule: Final = schedule
        self._keys: Final = keys
        self.slots: Final = slots
        self._held: Final[dict[LeaseName, Lease]] = {}
        self._taken: Final = Wakeup()
        self._working = 0
        self._working_on_demand = 0
        self._waiting: Final[list[Lease]] = []
        self._low_priority: Final[set[LeaseName]] = set()
        self._freed_at: Final[deque[float]] = deque(maxlen=max(1, slots // AHEAD_SHARE))
        self._mean_s = math.inf
        self._promised = 0
        self._on_demand_turn: Final = anyio.Lock()
        self._on_demand_room_changed: Final = Wakeup()
        self._overdue_at = math.inf
        self._renew_not_before = -math.inf
        self._refused_in_a_row = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Lease]:
        return iter(tuple(self._held.values()))

    @property
    def working(self) -> int:
        return self._working

    @property
    def overdue(self) -> bool:
        """Whether a lease was not renewed for so long that it may soon have expired.

        A claim takes expired leases, those of the same process too, so it must come after the next renewal.
        """
        if anyio.current_time() >= self._overdue_at:
            self._overdue_at = min((lease.overdue_at for lease in self), default=math.inf)
        return anyio.current_time() >= self._overdue_at

    @property
    def room(self) -> int:
        """How many leads may be claimed: one for each free slot, and some ahead.

        While no slot is free, 0 until most of those claimed ahead have begun, so that the next ones share a claim. To
        bound memory, leads that wait to be written count once they would fill all slots again.
        """
        ahead = self._ahead
        if self._free <= 0 and len(self._waiting) > ahead // AHEAD_SHARE:
            return 0
        return max(0, min(self._free + ahead - len(self._waiting), 2 * self.slots - len(self._held)))

    @property
    def low_priority_room(self) -> int:
        """How many leads of low priority may be claimed: at most three quarters of all slots, and at least one."""
        return max(0, self._three_quarters - len(self._low_priority))

    @property
    def _newest(self) -> Lease:
        return next(reversed(self._held.values()))

    @property
    def _free(self) -> int:
        """Free slots. One is kept for an on-demand request that waits, unless a claim was promised them."""
        kept = self._on_demand_turn.locked() and self._working_on_demand < self._three_quarters and not self._promised
        return self.slots - self._working - kept

    @property
    def _ahead(self) -> int:
        while self._freed_at and self._freed_at[0] < anyio.current_time() - LATELY_S:
            self._freed_at.popleft()
        return min(len(self._freed_at), int(self.slots / self._mean_s * self._context.timing.ahead_s))

    @property
    def _three_quarters(self) -> int:
        return max(1, self.slots * 3 // 4)

    @property
    def _on_demand_room(self) -> int:
        return min(self.slots - self._working - self._promised, self._three_quarters - self._working_on_demand)

    @contextmanager
    def promised(self, leads: int) -> Iterator[None]:
        """Keep the slots of these leads from on-demand requests while a claim is in progress."""
        self._promised = max(0, min(leads, self._free))
        try:
            yield
        finally:
            self._promised = 0
            self._on_demand_room_changed.set()

    async def take_on_demand_slots(self, most: int) -> int:
        """Wait for slots, first come first served: on-demand requests get at most three quarters, and at least one.

        Returns:
            How many were taken, 1 to `most`. Return each with `free_on_demand_slot`.
        """
        try:
            async with self._on_demand_turn:
                while self._on_demand_room <= 0:
                    await self._on_demand_room_changed.wait()
                taken = min(self._on_demand_room, most)
                self._working += taken
                self._working_on_demand += taken
        finally:
            self._assign_slots()
        self._schedule.wake.set()
        return taken

    def free_on_demand_slot(self) -> None:
        self._working_on_demand -= 1
        self._free_one()

    def take(self, lease: Lease) -> bool:
        """Hold a claimed lead, which gets a slot now or later. False if this lease is already held."""
        if lease.name in self._held:
            return False
        self._context.observer.lead_taken(lease)
        self._overdue_at = min(self._overdue_at, lease.overdue_at)
        self._held[lease.name] = lease
        self._waiting.append(lease)
        if lease.claimed.low_priority:
            self._low_priority.add(lease.name)
        self._assign_slots()
        self._taken.set()
        return True

    async def wait_for_slot(self, lease: Lease) -> bool:
        """Wait until it is the turn of a lead that was claimed ahead. False: it must be released."""
        with anyio.move_on_after(min(self._context.timing.longest_ahead_s, lease.start_limit_s)):
            while lease in self._waiting:
                await lease.news.wait()
        if lease in self._waiting:
            self._waiting.remove(lease)
            lease.give_back("returned", "no_free_slot", "no slot became free for this lead in time")
        return lease.working

    def give_back_waiting(self, code: str, reason: str) -> None:
        for lease in self._waiting:
            lease.give_back("returned", code, reason)
            lease.news.set()
        self._waiting.clear()

    def free_slot(self, lease: Lease) -> None:
        """Free the slot of a lead whose attempt is over; the lead may still wait to be written."""
        self._low_priority.discard(lease.name)
        if lease.working:
            lease.working = False
            self._note_duration(anyio.current_time() - lease.began_at)
            self._free_one()
        elif lease in self._waiting:
            self._waiting.remove(lease)
            self._schedule.wake.set()

    def finish(self, lease: Lease, outcome: LeaseOutcome, reason: str | None = None) -> None:
        """Drop a lease after the database's final answer, and log it with `Observer.lead_finished`."""
        if self._held and lease is self._newest:
            self._taken.set()  # an earlier lease may have to be renewed sooner
        self._held.pop(lease.name, None)
        self._schedule.wake.set()
        lease.outcome, lease.outcome_reason = outcome, reason
        lease.ended.set()
        self._context.observer.lead_finished(lease, outcome, reason)

    def hear(self, replies: LeaseReplies, sent_at: float) -> None:
        """Note what a reply says besides the leases: when a claim makes sense, and how the keys are."""
        self._schedule.hear(replies.next_due_ms)
        self._keys.hear(replies.key_news, sent_at)

    async def run(self) -> None:
        """Renew all leases in one call when the oldest confirmation is due, until cancelled."""
        while True:
            wait_s = self._renewal_wait_s()
            if wait_s == math.inf:
                # No lease is held, so no successful renewal would clear the fault.
                self._context.faults.clear("renew")
            if wait_s > 0:
                await self._taken.wait(wait_s)
            else:
                self._renew_not_before = anyio.current_time() + self._context.timing.renew_again_s
                self._refused_in_a_row = 0
                await self._renew(list(self))

    def _free_one(self) -> None:
        self._working -= 1
        self._freed_at.append(anyio.current_time())
        self._assign_slots()
        self._schedule.wake.set()
        self._on_demand_room_changed.set()

    def _assign_slots(self) -> None:
        """Give free slots to the leads that wait for one, fresh ones first."""
        while self._waiting and self._free > 0:
            lease = next((lease for lease in self._waiting if not lease.claimed.low_priority), self._waiting[0])
            self._waiting.remove(lease)
            self._working += 1
            lease.working = True
            lease.began_at = anyio.current_time()
            lease.news.set()

    def _note_duration(self, seconds: float) -> None:
        """Follow the mean of the last leads, some sixteen of them. Leads that needed no call do not count."""
        if seconds > 0:
            self._mean_s = seconds if self._mean_s == math.inf else self._mean_s + (seconds - self._mean_s) / 16

    def _renewal_wait_s(self) -> float:
        due_at = min((self._renewal_due_at(lease) for lease in self), default=math.inf)
        return max(due_at, self._renew_not_before) - anyio.current_time()

    def _renewal_due_at(self, lease: Lease) -> float:
        """A lease is renewed soon after its first model call, so that its cost is booked if this process dies."""
        due_at = lease.confirmed_at + lease.renew_s
        # While it holds a lead of a later claim, the database knows that this process works on the earlier ones.
        if lease.stored_called or not lease.claimed.reserved_usd or lease.received_at < self._newest.received_at:
            return due_at
        called_at = lease.called_at if lease.called else anyio.current_time()
        return min(due_at, called_at + self._context.timing.report_call_s)

    async def _renew(self, leases: Sequence[Lease], *, with_news: bool = True) -> None:
        sent_at = anyio.current_time()
        renewals = [lease.renewal(with_news=with_news) for lease in leases]
        sent = {
            lease.name: (lease.checkpoint if with_news else lease.stored_checkpoint, lease.called) for lease in leases
        }
        try:
            replies = await self._context.store.renew(self._context.worker_name, renewals)
        except StoreError as error:
            self._refused_in_a_row += 1
            # One lead's data must not cost the others their leases.
            if not error.timed_out and any(renewal.checkpoint is not None for renewal in renewals):
                await self._renew(leases, with_news=False)
                return
            may_concern_one = error.kind == "caller_bug" or error.refused_on_the_way
            if may_concern_one and len(leases) > 1 and self._refused_in_a_row <= MOST_REFUSED_RENEWALS:
                middle = len(leases) // 2
                await self._renew(leases[:middle], with_news=with_news)
                if self._refused_in_a_row <= MOST_REFUSED_RENEWALS:
                    await self._renew(leases[middle:], with_news=with_news)
                return
            is_outage = self._refused_in_a_row > MOST_REFUSED_RENEWALS
            pause_s = self._context.timing.unavailable_s[1] if is_outage else self._context.timing.renew_again_s
            self._renew_not_before = anyio.current_time() + pause_s
            self._context.report("renew", error, leads=len(leases))
            return
        self._refused_in_a_row = 0
        if self.overdue:
            self._schedule.wake.set()
        self._context.faults.clear("renew")
        self.hear(replies, sent_at)
        for reply in replies.leases:
            if (lease := self._held.get((reply.lead_id, reply.fence))) is None:
                continue
            lease.heard_at = sent_at
            if reply.outcome == LeaseOutcome.RENEWED:
                # The database renews no earlier than the request is sent, so this date errs on the safe side.
                lease.confirmed_at = sent_at
                lease.stored_checkpoint, lease.stored_called = sent[lease.name]
                lease.news.set()
            elif reply.outcome in LOST and not lease.writing:
                # While it is being written, only the reply to the write counts.
                self._drop(lease, reply.outcome)

    def _drop(self, lease: Lease, outcome: LeaseOutcome) -> None:
        lease.lost = True
        lease.scope.cancel()
        self._context.observer.lease_lost(lease.claimed, outcome)
        self.finish(lease, outcome)
