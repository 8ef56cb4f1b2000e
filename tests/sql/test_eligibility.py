"""The one definition of "eligible", and which of several rows counts."""

from typing import Any, LiteralString
from uuid import UUID

import pytest
from tests.sql.conftest import Sql

OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")


def check(db: Sql, *lead_ids: str) -> dict[str, dict[str, Any]]:
    rows = db.rows("select * from leadhook.check_eligibility(%(ids)s)", ids=list(lead_ids))
    return {row["lead_id"]: row for row in rows}


def describe(db: Sql, lead_id: str, user: UUID | None = None, tag: str | None = None) -> dict[str, Any]:
    query = "select * from leadhook.describe_leads(%(ids)s, %(users)s, %(tags)s)"
    (row,) = db.rows(query, ids=[lead_id], users=[user or db.USER], tags=[tag or db.TAG])
    return row


def test_a_lead_with_all_conditions_is_eligible(db: Sql) -> None:
    db.eligible_lead("lead-1")
    assert check(db, "lead-1")["lead-1"] == {
        "lead_id": "lead-1",
        "known": True,
        "user_id": db.USER,
        "tag": db.TAG,
        "scrapped": True,
        "has_details": True,
        "unsent": True,
        "has_prompts": True,
        "eligible": True,
    }


@pytest.mark.parametrize(
    ("missing", "change"),
    [
        ("known", "delete from public.all_leads"),
        ("scrapped", "update public.all_leads set scrapped = false"),
        ("has_details", "delete from public.lead_details"),
        ("unsent", "update public.lead_details set sent_to_llm = true"),
        ("has_prompts", "update public.prompts set tag = 'other'"),
        ("has_prompts", "update public.prompts set user_id = gen_random_uuid()"),
    ],
)
def test_each_missing_condition_makes_a_lead_ineligible(db: Sql, missing: str, change: LiteralString) -> None:
    db.eligible_lead("lead-1")
    db.run(change)
    result = check(db, "lead-1")["lead-1"]
    assert (result["eligible"], result[missing]) == (False, False)


def test_a_tag_of_another_text_type_is_a_tag(db: Sql) -> None:
    """The owner may alter it; the function's answer is text all the same."""
    db.eligible_lead("lead-1")
    db.run("alter table public.all_leads alter column tag type varchar(50)")
    assert check(db, "lead-1")["lead-1"]["tag"] == db.TAG


def test_sent_null_is_unsent_and_scrapped_null_is_not_scrapped(db: Sql) -> None:
    """As the predecessor's function had it."""
    db.loosen()
    db.prompts()
    db.lead("unsent")
    db.details("unsent", sent=None)
    db.lead("raw", scrapped=None)
    db.details("raw")
    results = check(db, "unsent", "raw")
    assert (results["unsent"]["eligible"], results["raw"]["eligible"]) == (True, False)


def test_an_unknown_id_is_a_row_and_a_repeated_one_is_one(db: Sql) -> None:
    db.eligible_lead("lead-1")
    results = check(db, "lead-1", "lead-1", "nobody")
    assert {lead_id: row["known"] for lead_id, row in results.items()} == {"lead-1": True, "nobody": False}


def test_a_lead_without_a_group_is_never_eligible(db: Sql) -> None:
    """NULL user or tag matches no prompts row, not even one with NULLs."""
    db.loosen()
    db.prompts(user=None)
    db.prompts(tag=None)
    db.lead("no-user", user=None)
    db.lead("no-tag", tag=None)
    db.details("no-user")
    db.details("no-tag")
    assert [row["eligible"] for row in check(db, "no-user", "no-tag").values()] == [False, False]


def test_of_several_all_leads_rows_an_eligible_one_counts(db: Sql) -> None:
    """The first by user and tag of those that are eligible."""
    db.loosen()
    db.prompts(tag="m")
    db.prompts(tag="z")
    db.lead("lead-1", tag="a")
    db.lead("lead-1", tag="m", scrapped=False)
    db.lead("lead-1", tag="z")
    db.details("lead-1")
    result = check(db, "lead-1")["lead-1"]
    assert (result["tag"], result["eligible"]) == ("z", True)


def test_a_lead_is_unsent_while_any_of_its_details_rows_is(db: Sql) -> None:
    """Save marks them all, so one that is left means the lead is wanted again."""
    db.loosen()
    db.prompts()
    db.lead("lead-1")
    db.details("lead-1", sent=True)
    assert check(db, "lead-1")["lead-1"]["unsent"] is False
    db.details("lead-1", sent=False)
    assert check(db, "lead-1")["lead-1"]["unsent"] is True


def test_of_several_details_rows_the_unsent_one_with_the_greatest_text_is_described(db: Sql) -> None:
    """So that every function picks the same one."""
    db.loosen()
    db.eligible_lead("lead-1")
    db.details("lead-1", sent=True, name="Zoe, sent")
    db.details("lead-1", name="Anna")
    db.details("lead-1", name="Paula")
    assert describe(db, "lead-1")["lead"]["name"] == "Paula"


def test_the_newest_prompts_row_counts(db: Sql) -> None:
    """By created_at; rows without one are the oldest; a draw goes to the greatest text of what is read of it."""
    db.loosen()
    db.lead("lead-1")
    db.details("lead-1")
    db.prompts(message_prompt="undated", created_at=None)
    assert describe(db, "lead-1")["prompts"]["message_prompt"] == "undated"
    db.prompts(message_prompt="new", created_at="2026-11-02T00:00:00Z")
    db.prompts(message_prompt="old", created_at="2026-11-01T00:00:00Z")
    assert describe(db, "lead-1")["prompts"]["message_prompt"] == "new"
    db.prompts(message_prompt="drawn", created_at="2026-11-02T00:00:00Z")
    assert describe(db, "lead-1")["prompts"]["message_prompt"] == "new"


def test_the_url_of_all_leads_goes_before_the_profile_url(db: Sql) -> None:
    """And the profile's is taken where there is none."""
    db.prompts()
    db.lead("both", linkedin_url="https://example.com/in/both")
    db.lead("one")
    for lead_id in ("both", "one"):
        db.details(lead_id, profile_url=f"https://example.com/profile/{lead_id}")
    urls = {lead_id: describe(db, lead_id)["lead"]["linkedin_url"] for lead_id in ("both", "one")}
    assert urls == {"both": "https://example.com/in/both", "one": "https://example.com/profile/one"}


def test_the_predecessors_function_lists_the_eligible_leads(db: Sql) -> None:
    """Its sixteen columns in their order, for service_role."""
    db.eligible_lead("lead-1")
    db.lead("lead-2", user=OTHER_USER)
    db.details("lead-2")
    with db.transaction():
        db.connection.execute("set local role service_role")
        rows = db.rows("select * from public.rpc_get_eligible_llm_jobs()")
    assert [(row["lead_id"], row["user_id"], row["wildnet_data"]) for row in rows] == [("lead-1", db.USER, "We sell.")]
    assert " ".join(rows[0]) == (
        "lead_id user_id tag name title location company_name experience skills bio profile_url linkedin_url"
        " company_page_url wildnet_data scoring_criteria_and_icp message_prompt"
    )
