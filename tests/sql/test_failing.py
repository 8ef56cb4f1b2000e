"""Leads whose model calls fail without blame: since when, in which run, and that a probe prefers the others."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sql.conftest import Sql


def fails(db: "Sql", lead_id: str, **more: Any) -> None:
    """The only claimed lead is released, because it fails."""
    [lead] = [lead for lead in db.claim()["leads"] if lead["lead_id"] == lead_id]
    db.release({**db.release_of(lead, "returned", error_code="model_unavailable"), "failing": True, **more})


def failing_s(db: "Sql") -> float | None:
    """What the next claim says."""
    [lead] = db.claim()["leads"]
    return None if lead["failing_ms"] is None else lead["failing_ms"] / 1000


def test_failing_since_is_when_the_first_failure_came(db: "Sql") -> None:
    """Later ones, and a shutdown in between, do not move it; no attempt is spent."""
    db.key("fake-one")
    db.ready_job("a")
    fails(db, "a")
    db.run(
        "update leadhook.jobs"
        " set failing_since = failing_since - interval '1 h', eligible_at = eligible_at - interval '2 h'"
    )
    fails(db, "a")
    fails(db, "a", failing=False)
    assert failing_s(db) == pytest.approx(3600, abs=30)
    assert db.value("select attempts from leadhook.jobs") == 0


def test_new_run_knows_nothing_of_the_failures_of_the_last_one(db: "Sql") -> None:
    """Whatever begins it sets eligible_at."""
    db.key("fake-one")
    db.ready_job("a")
    fails(db, "a")
    db.run("update leadhook.jobs set eligible_at = clock_timestamp()")
    assert failing_s(db) is None


def test_probe_prefers_a_lead_that_does_not_fail(db: "Sql") -> None:
    """However long the others wait; where all fail, any lead does."""
    db.key("fake-one")
    for lead_id in ("a", "b"):
        db.ready_job(lead_id)
    db.run(
        "update leadhook.jobs set failing_since = clock_timestamp(), available_at = available_at - interval '1 h'"
        " where lead_id = 'a'"
    )
    assert [lead["lead_id"] for lead in db.claim(1, probe=True)["leads"]] == ["b"]
    assert [lead["lead_id"] for lead in db.claim(1, probe=True)["leads"]] == ["a"]


def test_claim_says_when_to_give_up(db: "Sql") -> None:
    """A control, a day by default."""
    assert db.claim()["give_up_after_ms"] == 86_400_000
    db.run("update leadhook.controls set give_up_after_s = 60")
    assert db.claim()["give_up_after_ms"] == 60_000
