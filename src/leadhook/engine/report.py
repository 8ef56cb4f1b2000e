"""The one line that every attempt leaves in the log."""

import structlog

from leadhook.domain.job import LeaseOutcome
from leadhook.engine.held import HeldLead
from leadhook.observability.events import Event

log = structlog.get_logger()


def report_finished(held: HeldLead, outcome: LeaseOutcome, reason: str | None = None) -> None:
    """Tell what became of a lease.

    Args:
        held: the lead.
        outcome: the database's word; a release that it accepted is told by what the release asked for.
        reason: the database's reason, where it has one.
    """
    release = held.release
    released = outcome == LeaseOutcome.RELEASED and release is not None
    log.info(
        Event.LEAD_FINISHED,
        lead_id=held.claimed.lead_id,
        run=held.claimed.run,
        fence=held.claimed.fence,
        attempt=held.claimed.attempts + 1,
        outcome=release.outcome if release is not None and released else outcome.value,
        score=held.paid.score.score if held.paid else None,
        found_by=held.claimed.found_by,
        waited_ms=held.claimed.waited_ms,
        first_call_ms=held.first_call_ms,
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
