"""The leases that this process holds: their slots, their renewal, and their log line at the end."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

import anyio

from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.job import (
    ApiKey,
    ClaimedLead,
    LeaseOutcome,
    LeaseReplies,
    Refusal,
    Release,
    Renewal,
    Result,
    Timings,
)
from leadhook.domain.results import Checkpoint, MessageFailure, Usage
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.context import EngineContext
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Wakeup

LeaseName = tuple[str, int]
"""`(lead_id, fence)`. The same lead under an older fence is another lease."""
LOST: Final = (LeaseOutcome.LEASE_LOST, LeaseOutcome.GONE)


@dataclass(eq=False)
class Lease:
    """One lead, from the claim's reply to the database's final answer about the lease.

    Times are seconds on the event loop's clock.
    """

    claimed: ClaimedLead
    received_at: float
    """When the reply to the claim arrived."""
    confirmed_at: float
    """When the request that last confirmed the lease was sent."""
    start_limit_s: float
    renew_s: float
    give_up_after_s: float = math.inf
    """A lead that failed for so long is dead, however little is known about why."""
    max_attempts: float = math.inf
    checkpoint: Checkpoint | None = None
    """Model answers paid for by this lease or an earlier one."""
    stored_checkpoint: Checkpoint | None = None
    """The part of it that the database has."""
    stored_called: bool = False
    """Whether the database knows that a model call started."""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    """Spent by this lease so far; None if the price is unknown."""
    first_call_ms: int | None = None
    key_wait_ms: float = 0.0
    """The part of `first_call_ms` spent waiting for another lead's call to prove a key."""
    called_at: float = -math.inf
    """When its last model call started."""
    model_ms: float = 0.0
    key: ApiKey | None = None
    """The key used last."""
    step_called_at: float = math.inf
    """When the first call of its last step started."""
    keys_refused: int = 0
    """Keys that failed for its last step, one after the other."""
    probe: bool = False
    """Whether it was claimed while the circuit breaker was open."""
    working: bool = True
    """Whether it has a slot; without one, it only waits to be written."""
    writing: bool = False
    """Whether a save or release of it was sent whose outcome is not known yet."""
    lost: bool = False
    failures: int = 0
    """How often writing it alone has failed."""
    failed_at: float | None = None
    """When that first happened, or when a call with it first took too long."""
    strikes: int = 0
    """How many of these failures came while other leads could be written."""
    failure: Failure | None = None
    """Why its last attempt ended without an answer."""
    message_failure: MessageFailure | None = None
    """Why the score is saved without a message."""
    refusal: Refusal | None = None
    """Why the answer will not be written to the application."""
    release: Release | None = None
    """How it ends without a result. None: it will be saved."""
    outcome: LeaseOutcome | None = None
    """The database's final answer, with its reason; `ended` is set then."""
    outcome_reason: str | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    news: Wakeup = field(default_factory=Wakeup)
    """Set when the lease was confirmed or a shutdown began."""

    @property
    def name(self) -> LeaseName:
        """The lease's name, which every write carries."""
        return self.claimed.lead_id, self.claimed.fence

    @property
    def key_fingerprint(self) -> str | None:
        """The fingerprint of the key used last."""
        return self.key.fingerprint if self.key else None

    @property
    def failing_since(self) -> float | None:
        """When its model calls began to fail without blame, by the event loop's clock; None: they did not."""
        return None if self.claimed.failing_ms is None else self.received_at - self.claimed.failing_ms / 1000

    @property
    def paid_before(self) -> int:
        """Attempts of this run that were spent on the step it is at."""
        spent = self.claimed.attempts
        return spent if self.checkpoint is None else max(0, spent - self.checkpoint.attempts_before)

    @property
    def called(self) -> bool:
        """Whether a model call has started."""
        return self.called_at > -math.inf

    def renewal(self) -> Renewal:
        """The request to renew it, with the news for the database."""
        news = self.checkpoint if self.checkpoint is not self.stored_checkpoint else None
        return Renewal(
            lead_id=self.claimed.lead_id,
            fence=self.claimed.fence,
            token=self.claimed.token,
            checkpoint=news,
            called=self.called,
        )

    def result(self) -> Result:
        """The finished answer.

        Raises:
            ValueError: there is none.
        """
        if self.checkpoint is None:
            raise ValueError("a lead without an answer can't be saved")
        return Result(
            lead_id=self.claimed.lead_id,
            fence=self.claimed.fence,
            token=self.claimed.token,
            checkpoint=self.checkpoint,
            message_failure=self.message_failure,
            key_fingerprint=self.key_fingerprint,
            usage=self.usage,
            cost_usd=self.cost_usd,
            timing=self._timings(),
            refusal=self.refusal,
        )

    def give_back(
        self,
        outcome: Literal["retry", "returned", "dead"],
        code: str,
        reason: str,
        delay_ms: int = 0,
        *,
        failing: bool = False,
        decide_after_ms: int | None = None,
    ) -> None:
        """End it without a result: it is released instead of saved."""
        self.release = Release(
            lead_id=self.claimed.lead_id,
            fence=self.claimed.fence,
            token=self.claimed.token,
            outcome=outcome,
            error_code=code,
            reason=reason,
            delay_ms=delay_ms,
            failing=failing,
            decide_after_ms=decide_after_ms,
            checkpoint=self.checkpoint,
            key_fingerprint=self.key_fingerprint,
            usage=self.usage,
            cost_usd=self.cost_usd,
            timing=self._timings(),
        )

    def _timings(self) -> Timings:
        return Timings(
            first_call_ms=self.first_call_ms, key_wait_ms=round(self.key_wait_ms), model_ms=round(self.model_ms)
        )


