"""Public reports of leads, keys and money lost to a fault that was not their own."""

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import poll
from tests.faults.invariants import assert_one_answer_each
from tests.faults.test_keys import calls_with
from tests.support.project import KEYS

if TYPE_CHECKING:
    from tests.faults.conftest import Arena

NEW_USERS = "This model is no longer available to new users. Please update your code to use a newer model."
EXHAUSTED = "Resource has been exhausted (e.g. check quota)."


def google(status: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """One of Google's errors."""
    error = {"code": status, "message": message, "status": name, "details": [*details]}
    return {"raw": {"status": status, "body": json.dumps({"error": error})}}


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    """A detail of such an error."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
OVER_QUOTA = detail("QuotaFailure", violations=[{"quotaId": DAY, "quotaValue": "500"}])
NO_QUOTA = detail("ErrorInfo", reason="RATE_LIMIT_EXCEEDED", metadata={"quota_limit_value": "0"})
EMPTY = {
    "bare": google(429, "RESOURCE_EXHAUSTED", EXHAUSTED),
    "ErrorInfo": google(429, "RESOURCE_EXHAUSTED", "x", NO_QUOTA),
    "QuotaFailure": google(429, "RESOURCE_EXHAUSTED", "x", OVER_QUOTA),
    "RetryInfo": google(429, "RESOURCE_EXHAUSTED", "x", detail("RetryInfo", retryDelay="41s")),
    "limit 0": google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: requests, limit: 0, model: m"),
}


@pytest.mark.parametrize("spelling", EMPTY)
def test_good_key_does_the_work_of_three_empty_ones(arena: "Arena", spelling: str) -> None:
    """Four proven keys, three out of quota: all are answered, with few calls of the empty ones and no attempt spent."""
    project = arena.project
    project.set_keys(*KEYS, "visibly-fake-good-key")
    service = arena.serve(MAX_CONCURRENCY="16", webhooks=True).wait_until_up()
    while project.value("select count(*) from leadhook.api_keys where state = 'healthy'") < len(KEYS) + 1:
        arena.wait_for_answers(project.bring(4))
    arena.wait_for_rest()
    newest = project.model.newest()
    slow = {"do": {"latency_ms": 300}}
    project.model.order(*({"match": {"key": key}, "do": EMPTY[spelling]} for key in KEYS), slow)
    leads = project.bring(60)
    arena.wait_for_answers(leads, 60)
    arena.wait_for_rest()

    empty = [call for key in KEYS for call in calls_with(project, key) if call["n"] > newest]
    assert len(empty) <= 12
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    poll(lambda: project.value("select count(*) from leadhook.api_keys where state = 'cooling'") == 3, service.tail)
    assert_one_answer_each(project, leads)


def test_model_that_one_project_may_not_use_rests_its_key(arena: "Arena") -> None:
    """404 for one of two keys: the other answers all, and the service does not stop."""
    project = arena.project
    project.set_keys(*KEYS[:2])
    project.model.order({"match": {"key": KEYS[0]}, "do": google(404, "NOT_FOUND", NEW_USERS)})
    leads = project.bring(20)
    service = arena.serve().wait_until_up()
    arena.wait_for_answers(leads)

    assert service.ready()["ready"], service.ready()
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    assert len(calls_with(project, KEYS[0])) <= 16
    assert_one_answer_each(project, leads)


def test_firewall_that_dislikes_one_lead_blames_no_key(arena: "Arena") -> None:
    """403 with HTML, whatever key is sent: the others are answered, and no key rests."""
    project = arena.project
    [poison] = project.bring(1)
    page = {"status": 403, "body": "<html>Forbidden</html>", "content_type": "text/html"}
    project.model.order({"match": {"lead": poison}, "do": {"raw": page}})
    leads = project.bring(10)
    service = arena.serve().wait_until_up()
    arena.wait_for_answers(leads)

    assert project.run("select reason from leadhook.api_keys where state <> 'healthy'") == []
    assert service.ready()["ready"], service.ready()
    query = "select distinct error_code from leadhook.attempts where lead_id = %s"
    poll(lambda: project.run(query, poison) == [("model_path_failed",)], service.tail)


def test_passing_refusal_of_a_key_passes(arena: "Arena") -> None:
    """One 403, good ever after: the key is tried again without a change of its row."""
    project = arena.project
    project.set_keys(KEYS[0])
    soon = detail("RetryInfo", retryDelay="2s")
    refused = google(403, "PERMISSION_DENIED", "The caller does not have permission", soon)
    project.model.order({"match": {"first": 1}, "do": refused})
    leads = project.bring(3)
    service = arena.serve().wait_until_up()
    arena.wait_for_answers(leads)

    assert project.value("select max(attempts) from leadhook.jobs") == 0
    poll(lambda: project.run("select state from leadhook.api_keys") == [("healthy",)], service.tail)


def test_quota_of_one_model_says_nothing_of_another(arena: "Arena") -> None:
    """`limit: 0` for the model that was set: after GEMINI_MODEL is changed, the same key answers at once."""
    project = arena.project
    project.set_keys(KEYS[0])
    project.model.order({"do": EMPTY["limit 0"]})
    leads = project.bring(2)
    service = arena.serve().wait_until_up()
    poll(lambda: "limit 0" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    service.kill()
    project.model.behave()
    arena.serve(GEMINI_MODEL="gemini-2.5-flash")
    arena.wait_for_answers(leads, 20)


def test_outage_of_a_minute_kills_no_lead_of_a_quiet_system(arena: "Arena") -> None:
    """One lead and a 503 each time, for longer than five attempts took: it is answered soon after the end."""
    project = arena.project
    project.model.order({"do": {"error": 503}})
    leads = project.bring(1)
    arena.serve()
    began_at = time.monotonic()
    poll(lambda: len(project.model.calls()) >= 6, lambda: str(project.states()), 90)
    lasted_s = time.monotonic() - began_at
    assert lasted_s > 20
    [(state, attempts, failing)] = project.run("select state, attempts, failing_since is not null from leadhook.jobs")
    assert (state in {"ready", "leased"}, attempts, failing) == (True, 0, True)
    project.model.behave()
    arena.wait_for_answers(leads, lasted_s + 10)
    assert project.value("select count(*) from leadhook.attempts where outcome = 'retry'") == 0


REFUSALS = {
    "bare 400": google(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "405": google(405, "UNIMPLEMENTED", "Method not allowed."),
    "other family": google(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma-3"),
    "display name": google(400, "INVALID_ARGUMENT", "unexpected model name format"),
    "unknown": google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta"),
    "retired": google(404, "NOT_FOUND", NEW_USERS),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_setting_that_every_lead_meets_kills_none(arena: "Arena", name: str) -> None:
    """Claims stop, /ready names GEMINI_MODEL, and after the fix all are answered without a command."""
    project = arena.project
    project.model.order({"do": REFUSALS[name]})
    leads = project.bring(40)
    service = arena.serve(MAX_CONCURRENCY="8").wait_until_up()
    poll(lambda: "GEMINI_MODEL" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    wronged = project.run("select distinct state from leadhook.jobs where attempts > 0 or state = 'dead'")
    assert wronged == []
    assert len(project.model.calls()) <= 3 * 8
    service.kill()
    project.model.behave()
    arena.serve(MAX_CONCURRENCY="8")
    arena.wait_for_answers(leads)


def test_lead_that_google_refuses_is_dead_once_others_are_answered(arena: "Arena") -> None:
    """The reason carries the evidence."""
    project = arena.project
    [bad] = project.bring(1)
    project.model.order({"match": {"lead": bad}, "do": REFUSALS["bare 400"]})
    service = arena.serve(webhooks=True).wait_until_up()
    refused = "select 1 from leadhook.jobs where failing_since is not null and lead_id = %s"
    poll(lambda: project.run(refused, bad) != [], service.tail)
    arena.wait_for_answers(project.bring(2))
    poll(lambda: project.states().get("dead") == 1, service.tail)
    [(code, reason)] = project.run("select error_code, reason from leadhook.jobs where state = 'dead'")
    assert code == "model_refused_request"
    assert "answered since, so it is this lead" in reason


def test_healthy_lead_does_not_wait_behind_poisonous_ones(arena: "Arena") -> None:
    """Three are always answered empty; one that comes later is begun at once, or with the next probe."""
    project = arena.project
    poison = project.bring(3)
    project.model.order(*({"match": {"lead": lead}, "do": {"answer": "empty"}} for lead in poison))
    service = arena.serve(webhooks=True).wait_until_up()
    poll(lambda: len(project.model.calls()) >= 6, service.tail)
    arena.wait_for_answers(project.bring(1), 70)
    assert project.value("select min(attempts) from leadhook.jobs where state <> 'done'") >= 1


def test_answers_without_token_counts_are_booked_at_the_dearest(arena: "Arena") -> None:
    """A budget ends them."""
    project = arena.project
    answer = json.dumps({"MATCHED": [], "MISSED": [], "RESPONSE": "No.", "SCORE": 10, "SHOULD_CONTACT": 0})
    parts = {"content": {"role": "model", "parts": [{"text": answer}]}, "finishReason": "STOP"}
    project.model.order({"do": {"raw": {"body": json.dumps({"candidates": [parts]})}}})
    project.run("select public.leadhook_set_budget(null, 0.1, 'tester')")
    project.bring(20)
    service = arena.serve().wait_until_up()
    poll(lambda: "budget" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    assert len(project.model.calls()) < 10
    assert project.value("select spent_usd from leadhook.spend") > 0.05
    project.run("select public.leadhook_set_budget(null, null, 'tester')")
