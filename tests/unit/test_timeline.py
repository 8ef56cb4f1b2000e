"""A lead's events in order, with the time between them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.domain.timeline import Moment, timeline

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def attempt(outcome: str, leased: float, ended: float, **changes: Any) -> dict[str, Any]:
    times = {"eligible_at": at(0), "leased_at": at(leased), "finished_at": at(ended), "first_call_ms": 1500}
    return {"run": 1, "outcome": outcome, "source": "webhook", "worker": "w", "model": "m"} | times | changes


def events(**facts: Any) -> tuple[Moment, ...]:
    return timeline(LeadSnapshot.model_validate({"lead_id": "a", "now": at(60)} | facts))


def test_a_timeline_has_each_step_once_with_the_time_since_the_last() -> None:
    retry = attempt("retry", 1, 3, error_code="gemini_unavailable", reason="503")
    saved = attempt("saved", 10, 12, first_call_ms=10_500)
    webhook = {"reason": "leads", "sent_at": at(-0.5)}
    found = events(attempts=[saved, retry], webhooks=[webhook])
    assert [(moment.what, moment.since_ms) for moment in found] == [
        ("webhook", None),
        ("eligible", 500),
        ("claimed", 1000),
        ("called", 500),
        ("retry", 1500),
        ("claimed", 7000),
        ("called", 500),
        ("saved", 1500),
    ]
    assert found[4].detail == "gemini_unavailable: 503"
    assert found[-1].attempt is not None


def test_a_timeline_goes_on_to_what_waits() -> None:
    job = {
        "state": "leased",
        "run": 2,
        "eligible_at": at(30),
        "leased_at": at(31),
        "available_at": at(30),
        "worker": "w",
    }
    outbox = {"total": 1, "of_lead": [{"kind": "leads", "changed_at": at(40)}]}
    found = events(job=job, outbox=outbox)
    assert [moment.what for moment in found] == ["eligible", "claimed", "changed"]
    assert events() == ()
