"""What no one should send: no crash, no loop, and a reason in words."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PATIENCE_S, poll
from tests.faults.conftest import Arena, mostly_long
from tests.faults.invariants import assert_one_answer_each
from tests.support.project import KEYS

from leadhook.engine.timing import Timing

Row = tuple[dict[str, Any], str, str | None]
"""What the model's service does to every call of a lead (or, with `first`, to so many), and the lead's end."""

ANSWERS: dict[str, Row] = {
    "prose": ({"answer": "malformed"}, "dead", "answer_not_json"),
    "cut off": ({"answer": "truncated"}, "dead", "answer_cut_off"),
    "out of range": ({"answer": "out_of_range"}, "dead", "answer_wrong_shape"),
    "blocked prompt": ({"answer": "blocked_prompt"}, "dead", "prompt_blocked"),
    "blocked answer": ({"answer": "blocked_safety"}, "dead", "answer_blocked"),
    "all thoughts": ({"answer": "thinking_only"}, "dead", "answer_all_thoughts"),
    "recitation once": ({"answer": "blocked_recitation", "first": 1}, "done", None),
    "too many tokens": ({"error": {"status": 400, "reason": "CONTEXT_OVERFLOW"}}, "dead", "prompt_too_long"),
    "markup": ({"answer": "html_in_message"}, "done", "message_markup"),
    "page for JSON once": ({"answer": "non_json_200", "first": 1}, "done", "model_path_failed"),
    "NUL": ({"answer": "nul"}, "done", None),
    "half a pair": ({"answer": "surrogate"}, "done", None),
    "503 once": ({"error": 503, "first": 1}, "done", "model_unavailable"),
    "cut in the body once": ({"cut": True, "first": 1}, "done", "model_connection_lost"),
}
MORE_ANSWERS: dict[str, Row] = {
    "truncated, but stopped": ({"answer": "truncated_but_stop"}, "dead", "answer_not_json"),
    "fenced": ({"answer": "fenced"}, "done", None),
    "whole, at the limit": ({"finish": "MAX_TOKENS"}, "done", None),
    "missing field": ({"answer": "missing_field"}, "dead", "answer_wrong_shape"),
    "recitation": ({"answer": "blocked_recitation"}, "dead", "answer_blocked"),
    "SPII": ({"text": "Jane", "finish": "SPII"}, "dead", "answer_blocked"),
    "LANGUAGE": ({"text": "Jane", "finish": "LANGUAGE"}, "dead", "answer_blocked"),
    "blocked for a reason to come": ({"block": "REASON_TO_COME"}, "dead", "prompt_blocked"),
    "400": ({"error": 400}, "dead", "model_refused_request"),
    "too big": ({"error": 413}, "dead", "prompt_too_long"),
    "thoughts beside it": ({"answer": "thought_parts"}, "done", None),
    "empty once": ({"answer": "empty", "first": 1}, "done", None),
    "prose once": ({"answer": "malformed", "first": 1}, "done", None),
    "empty": ({"answer": "empty", "first": 2}, "done", "answer_empty"),
    "no parts": ({"answer": "no_parts", "first": 2}, "done", "answer_empty"),
    "no candidates": ({"answer": "no_candidates", "first": 2}, "done", "answer_missing"),
    "nothing": ({"answer": "nothing", "first": 1}, "done", "model_path_failed"),
    "OTHER": ({"text": "Jane", "finish": "OTHER", "first": 2}, "done", "answer_unfinished"),
    **{
        f"{status} once": ({"error": status, "first": 1}, "done", "model_unavailable")
        for status in (408, 409, 499, 500, 504)
    },
    "503 page": ({"error": {"status": 503, "reason": "HTML"}, "first": 1}, "done", "model_path_failed"),
    "403 page": ({"error": {"status": 403, "reason": "HTML"}, "first": 1}, "done", "model_path_failed"),
    "reset": ({"reset": True, "first": 1}, "done", "model_connection_lost"),
    "closed": ({"close": True, "first": 1}, "done", "model_connection_lost"),
    "cut after the headers": ({"cut": "after_headers", "first": 1}, "done", "model_connection_lost"),
}
KEY_FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "400 invalid": ({"status": 400, "reason": "API_KEY_INVALID"}, "cooling", "key_invalid"),
    "400 expired": ({"status": 400, "reason": "API_KEY_EXPIRED"}, "cooling", "key_invalid"),
    "401": ({"status": 401}, "cooling", "key_forbidden"),
    "403": ({"status": 403}, "cooling", "key_forbidden"),
    "403 leaked": ({"status": 403, "reason": "API_KEY_LEAKED"}, "cooling", "key_leaked"),
    "403 disabled": ({"status": 403, "reason": "SERVICE_DISABLED"}, "cooling", "key_service_disabled"),
    "429 minute": ({"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 60}, "cooling", "key_minute_quota"),
    "429 day": ({"status": 429, "reason": "DAY_QUOTA"}, "cooling", "key_day_quota"),
    "429 bare": ({"status": 429}, "cooling", "key_exhausted"),
    "429 delay": ({"status": 429, "reason": "RETRY_ONLY", "retry_s": 60}, "cooling", "key_minute_quota"),
}
INSTALLATION_FAULTS = {
    "404": ({"status": 404}, "model_unknown"),
    "400 settings": ({"status": 400, "reason": "SETTINGS"}, "model_settings_refused"),
    "400 region": ({"status": 400, "reason": "FAILED_PRECONDITION"}, "model_region"),
}


def test_every_answer_has_its_effect_on_its_lead(arena: Arena) -> None:
    """Each for its own lead: its end, its code, no key blamed; the log and the attempts say the same."""
    project = arena.project
    project.run("update leadhook.controls set max_attempts = 2")
    rows = ANSWERS | MORE_ANSWERS if arena.long else ANSWERS
    names = project.bring(len(rows), title="Chief pumps director")
    by_lead = dict(zip(names, rows.values(), strict=True))
    project.model.order(
        *(
            {
                "match": {"lead": lead} | ({"first": do["first"]} if "first" in do else {}),
                "do": {name: value for name, value in do.items() if name != "first"},
            }
            for lead, (do, _, _) in by_lead.items()
        )
    )
    service = arena.serve().wait_until_up()
    # So many failures at once may be taken for an outage, and the last refusals for the installation's: they wait.
    poll(
        lambda: sum(project.states().get(state, 0) for state in ("done", "dead")) == len(names),
        service.tail,
        3 * PATIENCE_S,
    )

    ends = dict(project.run("select lead_id, state from leadhook.jobs"))
    codes = dict(project.run("select lead_id, max(error_code) from leadhook.attempts group by lead_id"))
    assert {lead: (ends[lead], codes[lead]) for lead in names} == {
        lead: (end, "model_outage" if (end, codes[lead]) == ("done", "model_outage") else code)
        for lead, (_, end, code) in by_lead.items()
    }
    assert project.run("select lead_id from leadhook.jobs where state = 'dead' and length(reason) < 10") == []
    assert project.answered(names) == {lead for lead in names if ends[lead] == "done"}
    attempts = project.value("select count(*) from leadhook.attempts")
    poll(lambda: len(service.events("lead.finished")) == attempts, service.tail)
    logged = {(event["lead_id"], event["fence"]): event["error_code"] for event in service.events("lead.finished")}
    assert logged == {
        row[:2]: row[2] for row in project.run("select lead_id, fence, error_code from leadhook.attempts")
    }
    assert len(project.model.calls()) <= 4 * len(names)
    assert project.run("select state from leadhook.api_keys where state in ('cooling', 'disabled')") == []
    assert service.ready()["ready"], service.ready()


@pytest.mark.parametrize("name", mostly_long(KEY_FAULTS))
def test_every_fault_of_a_key_rests_it_and_spends_no_attempt(arena: Arena, name: str) -> None:
    """One key is refused; the leads are answered with the others."""
    project = arena.project
    do, state, code = KEY_FAULTS[name]
    project.model.order({"match": {"key": KEYS[0]}, "do": {"error": do}})
    leads = project.bring(12)
    service = arena.serve().wait_until_up()
    arena.wait_for_answers(leads)

    poll(lambda: project.run("select 1 from leadhook.api_keys where state = %s", state) != [], service.tail)
    assert project.value("select count(*) from leadhook.api_keys where state in ('cooling', 'disabled')") == 1
    codes = project.run("select distinct error_code from leadhook.attempts where outcome not in ('saved', 'returned')")
    assert codes == []
    codes = project.run("select distinct error_code from leadhook.attempts where error_code is not null")
    assert {row[0] for row in codes} <= {code, "no_healthy_key"}
    assert_one_answer_each(project, leads)


@pytest.mark.parametrize("name", mostly_long(INSTALLATION_FAULTS))
def test_every_fault_of_the_installation_burns_no_lead(arena: Arena, name: str) -> None:
    """/ready reports it, and once it is fixed the leads are answered."""
    project = arena.project
    do, code = INSTALLATION_FAULTS[name]
    project.model.order({"do": {"error": do}})
    leads = project.bring(4)
    service = arena.serve().wait_until_up()
    poll(lambda: code in {row[0] for row in project.run("select error_code from leadhook.attempts")}, service.tail)
    poll(lambda: not service.ready()["ready"], service.tail)
    assert "dead" not in project.states()

    project.model.behave()
    arena.wait_for_answers(leads)
    assert project.run("select 1 from leadhook.attempts where outcome = 'retry'") == []
    assert_one_answer_each(project, leads)


def test_rows_that_change_while_their_lead_is_leased(arena: Arena) -> None:
    """Deleted, taken back, marked as sent, reset, edited: no lead is written that no one wants, and nothing hangs."""
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
def test_garbage_among_the_keys_is_set_aside(arena: Arena, garbage: str) -> None:
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


def test_no_key_at_all_is_said_and_costs_nothing(arena: Arena) -> None:
    """Not a call, and no claim but for webhooks and the looks after one; leads are claimed once there is a key."""
    project = arena.project
    project.set_keys()
    leads = project.bring(3)
    proxy = arena.proxy()
    service = arena.serve(webhooks=True, proxy=proxy).wait_until_up()
    poll(lambda: "No Gemini key" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    time.sleep(4)  # how long nothing may happen
    assert len(proxy.of("claim")) <= 3 + Timing.awake_s / Timing.look_s[1]
    assert project.model.calls() == []
    project.set_keys(*KEYS)
    arena.wait_for_answers(leads)


@pytest.mark.parametrize("ahead_s", [3600, pytest.param(-3600, marks=pytest.mark.long)])
def test_process_whose_clock_is_an_hour_wrong_works_like_others(arena: Arena, tmp_path: Path, ahead_s: int) -> None:
    """Leases and retries go by the database's clock; webhooks that look an hour off still count."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\nright = time.time\ntime.time = lambda: right() + {ahead_s}\n", encoding="utf-8"
    )
    project = arena.project
    service = arena.serve(webhooks=True, PYTHONPATH=str(tmp_path), SWEEP_INTERVAL_SEC="3600").wait_until_up()
    project.model.order({"match": {"first": 1}, "do": {"error": 503}})
    leads = project.bring(8)
    arena.wait_for_answers(leads)
    arena.wait_for_rest()

    poll(lambda: bool(service.events("webhook.accepted")), service.tail)
    webhooks = service.events("webhook.accepted")
    assert all(webhook["woke"] == webhook["count"] and abs(webhook["age_s_max"] - ahead_s) < 60 for webhook in webhooks)
    assert_one_answer_each(project, leads)
