"""What /ready learns of the database."""

from typing import LiteralString

import psycopg
import pytest
from tests.sql.conftest import Connect, Row, Sql

from leadhook.domain.status import Status
from leadhook.local.database import Database

NO_JOBS = dict.fromkeys(("waiting", "ready", "leased", "done", "dead", "held"), 0)


def status(db: Sql) -> Row:
    found: Row = db.rpc("leadhook_status")
    return found


def test_status_of_a_migrated_database(db: Sql) -> None:
    assert status(db) == {
        "schema": None,
        "backlog": "hold",
        "first_round_finished_at": None,
        "outbox": 0,
        "keys": {"total": 0, "healthy": 0, "untried": 0, "cooling": 0, "disabled": 0, "next_return_at": None},
        "parked_keys": [],
        "triggers": {"all_leads": False, "lead_details": False, "prompts": False, "gemini_api": False},
        "webhook_setup": {
            "url_set": False,
            "secret_set": False,
            "pg_net": True,
            "vault_error": None,
            "foreign_code": [],
            "outbox_guards": [],
        },
        "held_snapshot": None,
        "jobs": NO_JOBS,
        "without_message": 0,
        "oldest_ready_ms": None,
        "unclaimed_ms": None,
        "working": False,
        "workers": [],
        "pauses": [],
        "budgets": [],
        "spend": {"spent_usd": 0, "wasted_usd": 0, "reserved_usd": 0},
    }


def test_a_held_snapshot_names_its_session(db: Sql, connect: Connect) -> None:
    """Which service_role could not see by itself; a transaction that has just begun is not meant."""
    holder = connect()
    holder.run("set application_name = 'report'")
    with holder.transaction():
        holder.run("set transaction isolation level repeatable read")
        holder.value("select 1 from leadhook.controls")
        assert db.call("leadhook.held_snapshot") is None
        held = db.call("leadhook.held_snapshot", p_longer_than="0 s")
    names = {"held_by": "session", "name": "report", "role": "postgres", "state": "idle in transaction"}
    assert names.items() <= held.items()
    assert held["pid"] == holder.connection.info.backend_pid
    assert held["held_ms"] >= 0
    assert db.call("leadhook.held_snapshot", p_longer_than="0 s") is None


def test_status_of_a_wired_database(wired: Sql) -> None:
    found = status(wired)
    assert set(found["triggers"].values()) == {True}
    assert found["webhook_setup"] == {
        "url_set": True,
        "secret_set": True,
        "pg_net": True,
        "vault_error": None,
        "foreign_code": [],
        "outbox_guards": [],
    }
    assert "whsec" not in str(found)


@pytest.mark.parametrize(
    "change",
    [
        "drop trigger leadhook_update on public.all_leads",
        "drop trigger leadhook_truncate on public.all_leads",
        "alter table public.all_leads disable trigger leadhook_insert",
        "alter table public.all_leads disable trigger user",
    ],
)
def test_status_shows_which_table_is_not_watched(wired: Sql, change: LiteralString) -> None:
    wired.run(change)
    assert status(wired)["triggers"] == {"all_leads": False, "lead_details": True, "prompts": True, "gemini_api": True}


def test_status_counts_keys_by_state(db: Sql) -> None:
    for key in ("fake-cooling", "fake-bad", "fake-bad", "fake-good", " "):
        db.key(key)
    prints = {r["api_key"]: r["fingerprint"] for r in db.rows("select * from leadhook.healthy_keys()")}
    db.park_keys(
        {"fingerprint": prints["fake-cooling"], "reason": "quota", "for_ms": 60_000},
        {"fingerprint": prints["fake-bad"], "reason": "invalid", "for_ms": None},
    )
    keys = {key["fingerprint"]: key for key in status(db)["parked_keys"]}
    assert (keys[prints["fake-cooling"]]["reason"], keys[prints["fake-bad"]]["reason"]) == ("quota", "invalid")
    assert keys[prints["fake-cooling"]]["until"] is not None
    assert keys[prints["fake-bad"]]["until"] is None
    keys = status(db)["keys"]
    assert keys.pop("next_return_at") is not None
    assert keys == {"total": 3, "healthy": 1, "untried": 1, "cooling": 1, "disabled": 1}
    db.run("update public.gemini_api set api_key = api_key")
    assert status(db)["parked_keys"] == []
    found = status(db)["keys"]
    assert found == {"total": 3, "healthy": 3, "untried": 3, "cooling": 0, "disabled": 0, "next_return_at": None}