class Leases:
    """All leases of this process, and the slots for leads being scored."""

    def __init__(self, context: EngineContext, schedule: Schedule, keys: KeyPool, slots: int) -> None:
        self._context: Final = context
        self._schedule: Final = schedule
        self._keys: Final = keys
        self.slots: Final = slots
        self._held: Final[dict[LeaseName, Lease]] = {}
        self._taken: Final = Wakeup()
        self._working = 0
        self._working_low_priority = 0
        self._working_on_demand = 0
        self._promised = 0
        self._on_demand_turn: Final = anyio.Lock()
        self._on_demand_room_changed: Final = Wakeup()
        self._renew_not_before = -math.inf

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Lease]:
        return iter(tuple(self._held.values()))

    @property
    def working(self) -> int:
        """Leads that have a slot."""
        return self._working

    @property
    def free(self) -> int:
        """How many leads may be claimed.

        To bound memory, leads that wait to be written count once they would fill all slots again. One slot is
        reserved if an on-demand request is waiting.
        """
        kept = self._on_demand_turn.locked() and self._working_on_demand < self._three_quarters
        return max(0, min(self.slots - self._working - kept, 2 * self.slots - len(self._held)))

    @property
    def low_priority_room(self) -> int:
        """How many leads of low priority may be claimed: at most three quarters of all slots, and at least one."""
        return max(0, self._three_quarters - self._working_low_priority)

    @property
    def _three_quarters(self) -> int:
        return max(1, self.slots * 3 // 4)

    @property
    def _on_demand_room(self) -> int:
        return min(self.slots - self._working - self._promised, self._three_quarters - self._working_on_demand)

    @contextmanager
    def promised(self, slots: int) -> Iterator[None]:
        """Keep these slots from on-demand requests while a claim is in progress."""
        self._promised = slots
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
        async with self._on_demand_turn:
            while self._on_demand_room <= 0:
                await self._on_demand_room_changed.wait()
            taken = min(self._on_demand_room, most)
            self._working += taken
            self._working_on_demand += taken
        self._schedule.wake.set()
        return taken

    def free_on_demand_slot(self) -> None:
        """Return a slot."""
        self._working_on_demand -= 1
        self._free_one()

    def take(self, lease: Lease) -> bool:
        """Hold a claimed lead and give it a slot. False if this lease is already held."""
        if lease.name in self._held:
            return False
        self._context.observer.lead_taken(lease)
        self._held[lease.name] = lease
        self._working += 1
        self._working_low_priority += lease.claimed.low_priority
        self._taken.set()
        return True

    def free_slot(self, lease: Lease) -> None:
        """Free the slot of a lead whose attempt is over; the lead may still wait to be written."""
        if not lease.working:
            return
        lease.working = False
        self._working_low_priority -= lease.claimed.low_priority
        self._free_one()

    def finish(self, lease: Lease, outcome: LeaseOutcome, reason: str | None = None) -> None:
        """Drop a lease after the database's final answer, and log it with `Observer.lead_finished`."""
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
                await self._renew(list(self))

    def _free_one(self) -> None:
        self._working -= 1
        self._schedule.wake.set()
        self._on_demand_room_changed.set()

    def _renewal_wait_s(self) -> float:
        due_at = min((self._renewal_due_at(lease) for lease in self), default=math.inf)
        return max(due_at, self._renew_not_before) - anyio.current_time()

    def _renewal_due_at(self, lease: Lease) -> float:
        """A lease is renewed soon after its first model call, so that its cost is booked if this process dies."""
        due_at = lease.confirmed_at + lease.renew_s
        if lease.stored_called or not lease.claimed.reserved_usd:
            return due_at
        called_at = lease.called_at if lease.called else anyio.current_time()
        return min(due_at, called_at + self._context.timing.report_call_s)

    async def _renew(self, leases: Sequence[Lease]) -> None:
        sent_at = anyio.current_time()
        sent = {lease.name: (lease.checkpoint, lease.called) for lease in leases}
        try:
            replies = await self._context.store.renew(self._context.worker_name, [lease.renewal() for lease in leases])
        except StoreError as error:
            if error.kind == "caller_bug" and len(leases) > 1:
                # A renewal that the database can't read must not cost the others their leases.
                middle = len(leases) // 2
                await self._renew(leases[:middle])
                await self._renew(leases[middle:])
                return
            self._renew_not_before = anyio.current_time() + self._context.timing.renew_again_s
            self._context.report("renew", error, leads=len(leases))
            return
        self._context.faults.clear("renew")
        self.hear(replies, sent_at)
        for reply in replies.leases:
            if (lease := self._held.get((reply.lead_id, reply.fence))) is None:
                continue
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
