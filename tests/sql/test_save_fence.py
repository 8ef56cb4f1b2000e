"""Only the holder of a lease writes, and only once."""

import psycopg
import pytest
from tests.sql.conftest import Row, Sql


def test_save_refuses_a_stale_fence(keyed: Sql) -> None:
    zombie = keyed.leased_lead("a", fence=0)
    keyed.age_job("a", 3600)
    (lead,) = keyed.claim()["leads"]
    assert keyed.outcomes(keyed.save(keyed.result_of(zombie, 99))) == {"a": "lease_lost"}
    assert keyed.count("public.llm_response") == 0
    assert keyed.outcomes(keyed.save(keyed.result_of(lead, 60))) == {"a": "saved"}
    assert keyed.answer("a")["score"] == 60


def test_save_takes_an_expired_lease_that_no_one_took(db: Sql) -> None:
    """The answer is paid for and the fence still holds."""
    lease = db.leased_lead("a")
    db.age_job("a", 3600)
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "saved"}


def test_save_answers_each_fence_of_the_same_lead(db: Sql) -> None:
    """A worker that claimed its own expired lead holds it twice; one batch may hold both."""
    lease = db.leased_lead("a", fence=7)
    reply = db.save(db.result_of(lease | {"fence": 6}, 10), db.result_of(lease, 80), db.result_of(lease, 80))
    assert sorted((r["fence"], r["outcome"]) for r in reply["leases"]) == [(6, "lease_lost"), (7, "saved")]
    assert db.answer("a")["score"] == 80
    assert db.count("leadhook.attempts") == 1


def test_save_repeated_answers_saved_and_writes_nothing(db: Sql) -> None:
    """The first reply was lost; in the meantime the user edited the message."""
    result = db.result_of(db.leased_lead("a"))
    db.save(result)
    db.run("update public.llm_response set message = 'edited'")
    assert db.outcomes(db.save(result)) == {"a": "saved"}
    assert db.answer("a")["message"] == "edited"
    assert db.count("leadhook.attempts") == 1
    assert db.count("leadhook.results") == 1


def test_save_repeated_after_a_replay_still_answers_saved(db: Sql) -> None:
    """That lease was saved, whatever came later."""
    result = db.result_of(db.leased_lead("a"))
    db.save(result)
    db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="me")
    assert db.outcomes(db.save(result)) == {"a": "saved"}
    assert db.job("a")["state"] == "ready"


def test_save_after_a_release_is_lease_lost(db: Sql) -> None:
    lease = db.leased_lead("a")
    db.release(db.release_of(lease, "returned"))
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "lease_lost"}


def test_save_answers_gone_for_a_lead_that_was_forgotten(db: Sql) -> None:
    assert db.outcomes(db.save(db.result_of({"lead_id": "nobody", "fence": 1}))) == {"nobody": "gone"}


@pytest.mark.parametrize("table", ["all_leads", "lead_details"])
def test_save_forgets_a_lead_that_was_deleted_while_leased(db: Sql, table: str) -> None:
    """Erasing a person is one DELETE: nothing is written, nothing of ours stays."""
    lease = db.leased_lead("a", run=2)
    db.run("insert into leadhook.attempts (lead_id, run, fence, outcome) values ('a', 1, 0, 'saved')")
    db.replayed("a")
    db.run(f"delete from public.{table}")  # noqa: S608 - the parameters above
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "gone"}
    ours = ("jobs", "attempts", "results", "replay_leads")
    for left in (*(f"leadhook.{table}" for table in ours), "public.llm_response"):
        assert db.count(left) == 0, left


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update public.all_leads set scrapped = false", "not scrapped"),
        ("delete from public.prompts", "no prompts"),
        ("update public.lead_details set sent_to_llm = true", "already sent"),
    ],
)
def test_save_of_a_lead_that_is_not_wanted_any_more(db: Sql, change: str, reason: str) -> None:
    lease = db.leased_lead("a")
    db.run(change)
    (reply,) = db.save(db.result_of(lease))["leases"]
    assert (reply["outcome"], reply["reason"]) == ("unwanted", reason)
    assert db.count("public.llm_response") == 0
    job = db.job("a")
    assert (job["state"], job["checkpoint"], job["reason"]) == ("waiting", db.paid(), reason)
    assert db.value("select written from leadhook.results") is False
    assert db.value("select outcome from leadhook.attempts") == "unwanted"


def test_save_of_an_unwanted_lead_that_changed_is_looked_at_again(keyed: Sql) -> None:
    """A change that was applied while the lead was leased is not lost."""
    lease = keyed.leased_lead("a")
    keyed.run("update public.all_leads set scrapped = false")
    keyed.note_change("a")
    keyed.apply_outbox()
    reply = keyed.save(keyed.result_of(lease))
    assert reply["next_due_ms"] == 0
    keyed.run("update public.all_leads set scrapped = true")
    (lead,) = keyed.claim()["leads"]
    assert lead["checkpoint"] == keyed.paid()
    keyed.save(keyed.result_of(lead))
    assert keyed.value("select written from leadhook.results")


def test_save_of_a_replay_ignores_that_the_lead_was_sent(db: Sql) -> None:
    """A replay never changes sent_to_llm, so it finds it set."""
    lease = db.leased_lead("a", replay_id=4, run=2)
    db.run("update public.lead_details set sent_to_llm = true")
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "saved"}
    job = db.job("a")
    assert (job["state"], job["replay_id"], job["low_priority"]) == ("done", None, False)
    assert db.value("select replay_id from leadhook.attempts") == 4


def test_save_of_a_replay_that_is_not_scrapped_any_more_is_unwanted(db: Sql) -> None:
    """It ignores that one condition, not the others."""
    lease = db.leased_lead("a", replay_id=4)
    db.run("update public.all_leads set scrapped = false")
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "unwanted"}


@pytest.mark.parametrize(
    "checkpoint",
    [
        None,
        {"score": {"score": 101, "response": "r", "should_contact": True}},
        {"score": {"score": 80, "response": "r", "should_contact": True}, "message": None},
        {"score": {"score": 80, "response": None, "should_contact": True}, "message": {"subject": "s", "message": "m"}},
    ],
)
def test_save_refuses_an_incomplete_score(db: Sql, checkpoint: Row | None) -> None:
    """A bug of the caller: PT400, and no lead is burned."""
    results = [db.result_of(db.leased_lead("a")), db.result_of(db.leased_lead("b"), checkpoint=checkpoint)]
    with pytest.raises(psycopg.Error) as refused:
        db.save(*results)
    assert refused.value.sqlstate == "PT400"
    assert set(db.states().values()) == {"leased"}
