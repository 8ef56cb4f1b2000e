"""What the engine reports: log lines, metrics and the operator log. The engine sees nothing else of observability."""

from collections.abc import Hashable
from typing import Final, Literal, Protocol

import anyio
import structlog

from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.job import ApiKey, Batch, ClaimedLead, Figures, LeaseOutcome, ParkedKey, Release, Source
from leadhook.domain.results import Checkpoint, MessageFailure, Usage
from leadhook.observability import metrics
from leadhook.observability.events import Event
from leadhook.observability.operator_log import OperatorLog, shortened

log = structlog.get_logger()

FAILED: Final = {
    "claim": Event.CLAIM_FAILED,
    "renew": Event.RENEW_FAILED,
    "save": Event.SAVE_FAILED,
    "release": Event.RELEASE_FAILED,
    "park": Event.PARK_FAILED,
    "sweep": Event.SWEEP_FAILED,
    "replay": Event.REPLAY_FAILED,
    "on_demand": Event.ON_DEMAND_FAILED,
}


class ReportedLease(Hashable, Protocol):
    """The fields of a lease that are reported; `engine.leases.Lease` explains them."""

    claimed: ClaimedLead
    received_at: float
    checkpoint: Checkpoint | None
    message_failure: MessageFailure | None
    release: Release | None
    key: ApiKey | None
    usage: Usage
    cost_usd: float | None
    first_call_ms: int | None
    key_wait_ms: float
    model_ms: float


class Observer:
    """One method for each kind of event in the engine."""

    def __init__(self, operator_log: OperatorLog | None = None) -> None:
        self._operator_log: Final = operator_log or OperatorLog()

    def failed(self, operation: str, error: Failure | StoreError, **fields: object) -> None:
        """A call to the database failed in a new way."""
        log.warning(FAILED[operation], code=error.code, reason=error.reason, **fields)

    def claim_answered(self, source: Source, batch: Batch) -> None:
        metrics.CLAIMS.labels(source, "busy" if batch.busy else "answered").inc()
        metrics.hear_figures(batch.figures)

    def claim_unanswered(self, source: Source) -> None:
        metrics.CLAIMS.labels(source, "failed").inc()

    def claim_blocked(self, failure: Failure) -> None:
        """No claim can hand out anything until a person changes something."""
        log.error(Event.CLAIM_FAILED, source="blocked_by", code=failure.code, reason=failure.reason)

    def claim_finished(self, source: Source, batch: Batch, took_s: float) -> None:
        """A claim returned leads, or none because none are due."""
        log.debug(
            Event.CLAIM_FINISHED,
            source=source,
            leads=len(batch.leads),
            has_more=batch.has_more,
            next_due_ms=batch.next_due_ms,
            duration_ms=round(took_s * 1000),
        )

    def lead_quarantined(self, lead_id: str, code: str, reason: str) -> None:
        log.warning(Event.CLAIM_FAILED, source="lead", lead_id=lead_id, code=code, reason=reason)

    def lead_taken(self, lease: ReportedLease) -> None:
        self._operator_log.taken(lease)

    def lead_claimed(self, claimed: ClaimedLead) -> None:
        metrics.CLAIMED.labels(claimed.source or "unknown").inc()

    def first_call_started(self, lease: ReportedLease) -> None:
        claimed = lease.claimed
        self._operator_log.started(lease, claimed.lead_id, claimed.lead.name, _shown(lease.key) or "")

    def model_step_ended(self, step: Literal["score", "check", "message"], took_s: float) -> None:
        metrics.MODEL_CALLS.labels(step).observe(took_s)

    def key_parked(self, key: ParkedKey) -> None:
        metrics.DECISIONS.labels("key", "rested").inc()
        log.warning(Event.KEY_PARKED, **key.model_dump())

    def decided(self, rule: str, outcome: str) -> None:
        """A rule of `domain/blame.py` decided what becomes of a lead."""
        metrics.DECISIONS.labels(rule, outcome).inc()

    def breaker_opened(self, failure: Failure, rule: str) -> None:
        metrics.DECISIONS.labels(rule, "suspended").inc()
        log.error(Event.BREAKER_OPENED, code=failure.code, reason=failure.reason)

    def breaker_closed(self) -> None:
        log.info(Event.BREAKER_CLOSED)

    def lease_lost(self, claimed: ClaimedLead, outcome: LeaseOutcome) -> None:
        log.warning(Event.LEASE_LOST, lead_id=claimed.lead_id, fence=claimed.fence, outcome=outcome.value)

    def lead_finished(self, lease: ReportedLease, outcome: LeaseOutcome, reason: str | None) -> None:
        """A lease ended, as the database says: write the one log line of the attempt, and count it.

        An accepted release is logged with the outcome that it asked for. Released without a `Release`, it is an
        on-demand request whose answer is not saved.
        """
        claimed, release = lease.claimed, lease.release
        score = lease.checkpoint.score if lease.checkpoint else None
        failure = lease.message_failure
        logged, code = outcome.value, release.error_code if release else failure.code if failure else None
        if outcome == LeaseOutcome.RELEASED:
            logged = release.outcome if release else "answered"
        log.info(
            Event.LEAD_FINISHED,
            lead_id=claimed.lead_id,
            run=claimed.run,
            fence=claimed.fence,
            attempt=claimed.attempts + 1,
            outcome=logged,
            score=score.score if score else None,
            flags=list(score.flags) if score else None,
            source=claimed.source,
            waited_ms=claimed.waited_ms,
            first_call_ms=lease.first_call_ms,
            key_wait_ms=round(lease.key_wait_ms),
            model_ms=round(lease.model_ms),
            calls=lease.usage.calls,
            input_tokens=lease.usage.input_tokens,
            cached_tokens=lease.usage.cached_tokens,
            output_tokens=lease.usage.output_tokens,
            thinking_tokens=lease.usage.thinking_tokens,
            cost_usd=lease.cost_usd,
            key=lease.key.fingerprint if lease.key else None,
            error_code=code,
            reason=reason or (release.reason if release else failure.reason if failure else None),
        )
        if score and outcome in (LeaseOutcome.SAVED, LeaseOutcome.SAVED_WITHOUT_MESSAGE):
            for flag in score.flags:
                metrics.FLAGGED.labels(flag).inc()
        metrics.count_attempt(
            outcome=logged,
            code=code,
            first_call_ms=lease.first_call_ms,
            age_s=claimed.waited_ms / 1000 + anyio.current_time() - lease.received_at,
            usage=lease.usage,
            cost_usd=lease.cost_usd,
        )
        self._operator_log.finished(
            lease, claimed.lead_id, claimed.lead.name, logged, key=_shown(lease.key), reason=reason or code
        )

    def slice_swept(self, made_ready: int, figures: Figures | None) -> None:
        metrics.SWEPT.inc(made_ready)
        metrics.hear_figures(figures)

    def sweep_finished(self, counts: dict[str, int], took_s: float) -> None:
        metrics.SWEEPS.inc()
        log.info(Event.SWEEP_FINISHED, **counts, duration_ms=round(took_s * 1000))

    def drain_overran(self, leads: int) -> None:
        """The time for the shutdown is over before these leads were written."""
        log.warning(Event.DRAIN_OVERRUN, leads=leads)


def _shown(key: ApiKey | None) -> str | None:
    return shortened(key.api_key.get_secret_value()) if key else None
