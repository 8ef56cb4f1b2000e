"""Two connections at once: no one waits for the other longer than a blink, and no lead is lost or written twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.sql.conftest import Connect, Sql


def test_save_of_a_lead_whose_details_the_application_holds_is_busy(db: Sql, connect: Connect) -> None:
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b", "c")]
    application = connect()
    with application.transaction():
        application.run("update public.lead_details set bio = 'new' where lead_id = 'b'")
        assert db.outcomes(db.save(*results)) == {"a": "saved", "b": "busy", "c": "saved"}
        assert db.job("b")["state"] == "leased"
    assert db.outcomes(db.save(results[1])) == {"b": "saved"}


def test_save_of_a_lead_whose_answer_the_application_holds_is_busy(db: Sql, connect: Connect) -> None:
    """Someone edits the message of an earlier run."""
    db.run("insert into public.llm_response (lead_id, tag) values ('a', 'founders')")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    application = connect()
    with application.transaction():
        application.run("update public.llm_response set message = 'edited' where lead_id = 'a'")
        assert db.outcomes(db.save(*results)) == {"a": "busy", "b": "saved"}


def test_save_of_a_lead_that_the_application_just_answers_is_busy(db: Sql, connect: Connect) -> None:
    """Its uncommitted row holds the key: we give up after a moment, for that lead alone."""
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    application = connect()
    with application.transaction():
        application.run("insert into public.llm_response (lead_id, tag, score) values ('a', 'founders', 1)")
        assert db.outcomes(db.save(*results)) == {"a": "busy", "b": "saved"}
    assert db.outcomes(db.save(results[0])) == {"a": "saved"}
    assert db.answer("a")["score"] == 80


@pytest.mark.parametrize(("wait", "busy"), [("50ms", 8), ("1500ms", 4)])
def test_save_of_many_that_the_application_just_answers_ends_in_time(
    db: Sql, connect: Connect, wait: str, busy: int
) -> None:
    """Each costs a moment; and were the moments long, the rest is busy unasked."""
    blocked = [f"blocked-{n}" for n in range(busy)]
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in (*blocked, "free")]
    if wait != "50ms":
        function = "leadhook.write_each_answer(leadhook.ending[])"
        db.connection.execute(f"alter function {function} set lock_timeout = '{wait}'".encode())
    application = connect()
    with application.transaction():
        application.run(
            "insert into public.llm_response (lead_id, tag) select i, 'founders' from unnest(%(ids)s::text[]) as i",
            ids=blocked,
        )
        outcomes = db.outcomes(db.save(*results))
    assert {outcomes[lead_id] for lead_id in blocked} == {"busy"}
    assert outcomes["free"] == ("saved" if wait == "50ms" else "busy")


def test_save_and_the_applications_own_sending_write_once(db: Sql, connect: Connect) -> None:
    """The application marks the lead as sent while we save: the first wins, and nothing is written twice."""
    result = db.result_of(db.leased_lead("a"))
    application = connect()
    with application.transaction():
        application.run("update public.lead_details set sent_to_llm = true")
        assert db.outcomes(db.save(result)) == {"a": "busy"}
    assert db.outcomes(db.save(result)) == {"a": "unwanted"}
    assert db.count("public.llm_response") == 0


def test_save_that_is_first_makes_the_application_wait_and_come_after(db: Sql, connect: Connect) -> None:
    """Its update of the same row succeeds after our commit, and this change reopens the lead."""
    db.key()
    result = db.result_of(db.leased_lead("a"))
    application = connect()
    with ThreadPoolExecutor(1) as threads:
        with db.transaction():
            db.save(result)
            update = threads.submit(application.run, "update public.lead_details set sent_to_llm = false")
            while not db.value("select count(*) from pg_locks where not granted"):
                assert not update.done()
        update.result(10)
    db.note_change("a")
    (lead,) = db.claim()["leads"]
    assert lead["run"] == 2


def test_save_of_a_lead_that_is_just_being_deleted_is_busy_then_gone(db: Sql, connect: Connect) -> None:
    """Nothing is written about someone who is being erased."""
    result = db.result_of(db.leased_lead("a"))
    application = connect()
    with application.transaction():
        application.run("delete from public.lead_details")
        application.run("delete from public.all_leads")
        assert db.outcomes(db.save(result)) == {"a": "busy"}
    db.note_change("a")
    db.apply_outbox()
    assert db.outcomes(db.save(result)) == {"a": "gone"}
    assert db.count("public.llm_response") == 0


def test_save_does_not_wait_for_a_claim(db: Sql, connect: Connect) -> None:
    """Someone sits on the claim's and the outbox lock."""
    result = db.result_of(db.leased_lead("a"))
    claimer = connect()
    with claimer.transaction():
        claimer.run("select leadhook.lock_claims(), leadhook.lock_outbox()")
        assert db.outcomes(db.save(result)) == {"a": "saved"}


def test_two_saves_of_one_lease_write_once(db: Sql, connect: Connect) -> None:
    """The client timed out and sent it again while the first still runs."""
    result = db.result_of(db.leased_lead("a"))
    again = connect()
    with db.transaction():
        db.save(result)
        assert again.outcomes(again.save(result)) == {"a": "busy"}
    assert again.outcomes(again.save(result)) == {"a": "saved"}
    assert db.count("leadhook.attempts") == 1
