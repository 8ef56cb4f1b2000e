"""What happened to one lead, in order, from the facts of its snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from leadhook.domain.lead_snapshot import Attempt, LeadSnapshot

_MILLISECOND: Final = timedelta(milliseconds=1)
_FOUND_BY: Final = {
    "webhook": "a webhook announced it",
    "hint": "a dashboard webhook named it",
    "sweep": "the sweep found it",
    "start": "found when the service started",
    "replay": "a replay queued it",
    "release": "released from the backlog",
    "on_demand": "requested on demand",
}


@dataclass(frozen=True)
class Moment:
    """One event. `since_ms`: milliseconds since the event before it; None for the first."""

    at: datetime
    what: str
    """webhook, changed, eligible, claimed, called, or the outcome of an attempt."""
    run: int | None = None
    detail: str = ""
    attempt: Attempt | None = None
    """The attempt that this is the end of."""
    since_ms: int | None = None


def timeline(snapshot: LeadSnapshot) -> tuple[Moment, ...]:
    """Return the events, oldest first. They are those of the last 20 attempts and of what waits now."""
    found = sorted(_moments(snapshot), key=lambda moment: moment.at)
    before = [None, *(moment.at for moment in found)]
    return tuple(
        moment if at is None else replace(moment, since_ms=round((moment.at - at) / _MILLISECOND))
        for at, moment in zip(before, found, strict=False)
    )


def _moments(snapshot: LeadSnapshot) -> Iterator[Moment]:
    began: set[tuple[int, datetime]] = set()
    for webhook in snapshot.webhooks:
        yield Moment(webhook.sent_at, "webhook", detail=webhook.reason)
    for change in snapshot.outbox.of_lead:
        yield Moment(change.changed_at, "changed", detail=change.kind)
    for attempt in reversed(snapshot.attempts):
        yield from _beginning(began, attempt.run, attempt.eligible_at, attempt.source)
        if attempt.leased_at is not None:
            yield Moment(attempt.leased_at, "claimed", attempt.run, attempt.worker or "")
        if attempt.eligible_at is not None and attempt.first_call_ms is not None:
            called_at = attempt.eligible_at + attempt.first_call_ms * _MILLISECOND
            yield Moment(called_at, "called", attempt.run, attempt.model or "")
        detail = ": ".join(filter(None, (attempt.error_code, attempt.reason)))
        yield Moment(attempt.finished_at, attempt.outcome, attempt.run, detail, attempt)
    job = snapshot.job
    if job is not None and job.state in ("ready", "leased"):
        yield from _beginning(began, job.run, job.eligible_at, job.source)
    if job is not None and job.state == "leased" and job.leased_at is not None:
        yield Moment(job.leased_at, "claimed", job.run, job.worker or "")


def _beginning(began: set[tuple[int, datetime]], run: int, at: datetime | None, source: str | None) -> Iterator[Moment]:
    """A run begins once, however many attempts it takes."""
    if at is not None and (run, at) not in began:
        began.add((run, at))
        yield Moment(at, "eligible", run, _FOUND_BY.get(source or "", source or ""))
