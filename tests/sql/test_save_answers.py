"""What a saved score leaves in the application's tables, whatever these look like."""

from typing import LiteralString

import pytest
from psycopg import sql
from tests.sql.conftest import Row, Sql


def without_message(db: Sql, lease: Row) -> Row:
    """A result of which only the message failed."""
    failure = {"code": "message_escapes", "reason": "It has escapes."}
    return db.result_of(lease, checkpoint=db.paid(message=None), message_failure=failure)


def answers(db: Sql) -> list[Row]:
    """All rows of llm_response, in an order that tests can name."""
    return db.rows("select lead_id, tag, score from public.llm_response order by lead_id, tag")


def keyless(db: Sql) -> None:
    """llm_response without any key, as some projects have it."""
    db.run("alter table public.llm_response drop constraint llm_response_pkey")
    db.run("alter table public.llm_response alter column lead_id drop not null")


def test_save_writes_the_answer_and_marks_the_lead(db: Sql) -> None:
    lease = db.leased_lead("a")
    db.run("update public.all_leads set linkedin_url = 'https://linkedin.example/a'")
    db.run("update public.lead_details set location = 'Oslo', profile_url = 'https://other.example'")
    assert db.outcomes(db.save(db.result_of(lease, 80))) == {"a": "saved"}
    assert db.answer("a") == {
        "lead_id": "a",
        "tag": db.TAG,
        "name": "Name of a",
        "linkedin_url": "https://linkedin.example/a",
        "location": "Oslo",
        "score": 80,
        "response": "A reason",
        "should_contact": 1,
        "subject": "A subject",
        "message": "A message",
    }
    assert db.value("select sent_to_llm from public.lead_details")
    job = db.job("a")
    assert (job["state"], job["checkpoint"], job["finished_at"] is not None) == ("done", None, True)


def test_save_below_50_says_ineligible(db: Sql) -> None:
    """Front ends look for this word, whatever the worker sent."""
    db.save(db.result_of(db.leased_lead("a"), 49))
    answer = db.answer("a")
    assert (answer["should_contact"], answer["subject"], answer["message"]) == (0, "ineligible", "ineligible")


def test_save_at_50_writes_the_message(db: Sql) -> None:
    db.save(db.result_of(db.leased_lead("a"), 50))
    answer = db.answer("a")
    assert (answer["score"], answer["subject"], answer["message"]) == (50, "A subject", "A message")


def test_save_without_a_message_leaves_subject_and_message_null(keyed: Sql) -> None:
    keyed.run("insert into public.llm_response (lead_id, tag, message) values ('a', %(tag)s, 'Old')", tag=keyed.TAG)
    result = without_message(keyed, keyed.leased_lead("a"))
    assert keyed.outcomes(keyed.save(result)) == {"a": "saved_without_message"}

    answer = keyed.answer("a")
    assert [answer[name] for name in ("score", "response", "should_contact", "subject", "message")] == [
        80, "A reason", 1, None, None
    ]  # fmt: skip
    assert keyed.value("select sent_to_llm from public.lead_details")
    job = keyed.job("a")
    assert (job["state"], job["checkpoint"]) == ("done", result["checkpoint"])
    assert (job["error_code"], job["reason"]) == ("message_escapes", "It has escapes.")
    (attempt,) = keyed.rows("select outcome, error_code, reason, wasted, calls from leadhook.attempts")
    assert list(attempt.values()) == ["saved_without_message", "message_escapes", "It has escapes.", False, 2]
    (kept,) = keyed.rows("select score, subject, message, written from leadhook.results")
    assert list(kept.values()) == [80, None, None, True]
    assert keyed.rpc("leadhook_status")["without_message"] == 1


def test_save_without_a_message_repeated_answers_the_same(db: Sql) -> None:
    result = without_message(db, db.leased_lead("a"))
    first = db.save(result)["leases"]
    assert first[0]["reason"] == "It has escapes."
    assert db.save(result)["leases"] == first
    assert db.count("leadhook.attempts") == 1


@pytest.mark.parametrize("wish", ["replay", "sent_to_llm is reset"])
def test_the_next_run_of_a_lead_without_a_message_has_its_score(keyed: Sql, wish: str) -> None:
    """Once the message is there, nothing of it is left with the job."""
    result = without_message(keyed, keyed.leased_lead("a"))
    keyed.save(result)
    if wish == "replay":
        keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="me")
    else:
        keyed.run("update public.lead_details set sent_to_llm = false")
        keyed.note_change("a")
    (lead,) = keyed.claim()["leads"]
    assert (lead["run"], lead["checkpoint"]) == (2, result["checkpoint"])
    keyed.save(keyed.result_of(lead))
    job = keyed.job("a")
    assert (job["state"], job["checkpoint"], job["error_code"]) == ("done", None, None)
    assert keyed.answer("a")["message"] == "A message"