def test_status_counts_jobs_and_outbox_rows_up_to_1000(db: Sql) -> None:
    """Whether there are many is all that counts."""
    for state in NO_JOBS:
        db.make_job(state, state=state)
    assert status(db)["jobs"] == dict.fromkeys(NO_JOBS, 1)
    db.run("insert into leadhook.jobs (lead_id, state) select i::text, 'waiting' from generate_series(1, 1500) as i")
    db.run("insert into leadhook.outbox (kind, n) select 'everything', 0 from generate_series(1, 1500)")
    found = status(db)
    assert (found["jobs"]["waiting"], found["outbox"]) == (1000, 1000)


def test_status_names_the_newest_migration(db: Sql) -> None:
    """The service compares it with its own."""
    db.run("insert into leadhook.migrations (name, sha256) values ('2_b', ''), ('10_a', ''), ('2_a', '')")
    assert status(db)["schema"] == "2_b"


def test_status_needs_neither_extensions_nor_the_applications_tables(db: Sql, database: Database) -> None:
    """It reports that they are missing."""
    with psycopg.connect(database.admin_conninfo) as admin:
        admin.execute("drop extension pg_net cascade")
        admin.execute("drop extension supabase_vault cascade")
    db.run("drop table public.gemini_api, public.all_leads, public.lead_details, public.prompts, public.llm_response")
    found = status(db)
    assert found["webhook_setup"] == {
        "url_set": False,
        "secret_set": False,
        "pg_net": False,
        "vault_error": None,
        "foreign_code": [],
        "outbox_guards": [],
    }
    assert found["keys"]["total"] == 0
    assert set(found["triggers"].values()) == {False}


def test_status_shows_pauses_budgets_and_dollars(db: Sql) -> None:
    db.rpc("leadhook_pause", p_user_id=db.USER, p_tag="a", p_actor="ada", p_reason="why")
    db.rpc("leadhook_pause", p_actor="bo")
    db.rpc("leadhook_set_budget", p_user_id=db.USER, p_daily_usd=1, p_actor="ada")
    db.rpc("leadhook_set_budget", p_daily_usd=5, p_actor="ada")
    db.make_job("lead-1", state="leased", reserved_usd=2)
    found = Status.model_validate(status(db))
    assert [(pause.user_id, pause.tag, pause.actor, pause.reason) for pause in found.pauses] == [
        (None, None, "bo", None),
        (db.USER, "a", "ada", "why"),
    ]
    assert [(budget.user_id, budget.left_usd, budget.spent) for budget in found.budgets] == [
        (None, 3, False),
        (db.USER, -1, True),
    ]
    assert (found.spend.spent_usd, found.spend.reserved_usd) == (0, 2)


@pytest.mark.parametrize("low", [False, True])
def test_status_shows_how_long_the_oldest_ready_lead_waits(db: Sql, *, low: bool) -> None:
    db.ready_job("a", available_at="2099-01-01T00:00:00Z", low_priority=low)
    assert (status(db)["oldest_ready_ms"], status(db)["unclaimed_ms"]) == (None, None)
    db.ready_job("b", low_priority=low)
    db.age_job("b", 90)
    assert 90_000 <= status(db)["oldest_ready_ms"] < 150_000
    assert 90_000 <= status(db)["unclaimed_ms"] < 150_000


def test_a_budget_of_nothing_is_too_small_for_any_lead(db: Sql) -> None:
    """It does not go on at midnight."""
    db.rpc("leadhook_set_budget", p_user_id=None, p_daily_usd=0, p_actor="ada")
    (budget,) = db.rpc("leadhook_status")["budgets"]
    assert (budget["spent"], budget["too_small"]) == (True, True)


