"""Claims leads whenever there is a reason and a free slot.

A claim whose outcome is unknown is sent again under its token, so that its leads are not lost for the time of a lease.

One lead may be why a claim fails: reading its row takes too long, or its reply can't be parsed. The database does not
know which lead it is, because a cancelled claim is rolled back. So the claim is sent again for half as many leads,
which gives the others back, down to one. If that fails too, a bare claim leases the lead without reading it, and so
finds out its id. If the whole claim fails once more for that very lead, the lead is put in quarantine with the reason.
If the bare claim fails as well, it is no lead's fault.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

import anyio

from leadhook.domain.failure import Failure, FailureClass, StoreError
from leadhook.domain.job import Batch, ClaimRequest, LeaseRef, Release, Source, Timings
from leadhook.domain.results import Usage
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import CircuitBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.lease import Lease
from leadhook.engine.leases import Leases
from leadhook.engine.schedule import NextClaim, Schedule
from leadhook.engine.timing import Wakeup, jitter

MOST_HINTS: Final = 500
LONGEST_HINT: Final = 200
PERHAPS_A_LEAD: Final = frozenset(
    {
        "57014",
        "57P01",
        "PGRST001",
        "53200",
        "53400",
        "54000",
        "XX000",
        "reply_not_understood",
        "timeout",
        "disconnected",
    }
)
"""Failures of a claim that one lead may cause: too slow, too big, not parsed, the end of the database's process."""


def _perhaps_a_lead(error: StoreError) -> bool:
    return error.code in PERHAPS_A_LEAD or error.refused_on_the_way


class WakeSignal:
    """Says that a webhook came, however many did, with a bounded number of hints.

    The work is in the database; a webhook only says when to look. The sweep finds the leads of hints that find no room.
    """

    def __init__(self, wake: Wakeup) -> None:
        self._wake: Final = wake
        self._hints: dict[str, None] = {}
        self.is_set = False

    def set(self, hints: Iterable[str] = ()) -> None:
        """Ask for a claim; costs no database work. `hints` are lead ids from plain dashboard webhooks."""
        for hint in hints:
            if len(self._hints) < MOST_HINTS and 0 < len(hint) <= LONGEST_HINT:
                self._hints[hint] = None
        self.is_set = True
        self._wake.set()

    def take(self) -> tuple[str, ...]:
        """Reset it and take the hints: before the claim is sent, never after its reply."""
        hints = tuple(self._hints)
        self._hints.clear()
        self.is_set = False
        return hints


@dataclass(frozen=True)
class _Claim:
    token: UUID
    hints: tuple[str, ...]
    source: Source


class Claims:
    """Sends claims, one at a time."""

    def __init__(self, context: EngineContext, schedule: Schedule, signal: WakeSignal) -> None:
        self._context: Final = context
        self._timing: Final = context.timing
        self._schedule: Final = schedule
        self._signal: Final = signal
        self._unanswered: _Claim | None = None
        self._last_user: UUID | None = None
        self._failures = 0
        self._most = context.timing.largest_claim
        self._suspect: LeaseRef | None = None
        self._quarantined_last = False

    @property
    def unanswered(self) -> Source | None:
        """The source of a claim that must be sent again."""
        return self._unanswered.source if self._unanswered else None

    async def send(self, source: Source, *, limit: int, low_priority_limit: int, probe: bool = False) -> Batch | None:
        """Claim; None when it failed or must be sent again, which keeps its own source.

        A `probe` is preferably a lead whose model calls do not fail.
        """
        limit = min(limit, self._most)
        low_priority_limit = min(low_priority_limit, limit)
        claim = self._unanswered or _Claim(uuid4(), self._signal.take(), source)
        self._unanswered = claim
        self._schedule.sending(claim.source)
        sent_at = anyio.current_time()
        request = ClaimRequest(
            worker=self._context.worker_name,
            token=claim.token,
            limit=limit,
            low_priority_limit=low_priority_limit,
            after_user=self._last_user,
            hints=claim.hints,
            source=claim.source,
            terms=self._context.tariff.terms() if self._context.tariff else None,
            model=self._context.scorer.model,
            probe=probe,
        )
        try:
            batch = await self._context.store.claim(request)
        except StoreError as error:
            self._note_failure(claim, error, limit)
            if limit == 1 and _perhaps_a_lead(error):
                await self._isolate(claim, request, error)
            return None
        self._note_answer(claim, batch)
        if batch.busy:
            self._schedule.postpone(jitter(self._timing.busy_s))
            return None
        self._unanswered = None
        self._last_user = batch.last_user
        self._schedule.hear_batch(batch, limit=limit, low_priority_limit=low_priority_limit)
        self._context.observer.claim_finished(claim.source, batch, anyio.current_time() - sent_at)
        return batch

    def _note_answer(self, claim: _Claim, batch: Batch) -> None:
        self._failures = 0
        self._suspect = None
        self._most = min(self._timing.largest_claim, 2 * self._most)
        self._quarantined_last &= not batch.leads
        self._note_blocked(batch)
        self._context.observer.claim_answered(claim.source, batch)

    def _note_blocked(self, batch: Batch) -> None:
        if batch.blocked_by != "unpriced":
            self._context.faults.clear("claim")
            return
        reason = (
            f"a budget in dollars is set, but the price of the model {self._context.scorer.model} is not known: name "
            "it in the file of GEMINI_PRICE_FILE, choose another GEMINI_MODEL, or clear the budget "
            "(`leadhook budget clear`)"
        )
        failure = Failure(FailureClass.CONFIGURATION, "model_unpriced", reason)
        if self._context.faults.add("claim", failure):
            self._context.observer.claim_blocked(failure)

    def _note_failure(self, claim: _Claim, error: StoreError, limit: int) -> None:
        self._failures += 1
        self._context.observer.claim_unanswered(claim.source)
        if error.kind == "caller_bug":
            # The same claim would be refused forever; the next one goes without its hints.
            self._unanswered = None
            self._signal.set()
        elif error.refused_on_the_way and claim.hints:
            # A hint may be what is refused; the sweep finds its lead.
            self._unanswered = replace(claim, hints=())
        if limit > 1 and _perhaps_a_lead(error):
            self._most = limit // 2
            self._schedule.postpone(jitter(self._timing.busy_s))
        elif not _perhaps_a_lead(error):
            self._schedule.postpone(self._timing.retry_s(error.kind, self._failures))
        self._context.report("claim", error, source=claim.source)

    async def _isolate(self, claim: _Claim, request: ClaimRequest, error: StoreError) -> None:
        """Find out which lead can't be claimed, and put it in quarantine when it fails again."""
        try:
            lease = await self._context.store.claim_bare(request)
            if lease is not None and lease == self._suspect:
                await self._quarantine(lease, error)
                self._unanswered = _Claim(uuid4(), claim.hints, claim.source)
                self._suspect = None
            else:
                self._suspect = lease
        except StoreError as bare_error:
            self._suspect = None
            self._schedule.postpone(self._timing.retry_s(bare_error.kind, self._failures))
            self._context.report("claim", bare_error, source=claim.source)
        else:
            if lease is None:
                # No lead is the cause.
                self._schedule.postpone(self._timing.retry_s(error.kind, self._failures))
                return
            self._failures = 0
            self._schedule.postpone(jitter(self._timing.busy_s))

    async def _quarantine(self, lease: LeaseRef, error: StoreError) -> None:
        """Of several in a row, with no lead read in between, it is unknown whether they are at fault: they wait."""
        reason = (
            f"this lead can't be handed out, even alone: {error.reason}; correct its row, then run `leadhook replay`"
        )
        release = Release(
            lead_id=lease.lead_id,
            fence=lease.fence,
            outcome="returned" if self._quarantined_last else "dead",
            error_code="evaluation_failed",
            reason=reason,
            delay_ms=round(self._timing.quarantine_s * 1000) if self._quarantined_last else 0,
            usage=Usage(),
            cost_usd=0.0 if self._context.tariff else None,
            timing=Timings(),
        )
        await self._context.store.release(self._context.worker_name, [release])
        self._quarantined_last = True
        self._context.observer.lead_quarantined(lease.lead_id, error.code, reason)


