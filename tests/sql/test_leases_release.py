"""A lead is released without a result."""

import psycopg
import pytest
from tests.sql.conftest import Sql

pytestmark = pytest.mark.usefixtures("known_moves")


def test_release_for_a_retry_spends_an_attempt_and_waits(keyed: Sql) -> None:
    lease = keyed.leased_lead("a")
    reply = keyed.release(keyed.release_of(lease, "retry", delay_ms=60_000))
    assert keyed.outcomes(reply) == {"a": "released"}
    assert 50_000 < reply["next_due_ms"] <= 60_000
    job = keyed.job("a")
    assert (job["state"], job["attempts"], job["run"], job["reason"]) == ("ready", 1, 1, "Gemini said 503.")
    (attempt,) = keyed.rows("select * from leadhook.attempts")
    assert (attempt["outcome"], attempt["fence"], attempt["calls"]) == ("retry", lease["fence"], 1)


def test_release_for_the_last_retry_is_dead(db: Sql) -> None:
    lease = db.leased_lead("a", attempts=4)
    assert db.outcomes(db.release(db.release_of(lease, "retry"))) == {"a": "dead"}
    job = db.job("a")
    assert (job["state"], job["error_code"], job["attempts"]) == ("dead", "attempts_exhausted", 5)
    assert job["reason"] == "gemini_unavailable: Gemini said 503."
    assert db.value("select outcome from leadhook.attempts") == "dead"


def test_release_returned_spends_nothing(db: Sql) -> None:
    """A key's fault is not the lead's; so often as it may be."""
    lease = db.leased_lead("a", attempts=4, low_priority=True, replay_id=3)
    assert db.outcomes(db.release(db.release_of(lease, "returned"))) == {"a": "released"}
    job = db.job("a")
    assert (job["state"], job["attempts"], job["low_priority"], job["replay_id"]) == ("ready", 4, True, 3)


def test_release_dead_says_why(db: Sql) -> None:
    lease = db.leased_lead("a")
    released = db.release(db.release_of(lease, "dead", error_code="blocked", reason="The model declined."))
    assert db.outcomes(released) == {"a": "dead"}
    job = db.job("a")
    assert (job["state"], job["error_code"], job["reason"]) == ("dead", "blocked", "The model declined.")
    assert job["finished_at"] is not None


@pytest.mark.parametrize("outcome", ["retry", "returned", "dead"])
def test_release_keeps_what_was_bought(db: Sql, outcome: str) -> None:
    db.release(db.release_of(db.leased_lead("a"), outcome, checkpoint=db.paid(90)))
    assert db.job("a")["checkpoint"] == db.paid(90)


def test_release_without_paid_keeps_an_earlier_one(db: Sql) -> None:
    """Bought in an earlier lease."""
    lease = db.leased_lead("a", checkpoint=db.paid(90))
    db.release(db.release_of(lease, "retry"))
    assert db.job("a")["checkpoint"] == db.paid(90)


@pytest.mark.parametrize("outcome", ["retry", "returned", "dead"])
def test_release_repeated_answers_the_same_and_does_nothing(db: Sql, outcome: str) -> None:
    release = db.release_of(db.leased_lead("a"), outcome)
    first = db.release(release)
    before = db.job("a")
    assert db.release(release)["leases"] == first["leases"]
    assert db.job("a") == before
    assert db.count("leadhook.attempts") == 1


def test_release_refuses_a_stale_fence(keyed: Sql) -> None:
    old = keyed.leased_lead("a", fence=0)
    keyed.age_job("a", 3600)
    keyed.claim()
    assert keyed.outcomes(keyed.release(keyed.release_of(old, "dead"))) == {"a": "lease_lost"}
    assert keyed.job("a")["state"] == "leased"


def test_release_answers_gone_for_a_lead_without_job(db: Sql) -> None:
    assert db.outcomes(db.release(db.release_of({"lead_id": "nobody", "fence": 1}))) == {"nobody": "gone"}


def test_release_dead_runs_again_where_a_replay_was_asked_for_in_the_meantime(db: Sql) -> None:
    db.release(db.release_of(db.leased_lead("a", attempts=3, replay_after=9), "dead", checkpoint=db.paid(90)))
    job = db.job("a")
    assert (job["state"], job["run"], job["attempts"], job["low_priority"]) == ("ready", 2, 0, True)
    assert (job["replay_id"], job["replay_after"], job["source"], job["checkpoint"]) == (9, None, "replay", db.paid(90))


def test_release_for_a_retry_leaves_a_replay_waiting(db: Sql) -> None:
    db.release(db.release_of(db.leased_lead("a", replay_after=9), "retry"))
    job = db.job("a")
    assert (job["run"], job["replay_id"], job["replay_after"]) == (1, None, 9)


def test_release_cuts_long_words(db: Sql) -> None:
    """An error text is no place for a page of HTML."""
    db.release(db.release_of(db.leased_lead("a"), "dead", reason="x" * 5000))
    assert len(db.job("a")["reason"]) == 500
    assert db.value("select length(reason) from leadhook.attempts") == 500


def test_release_refuses_an_unknown_outcome(db: Sql) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.release(db.release_of(db.leased_lead("a"), "saved"))
    assert refused.value.sqlstate == "PT400"
    assert db.job("a")["state"] == "leased"
