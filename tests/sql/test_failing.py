"""Leads whose model calls fail without blame: since when, in which run, and that a probe prefers the others."""

from typing import Any

import pytest
from tests.sql.conftest import Sql


def fails(db: Sql, lead_id: str, **more: Any) -> None:
    [lead] = [lead for lead in db.claim()["leads"] if lead["lead_id"] == lead_id]
    db.release({**db.release_of(lead, "returned", error_code="model_unavailable"), "failing": True, **more})


def failing_s(db: Sql) -> float | None:
    [lead] = db.claim()["leads"]
    return None if lead["failing_ms"] is None else lead["failing_ms"] / 1000


def test_failing_since_is_when_the_first_failure_came(db: Sql) -> None:
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


def test_new_run_knows_nothing_of_the_failures_of_the_last_one(db: Sql) -> None:
    """Whatever begins it sets eligible_at."""
    db.key("fake-one")
    db.ready_job("a")
    fails(db, "a")
    db.run("update leadhook.jobs set eligible_at = clock_timestamp()")
    assert failing_s(db) is None


def test_probe_prefers_a_lead_that_does_not_fail(db: Sql) -> None:
    db.key("fake-one")
    for lead_id in ("a", "b"):
        db.ready_job(lead_id)
    db.run(
        "update leadhook.jobs set failing_since = clock_timestamp(), available_at = available_at - interval '1 h'"
        " where lead_id = 'a'"
    )
    assert [lead["lead_id"] for lead in db.claim(1, probe=True)["leads"]] == ["b"]
    assert [lead["lead_id"] for lead in db.claim(1, probe=True)["leads"]] == ["a"]


def test_claim_says_when_to_give_up(db: Sql) -> None:
    assert db.claim()["give_up_after_ms"] == 86_400_000
    db.run("update leadhook.controls set give_up_after_s = 60")
    assert db.claim()["give_up_after_ms"] == 60_000


def waits_for_evidence(db: Sql, lead_id: str, after_ms: int | None) -> None:
    fails(db, lead_id, delay_ms=86_400_000, decide_after_ms=after_ms)


def test_answer_to_another_lead_makes_those_due_that_wait_for_it(db: Sql) -> None:
    """Once, not before its time; what waits for something else keeps its delay."""
    db.key("fake-one")
    for lead_id, after_ms in (("now", 0), ("later", 600_000), ("never", None)):
        db.ready_job(lead_id)
        waits_for_evidence(db, lead_id, after_ms)

    def due_s() -> dict[str, float]:
        query = "select lead_id, available_at - clock_timestamp() as wait from leadhook.jobs where state = 'ready'"
        return {row["lead_id"]: row["wait"].total_seconds() for row in db.rows(query)}

    for message_failure, now_s in (({"code": "x", "reason": "y"}, 86_400), (None, 0)):
        db.ready_job(f"good-{now_s}")
        [good] = db.claim()["leads"]
        result = db.result_of(good, message_failure=message_failure)
        if message_failure:
            result["checkpoint"]["message"] = None
        reply = db.save(result)
        assert due_s()["now"] == pytest.approx(now_s, abs=60)
    assert reply["next_due_ms"] == 250
    assert due_s() == pytest.approx({"now": 0, "later": 600, "never": 86_400}, abs=60)
    waits_for_evidence(db, "now", None)
    db.ready_job("good")
    [good] = db.claim()["leads"]
    db.save(db.result_of(good))
    assert due_s()["now"] == pytest.approx(86_400, abs=60)


def test_claim_of_a_failing_lead_brings_what_happened_in_other_processes(db: Sql) -> None:
    db.key("fake-one")
    for lead_id in ("odd", "good", "bad"):
        db.ready_job(lead_id)
    odd, good, bad = sorted(db.claim()["leads"], key=lambda lead: ("odd", "good", "bad").index(lead["lead_id"]))
    failed = {"error_code": "model_unavailable", "key_fingerprint": "f", "failing": True}
    db.release(db.release_of(odd, "returned", **failed))
    db.save(db.result_of(good, key_fingerprint="f"))
    db.release(db.release_of(bad, "returned", **failed, delay_ms=60_000))
    reply = db.claim(worker="ours")
    assert [(lead["lead_id"], lead["error_code"]) for lead in reply["leads"]] == [("odd", "model_unavailable")]
    assert [(item["lead_id"], item["error_code"], item["key_fingerprint"]) for item in reply["attempts"]] == [
        ("odd", "model_unavailable", "f"), ("good", None, "f"), ("bad", "model_unavailable", "f")
    ]  # fmt: skip
    assert 0 <= reply["attempts"][0]["finished_ms"] <= reply["attempts"][0]["leased_ms"] < 60_000
    db.ready_job("fresh")
    assert db.claim(worker="ours")["attempts"] == []
