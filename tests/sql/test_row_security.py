"""Rows that row level security hides are an error, never leads that look deleted."""

from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from psycopg import sql

from leadhook.doctor.examination import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql.conftest import Sql

    from leadhook.doctor.check import Check
    from leadhook.local.database import Database

ERROR = "affected by row-level security"


@pytest.fixture
def bound(database: "Database", db: "Sql") -> "Iterator[Sql]":
    """service_role is bound by row level security. leadhook's own tables let it in, those of the application do not."""
    for table in db.rows("select tablename from pg_tables where schemaname = 'leadhook'"):
        policy = sql.SQL("create policy ours on leadhook.{} to service_role using (true) with check (true)")
        db.run(policy.format(sql.Identifier(table["tablename"])))
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute("alter role service_role nobypassrls")
        try:
            yield db
        finally:
            admin.execute("alter role service_role bypassrls")


def history(db: "Sql") -> list[int]:
    """What is known of leads."""
    return [db.count(f"leadhook.{table}") for table in ("jobs", "attempts", "results", "api_keys")]


def fill(db: "Sql") -> None:
    """Two finished leads, one leased and one ready, and a parked key."""
    db.key()
    for lead_id, state in {"a": "done", "b": "done", "c": "leased", "d": "ready"}.items():
        db.ready_job(lead_id, state=state)
        db.run("insert into leadhook.attempts (lead_id, run, fence, outcome) values (%(id)s, 1, 1, '')", id=lead_id)
    db.run(
        "insert into leadhook.api_keys (fingerprint, state, changed_at)"
        " values ('f', 'disabled', now() - interval '1 year')"
    )


@pytest.mark.parametrize("phase", ["leads", "jobs"])
def test_a_sweep_deletes_nothing_of_leads_that_are_hidden(bound: "Sql", phase: str) -> None:
    """It stops with an error that says so."""
    fill(bound)
    bound.control(sweep_phase=phase)
    before = history(bound)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)
    assert history(bound) == before


@pytest.mark.parametrize(
    "question",
    [
        "select * from leadhook.check_eligibility('{a}')",
        "select * from leadhook.find_groups_with_prompts('{00000000-0000-4000-8000-000000000001}', '{demo}')",
    ],
)
def test_eligibility_of_what_is_hidden_is_an_error(bound: "Sql", question: LiteralString) -> None:
    """For every caller: a lead or prompts row that can't be seen is not taken for a missing one."""
    bound.run("set role service_role")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.rows(question)
    bound.run("reset role")


def test_a_claim_deletes_nothing_of_leads_that_are_hidden(bound: "Sql") -> None:
    """Their outbox rows stay until they can be seen again."""
    fill(bound)
    bound.note_change("a", "b", "c", "d")
    before = history(bound)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.claim()
    assert (history(bound), bound.count("leadhook.outbox")) == (before, 1)


def test_a_save_deletes_nothing_of_leads_that_are_hidden(bound: "Sql") -> None:
    """A paid answer is not taken for that of a lead that is gone."""
    fill(bound)
    before = history(bound)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.save(bound.result_of(bound.lease_of(bound.job("c"))))
    assert history(bound) == before


def test_a_queue_that_is_hidden_is_not_an_empty_queue(bound: "Sql") -> None:
    """Without a policy on leadhook's own tables nothing would ever be claimed, and no one would know."""
    fill(bound)
    bound.run("drop policy ours on leadhook.outbox")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.claim()


@pytest.mark.parametrize("call", ["leadhook_save", "leadhook_renew", "leadhook_release"])
def test_a_lease_that_is_hidden_is_not_lost(bound: "Sql", call: str) -> None:
    """Its worker would drop the paid answer, and buy it again."""
    fill(bound)
    lease = bound.lease_of(bound.job("c"))
    items = {
        "leadhook_save": {"p_results": [bound.result_of(lease)]},
        "leadhook_renew": {"p_leases": [lease]},
        "leadhook_release": {"p_releases": [{**lease, "outcome": "returned"}]},
    }[call]
    bound.run("drop policy ours on leadhook.jobs")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=ERROR):
        bound.rpc(call, p_worker="worker-1", **items)


def test_calls_of_the_service_agree_on_row_security(db: "Sql") -> None:
    """Where two calls of a session differ, each plans again what the other has planned."""
    calls = ["claim", "renew", "save", "release", "sweep", "save_on_demand", "replay_slice", "status"]
    found = db.rows("select proname from pg_proc where 'row_security=off' = any (proconfig)")
    assert {f"leadhook_{call}" for call in calls} <= {row["proname"] for row in found}


def test_policies_do_not_bind_roles_that_may_bypass_them(db: "Sql") -> None:
    """service_role as Supabase makes it, and the owner."""
    fill(db)
    db.note_change("d")
    assert db.ids_of(db.claim()) == ["d"]
    assert db.value("select eligible from leadhook.check_eligibility('{d}')") is True
    assert db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)["removed"] == 0


async def test_doctor_names_a_role_that_is_bound_by_row_level_security(database: "Database", bound: "Sql") -> None:
    """With the statement that frees it."""
    bound.record_migrations()
    found: list[Check] = []
    await examine(found.append, env={"DATABASE_URL": database.conninfo})
    assert "alter role service_role bypassrls;" in [finding.remedy for finding in found if finding.level == "fault"]
