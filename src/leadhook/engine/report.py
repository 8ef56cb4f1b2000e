"""The one line that every attempt leaves in the log."""

from typing import Literal

import anyio
import structlog

from leadhook.domain.job import LeaseOutcome
from leadhook.engine.held import HeldLead
from leadhook.observability import metrics
from leadhook.observability.events import Event
from leadhook.observability.journal import journal

log = structlog.get_logger()


def report_finished(held: HeldLead, outcome: LeaseOutcome | Literal["answered"], reason: str | None = None) -> None:
    """Tell what became of a lease.

    Args:
        held: the lead.
        outcome: the database's word; a release that it accepted is told by what the release asked for. `answered`: the
            answer of a lead without an id, which is written nowhere.
        reason: the database's reason, where it has one.
    """
    release = held.release
    released = outcome == LeaseOutcome.RELEASED and release is not None
    told = release.outcome if release is not None and released else str(outcome)
    log.info(
        Event.LEAD_FINISHED,
        lead_id=held.claimed.lead_id,
        run=held.claimed.run,
        fence=held.claimed.fence,
        attempt=held.claimed.attempts + 1,
        outcome=told,
        score=held.paid.score.score if held.paid else None,
        flags=list(held.paid.score.flags) if held.paid else None,
        found_by=held.claimed.found_by,
        waited_ms=held.claimed.waited_ms,
        first_call_ms=held.first_call_ms,
        key_wait_ms=round(held.key_wait_ms),
        model_ms=round(held.model_ms),
        calls=held.usage.calls,
        input_tokens=held.usage.input_tokens,
        cached_tokens=held.usage.cached_tokens,
        output_tokens=held.usage.output_tokens,
        thinking_tokens=held.usage.thinking_tokens,
        cost_usd=held.cost_usd,
        key=held.key_fingerprint,
        error_code=release.error_code if release else None,
        reason=reason or (release.reason if release else None),
    )
    metrics.count_attempt(
        outcome=told,
        code=release.error_code if release else None,
        first_call_ms=held.first_call_ms,
        age_s=held.claimed.waited_ms / 1000 + anyio.current_time() - held.received_at,
        usage=held.usage,
        cost_usd=held.cost_usd,
    )
    journal.finished(
        held,
        held.claimed.lead_id,
        held.claimed.lead.name,
        told,
        key=held.key_shown,
        reason=reason or (release.error_code if release else None),
    )
