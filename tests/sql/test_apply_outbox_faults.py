"""A lead whose evaluation raises, an installation that is broken, and a job that someone holds."""

from collections.abc import Callable
from typing import LiteralString

import psycopg
import pytest
from tests.sql.conftest import Sql


def test_one_bad_lead_of_a_slice_is_set_aside_and_the_others_go_on(db: Sql) -> None:
    leads = [*db.eligible_leads(40), db.eligible_lead("bad-1"), db.eligible_lead("bad-2")]
    db.poison()
    db.note_change(*leads)
    assert db.apply_outbox("start") == 42
    job = db.job("bad-1")
    expected = {"state": "dead", "error_code": "evaluation_failed", "reason": "division by zero", "source": "start"}
    assert {name: job[name] for name in expected} == expected
    states = list(db.states().values())
    assert (states.count("ready"), states.count("dead")) == (40, 2)
    assert db.count("leadhook.outbox") == 0


def test_a_bad_lead_that_is_leased_is_not_disturbed(db: Sql) -> None:
    """Its save will check it."""
    db.ready_job("bad-1", state="leased")
    db.poison()
    db.note_change("bad-1")
    db.apply_outbox()
    assert db.states() == {"bad-1": "leased"}


def test_a_bad_lead_of_a_walk_is_set_aside(db: Sql) -> None:
    """And the walk goes on behind it."""
    for lead_id in ("bad-1", "good-1"):
        db.ready_job(lead_id, state="waiting")
    db.poison()
    db.note_prompts_changes()
    db.apply_outbox()
    assert (db.states(), db.count("leadhook.outbox")) == ({"bad-1": "dead", "good-1": "ready"}, 0)


def test_a_lead_that_was_quarantined_comes_back_when_it_is_fixed(db: Sql) -> None:
    db.eligible_lead("bad-1")
    db.poison()
    db.note_change("bad-1")
    db.apply_outbox()
    db.run("drop view public.all_leads")
    db.run("alter table public.real_leads rename to all_leads")
    db.note_change("bad-1")
    db.apply_outbox()
    assert (db.states(), db.job("bad-1")["reason"]) == ({"bad-1": "ready"}, None)


def test_a_lead_id_that_fits_no_index_stops_no_other_lead(db: Sql) -> None:
    """It can't even be set aside; the log has it."""
    monster = db.value("select string_agg(md5(g::text), '') from generate_series(1, 5000) as g")
    db.loosen()
    db.run("drop index public.leadhook_unsent")
    db.lead(monster)
    db.details(monster)
    db.eligible_lead("lead-1")
    db.note_change(monster, "lead-1")
    warnings: list[str | None] = []
    db.connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    db.apply_outbox()
    assert (db.states(), db.count("leadhook.outbox")) == ({"lead-1": "ready"}, 0)
    assert len(warnings) == 1
    assert (warnings[0] or "").startswith("leadhook: lead c4ca42")


@pytest.mark.parametrize(
    ("breakage", "error"),
    [
        ("alter table public.all_leads rename to leads", psycopg.errors.UndefinedTable),
        ("alter table public.all_leads drop column scrapped", psycopg.errors.UndefinedColumn),
        ("drop function leadhook.check_eligibility(text[])", psycopg.errors.UndefinedFunction),
        ("alter table public.prompts alter column user_id type text", psycopg.errors.UndefinedFunction),
        ("revoke select on public.lead_details from service_role", psycopg.errors.InsufficientPrivilege),
    ],
)
def test_a_broken_installation_keeps_the_outbox(db: Sql, breakage: LiteralString, error: type[psycopg.Error]) -> None:
    """No lead is to blame for it: applying the outbox fails as a whole, and with it the claim."""
    db.key()
    db.note_change(db.eligible_lead("lead-1"))
    db.run(breakage)
    for attempt in (db.apply_outbox, db.claim):
        with pytest.raises(error):
            attempt()
    assert (db.count("leadhook.outbox"), db.states()) == (1, {})


def test_a_statement_timeout_is_never_a_leads_fault(db: Sql) -> None:
    db.note_change(db.eligible_lead("lead-1"))
    db.run("alter table public.all_leads rename to real_leads")
    db.run("create view public.all_leads as select l.* from public.real_leads as l, pg_sleep(5)")
    db.run("grant select on public.all_leads to service_role")
    db.run("set statement_timeout = '300ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.apply_outbox()
    assert (db.count("leadhook.outbox"), db.states()) == (1, {})


@pytest.mark.parametrize(
    ("code", "blamed"),
    [
        *((code, False) for code in ("40P01", "40001", "55P03", "57014", "53200", "42P01", "42501", "0A000", "XX000")),
        *((code, True) for code in ("22012", "23514", "54000", "P0001", "XX001", "UE123")),
    ],
)
def test_only_what_can_be_a_leads_fault_is_blamed_on_it(db: Sql, code: str, blamed: bool) -> None:  # noqa: FBT001 - a case of the table
    """Concurrency, resources, the operator and the installation are not."""
    assert db.call("leadhook.blames_the_lead", p_sqlstate=code) is blamed


def test_a_job_that_someone_holds_is_put_back_for_later(db: Sql, connect: Callable[[], Sql]) -> None:
    """Applying the outbox waits for no row: the save that holds it may itself wait for the application."""
    db.key()
    db.ready_job("held-by-save", state="leased")
    db.note_change("held-by-save", db.eligible_lead("free"))
    saver = connect()
    with saver.transaction():
        saver.run("select from leadhook.jobs where lead_id = 'held-by-save' for update")
        batch = db.claim()
        assert (db.ids_of(batch), batch["next_due_ms"]) == (["free"], 250)
        (change,) = db.rows("select id, lead_ids, not_before is not null as later from leadhook.outbox")
        assert (change["lead_ids"], change["later"]) == (["held-by-save"], True)
        db.run("update leadhook.outbox set not_before = clock_timestamp() + interval '1 hour'")
        assert db.apply_outbox() == 0
        assert db.value("select id from leadhook.outbox") == change["id"], "it is left alone until then"
        saver.run(
            "update leadhook.jobs set state = 'waiting', claim_token = null, lease_until = null"
            " where lead_id = 'held-by-save'"
        )
    db.run("update leadhook.outbox set not_before = clock_timestamp()")
    assert db.ids_of(db.claim()) == ["held-by-save"]


def test_a_hint_for_a_job_that_someone_holds_is_forgotten(db: Sql, connect: Callable[[], Sql]) -> None:
    """Hints are never stored."""
    db.key()
    db.ready_job("lead-1", state="waiting")
    holder = connect()
    with holder.transaction():
        holder.run("select from leadhook.jobs for update")
        assert db.claim(hints=["lead-1"])["leads"] == []
    assert db.count("leadhook.outbox") == 0
