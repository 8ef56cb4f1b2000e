"""The table of states beside `leadhook.jobs` is complete; modules that use `known_moves` watch what really moves."""

import re
from pathlib import Path

import pytest
from tests.sql.conftest import Sql
from tests.sql.job_states import watch, watched, written_down

SQL_FILES = Path(__file__).parents[2] / "src/leadhook"
MOVES_A_JOB = re.compile(
    r"(insert into|delete from) leadhook\.jobs\b|update leadhook\.jobs\b(?:(?!\b(from|where)\b).)*?\bstate = ",
    re.DOTALL,
)


def test_the_table_names_every_statement_that_moves_a_job(db: Sql) -> None:
    """Functions of the database and scripts of the commands; and no other."""
    functions = db.rows(
        "select proname, prosrc from pg_proc where pronamespace in ('leadhook'::regnamespace, 'public'::regnamespace)"
    )
    sources = {row["proname"]: row["prosrc"] for row in functions}
    sources |= {file.name: file.read_text() for file in SQL_FILES.rglob("*.sql")}
    moving = {name for name, source in sources.items() if MOVES_A_JOB.search(source)}
    assert moving == {made_by for _, _, made_by in written_down()}


def test_the_table_names_every_state(db: Sql) -> None:
    """And no state that a job can't have."""
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'jobs_state_check'"
    states = set(re.findall(r"'(\w+)'", db.value(query)))
    moves = written_down()
    assert {was for was, _, _ in moves} == {becomes for _, becomes, _ in moves} == states | {"none"}


@pytest.mark.parametrize("state", ["waiting", "ready", "held", "done"])
def test_a_lead_that_cannot_be_checked_is_quarantined_from_any_state(db: Sql, state: str) -> None:
    """Unless it is leased."""
    db.ready_job("bad-1", state=state)
    db.poison()
    watch(db)
    db.note_change("bad-1")
    db.apply_outbox()
    assert watched(db.connection) == {(state, "dead", "quarantine")}


def test_a_lead_that_cannot_be_described_is_set_aside_by_its_own_claim(keyed: Sql) -> None:
    """It was leased a moment before."""
    keyed.ready_job("bad-1")
    keyed.run("alter table public.lead_details rename to real_details")
    keyed.run("alter table public.real_details rename column name to real_name")
    keyed.run(
        "create view public.lead_details as"
        " select d.*, (1 / (length(lead_id) - length(lead_id)))::text as name from public.real_details as d"
    )
    keyed.run("grant select on public.lead_details to service_role")
    watch(keyed)
    assert keyed.claim()["leads"] == []
    assert watched(keyed.connection) == {("ready", "leased", "lease_leads"), ("leased", "dead", "quarantine")}


def test_the_first_round_holds_a_lead_that_became_eligible_unseen(db: Sql) -> None:
    """Its prompts are older than the installation."""
    db.ready_job("lead-1", state="waiting")
    db.run("update public.prompts set created_at = now() - interval '1 day'")
    watch(db)
    db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)
    assert watched(db.connection) == {("waiting", "held", "move_jobs")}
