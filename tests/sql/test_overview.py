"""The overview's figures are those of the attempts, however they were summed."""

from typing import Any

import pytest
from tests.sql.conftest import Connect, Sql

from leadhook.domain.console import Overview


def overview(db: Sql) -> Overview:
    return Overview.model_validate(db.rpc("leadhook_overview"))


def attempt(db: Sql, lead_id: str, score: int | None = None, *, ago: str = "1 min", **columns: Any) -> None:
    """An attempt that ended so long ago, 20 s after the lead became eligible; with a score, its result."""
    values = {"run": 1, "outcome": "saved", "source": "webhook", "first_call_ms": 1000, "error_code": None} | columns
    db.run(
        "insert into leadhook.attempts (lead_id, run, fence, outcome, error_code, source, first_call_ms, finished_at,"
        " eligible_at) select %(id)s, %(run)s, 1, %(outcome)s, %(error_code)s, %(source)s, %(first_call_ms)s, t.at,"
        " t.at - interval '20 s' from (select now() - %(ago)s::interval as at) as t",
        id=lead_id, ago=ago, **values,
    )  # fmt: skip
    if score is not None:
        db.run(
            "insert into leadhook.results (lead_id, run, score, response, should_contact, written)"
            " values (%(id)s, %(run)s, %(s)s, '', true, true)",
            id=lead_id, run=values["run"], s=score,
        )  # fmt: skip


def total(db: Sql, field: str) -> tuple[int, int]:
    found = overview(db)
    hours, days = (sum(getattr(period, field) for period in periods) for periods in (found.hours, found.days))
    return hours, days


def test_hours_and_days_have_what_ended_in_them(db: Sql) -> None:
    attempt(db, "a", outcome="retry", ago="3 h")
    attempt(db, "a", 80, ago="2 h")
    attempt(db, "b", 49, source="sweep")
    attempt(db, "c", outcome="dead")
    attempt(db, "d", outcome="lease_expired", error_code="worker_lost")
    attempt(db, "old", 100, ago="5 days")
    attempt(db, "again", 90, run=2, source="replay")
    found = overview(db)
    assert (len(found.hours), len(found.days)) == (48, 30)
    figures = {field: total(db, field) for field in ("leads_in", "by_sweep", "scored", "contact", "failed")}
    assert figures == {"leads_in": (4, 5), "by_sweep": (1, 1), "scored": (3, 4), "contact": (2, 3), "failed": (2, 2)}
    assert {count.score: count.leads for count in found.scores if count.leads} == {40: 1, 80: 1, 90: 2}


def test_leads_that_wait_came_in(db: Sql) -> None:
    """While no one claims, they are the only ones."""
    db.ready_job("new")
    db.ready_job("found", source="sweep")
    db.ready_job("replayed", low_priority=True, source="replay")
    assert (total(db, "leads_in"), total(db, "by_sweep")) == ((2, 2), (1, 1))


def test_typical_durations_are_from_when_a_lead_became_eligible(db: Sql) -> None:
    for n in range(20):
        attempt(db, f"lead-{n}", 80, first_call_ms=60_000 if n >= 18 else 400)
    found = overview(db).last_hour
    assert found.leads == 20
    assert found.first_call_p50 == pytest.approx(400, rel=0.125)
    assert found.first_call_p95 == pytest.approx(60_000, rel=0.125)
    assert found.saved_p50 == found.saved_p95 == pytest.approx(20_000, rel=0.125)


def test_each_attempt_is_counted_once(db: Sql, connect: Connect) -> None:
    """In slices, repeated, and beside another call; not before it must be visible to all."""
    for n in range(30):
        attempt(db, f"lead-{n}", 50, ago=f"{n + 1} min")
    attempt(db, "new", 50, ago="1 s")
    for _ in range(3):
        assert db.value("select leadhook.count_slice(clock_timestamp(), 4)")
    counted = db.value("select sum(leads) from leadhook.hourly_counts where kind = 'score'")
    assert 12 <= counted <= 18
    other = connect()
    with other.transaction():
        other.run("select leadhook.count_slice(clock_timestamp(), 1)")
        assert total(db, "scored")[0] == counted
    for _ in range(10):
        db.rpc("leadhook_sweep", p_worker="w")
    assert total(db, "scored") == (30, 30)
