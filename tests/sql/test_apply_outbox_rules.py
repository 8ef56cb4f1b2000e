"""What a change does to a lead's job."""

from typing import Any, LiteralString
from uuid import UUID

import pytest
from tests.sql.conftest import Sql

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")
NOT_ELIGIBLE: LiteralString = "update public.all_leads set scrapped = false"


def test_an_unknown_eligible_lead_becomes_ready(db: Sql) -> None:
    db.note_change(db.eligible_lead("lead-1"))
    changed_at = db.value("select changed_at from leadhook.outbox")
    assert db.apply_outbox("webhook") == 1
    job = db.job("lead-1")
    expected = {
        "state": "ready",
        "low_priority": False,
        "run": 1,
        "attempts": 0,
        "source": "webhook",
        "eligible_at": changed_at,
    }
    assert {name: job[name] for name in expected} == expected
    assert (job["user_id"], job["tag"]) == (db.USER, db.TAG)
    assert db.count("leadhook.outbox") == 0


def test_an_unknown_lead_that_is_not_eligible_waits(db: Sql) -> None:
    """It is registered, so that its prompts row finds it."""
    db.lead("lead-1")
    db.details("lead-1")
    db.note_change("lead-1")
    db.apply_outbox()
    assert db.states() == {"lead-1": "waiting"}


@pytest.mark.parametrize("missing", ["lead", "details"])
def test_a_job_needs_both_rows_of_the_lead(db: Sql, missing: str) -> None:
    if missing == "details":
        db.lead("lead-1")
    else:
        db.details("lead-1")
    db.note_change("lead-1", "nobody")
    db.apply_outbox()
    assert db.states() == {}


def test_the_latest_change_sets_eligible_at(db: Sql) -> None:
    """Several outbox rows in a slice may name the same lead."""
    db.eligible_lead("lead-1")
    db.note_change("lead-1")
    db.run("update leadhook.outbox set changed_at = changed_at - interval '1 hour'")
    db.note_change("lead-1")
    latest = db.value("select max(changed_at) from leadhook.outbox")
    db.apply_outbox()
    assert db.job("lead-1")["eligible_at"] == latest