def test_a_lead_without_a_message_is_written_only_where_it_is_wanted(db: Sql) -> None:
    db.run("alter table public.llm_response alter column message set not null")
    results = [without_message(db, db.leased_lead(lead_id)) for lead_id in ("refused", "unwanted")]
    db.run("update public.all_leads set scrapped = false where lead_id = 'unwanted'")
    assert db.outcomes(db.save(*results)) == {"refused": "refused", "unwanted": "unwanted"}
    assert [db.job(lead_id)["error_code"] for lead_id in ("refused", "unwanted")] == ["refused", "unwanted"]


def test_save_notes_the_attempt_and_keeps_the_result(db: Sql) -> None:
    lease = db.leased_lead("a", source="webhook", run=3)
    db.save(db.result_of(lease, 80))
    (attempt,) = db.rows("select * from leadhook.attempts")
    expected = {
        "lead_id": "a", "run": 3, "fence": lease["fence"], "outcome": "saved", "error_code": None, "reason": None,
        "worker": "worker-1", "source": "webhook", "model": "m1", "prompt_version": "p1", "key_fingerprint": "0" * 16,
        "calls": 2, "input_tokens": 100, "cached_tokens": 10, "output_tokens": 20, "thinking_tokens": 5,
        "first_call_ms": 40, "model_ms": 900,
    }  # fmt: skip
    assert {name: attempt[name] for name in expected} == expected
    assert None not in (attempt["eligible_at"], attempt["leased_at"], attempt["finished_at"])
    (result,) = db.rows("select * from leadhook.results")
    assert (result["run"], result["score"], result["subject"]) == (3, 80, "A subject")
    assert (result["prompt_version"], result["input_version"]) == ("p1", "i1")
    assert result["written"]


@pytest.mark.parametrize(
    ("noted", "kept"),
    [
        ({"matched": ["a", "b"], "missed": ["c"], "flags": ["fake_turn"]}, (["a", "b"], ["c"], ["fake_turn"])),
        ({}, ([], [], [])),
        ({"matched": None, "missed": "c", "flags": {"a": 1}}, ([], [], [])),
    ],
    ids=["lists", "none: bought by an older version", "no lists"],
)
def test_save_keeps_criteria_and_flags_with_the_result(db: Sql, noted: dict[str, object], kept: object) -> None:
    """They stand in no column of the application's."""
    paid = db.paid(80)
    paid["score"] |= noted
    db.save(db.result_of(db.leased_lead("a"), checkpoint=paid))
    (result,) = db.rows("select matched, missed, flags, written from leadhook.results")
    assert (result["matched"], result["missed"], result["flags"]) == kept
    assert result["written"]


def test_save_replaces_the_row_of_the_lead_and_tag(db: Sql) -> None:
    db.run("alter table public.llm_response add column starred boolean")
    db.run("insert into public.llm_response (lead_id, tag, score, starred) values ('a', 'founders', 1, true)")
    db.save(db.result_of(db.leased_lead("a"), 80))
    assert (db.answer("a")["score"], db.answer("a")["starred"]) == (80, True)


def test_save_takes_the_only_row_of_another_tag(db: Sql) -> None:
    """The lead moved to another tag; its row follows."""
    db.run("insert into public.llm_response (lead_id, tag, score) values ('a', 'old tag', 1), ('b', null, 1)")
    db.save(db.result_of(db.leased_lead("a")), db.result_of(db.leased_lead("b")))
    assert [(r["lead_id"], r["tag"], r["score"]) for r in answers(db)] == [("a", db.TAG, 80), ("b", db.TAG, 80)]


@pytest.mark.parametrize("key", ["", "alter table public.llm_response add unique (lead_id, tag)"])
def test_save_adds_a_row_beside_several_of_other_tags(db: Sql, key: LiteralString) -> None:
    """Which of them would be the lead's? None. No key is needed, and one on (lead_id, tag) does no harm."""
    keyless(db)
    if key:
        db.run(key)
    db.run("insert into public.llm_response (lead_id, tag, score) values ('a', 'x', 1), ('a', 'y', 2)")
    db.save(db.result_of(db.leased_lead("a")))
    assert [(r["tag"], r["score"]) for r in answers(db)] == [(db.TAG, 80), ("x", 1), ("y", 2)]


def test_save_updates_only_the_rows_of_this_tag(db: Sql) -> None:
    """The others are other answers."""
    keyless(db)
    db.run("insert into public.llm_response (lead_id, tag, score) values ('a', 'founders', 1), ('a', 'y', 2)")
    db.save(db.result_of(db.leased_lead("a")))
    assert [(r["tag"], r["score"]) for r in answers(db)] == [(db.TAG, 80), ("y", 2)]


