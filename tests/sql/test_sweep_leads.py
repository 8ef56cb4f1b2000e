"""The sweep finds changes that left no outbox row."""

import pytest
from tests.sql.conftest import Connect, Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves")


def slice_of(db: Sql, budget_ms: int = 50) -> Row:
    reply: Row = db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=budget_ms)
    return reply


def sweep(db: Sql) -> Row:
    """A whole round; what its slices sum up to."""
    total: Row = {}
    for _ in range(100):
        reply = slice_of(db, budget_ms=2000)
        for name in ("looked_at", "made_ready", "held", "removed"):
            total[name] = total.get(name, 0) + reply[name]
        if reply["round_finished"]:
            return total
    raise AssertionError("the round does not end")


def second_round(db: Sql) -> None:
    """From here on nothing counts as backlog."""
    db.control(first_round_finished_at=db.value("select now()"))


def backlog(db: Sql, n: int) -> list[str]:
    """Eligible leads whose prompts are older than the installation."""
    ids = db.eligible_leads(n)
    db.run("update public.prompts set created_at = now() - interval '1 day'")
    return ids


def test_sweep_makes_an_untouched_lead_ready(db: Sql) -> None:
    """A lead whose outbox row was lost."""
    second_round(db)
    db.eligible_lead("a")
    assert sweep(db)["made_ready"] == 1
    job = db.job("a")
    assert (job["state"], job["source"], job["low_priority"], job["user_id"]) == ("ready", "sweep", False, db.USER)
    assert job["eligible_at"] is not None


def test_sweep_holds_the_backlog_in_its_first_round(db: Sql) -> None:
    """What was eligible before the installation is not bought unasked."""
    backlog(db, 3)
    assert sweep(db)["held"] == 3
    assert set(db.states().values()) == {"held"}
    assert {job["low_priority"] for job in db.rows("select low_priority from leadhook.jobs")} == {True}
    assert db.value("select first_round_finished_at is not null from leadhook.controls")


def test_sweep_never_releases_what_is_held(db: Sql) -> None:
    """Later rounds find it eligible still, and leave it."""
    backlog(db, 3)
    sweep(db)
    assert (sweep(db)["made_ready"], set(db.states().values())) == (0, {"held"})


def test_sweep_runs_the_backlog_where_controls_say_so(db: Sql) -> None:
    """controls.backlog = run: the local stack, the demo."""
    db.control(backlog="run")
    backlog(db, 3)
    assert sweep(db)["made_ready"] == 3


def test_sweep_does_not_hold_leads_that_someone_asked_for(db: Sql) -> None:
    """Their prompts were saved after the installation; a row without a date says nothing."""
    backlog(db, 2)
    db.eligible_lead("asked", tag="new")
    db.eligible_lead("undated", tag="dateless")
    db.run("alter table public.prompts alter column created_at drop not null")
    db.run("update public.prompts set created_at = null where tag = 'dateless'")
    assert sweep(db)["made_ready"] == 1
    assert db.job("asked")["state"] == "ready"
    assert db.job("undated")["state"] == "held"


def test_sweep_makes_ready_what_came_after_the_first_round(db: Sql) -> None:
    """The backlog is what the first round saw."""
    backlog(db, 1)
    sweep(db)
    db.eligible_lead("new")
    sweep(db)
    assert db.job("new")["state"] == "ready"


def test_sweep_registers_what_is_not_eligible_yet(db: Sql) -> None:
    """So that a later prompts row finds it."""
    db.lead("a")
    db.details("a")
    sweep(db)
    job = db.job("a")
    assert (job["state"], job["tag"], job["eligible_at"]) == ("waiting", db.TAG, None)


def test_sweep_leaves_half_a_lead_alone(db: Sql) -> None:
    """A job exists only while the lead has both its rows."""
    db.details("without-lead")
    db.lead("without-details")
    sweep(db)
    assert db.states() == {}


def test_sweep_wakes_a_waiting_lead(db: Sql) -> None:
    """Its prompts' outbox row was lost. What it had bought is kept."""
    second_round(db)
    db.ready_job("a", state="waiting", attempts=2, checkpoint=db.paid(), error_code="unwanted", reason="no prompts")
    sweep(db)
    job = db.job("a")
    assert (job["state"], job["attempts"], job["run"], job["reason"]) == ("ready", 0, 1, None)
    assert job["checkpoint"] == db.paid()