@pytest.mark.parametrize(
    ("before", "eligible", "after"),
    [
        ({"state": "waiting"}, True, {"state": "ready", "run": 1, "attempts": 0, "low_priority": False}),
        ({"state": "waiting", "run": 3}, False, {"state": "waiting", "run": 3}),
        ({"state": "held", "low_priority": True}, True, {"state": "ready", "run": 1, "low_priority": False}),
        ({"state": "held", "low_priority": True}, False, {"state": "waiting", "low_priority": False}),
        (
            {"state": "ready", "attempts": 2, "low_priority": True},
            True,
            {"state": "ready", "attempts": 2, "low_priority": True},
        ),
        ({"state": "ready", "attempts": 2}, False, {"state": "waiting", "attempts": 2}),
        ({"state": "leased", "attempts": 2}, True, {"state": "leased", "attempts": 2}),
        ({"state": "leased", "attempts": 2}, False, {"state": "leased", "attempts": 2}),
        ({"state": "done", "run": 2, "attempts": 1}, True, {"state": "ready", "run": 3, "attempts": 0}),
        ({"state": "done", "run": 2}, False, {"state": "done", "run": 2}),
        ({"state": "dead", "run": 2, "attempts": 5}, True, {"state": "ready", "run": 3, "attempts": 0}),
        ({"state": "dead", "run": 2, "attempts": 5}, False, {"state": "dead", "run": 2, "attempts": 5}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_a_changed_lead_moves(db: Sql, before: dict[str, Any], eligible: bool, after: dict[str, Any]) -> None:  # noqa: FBT001 - a case of the table
    db.ready_job("lead-1", **before)
    if not eligible:
        db.run(NOT_ELIGIBLE)
    db.note_change("lead-1")
    db.apply_outbox()
    job = db.job("lead-1")
    assert {name: job[name] for name in after} == after


def test_what_becomes_ready_forgets_why_it_failed(db: Sql) -> None:
    """But keeps what was paid for and never written."""
    db.ready_job("lead-1", state="dead", checkpoint={"score": 80})
    db.note_change("lead-1")
    db.apply_outbox()
    job = db.job("lead-1")
    assert (job["error_code"], job["reason"], job["finished_at"], job["checkpoint"]) == (
        None,
        None,
        None,
        {"score": 80},
    )


def test_a_change_from_before_the_lease_does_not_reopen_a_dead_lead(db: Sql) -> None:
    """Its change was seen by the attempt that failed."""
    db.note_change("lead-1")
    db.ready_job("lead-1", state="dead", leased_snapshot=db.value("select pg_current_snapshot()::text"))
    db.apply_outbox()
    assert db.states() == {"lead-1": "dead"}


@pytest.mark.parametrize("state", ["ready", "leased", "waiting", "held", "done", "dead"])
@pytest.mark.parametrize("table", ["all_leads", "lead_details"])
def test_a_deleted_lead_takes_everything_with_it(db: Sql, state: str, table: str) -> None:
    """Erasing a person is one DELETE in the application's table, whatever its job does."""
    db.ready_job("lead-1", state=state)
    db.run("insert into leadhook.attempts (lead_id, run, fence, outcome) values ('lead-1', 1, 1, 'saved')")
    db.run(
        "insert into leadhook.results (lead_id, run, score, response, should_contact, subject, message, written)"
        " values ('lead-1', 1, 80, 'r', true, 's', 'm', true)"
    )
    deletes: dict[str, LiteralString] = {
        "all_leads": "delete from public.all_leads",
        "lead_details": "delete from public.lead_details",
    }
    db.run(deletes[table])
    db.note_change("lead-1")
    db.apply_outbox()
    left = [db.count(f"leadhook.{name}") for name in ("jobs", "attempts", "results")]
    assert left == [0, 0, 0]


def test_a_lead_moves_to_its_new_group(db: Sql) -> None:
    """So that the prompts rows of the new group find it; a leased one is not disturbed."""
    db.ready_job("lead-1", state="waiting")
    db.ready_job("lead-2", state="leased")
    db.run("update public.all_leads set tag = 'new'")
    db.note_change("lead-1", "lead-2")
    db.apply_outbox()
    assert [db.job(lead_id)["tag"] for lead_id in ("lead-1", "lead-2")] == ["new", db.TAG]


def test_a_ready_replay_does_not_mind_that_it_was_sent(db: Sql) -> None:
    replay_id = db.value("insert into leadhook.replays (actor) values ('test') returning id")
    db.ready_job("lead-1", replay_id=replay_id)
    db.run("update public.lead_details set sent_to_llm = true")
    db.note_change("lead-1")
    db.apply_outbox()
    assert db.states() == {"lead-1": "ready"}
    db.run(NOT_ELIGIBLE)
    db.note_change("lead-1")
    db.apply_outbox()
    assert (db.states(), db.job("lead-1")["replay_id"]) == ({"lead-1": "waiting"}, None)


def test_a_new_prompts_row_wakes_its_group(db: Sql) -> None:
    states = {"waiting": "waiting", "held": "held", "dead": "dead", "done": "done"}
    for lead_id, state in states.items():
        db.ready_job(lead_id, state=state)
    db.ready_job("of-another-tag", tag="other", state="waiting")
    db.ready_job("of-another-user", user=OTHER_USER, state="waiting")
    db.note_prompts_changes()
    changed_at = db.value("select changed_at from leadhook.outbox")
    db.apply_outbox()
    sleeping = {"of-another-tag": "waiting", "of-another-user": "waiting"}
    assert db.states() == {"waiting": "ready", "held": "ready", "dead": "ready", "done": "done"} | sleeping
    assert (db.job("dead")["run"], db.job("held")["low_priority"], db.job("waiting")["eligible_at"]) == (
        2,
        False,
        changed_at,
    )


def test_a_changed_prompts_row_wakes_only_who_waits(db: Sql) -> None:
    """No one asked for held and dead leads by editing a text."""
    for state in ("waiting", "held", "dead"):
        db.ready_job(state, state=state)
    db.note_prompts_changes(inserted=False)
    db.apply_outbox()
    assert db.states() == {"waiting": "ready", "held": "held", "dead": "dead"}


def test_a_held_lead_that_has_an_answer_stays_held(db: Sql) -> None:
    """Pressing "run" must not buy the whole old backlog again."""
    db.ready_job("answered", state="held")
    db.ready_job("new", state="held")
    db.run("insert into public.llm_response (lead_id) values ('answered')")
    db.note_prompts_changes()
    db.apply_outbox()
    assert db.states() == {"answered": "held", "new": "ready"}


def test_prompts_without_a_group_wake_no_one(db: Sql) -> None:
    """A prompts row may hold NULLs."""
    db.make_job("lead-1", state="waiting", user=None)
    db.note_prompts_changes(user=None)
    db.note_prompts_changes(tag=None)
    db.apply_outbox()
    assert (db.states(), db.count("leadhook.outbox")) == ({"lead-1": "waiting"}, 0)


def test_a_change_of_everything_looks_at_every_job(db: Sql) -> None:
    for state in ("waiting", "ready", "held", "done", "dead", "leased"):
        db.ready_job(state, state=state)
        db.ready_job(f"{state}-gone", state=state)
    db.ready_job("ready-not-eligible")
    db.run("delete from public.lead_details where lead_id like '%%-gone'")
    db.run("update public.all_leads set scrapped = false where lead_id = 'ready-not-eligible'")
    db.note_everything()
    db.apply_outbox()
    assert db.states() == {
        "waiting": "ready",
        "ready": "ready",
        "held": "held",
        "done": "done",
        "dead": "dead",
        "leased": "leased",
        "ready-not-eligible": "waiting",
    }
