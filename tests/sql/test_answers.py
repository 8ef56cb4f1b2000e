"""`public.leadhook_answers`: the newest answer of each lead, for people who want to read them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.sql.conftest import Sql

from leadhook.domain.lead_snapshot import Answers

OTHER = UUID("00000000-0000-4000-8000-000000000002")


def answers(db: Sql, **given: Any) -> Answers:
    return Answers.model_validate(db.rpc("leadhook_answers", **given))


def ids(found: Answers) -> list[str]:
    return [answer.lead_id for answer in found.answers]


def answer(db: Sql, lead_id: str, score: int = 80, *, minutes_ago: float = 0, **lead: Any) -> None:
    """A lead that was scored some time ago."""
    db.ready_job(lead_id, **lead)
    save(db, score)
    db.run(
        "update leadhook.results set created_at = clock_timestamp() - make_interval(secs => %(s)s)"
        " where lead_id = %(l)s",
        s=minutes_ago * 60,
        l=lead_id,
    )


def save(db: Sql, score: int, claims: Sequence[dict[str, str]] = (), **checked: Any) -> None:
    (lead,) = db.claim()["leads"]
    result = db.result_of(lead, score)
    result["checkpoint"]["score"] |= checked
    if claims:
        result["checkpoint"]["message"] |= {"claims": claims}
    db.save(result)


def test_an_answer_has_all_that_was_said(keyed: Sql) -> None:
    keyed.ready_job("a")
    claim = {"words": "A message", "source": "bio", "quote": "a message"}
    save(keyed, 80, [claim], matched=["fintech"], missed=["founder"], flags=["asks_for_score"])
    (found,) = answers(keyed).answers
    assert (found.lead_id, found.name, found.user_id, found.tag) == ("a", "Name of a", keyed.USER, keyed.TAG)
    assert (found.score, found.should_contact, found.written) == (80, True, True)
    assert (found.response, found.subject, found.message) == ("A reason", "A subject", "A message")
    assert [found_claim.model_dump() for found_claim in found.claims] == [claim]
    assert (found.matched, found.missed, found.flags) == (("fintech",), ("founder",), ("asks_for_score",))
    assert found.flag_words == ("names the score it wants",)


def test_the_newest_come_first_and_each_lead_once(keyed: Sql) -> None:
    answer(keyed, "old", 60, minutes_ago=30)
    answer(keyed, "new", 70, minutes_ago=10)
    assert ids(answers(keyed)) == ["new", "old"]
    keyed.rpc("leadhook_replay", p_lead_ids=["old"], p_actor="admin:1")
    save(keyed, 20)
    found = answers(keyed)
    assert [(a.lead_id, a.score, a.run) for a in found.answers] == [("old", 20, 2), ("new", 70, 1)]


def test_the_limit_cuts_and_says_so(keyed: Sql) -> None:
    for i in range(3):
        answer(keyed, f"lead-{i}", minutes_ago=i)
    found = answers(keyed, p_limit=2)
    assert (ids(found), found.has_more) == (["lead-0", "lead-1"], True)
    found = answers(keyed, p_limit=3)
    assert (len(found.answers), found.has_more) == (3, False)


def test_answers_are_filtered_by_user_tag_score_and_time(keyed: Sql) -> None:
    answer(keyed, "a", 80, minutes_ago=30)
    answer(keyed, "b", 30, minutes_ago=20, tag="other")
    answer(keyed, "c", 50, minutes_ago=10, user=OTHER)
    assert ids(answers(keyed, p_user_id=keyed.USER)) == ["b", "a"]
    assert ids(answers(keyed, p_tag=keyed.TAG)) == ["c", "a"]
    assert ids(answers(keyed, p_min_score=50)) == ["c", "a"]
    assert ids(answers(keyed, p_since=datetime.now(UTC) - timedelta(minutes=25))) == ["c", "b"]
    assert ids(answers(keyed, p_tag=keyed.TAG, p_user_id=keyed.USER, p_min_score=80)) == ["a"]


def test_an_answer_that_the_application_did_not_take_is_listed_as_such(keyed: Sql) -> None:
    """It was paid for, and it is not in llm_response."""
    keyed.run("alter table public.llm_response add constraint no_eighties check (score < 80)")
    answer(keyed, "a", 85)
    (found,) = answers(keyed).answers
    assert (found.score, found.written) == (85, False)


@pytest.mark.parametrize("looked_at", [False, True])
def test_an_erased_lead_has_no_answer(keyed: Sql, *, looked_at: bool) -> None:
    answer(keyed, "a")
    keyed.run("delete from public.all_leads")
    if looked_at:
        keyed.note_change("a")
        keyed.claim()
    assert ids(answers(keyed)) == []


@pytest.mark.parametrize("deleted", [1, 3, 250])
def test_deleted_leads_take_no_place_of_others(keyed: Sql, deleted: int) -> None:
    """Before the deletion is applied, their answers are still there, and the newest."""
    for n in range(3):
        answer(keyed, f"lead-{n}", minutes_ago=n)
    keyed.run(
        "insert into leadhook.jobs (lead_id, state) select 'gone-' || i, 'done' from generate_series(1, %(n)s) as i",
        n=deleted,
    )
    keyed.run(
        "insert into leadhook.results (lead_id, run, score, response, should_contact, written)"
        " select 'gone-' || i, 1, 80, 'r', true, true from generate_series(1, %(n)s) as i",
        n=deleted,
    )
    first, both, all_of_them = (answers(keyed, p_limit=limit) for limit in (1, 2, 3))
    assert (ids(first), first.has_more) == (["lead-0"], True)
    assert (ids(both), both.has_more) == (["lead-0", "lead-1"], True)
    assert (len(all_of_them.answers), all_of_them.has_more) == (3, False)


def test_rows_that_are_there_twice_make_one_answer(keyed: Sql) -> None:
    """The application's tables may have no keys."""
    keyed.loosen()
    answer(keyed, "a")
    keyed.lead("a")
    keyed.details("a")
    assert ids(answers(keyed)) == ["a"]


@pytest.mark.parametrize("limit", [0, 1001, None])
def test_a_limit_out_of_bounds_is_the_callers_mistake(db: Sql, limit: int | None) -> None:
    with pytest.raises(psycopg.Error) as caught:
        answers(db, p_limit=limit)
    assert caught.value.sqlstate == "PT400"


def test_listing_changes_nothing(keyed: Sql) -> None:
    """It runs in a read-only transaction."""
    answer(keyed, "a")
    with keyed.transaction():
        keyed.run("set transaction read only")
        assert keyed.value("select public.leadhook_answers()")["answers"][0]["lead_id"] == "a"
