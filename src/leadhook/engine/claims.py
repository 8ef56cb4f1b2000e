"""Sends claims; one whose outcome is unknown is sent again as it was, so that its leads are not lost for a lease."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import anyio
import structlog

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import Batch, Cause, Lane
from leadhook.domain.spend import Tariff
from leadhook.engine.agenda import Agenda
from leadhook.engine.doorbell import Doorbell
from leadhook.engine.faults import Faults
from leadhook.engine.pace import Pace, drawn, growing
from leadhook.engine.ports import Store
from leadhook.observability import metrics
from leadhook.observability.events import Event
from leadhook.store import StoreError

log = structlog.get_logger()


@dataclass(frozen=True)
class _Claim:
    token: UUID
    hints: tuple[str, ...]
    cause: Cause


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
        agenda: Agenda,
        heard: Callable[[Batch], None],
        faults: Faults,
        pace: Pace,
    ) -> None:
        self._store = store
        self._worker = worker
        self._model = model
        self._terms = tariff.terms() if tariff else None
        self._bell = bell
        self._agenda = agenda
        self._heard = heard
        self._faults = faults
        self._pace = pace
        self._unanswered: _Claim | None = None
        self._cursor: Lane | None = None
        self._failures = 0
        self.last_ok_at: datetime | None = None

    @property
    def unanswered(self) -> Cause | None:
        """The cause of a claim that must be sent again."""
        return self._unanswered.cause if self._unanswered else None

    async def send(self, cause: Cause, *, limit: int, slow_limit: int) -> Batch | None:
        """Claim; None when it is to be sent again, or failed.

        Args:
            cause: of a new claim; one that must be sent again keeps its own.
            limit: the most leads.
            slow_limit: the most of them from replays and backlog.
        """
        claim = self._unanswered or _Claim(uuid4(), self._bell.take(), cause)
        self._unanswered = claim
        self._agenda.sending(claim.cause)
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
            self._note_failure(claim, error)
            return None
        self._failures = 0
        self._note_gate(batch)
        self.last_ok_at = datetime.now(UTC)
        metrics.CLAIMS.labels(claim.cause, "busy" if batch.busy else "answered").inc()
        metrics.hear_figures(batch.figures)
        if batch.busy:
            self._agenda.postpone(drawn(self._pace.busy_s))
            return None
        self._unanswered = None
        self._cursor = batch.cursor
        self._agenda.hear_batch(batch, limit=limit, slow_limit=slow_limit)
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

    def _note_failure(self, claim: _Claim, error: StoreError) -> None:
        self._failures += 1
        metrics.CLAIMS.labels(claim.cause, "failed").inc()
        if error.kind == "caller_bug":
            # The same claim would be refused for ever; the next one goes without its hints.
            self._unanswered = None
            self._bell.ring()
        self._agenda.postpone(growing(self._pace.after(error.kind), self._failures))
        if self._faults.add("claim", error):
            log.warning(Event.CLAIM_FAILED, cause=claim.cause, code=error.code, reason=error.reason)
