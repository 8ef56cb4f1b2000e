"""The queries of docs/answers.md, taken from the page, give what their headings say."""

from typing import Any

import pytest
from tests.docs_blocks import block
from tests.sql.conftest import Row, Sql

PAGE = "docs/answers.md"


def ask(db: Sql, title: str) -> list[Row]:
    return db.connection.execute(block(PAGE, title, "sql").encode()).fetchall()


@pytest.fixture
def answered(db: Sql) -> Sql:
    """Two answers, `good` before `poor`."""
    for lead_id, score in (("good", 90), ("poor", 20)):
        db.save(db.result_of(db.leased_lead(lead_id), score))
    return db


def test_the_newest_answers_come_newest_first(answered: Sql) -> None:
    """With the time that llm_response lacks."""
    rows = ask(answered, "The newest answers")
    assert [(row["lead_id"], row["score"]) for row in rows] == [("poor", 20), ("good", 90)]
    assert rows[0]["finished_at"] >= rows[1]["finished_at"]


def test_the_best_leads_have_reason_and_message(answered: Sql) -> None:
    (row,) = ask(answered, "The best leads, with reason and message")
    assert (row["lead_id"], row["reason"], row["message"]) == ("good", "A reason", "A message")


def test_each_user_and_tag_is_counted(answered: Sql) -> None:
    answered.lead("new")
    (row,) = ask(answered, "Each user and tag")
    assert row == {
        "user_id": answered.USER,
        "tag": answered.TAG,
        "leads": 3,
        "answered": 2,
        "to_contact": 1,
        "mean_score": 55,
    }


@pytest.mark.usefixtures("one_utc_day")
def test_costs_are_summed_by_day(answered: Sql) -> None:
    answered.run("update leadhook.attempts set cost_usd = 0.001")
    rows: list[Any] = ask(answered, "What the answers cost")
    assert sum(row["leads"] for row in rows) == 2
    assert float(sum(row["usd"] for row in rows)) == 0.002


def waiting(db: Sql) -> dict[str, str]:
    return {row["why"]: row["for_example"] for row in ask(db, "What is waiting, and why")}


def test_every_lead_without_an_answer_has_its_reason(answered: Sql) -> None:
    db = answered
    db.lead("1", scrapped=False)
    db.lead("2")
    db.lead("3", tag="no prompts")
    db.details("3")
    db.lead("4")
    db.details("4", sent=True)
    db.ready_job("5", state="held")
    db.ready_job("6", state="dead", reason="Gemini blocked it.")
    db.ready_job("7", state="leased")
    db.ready_job("8", available_at=db.value("select now() + interval '1 h'"), reason="Gemini said 503.")
    db.ready_job("9")
    db.eligible_lead("a")
    assert waiting(db) == {
        "scrapped is not true": "1",
        "no row in lead_details": "2",
        "no prompts row for its user and tag": "3",
        "sent_to_llm is true, but there is no answer": "4",
        "held since the installation": "5",
        "failed and not retried: Gemini blocked it.": "6",
        "being scored now": "7",
        "retried later: Gemini said 503.": "8",
        "in the queue": "9",
        "changed, and not claimed yet": "a",
    }
