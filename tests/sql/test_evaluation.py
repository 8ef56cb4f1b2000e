"""What `leadhook evaluate` reads and books."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.sql.conftest import Row, Sql

OTHER = UUID("00000000-0000-4000-8000-000000000002")


def page(db: Sql, after: str = "", **fields: Any) -> Row:
    reply: Row = db.rpc("leadhook_evaluation_leads", p_filter=fields, p_after_lead=after)
    return reply


def details(db: Sql, *lead_ids: str) -> Row:
    reply: Row = db.rpc("leadhook_evaluation_leads", p_lead_ids=list(lead_ids))
    return reply


def ids(reply: Row) -> list[str]:
    return [lead["lead_id"] for lead in reply["leads"]]


@pytest.fixture
def answered(keyed: Sql) -> Sql:
    """Leads a (20), b (60) and c (90, of another user), and d without an answer."""
    for lead_id, score, user in (("a", 20, keyed.USER), ("b", 60, keyed.USER), ("c", 90, OTHER)):
        keyed.ready_job(lead_id, user=user)
        (lead,) = keyed.claim()["leads"]
        keyed.save(keyed.result_of(lead, score, cost_usd=0.5))
    keyed.ready_job("d")
    return keyed


def test_the_page_has_the_answered_leads_of_the_filter(answered: Sql) -> None:
    assert ids(page(answered)) == ["a", "b", "c"]
    assert ids(page(answered, after="a")) == ["b", "c"]
    assert ids(page(answered, user_id=str(OTHER))) == ["c"]
    assert ids(page(answered, score_min=50, score_max=70)) == ["b"]


def test_a_lead_of_the_page_has_its_newest_answer_and_its_cost(answered: Sql) -> None:
    reply = page(answered, score_max=20)
    (lead,) = reply["leads"]
    assert set(lead) == {"lead_id", "user_id", "tag", "saved", "saved_usage"}
    assert (lead["saved"]["score"], lead["saved_usage"]["known"], lead["saved_usage"]["cost_usd"]) == (20, 1, 0.5)
    assert (reply["keys"], reply["last_lead"]) == ([], None)


def test_named_leads_come_as_a_claim_hands_them_out(answered: Sql) -> None:
    (claimed,) = answered.claim()["leads"]
    reply = details(answered, "a", "d", "nobody")
    (lead,) = reply["leads"]
    assert set(lead["lead"]) == set(claimed["lead"])
    assert set(lead["prompts"]) == {"wildnet_data", "scoring_criteria_and_icp", "message_prompt"}
    assert [key["api_key"] for key in reply["keys"]] == [answered.KEY]


@pytest.mark.usefixtures("one_utc_day")
def test_costs_are_booked_and_spend_the_budget(answered: Sql) -> None:
    answered.rpc("leadhook_set_budget", p_user_id=answered.USER, p_daily_usd=2, p_actor="ann")
    costs = [{"user_id": str(answered.USER), "cost_usd": 0.5}]
    first = answered.rpc("leadhook_book_evaluation", p_costs=costs)
    assert [(each["user_id"], each["left_usd"]) for each in first["budgets"]] == [(str(answered.USER), 0.5)]
    assert first["user_ids"] == []
    assert answered.rpc("leadhook_book_evaluation", p_costs=costs)["user_ids"] == [str(answered.USER)]


def test_a_pause_is_reported(answered: Sql) -> None:
    answered.rpc("leadhook_pause", p_user_id=OTHER, p_tag="t", p_actor="ann")
    assert page(answered)["admission"]["groups"] == [f"{OTHER} t"]
    answered.rpc("leadhook_pause", p_actor="ann")
    assert details(answered, "a")["admission"]["everything"] == "paused"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("leadhook_evaluation_leads", {"p_filter": [1]}),
        ("leadhook_evaluation_leads", {"p_lead_ids": [str(n) for n in range(11)]}),
        ("leadhook_evaluation_leads", {"p_lead_ids": []}),
        ("leadhook_book_evaluation", {"p_costs": {}}),
        ("leadhook_book_evaluation", {"p_costs": [{"cost_usd": -1}]}),
        ("leadhook_book_evaluation", {"p_costs": [{}]}),
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_is_refused(db: Sql, function: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.rpc(function, **arguments)
    assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.costs") == 0
