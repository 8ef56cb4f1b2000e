"""Scoring named leads again."""

from typing import LiteralString

import psycopg
import pytest
from tests.sql.conftest import Row, Sql


def replay(db: Sql, *lead_ids: str, actor: str = "ann", reason: str | None = None) -> Row:
    reply: Row = db.rpc("leadhook_replay", p_lead_ids=list(lead_ids), p_actor=actor, p_reason=reason)
    return reply


def outcomes(reply: Row) -> dict[str, str]:
    return {lead["lead_id"]: lead["outcome"] for lead in reply["leads"]}


def sent(db: Sql) -> None:
    """The application, or an earlier run of ours, marked all leads."""
    db.run("update public.lead_details set sent_to_llm = true")


def test_replay_of_a_done_lead_runs_it_again(keyed: Sql) -> None:
    keyed.ready_job("a", state="done", run=1, attempts=2)
    sent(keyed)
    reply = replay(keyed, "a")
    assert outcomes(reply) == {"a": "queued"}
    job = keyed.job("a")
    assert (job["state"], job["run"], job["attempts"], job["low_priority"]) == ("ready", 2, 0, True)
    assert (job["replay_id"], job["source"]) == (reply["replay_id"], "replay")
    assert keyed.value("select sent_to_llm from public.lead_details")
    (lead,) = keyed.claim()["leads"]
    assert keyed.outcomes(keyed.save(keyed.result_of(lead))) == {"a": "saved"}


def test_replay_of_a_dead_lead_keeps_what_was_bought(db: Sql) -> None:
    """It is written without buying it again."""
    db.ready_job("a", state="dead", run=1, checkpoint=db.paid())
    assert outcomes(replay(db, "a")) == {"a": "queued"}
    job = db.job("a")
    assert (job["state"], job["run"], job["checkpoint"], job["error_code"]) == ("ready", 2, db.paid(), None)


def test_replay_of_a_done_lead_buys_a_new_answer(db: Sql) -> None:
    """The old answer is written already."""
    db.ready_job("a", state="done", checkpoint=db.paid())
    replay(db, "a")
    assert db.job("a")["checkpoint"] is None


def test_replay_of_a_held_lead_releases_it(db: Sql) -> None:
    """Its first run; slow, as the backlog is."""
    db.ready_job("a", state="held", low_priority=True)
    reply = replay(db, "a")
    assert outcomes(reply) == {"a": "queued"}
    job = db.job("a")
    assert (job["state"], job["run"], job["low_priority"], job["replay_id"]) == ("ready", 1, True, reply["replay_id"])


def test_replay_of_a_leased_lead_comes_after_its_run(keyed: Sql) -> None:
    lease = keyed.leased_lead("a")
    reply = replay(keyed, "a")
    assert outcomes(reply) == {"a": "queued_after"}
    assert keyed.outcomes(keyed.save(keyed.result_of(lease))) == {"a": "saved"}
    job = keyed.job("a")
    assert (job["state"], job["run"], job["low_priority"], job["attempts"]) == ("ready", 2, True, 0)
    assert (job["replay_id"], job["replay_after"], job["checkpoint"]) == (reply["replay_id"], None, None)
    (lead,) = keyed.claim()["leads"]
    assert lead["run"] == 2


def test_replay_asked_for_while_leased_survives_what_ends_the_first_wish(keyed: Sql) -> None:
    """Released, and in the meantime sent by something else: the replay begins as its own run."""
    keyed.ready_job("a")
    (lead,) = keyed.claim()["leads"]
    reply = replay(keyed, "a")
    keyed.release(keyed.release_of(lead, "returned"))
    sent(keyed)
    (again,) = keyed.claim()["leads"]
    assert (again["run"], again["source"], again["low_priority"]) == (2, "replay", True)
    job = keyed.job("a")
    assert (job["replay_id"], job["replay_after"]) == (reply["replay_id"], None)


def test_replay_asked_for_while_leased_ends_with_a_lead_that_lost_its_eligibility(keyed: Sql) -> None:
    """Not scrapped any more: it waits, and no replay is left that would begin some day."""
    keyed.ready_job("a")
    (lead,) = keyed.claim()["leads"]
    replay(keyed, "a")
    keyed.release(keyed.release_of(lead, "returned"))
    keyed.run("update public.all_leads set scrapped = false")
    assert keyed.claim()["leads"] == []
    job = keyed.job("a")
    assert (job["state"], job["replay_id"], job["replay_after"]) == ("waiting", None, None)