def test_save_updates_every_duplicate_row(db: Sql) -> None:
    """Without a key there may be several of one lead and tag; none may stay behind with an old answer."""
    keyless(db)
    for _ in range(2):
        db.run("insert into public.llm_response (lead_id, tag, score) values ('a', 'founders', 1)")
    db.save(db.result_of(db.leased_lead("a")))
    assert [r["score"] for r in answers(db)] == [80, 80]


def test_save_marks_all_details_rows_of_the_lead(db: Sql) -> None:
    """Else a duplicate would make it eligible, and be paid for again. The unsent row with the greatest text counts."""
    db.run("alter table public.lead_details drop constraint lead_details_pkey, alter column sent_to_llm drop not null")
    lease = db.leased_lead("a")
    db.details("a", name="Zoe")
    db.details("a", sent=True, name="Zz was sent before")
    db.details("a", sent=None)
    db.save(db.result_of(lease))
    assert db.value("select bool_and(sent_to_llm) from public.lead_details")
    assert db.answer("a")["name"] == "Zoe"


def test_save_of_a_lead_with_two_rows_in_all_leads_writes_once(db: Sql) -> None:
    """Duplicates are one lead."""
    db.run("alter table public.all_leads drop constraint all_leads_pkey")
    lease = db.leased_lead("a")
    db.lead("a", tag="another")
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "saved"}
    assert [(r["tag"], r["score"]) for r in answers(db)] == [(db.TAG, 80)]


def test_save_files_the_answer_under_the_tag_that_was_scored(db: Sql) -> None:
    """An edit that arrives while the lead is leased does not disturb."""
    lease = db.leased_lead("a")
    db.prompts(tag="new tag")
    db.run("update public.all_leads set tag = 'new tag'")
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "saved"}
    assert (db.answer("a")["tag"], db.answer("a")["name"]) == (db.TAG, "Name of a")


@pytest.mark.parametrize("lead_id", ['o\'brien/"1"\\', "💥 ü", " a ", "x" * 200])
def test_save_takes_any_lead_id(db: Sql, lead_id: str) -> None:
    assert db.outcomes(db.save(db.result_of(db.leased_lead(lead_id)))) == {lead_id: "saved"}
    assert db.answer(lead_id)["score"] == 80


def test_save_leaves_no_change_and_sends_no_webhook(wired: Sql) -> None:
    """What we write ourselves is no news; what others write in the same session later is."""
    lease = wired.leased_lead("a")
    wired.run("delete from leadhook.outbox")
    webhooks = wired.count("leadhook.webhooks")
    with wired.transaction():
        wired.run("set local role service_role")
        wired.save(wired.result_of(lease))
        wired.run("reset role")
        assert wired.count("leadhook.outbox") == 0
        assert wired.count("leadhook.webhooks") == webhooks
        wired.run("update public.lead_details set sent_to_llm = false")
    assert wired.count("leadhook.outbox") == 1


def test_save_of_50_reads_each_table_by_its_index(db: Sql) -> None:
    ids = db.eligible_leads(1000)
    leases = [db.lease_of({"lead_id": i, "fence": 1}) for i in ids[:50]]
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, fence, claim_token, lease_until)"
        " select lead_id, user_id, tag, 'leased', 1, gen_random_uuid(), clock_timestamp() + interval '30 s'"
        " from public.all_leads"
    )
    db.save(*(db.result_of(lease) for lease in leases[:10]))
    with db.transaction():
        before = scans(db)
        db.save(*(db.result_of(lease) for lease in leases[10:]))
        assert scans(db) == before


def scans(db: Sql) -> list[Row]:
    """Sequential scans of this transaction so far."""
    return db.rows(
        "select relname, seq_scan from pg_stat_xact_user_tables"
        " where relname in ('all_leads', 'lead_details', 'llm_response', 'jobs', 'attempts', 'results') order by 1"
    )


def test_save_works_with_the_other_types_that_docs_tables_names(db: Sql) -> None:
    """A lead is claimed and answered where columns are varchar, jsonb, timestamp, or numbers of other kinds."""
    db.run("drop index public.prompts_by_user_and_tag")
    for table, changes in {
        "all_leads": "alter tag type varchar(40), alter linkedin_url type varchar",
        "lead_details": "alter name type varchar(80), alter skills type jsonb using to_jsonb(skills),"
        " alter experience type jsonb using to_jsonb(experience)",
        "prompts": "alter tag type varchar, alter created_at type timestamp",
        "llm_response": "alter score type numeric, alter should_contact type smallint, alter message type varchar",
    }.items():
        db.run(sql.SQL(f"alter table public.{table} {changes}"))  # type: ignore[arg-type]  # names and types of this test
    db.eligible_lead("a")
    db.note_change("a")
    db.key()
    (lease,) = db.claim()["leads"]
    assert db.outcomes(db.save(db.result_of(lease, 80))) == {"a": "saved"}
    assert (db.answer("a")["score"], db.answer("a")["should_contact"]) == (80, 1)