def test_what_is_paused_or_over_budget_is_not_unclaimed(db: Sql) -> None:
    """No one may claim it, so its age says nothing of the service."""
    db.ready_job("a")
    db.age_job("a", 90)
    db.rpc("leadhook_pause", p_user_id=db.USER, p_tag=db.TAG, p_actor="ada")
    assert (status(db)["unclaimed_ms"], status(db)["oldest_ready_ms"] >= 90_000) == (None, True)
    db.rpc("leadhook_resume", p_user_id=db.USER, p_tag=db.TAG, p_actor="ada")
    db.rpc("leadhook_pause", p_actor="ada")
    assert status(db)["unclaimed_ms"] is None
    db.rpc("leadhook_resume", p_actor="ada")
    assert status(db)["unclaimed_ms"] >= 90_000


def test_a_change_that_no_claim_has_looked_at_is_unclaimed(db: Sql) -> None:
    """Its lead may be eligible since."""
    db.note_change("a")
    db.run("update leadhook.outbox set changed_at = changed_at - interval '90 s'")
    assert 90_000 <= status(db)["unclaimed_ms"] < 150_000


def test_a_lease_that_ran_out_is_unclaimed_and_is_no_work(db: Sql) -> None:
    """Its worker is gone; one that lasts is work."""
    db.make_job("a", state="leased")
    assert (status(db)["working"], status(db)["unclaimed_ms"]) == (True, None)
    db.age_job("a", 120)
    assert (status(db)["working"], status(db)["unclaimed_ms"] >= 90_000) == (False, True)


def test_status_names_the_workers_that_claimed_or_swept(db: Sql) -> None:
    db.claim(worker="idle")
    db.run("update leadhook.workers set claimed_at = claimed_at - interval '400 s'")
    db.rpc("leadhook_sweep", p_worker="idle")
    db.claim(worker="busy")
    db.rpc("leadhook_sweep", p_worker="leadhook install")
    db.rpc("leadhook_sweep", p_worker=None)
    busy, idle = status(db)["workers"]
    assert (busy["worker"], busy["claimed_ms"] < 60_000, busy["swept_ms"]) == ("busy", True, None)
    assert (idle["worker"], idle["claimed_ms"] >= 400_000, idle["swept_ms"] < 60_000) == ("idle", True, True)


def test_a_claim_that_fails_is_not_noted(db: Sql) -> None:
    """Its rollback takes the note back."""
    db.claim()
    db.run("update leadhook.workers set claimed_at = claimed_at - interval '400 s'")
    db.run("alter table leadhook.figures rename to gone")
    with pytest.raises(psycopg.Error):
        db.claim()
    assert status(db)["workers"][0]["claimed_ms"] >= 400_000


def test_a_busy_worker_is_noted_every_5_seconds_at_most(db: Sql) -> None:
    """A claim makes no needless write."""
    db.claim()
    row = db.value("select w.ctid::text || w.xmin::text from leadhook.workers as w")
    db.claim()
    assert db.value("select w.ctid::text || w.xmin::text from leadhook.workers as w") == row
    db.run("update leadhook.workers set claimed_at = claimed_at - interval '6 s'")
    db.claim()
    assert status(db)["workers"][0]["claimed_ms"] < 5_000


def test_a_worker_that_is_gone_is_forgotten_after_a_day(db: Sql) -> None:
    """Each process has its own name."""
    db.claim(worker="old")
    db.run("update leadhook.workers set claimed_at = claimed_at - interval '25 hours'")
    db.rpc("leadhook_sweep", p_worker="new")
    assert [worker["worker"] for worker in status(db)["workers"]] == ["new"]


def test_counts_that_were_cut_are_named(db: Sql) -> None:
    """So that a program does not take them for exact ones."""
    db.run("insert into leadhook.jobs (lead_id, state) select i::text, 'held' from generate_series(1, 1500) as i")
    assert Status.model_validate(status(db)).capped == ("held",)
    db.run("insert into leadhook.outbox (kind, n) select 'everything', 0 from generate_series(1, 1500)")
    found = Status.model_validate(status(db))
    assert found.capped == ("held", "outbox")
    assert found.model_dump(mode="json")["capped"] == ["held", "outbox"]
