"""Sends claims; one whose outcome is unknown is sent again under its token, so that its leads are not lost for a lease.

One lead may be why a claim fails: reading its row takes too long, or nobody understands the reply. The database does
not know which, as all that a cancelled claim did is undone. So the claim is sent again for half as many leads, which
gives the others back, down to one. If that fails too, a bare claim leases the lead without reading it: now it has a
name. When the whole claim fails once more for that very lead, the lead is set aside with the reason. If the bare claim
fails as well, it is no lead's fault.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import anyio
import structlog

from leadhook.domain.failure import Failure, FailureClass, StoreError
from leadhook.domain.job import Batch, Group, LeaseRef, Release, Source, Timings
from leadhook.domain.ports import Store
from leadhook.domain.results import Usage
from leadhook.domain.spend import Tariff
from leadhook.engine.doorbell import Doorbell
from leadhook.engine.health import Faults
from leadhook.engine.schedule import Schedule
from leadhook.engine.timing import Timing, jitter
from leadhook.observability import metrics
from leadhook.observability.events import Event

log = structlog.get_logger()

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
"""Failures of a claim that one lead may cause: too slow, too big, not understood, the end of the database's process."""


@dataclass(frozen=True)
class _Claim:
    token: UUID
    hints: tuple[str, ...]
    cause: Source


class Claims:
    """One at a time.

    Attributes:
        last_ok_at: when the database last answered one, by this machine's clock.
    """

    def __init__(
        self,
        *,
        store: Store,
        worker: str,
        model: str,
        tariff: Tariff | None,
        bell: Doorbell,
        schedule: Schedule,
        heard: Callable[[Batch], None],
        faults: Faults,
        timing: Timing,
    ) -> None:
        self._store = store
        self._worker = worker
        self._model = model
        self._terms = tariff.terms() if tariff else None
        self._bell = bell
        self._schedule = schedule
        self._heard = heard
        self._faults = faults
        self._timing = timing
        self._unanswered: _Claim | None = None
        self._cursor: Group | None = None
        self._failures = 0
        self._most = timing.largest_claim
        self._suspect: LeaseRef | None = None
        self._set_aside_last = False
        self.last_ok_at: datetime | None = None

    @property
    def unanswered(self) -> Source | None:
        """The cause of a claim that must be sent again."""
        return self._unanswered.cause if self._unanswered else None

    async def send(self, cause: Source, *, limit: int, slow_limit: int) -> Batch | None:
        """Claim; None when it is to be sent again, or failed.

        Args:
            cause: of a new claim; one that must be sent again keeps its own.
            limit: the most leads.
            slow_limit: the most of them from replays and backlog.
        """
        limit = min(limit, self._most)
        slow_limit = min(slow_limit, limit)
        claim = self._unanswered or _Claim(uuid4(), self._bell.take(), cause)
        self._unanswered = claim
        self._schedule.sending(claim.cause)
        sent_at = anyio.current_time()
        try:
            batch = await self._store.claim(
                worker=self._worker,
                token=claim.token,
                limit=limit,
                slow_limit=slow_limit,
                cursor=self._cursor,
                hints=claim.hints,
                cause=claim.cause,
                terms=self._terms,
            )
        except StoreError as error:
            self._note_failure(claim, error, limit)
            if limit == 1 and error.code in PERHAPS_A_LEAD:
                await self._isolate(claim, error, slow_limit)
            return None
        self._failures = 0
        self._suspect = None
        self._most = min(self._timing.largest_claim, 2 * self._most)
        self._set_aside_last &= not batch.leads
        self._note_gate(batch)
        self.last_ok_at = datetime.now(UTC)
        metrics.CLAIMS.labels(claim.cause, "busy" if batch.busy else "answered").inc()
        metrics.hear_figures(batch.figures)
        if batch.busy:
            self._schedule.postpone(jitter(self._timing.busy_s))
            return None
        self._unanswered = None
        self._cursor = batch.cursor
        self._schedule.hear_batch(batch, limit=limit, slow_limit=slow_limit)
        self._heard(batch)
        log.debug(
            Event.CLAIM_FINISHED,
            cause=claim.cause,
            leads=len(batch.leads),
            cut=batch.cut,
            next_due_ms=batch.next_due_ms,
            duration_ms=round((anyio.current_time() - sent_at) * 1000),
        )
        return batch

    def _note_gate(self, batch: Batch) -> None:
        if batch.gate != "unpriced":
            self._faults.clear("claim")
            return
        reason = (
            f"a budget in dollars is set, but the price of the model {self._model} is not known: name it in the "
            "file of GEMINI_PRICE_FILE, choose another GEMINI_MODEL, or clear the budget (`leadhook budget clear`)"
        )
        trouble = Failure(FailureClass.CONFIGURATION, "model_unpriced", reason)
        if self._faults.add("claim", trouble):
            log.error(Event.CLAIM_FAILED, cause="gate", code=trouble.code, reason=trouble.reason)

    async def _isolate(self, claim: _Claim, error: StoreError, slow_limit: int) -> None:
        """Find out which lead it is that can't be claimed, and set it aside when it fails again."""
        try:
            lease = await self._store.claim_bare(
                worker=self._worker,
                token=claim.token,
                slow_limit=slow_limit,
                cursor=self._cursor,
                hints=claim.hints,
                cause=claim.cause,
                terms=self._terms,
            )
            if lease is not None and lease == self._suspect:
                await self._set_aside(lease, error)
                self._unanswered = _Claim(uuid4(), claim.hints, claim.cause)
                lease = None
            self._suspect = lease
        except StoreError as trouble:
            self._suspect = None
            self._schedule.postpone(self._timing.retry_s(trouble.kind, self._failures))
            if self._faults.add("claim", trouble):
                log.warning(Event.CLAIM_FAILED, cause=claim.cause, code=trouble.code, reason=trouble.reason)
        else:
            self._failures = 0
            self._schedule.postpone(jitter(self._timing.busy_s))

    async def _set_aside(self, lease: LeaseRef, error: StoreError) -> None:
        """Of several in a row, with no lead read in between, nobody knows that it is their fault: they wait instead."""
        reason = f"this lead can't be handed out, even alone: {error.reason}; correct its row, and it goes on"
        release = Release(
            lead_id=lease.lead_id,
            fence=lease.fence,
            outcome="returned" if self._set_aside_last else "dead",
            error_code="evaluation_failed",
            reason=reason,
            delay_ms=round(self._timing.quarantine_s * 1000) if self._set_aside_last else 0,
            usage=Usage(),
            cost_usd=0.0 if self._terms else None,
            timing=Timings(),
        )
        await self._store.release(self._worker, [release])
        self._set_aside_last = True
        log.warning(Event.CLAIM_FAILED, cause="lead", lead_id=lease.lead_id, code=error.code, reason=reason)

    def _note_failure(self, claim: _Claim, error: StoreError, limit: int) -> None:
        self._failures += 1
        metrics.CLAIMS.labels(claim.cause, "failed").inc()
        if error.kind == "caller_bug":
            # The same claim would be refused for ever; the next one goes without its hints.
            self._unanswered = None
            self._bell.ring()
        if limit > 1 and error.code in PERHAPS_A_LEAD:
            self._most = limit // 2
            self._schedule.postpone(jitter(self._timing.busy_s))
        elif error.code not in PERHAPS_A_LEAD:
            self._schedule.postpone(self._timing.retry_s(error.kind, self._failures))
        if self._faults.add("claim", error):
            log.warning(Event.CLAIM_FAILED, cause=claim.cause, code=error.code, reason=error.reason)