class Dispatcher:
    """Decides when to claim and how much, and turns batches into leases."""

    def __init__(
        self, context: EngineContext, leases: Leases, schedule: Schedule, breaker: CircuitBreaker, keys: KeyPool
    ) -> None:
        self._timing: Final = context.timing
        self._observer: Final = context.observer
        self._leases: Final = leases
        self._schedule: Final = schedule
        self._breaker: Final = breaker
        self._keys: Final = keys
        self.signal: Final = WakeSignal(schedule.wake)
        self.claims: Final = Claims(context, schedule, self.signal)

    async def step(self) -> list[Lease]:
        """Wait until something changes, or claim if it is time; return the new leases. Some wait for a slot."""
        claim = self._next_claim()
        wait_s = self._wait_s(claim)
        if wait_s > 0:
            await self._schedule.wake.wait(wait_s)
            return []
        return await self._claim(claim)

    def _next_claim(self) -> NextClaim:
        room = self._leases.room
        if unanswered := self.claims.unanswered:
            return NextClaim(self._schedule.not_before, unanswered, room)
        return self._schedule.next(
            webhook_came=self.signal.is_set, room=room, low_priority_room=self._leases.low_priority_room
        )

    def _wait_s(self, claim: NextClaim) -> float:
        """How long to wait for the time, for room, or for a renewal."""
        if claim.room <= 0 or self._leases.overdue:
            return math.inf
        at = max(claim.at, self._breaker.next_probe_at) if self._breaker.open else claim.at
        return at - anyio.current_time()

    async def _claim(self, claim: NextClaim) -> list[Lease]:
        probing = self._breaker.open
        limit = 1 if probing else min(self._leases.room, self._timing.largest_claim)
        sent_at = anyio.current_time()
        with self._leases.promised(limit):
            batch = await self.claims.send(
                claim.source,
                limit=limit,
                low_priority_limit=min(limit, self._leases.low_priority_room),
                probe=probing,
            )
            return [] if batch is None else self._receive(batch, sent_at, probing=probing)

    def _receive(self, batch: Batch, sent_at: float, *, probing: bool) -> list[Lease]:
        if batch.keys:
            self._keys.learn(batch.keys, sent_at)
        if batch.blocked_by == "paused":
            self._leases.give_back_waiting("paused", "claiming was paused before this lead had a slot")
        if not batch.leads:
            return []
        self._breaker.hear(batch.attempts, sent_at)
        if probing:
            self._breaker.probed()
        return self._take(batch, sent_at, probing=probing)

    def _take(self, batch: Batch, sent_at: float, *, probing: bool) -> list[Lease]:
        taken = []
        for lead in batch.leads:
            lease = Lease(
                claimed=lead,
                received_at=anyio.current_time(),
                confirmed_at=sent_at,
                start_limit_s=batch.start_limit_ms / 1000,
                renew_s=batch.renew_ms / 1000,
                give_up_after_s=batch.give_up_after_ms / 1000,
                max_attempts=batch.max_attempts,
                checkpoint=lead.checkpoint,
                stored_checkpoint=lead.checkpoint,
                probe=probing,
            )
            if self._leases.take(lease):
                self._observer.lead_claimed(lead)
                taken.append(lease)
        return taken
