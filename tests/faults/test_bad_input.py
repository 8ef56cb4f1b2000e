"""What nobody should send: no crash, no loop, and a reason in words."""

from typing import TYPE_CHECKING

import pytest
from tests.conftest import poll
from tests.faults.invariants import assert_one_answer_each
from tests.faults.project import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Arena

MANNERS = (
    "malformed", "truncated", "truncated_but_stop", "fenced", "out_of_range", "missing_field", "empty", "nul",
    "blocked_prompt", "blocked_safety", "blocked_recitation", "thinking_only", "non_json_200", "surrogate",
    "html_in_message",
)  # fmt: skip


def test_every_bad_answer_ends_in_an_answer_or_a_reason(arena: "Arena") -> None:
    """Each kind for a lead of its own; the log and the attempts say the same."""
    project = arena.project
    project.run("update leadhook.controls set max_attempts = 2")
    leads = project.bring(len(MANNERS), title="Chief pumps director")
    project.model.order(*({"match": {"lead": n}, "do": {"answer": m}} for n, m in zip(leads, MANNERS, strict=True)))
    service = arena.serve().wait_until_up()
    poll(lambda: sum(project.states().get(state, 0) for state in ("done", "dead")) == len(leads), service.tail)

    answered = project.answered(leads)
    silent = project.run("select lead_id from leadhook.jobs where state = 'dead' and length(reason) < 10")
    assert silent == []
    attempts = project.value("select count(*) from leadhook.attempts")
    poll(lambda: len(service.events("lead.finished")) == attempts, service.tail)
    logged = {event["lead_id"]: event["reason"] for event in service.events("lead.finished")}
    last = dict(
        project.run("select distinct on (lead_id) lead_id, reason from leadhook.attempts order by lead_id, id desc")
    )
    assert logged == last
    assert all((lead in answered) == (last[lead] is None) for lead in leads), last
    assert len(project.model.calls()) <= 4 * len(leads)
    assert service.ready()["ready"], service.ready()


def test_rows_that_change_while_their_lead_is_leased(arena: "Arena") -> None:
    """Deleted, taken back, marked as sent, reset, edited: no lead is written that nobody wants, and nothing hangs."""
    project = arena.project
    project.model.behave(latency_ms=1500)
    leads = project.bring(6, title="Student")
    erased, stripped, taken_back, sent, reset, edited = leads
    service = arena.serve().wait_until_up()
    poll(lambda: len(project.held_by(service.worker_like)) == len(leads), service.tail)
    project.run("delete from public.all_leads where lead_id = %s", erased)
    project.run("delete from public.lead_details where lead_id = any (%s)", [erased, stripped])
    project.run("update public.all_leads set scrapped = false where lead_id = %s", taken_back)
    project.run("update public.lead_details set sent_to_llm = true where lead_id = any (%s)", [sent, reset])
    project.run("update public.lead_details set sent_to_llm = false where lead_id = %s", reset)
    project.run("update public.lead_details set bio = 'Another one' where lead_id = %s", edited)
    arena.wait_for_answers([reset, edited])
    poll(lambda: "leased" not in project.states(), service.tail)

    states = dict(project.run("select lead_id, state from leadhook.jobs"))
    assert states == {taken_back: "waiting", sent: "waiting", reset: "done", edited: "done"}
    reasons = dict(project.run("select lead_id, reason from leadhook.attempts where outcome = 'unwanted'"))
    assert reasons == {taken_back: "not scrapped", sent: "already sent"}
    rows = project.run("select lead_id from public.llm_response")
    assert {row[0] for row in rows} == {reset, edited}
    poll(lambda: len(service.events("lead.finished")) == len(leads), service.tail)
    outcomes = {event["lead_id"]: event["outcome"] for event in service.events("lead.finished")}
    assert outcomes == {
        erased: "gone", stripped: "gone", taken_back: "unwanted", sent: "unwanted", reset: "saved", edited: "saved"
    }  # fmt: skip
    assert_one_answer_each(project, [reset, edited])


@pytest.mark.parametrize(
    "garbage",
    [
        "two\nlines",
        pytest.param("ключ", marks=pytest.mark.long),
        pytest.param("x" * 20_000, marks=pytest.mark.long),
        pytest.param("\N{ZERO WIDTH SPACE}", marks=pytest.mark.long),
    ],
    ids=["lines", "cyrillic", "long", "invisible"],
)
def test_garbage_among_the_keys_is_set_aside(arena: "Arena", garbage: str) -> None:
    """It costs no attempt, /ready is not impressed, and the other key does the work."""
    project = arena.project
    project.set_keys(garbage, KEYS[0])
    leads = project.bring(12)
    service = arena.serve().wait_until_up()
    arena.wait_for_answers(leads)
    arena.wait_for_rest()

    outcomes = dict(project.run("select outcome, count(*) from leadhook.attempts group by 1"))
    assert outcomes.keys() <= {"saved", "returned"}, outcomes
    assert project.value("select count(*) from leadhook.api_keys where state = 'disabled'") == 1
    assert service.ready()["ready"]
    assert_one_answer_each(project, leads)


def test_no_key_at_all_is_said_and_costs_nothing(arena: "Arena") -> None:
    """Not a call, and no claim but those that it was told of; a key begins the work."""
    project = arena.project
    project.set_keys()
    leads = project.bring(3)
    proxy = arena.proxy()
    service = arena.serve(rung=True, proxy=proxy).wait_until_up()
    poll(lambda: "no API key" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    assert project.model.calls() == []
    assert len(proxy.of("claim")) <= 2
    project.set_keys(*KEYS)
    arena.wait_for_answers(leads)


@pytest.mark.parametrize("ahead_s", [3600, pytest.param(-3600, marks=pytest.mark.long)])
def test_process_whose_clock_is_an_hour_wrong_works_like_others(arena: "Arena", tmp_path: "Path", ahead_s: int) -> None:
    """Leases and retries go by the database's clock; its rings look an hour old or young, and count all the same."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\nright = time.time\ntime.time = lambda: right() + {ahead_s}\n", encoding="utf-8"
    )
    project = arena.project
    service = arena.serve(rung=True, PYTHONPATH=str(tmp_path), SWEEP_INTERVAL_SEC="3600").wait_until_up()
    project.model.order({"match": {"first": 1}, "do": {"error": 503}})
    leads = project.bring(8)
    arena.wait_for_answers(leads)
    arena.wait_for_rest()

    poll(lambda: bool(service.events("webhook.accepted")), service.tail)
    rings = service.events("webhook.accepted")
    assert all(ring["rang"] == ring["count"] and abs(ring["age_s_max"] - ahead_s) < 60 for ring in rings)
    assert_one_answer_each(project, leads)