def test_replay_of_a_ready_lead_is_already_queued(db: Sql) -> None:
    db.ready_job("a")
    reply = replay(db, "a")
    assert outcomes(reply) == {"a": "already_queued"}
    job = db.job("a")
    assert (job["state"], job["run"], job["low_priority"], job["replay_id"]) == ("ready", 1, False, reply["replay_id"])


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ("update public.all_leads set scrapped = false", ["scrapped"]),
        ("delete from public.lead_details", ["details"]),
        ("delete from public.prompts", ["prompts"]),
        ("update public.all_leads set tag = 'none', scrapped = false", ["scrapped", "prompts"]),
    ],
)
@pytest.mark.parametrize("state", ["waiting", "done", "dead", "held", None])
def test_replay_of_a_lead_that_lacks_something_says_what(
    db: Sql, change: LiteralString, missing: list[str], state: str | None
) -> None:
    """And leaves it as it was."""
    if state is None:
        db.eligible_lead("a")
    else:
        db.ready_job("a", state=state)
    db.run(change)
    before = db.rows("select * from leadhook.jobs")
    assert replay(db, "a")["leads"] == [{"lead_id": "a", "outcome": "not_eligible", "missing": missing}]
    assert db.rows("select * from leadhook.jobs") == before


@pytest.mark.parametrize("state", ["waiting", None])
def test_replay_of_a_lead_that_something_else_sent(keyed: Sql, state: str | None) -> None:
    """Scored by the predecessor, say: it runs."""
    if state is None:
        keyed.eligible_lead("a")
    else:
        keyed.ready_job("a", state=state)
    sent(keyed)
    assert outcomes(replay(keyed, "a")) == {"a": "queued"}
    (lead,) = keyed.claim()["leads"]
    assert (lead["lead_id"], lead["low_priority"], lead["run"]) == ("a", True, 1)


def test_replay_of_an_eligible_lead_without_job(db: Sql) -> None:
    """The change left no outbox row, and the sweep has not checked the lead yet."""
    db.eligible_lead("a")
    assert outcomes(replay(db, "a")) == {"a": "queued"}
    assert db.job("a")["state"] == "ready"


def test_replay_of_an_unknown_lead(db: Sql) -> None:
    """No row in all_leads; details alone are no lead."""
    db.details("b")
    assert outcomes(replay(db, "a", "b")) == {"a": "unknown", "b": "unknown"}


def test_replay_applies_the_outbox_first(db: Sql) -> None:
    """A lead that was just deleted or changed is checked in its current state."""
    db.ready_job("gone", state="done")
    db.run("delete from public.all_leads")
    db.note_change("gone")
    assert outcomes(replay(db, "gone")) == {"gone": "unknown"}
    assert db.states() == {}


def test_replay_answers_in_the_callers_order_each_once(db: Sql) -> None:
    for lead_id in ("a", "b", "c"):
        db.ready_job(lead_id, state="done")
    reply = replay(db, "c", "a", "nobody", "c", "b")
    assert [lead["lead_id"] for lead in reply["leads"]] == ["c", "a", "nobody", "b"]
    assert reply["counts"] == {"queued": 3, "unknown": 1}


def test_replay_is_written_down(db: Sql) -> None:
    db.ready_job("a", state="done")
    reply = replay(db, "a", "b", actor="ann", reason="new prompt")
    (row,) = db.rows("select * from leadhook.replays")
    assert (row["id"], row["actor"], row["reason"]) == (reply["replay_id"], "ann", "new prompt")
    assert row["counts"] == {"queued": 1, "unknown": 1}


def test_replay_sends_one_webhook_and_only_for_work(wired: Sql) -> None:
    """After its commit; a replay that queued nothing wakes no one."""
    wired.ready_job("a", state="done")
    wired.ready_job("b", state="done")
    sent(wired)
    wired.run("delete from leadhook.webhooks")
    replay(wired, "nobody")
    assert wired.count("leadhook.webhooks") == 0
    replay(wired, "a", "b")
    (webhook,) = wired.rows("select reason, leads from leadhook.webhooks")
    assert webhook == {"reason": "replay", "leads": 2}


def test_replay_of_a_lead_that_cannot_be_evaluated(db: Sql) -> None:
    db.ready_job("bad", state="dead")
    db.ready_job("b", state="done")
    db.poison()
    assert replay(db, "bad", "b")["leads"] == [
        {"lead_id": "bad", "outcome": "not_eligible", "missing": ["evaluation"]},
        {"lead_id": "b", "outcome": "queued"},
    ]


@pytest.mark.parametrize(
    ("lead_ids", "actor"), [(None, "ann"), ([], "ann"), (["a", None], "ann"), (["a"], " "), (["a"] * 1001, "ann")]
)
def test_replay_refuses_a_call_that_makes_no_sense(db: Sql, lead_ids: list[str] | None, actor: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.rpc("leadhook_replay", p_lead_ids=lead_ids, p_actor=actor)
    assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.replays") == 0


def test_replay_of_1000_leads_at_once(db: Sql) -> None:
    ids = db.eligible_leads(1000)
    assert replay(db, *ids)["counts"] == {"queued": 1000}
