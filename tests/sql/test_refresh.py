"""Rows that are deleted and inserted again in one transaction are no change: a bulk refresh pays for nothing again."""

from typing import LiteralString

import pytest
from tests.sql.conftest import Sql

pytestmark = pytest.mark.usefixtures("known_moves")
TABLES = ("all_leads", "lead_details")
AWAY: dict[str, LiteralString] = {
    "all_leads": "create temp table kept as table public.all_leads; delete from public.all_leads",
    "lead_details": "create temp table kept as table public.lead_details; delete from public.lead_details",
}
BACK: dict[str, LiteralString] = {
    "all_leads": "insert into public.all_leads table kept; drop table kept",
    "lead_details": "insert into public.lead_details table kept; drop table kept",
}


def refresh(db: Sql, table: str, between: LiteralString = "select") -> None:
    """Delete all rows, and insert them again."""
    with db.transaction():
        db.connection.execute(AWAY[table])
        db.connection.execute(between)
        db.connection.execute(BACK[table])


@pytest.fixture
def resting(wired: Sql) -> Sql:
    """600 leads, more than one slice: half of them held, half of them dead; and one that was never seen."""
    wired.key()
    wired.eligible_leads(600)
    wired.run("delete from leadhook.outbox")
    wired.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, error_code, reason)"
        " select lead_id, user_id, tag, case when lead_id <= 'lead-00300' then 'held' else 'dead' end, 'x', 'y'"
        " from public.all_leads"
    )
    return wired


@pytest.mark.parametrize("table", TABLES)
def test_a_refresh_releases_and_reopens_nothing(resting: Sql, table: str) -> None:
    """Whatever order its outbox rows are applied in; a lead that is new in it is claimed."""
    before = resting.states()
    resting.eligible_lead("new")
    refresh(resting, table)
    claimed = resting.ids_of(resting.claim())
    while resting.count("leadhook.outbox"):  # a claim gives it as much time as it has, whatever the machine does
        claimed += resting.ids_of(resting.claim())
    assert claimed == ["new"]
    assert resting.states() == before | {"new": "leased"}
    refresh(resting, table)
    (lead,) = resting.rows("select * from leadhook.jobs where lead_id = 'new'")
    resting.release(resting.release_of(lead, "dead"))
    assert resting.claim()["leads"] == []
    assert resting.job("new")["state"] == "dead", "it was leased, and did not change"


def test_a_refresh_that_changes_a_lead_is_a_change(resting: Sql) -> None:
    """Another tag, or a lead that had not been eligible any more."""
    resting.prompts(tag="other")
    resting.run("update public.all_leads set scrapped = false where lead_id = 'lead-00600'")
    resting.claim()
    refresh(
        resting,
        "all_leads",
        "update kept set tag = 'other' where lead_id in ('lead-00001', 'lead-00599');"
        " update kept set scrapped = true where lead_id = 'lead-00600'",
    )
    assert set(resting.ids_of(resting.claim())) == {"lead-00001", "lead-00599", "lead-00600"}


def test_a_lead_whose_check_failed_wakes_by_a_refresh(resting: Sql) -> None:
    """The refresh may have corrected it."""
    resting.run("update leadhook.jobs set error_code = 'evaluation_failed' where lead_id = 'lead-00600'")
    refresh(resting, "lead_details")
    assert resting.ids_of(resting.claim()) == ["lead-00600"]


@pytest.mark.parametrize("undone", [True, False], ids=["rolled back", "another transaction"])
def test_a_row_that_is_inserted_is_a_change(resting: Sql, undone: "object") -> None:
    """Unless rows of its table were deleted in its own transaction, and still are."""
    resting.loosen()
    with resting.transaction():
        resting.run("savepoint before")
        resting.run("delete from public.lead_details where lead_id = 'lead-00002'")
        if undone:
            resting.run("rollback to savepoint before")
            resting.details("lead-00001")
    if not undone:
        resting.details("lead-00001")
    assert resting.ids_of(resting.claim()) == ["lead-00001"]


def test_a_truncate_before_the_insert_is_a_refresh_too(resting: Sql) -> None:
    """It notes everything, and what is inserted behind it is the same again."""
    before = resting.states()
    with resting.transaction():
        resting.connection.execute("create temp table kept as table public.lead_details; truncate public.lead_details")
        resting.connection.execute("insert into public.lead_details table kept; drop table kept")
    while resting.count("leadhook.outbox"):
        assert resting.claim()["leads"] == []
    assert resting.states() == before