def test_sweep_notes_that_a_waiting_lead_moved(db: Sql) -> None:
    """Else a prompts row of its new tag would not find it."""
    db.lead("a", tag="new")
    db.details("a")
    db.make_job("a", state="waiting", tag="old")
    sweep(db)
    assert (db.job("a")["state"], db.job("a")["tag"]) == ("waiting", "new")


def test_sweep_reopens_a_done_lead_that_is_unsent_again(db: Sql) -> None:
    """The application set sent_to_llm back, and the outbox row was lost. Not backlog, even in the first round."""
    db.ready_job("a", state="done", run=2, attempts=3)
    db.run("update public.prompts set created_at = now() - interval '1 day'")
    sweep(db)
    job = db.job("a")
    assert (job["state"], job["run"], job["attempts"]) == ("ready", 3, 0)


@pytest.mark.parametrize("state", ["dead", "held", "leased", "ready"])
def test_sweep_leaves_the_other_states_as_they_are(db: Sql, state: str) -> None:
    """Dead stays dead, held stays held, and no run is disturbed."""
    second_round(db)
    db.ready_job("a", state=state)
    before = db.job("a")
    assert sweep(db)["made_ready"] == 0
    assert db.job("a") == before


def test_sweep_finds_each_of_many_leads_once(db: Sql) -> None:
    second_round(db)
    db.run("alter table public.lead_details drop constraint lead_details_pkey")
    ids = db.eligible_leads(1203)
    db.run("insert into public.lead_details (lead_id, sent_to_llm) select lead_id, false from public.lead_details")
    slices = 0
    made_ready = 0
    while not (reply := slice_of(db, budget_ms=1))["round_finished"]:
        slices += 1
        made_ready += reply["made_ready"]
    assert made_ready + reply["made_ready"] == len(ids)
    assert slices > 3
    assert db.states() == dict.fromkeys(ids, "ready")


def test_sweep_goes_on_where_another_process_stopped(db: Sql, connect: Connect) -> None:
    """The position is the database's."""
    second_round(db)
    db.eligible_leads(1200)
    slice_of(db, budget_ms=1)
    other = connect()
    slice_of(other, budget_ms=1)
    assert db.count("leadhook.jobs") == 1000


def test_sweep_is_one_at_a_time(db: Sql, connect: Connect) -> None:
    """The second one hears busy and does nothing."""
    second_round(db)
    db.eligible_lead("a")
    other = connect()
    with other.transaction():
        slice_of(other)
        other.run("delete from leadhook.jobs")
        assert slice_of(db)["busy"]
    assert not slice_of(db)["busy"]


def test_sweep_applies_the_outbox_too(db: Sql) -> None:
    """An outbox row is not left waiting because no claim comes."""
    db.note_change(db.eligible_lead("a"))
    reply = slice_of(db, budget_ms=2000)
    assert db.count("leadhook.outbox") == 0
    assert (db.job("a")["state"], db.job("a")["source"]) == ("ready", "sweep")
    assert not reply["busy"]


def test_sweep_sets_aside_a_lead_that_cannot_be_evaluated(db: Sql) -> None:
    second_round(db)
    db.eligible_leads(8)
    db.eligible_lead("bad")
    db.poison()
    assert sweep(db)["made_ready"] == 8
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["reason"]) == ("dead", "evaluation_failed", "division by zero")


def test_sweep_uses_the_index_on_unsent_leads(db: Sql) -> None:
    """It may not read a million sent leads to find one."""
    second_round(db)
    db.eligible_leads(2000)
    db.run("update public.lead_details set sent_to_llm = true")
    db.details("a")
    db.lead("a")
    scans = "select seq_scan from pg_stat_xact_user_tables where relname = 'lead_details'"
    with db.transaction():
        before = db.value(scans)
        slice_of(db)
        assert db.value(scans) == before
        db.run("select pg_stat_force_next_flush()")
    assert db.value("select idx_scan from pg_stat_user_indexes where indexrelname = 'leadhook_unsent'") > 0
