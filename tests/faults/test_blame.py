"""Public reports of leads, keys and money lost to a fault that was not their own."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena, mostly_long
from tests.faults.invariants import assert_one_answer_each
from tests.faults.test_keys import calls_with, fingerprint
from tests.support.project import KEYS

NEW_USERS = "This model is no longer available to new users. Please update your code to use a newer model."
EXHAUSTED = "Resource has been exhausted (e.g. check quota)."


def google(status: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    error = {"code": status, "message": message, "status": name, "details": [*details]}
    return {"raw": {"status": status, "body": json.dumps({"error": error})}}


def detail(kind: str, **fields: Any) -> dict[str, Any]:
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


@pytest.mark.parametrize("spelling", mostly_long(EMPTY, "bare"))
def test_good_key_does_the_work_of_three_empty_ones(arena: Arena, spelling: str) -> None:
    project = arena.project
    project.set_keys(*KEYS, "visibly-fake-good-key")
    service = arena.serve(MAX_CONCURRENCY="16", webhooks=True).wait_until_up()
    while project.value("select count(*) from leadhook.api_keys where state = 'healthy'") < len(KEYS) + 1:
        arena.wait_until_done(project.bring(4))
    newest = project.model.newest()
    slow = {"do": {"latency_ms": 300}}
    project.model.order(*({"match": {"key": key}, "do": EMPTY[spelling]} for key in KEYS), slow)
    leads = project.bring(60)
    arena.wait_until_done(leads)

    empty = [call for key in KEYS for call in calls_with(project, key) if call["n"] > newest]
    assert len(empty) <= 12
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    poll(lambda: project.value("select count(*) from leadhook.api_keys where state = 'cooling'") == 3, service.tail)
    assert_one_answer_each(project, leads)


def test_passing_refusal_of_a_key_passes(arena: Arena) -> None:
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


def test_quota_of_one_model_says_nothing_of_another(arena: Arena) -> None:
    """`limit: 0` for the model that was set: after GEMINI_MODEL is changed, the same key answers at once."""
    project = arena.project
    project.set_keys(KEYS[0])
    project.model.order({"do": EMPTY["limit 0"]})
    leads = project.bring(2)
    service = arena.serve().wait_until_up()
    poll(lambda: "limit 0" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    service.end()
    project.model.behave()
    arena.serve(GEMINI_MODEL="gemini-2.5-flash")
    arena.wait_for_answers(leads)


def test_outage_of_a_minute_kills_no_lead_of_a_quiet_system(arena: Arena) -> None:
    project = arena.project
    project.model.order({"do": {"error": 503}})
    leads = project.bring(1)
    arena.serve()
    began_at = time.monotonic()
    attempts, least_s = (5, 12) if arena.long else (3, 2)
    poll(lambda: len(project.model.calls()) >= attempts, lambda: str(project.states()))
    lasted_s = time.monotonic() - began_at
    assert lasted_s > least_s
    [(state, attempts, failing)] = project.run("select state, attempts, failing_since is not null from leadhook.jobs")
    assert (state in {"ready", "leased"}, attempts, failing) == (True, 0, True)
    project.model.behave()
    arena.wait_for_answers(leads, lasted_s + 60)
    assert project.value("select count(*) from leadhook.attempts where outcome = 'retry'") == 0


REFUSALS = {
    "bare 400": google(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "405": google(405, "UNIMPLEMENTED", "Method not allowed."),
    "other family": google(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma-3"),
    "display name": google(400, "INVALID_ARGUMENT", "unexpected model name format"),
    "unknown": google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta"),
    "retired": google(404, "NOT_FOUND", NEW_USERS),
    "page 405": {"raw": {"status": 405, "body": "<html>405</html>", "content_type": "text/html"}},
}


@pytest.mark.parametrize("name", mostly_long(REFUSALS, "bare 400", "page 405"))
def test_setting_that_every_lead_meets_kills_none(arena: Arena, name: str) -> None:
    project = arena.project
    project.model.order({"do": REFUSALS[name]})
    few = 40 if "page" in name else 3  # ten failures in a row are an outage
    leads = project.bring(few)
    service = arena.serve(MAX_CONCURRENCY="8").wait_until_up()
    cause = "GEMINI_BASE_URL" if "page" in name else "GEMINI_MODEL"
    poll(lambda: cause in str(service.ready()["reasons"]), lambda: str(service.ready()))
    leads += project.bring(40)
    time.sleep(2)  # in which none of them is asked for
    wronged = project.run("select distinct state from leadhook.jobs where attempts > 0 or state = 'dead'")
    assert wronged == []
    assert len(project.model.calls()) <= 3 * min(few, 8)
    service.end()
    project.model.behave()
    arena.serve(MAX_CONCURRENCY="8")
    arena.wait_for_answers(leads)


def page(status: int, body: str) -> dict[str, Any]:
    """What a proxy or firewall sends."""
    return {"raw": {"status": status, "body": body, "content_type": "text/html"}}


def inside_200(body: object) -> dict[str, Any]:
    """A reply whose HTTP status says nothing."""
    return {"raw": {"body": json.dumps(body)}}


def refused(message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """A request that Google does not take."""
    return google(400, "INVALID_ARGUMENT", message, *details)


UNAVAILABLE = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
ONE_LEADS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "refused": ({}, refused("Request contains an invalid argument."), "dead", "model_refused_request"),
    "in Japanese": ({}, refused("リクエストに無効な引数が含まれています。"), "dead", "model_refused_request"),
    "the word token": ({}, refused("Invalid token in the text."), "dead", "model_refused_request"),
    "quotes a suspension": ({}, refused("Invalid text: 'I was suspended'"), "dead", "model_refused_request"),
    "quotes a bill": ({}, refused("Invalid text: 'billing account'"), "dead", "model_refused_request"),
    "quotes a schema": ({}, refused("Invalid text: 'schema'"), "dead", "model_settings_refused"),
    "too long": ({}, refused("The input token count exceeds the maximum."), "dead", "prompt_too_long"),
    "method": ({}, google(405, "UNIMPLEMENTED", "No such method."), "dead", "model_refused_request"),
    "blocked": ({}, {"block": "PROHIBITED_CONTENT"}, "dead", "prompt_blocked"),
    "recited": ({}, {"text": "Ada", "finish": "RECITATION"}, "dead", "answer_blocked"),
    "recited once": ({"first": 1}, {"text": "Ada", "finish": "RECITATION"}, "done", ""),
    "message recited once": ({"first": 1, "step": "message"}, {"text": "", "finish": "RECITATION"}, "done", ""),
    "blocked once": ({"first": 1}, {"block": "OTHER"}, "done", ""),
    "empty": ({}, {"answer": "empty"}, "dead", "answer_empty"),
    "no candidates": ({}, {"answer": "no_candidates"}, "dead", "answer_missing"),
    "firewall": ({}, page(403, "<html>Forbidden</html>"), "waits", "model_path_failed"),
    "firewall 400": ({}, page(400, "<html>Bad</html>"), "waits", "model_path_failed"),
    "firewall, empty": ({}, page(401, ""), "waits", "model_path_failed"),
    "firewall in JSON": ({}, google(403, "Blocked", "API key not valid"), "waits", "model_path_failed"),
    "portal": ({}, page(200, "<html>Sign in</html>"), "waits", "model_path_failed"),
    "error inside 200": ({}, inside_200(UNAVAILABLE), "waits", "model_unavailable"),
    "error inside 200, twice": ({"first": 2}, inside_200(UNAVAILABLE), "done", ""),
    "overloaded twice": ({"first": 2}, {"error": 503}, "done", ""),
}  # fmt: skip
"""Whose calls match, how they are answered, and what becomes of a lead that meets it each time while others do not."""


def test_a_fault_of_one_lead_affects_that_lead_alone(arena: Arena) -> None:
    project = arena.project
    project.set_keys(*KEYS[:2])
    odd = dict(zip(ONE_LEADS, project.bring(len(ONE_LEADS), title="Chief pumps director"), strict=True))
    rules = [{"match": match | {"lead": odd[name]}, "do": do} for name, (match, do, _, _) in ONE_LEADS.items()]
    project.model.order(*rules, {"do": {"latency_ms": 200}})
    leads = project.bring(20)
    service = arena.serve(webhooks=True).wait_until_up()

    def fates() -> dict[str, tuple[str, str]]:
        found = {}
        for name, lead in odd.items():
            [(state, code, attempts)] = project.run(
                "select state, coalesce(error_code, ''), attempts from leadhook.jobs where lead_id = %s", lead
            )
            waits = "waits, paid" if attempts else "waits"
            found[name] = (state, "") if state == "done" else (state if state == "dead" else waits, code)
        return found

    expected = {name: (fate, code) for name, (_, _, fate, code) in ONE_LEADS.items()}
    decided = {name for name, (fate, _) in expected.items() if not fate.startswith("waits")}

    def undecided() -> dict[str, Any]:
        return {name: fate for name, fate in fates().items() if fate != expected[name]}

    arena.wait_for_answers(leads)
    give_up_at = time.monotonic() + 240  # failures at the start, before any evidence, may suspend claims for 33 seconds
    while undecided() and time.monotonic() < give_up_at:
        leads += project.bring(2)  # others are answered all the time: that is the evidence
        arena.wait_for_answers(leads[-2:])
    assert undecided() == {}
    poll(lambda: bool(service.ready()["ready"]), lambda: str(service.ready()))
    assert project.run("select state, reason from leadhook.api_keys where state <> 'healthy'") == []
    calls = Counter(call["name"] for call in project.model.calls())
    assert all(calls[odd[name]] <= 8 for name in decided), calls
    assert_one_answer_each(project, [*leads, *(odd[name] for name in decided if expected[name][0] == "done")])


def denied(message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """What Google says of a project."""
    return google(403, "PERMISSION_DENIED", message, *details)


def because(reason: str, **metadata: str) -> dict[str, Any]:
    return detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=metadata)


GRPC = {"error": {"code": 8, "message": "x", "status": "RESOURCE_EXHAUSTED"}}
SOON = detail("RetryInfo", retryDelay="36s")
PROJECTS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "invalid": (refused("API key not valid. Please pass a valid API key."), "does not accept", True),
    "invalid in French": (refused("Clé non valide.", because("API_KEY_INVALID")), "does not accept", True),
    "expired": (refused("API key expired. Please renew the API key."), "expired", True),
    "leaked": (denied("Your API key was reported as leaked."), "published", True),
    "disabled": (denied("API désactivée.", because("SERVICE_DISABLED")), "not enabled", True),
    "suspended": (denied("Consumer has been suspended.", because("CONSUMER_SUSPENDED")), "suspended", True),
    "billing": (google(400, "FAILED_PRECONDITION", "Please enable billing."), "billing", True),
    "unpaid": (google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "billing", True),
    "web pages": (denied("x", because("API_KEY_HTTP_REFERRER_BLOCKED")), "web pages", True),
    "addresses": (denied("x", because("API_KEY_IP_ADDRESS_BLOCKED")), "IP addresses", True),
    "retired": (google(404, "NOT_FOUND", NEW_USERS), "does not offer the model", True),
    "region": (google(400, "FAILED_PRECONDITION", "User location is not supported."), "region", True),
    "limit 0": (google(429, "RESOURCE_EXHAUSTED", "Kontingent erschöpft", NO_QUOTA), "limit 0", True),
    "a day, tried soon": (google(429, "RESOURCE_EXHAUSTED", "x", OVER_QUOTA, SOON), "daily quota", True),
    "a day": (google(429, "RESOURCE_EXHAUSTED", "x", OVER_QUOTA), "daily quota", False),
    "gRPC's code": (inside_200(GRPC), "no capacity", True),
}  # fmt: skip
"""How Google refuses a key, what the reason of its rest says, and whether the first rest takes two minutes at most."""


def test_what_google_says_of_a_project_rests_its_key_until_it_is_fixed(arena: Arena) -> None:
    project = arena.project
    keys = {f"visibly-fake-project-{n:02}": name for n, name in enumerate(PROJECTS)}
    project.set_keys(*keys, KEYS[0])
    project.model.order(
        *({"match": {"key": fingerprint(key)}, "do": PROJECTS[name][0]} for key, name in keys.items()),
        {"do": {"latency_ms": 200}},
    )
    leads = project.bring(40)
    service = arena.serve(webhooks=True, MAX_CONCURRENCY="20").wait_until_up()
    arena.wait_for_answers(leads)

    query = "select fingerprint, state, reason, until < now() + interval '2 min' from leadhook.api_keys"
    found = {row[0]: row[1:] for row in project.run(query)}
    for key, name in keys.items():
        state, reason, soon = found[fingerprint(key)]
        assert (state, PROJECTS[name][1] in reason, soon) == ("cooling", True, PROJECTS[name][2]), (name, reason)
    calls = sum(len(calls_with(project, key)) for key in keys)
    assert calls <= len(keys) + 20, "one call each, and those in flight"
    assert service.ready()["ready"], service.ready()

    project.model.behave(latency_ms=200)
    project.run("update leadhook.api_keys set until = clock_timestamp()")
    healthy = "select count(*) from leadhook.api_keys where state = 'healthy'"

    def all_are_used() -> bool:
        leads.extend(project.bring(40))  # so many at once that each key is needed
        arena.wait_for_answers(leads)
        return bool(project.value(healthy) == len(keys) + 1)

    poll(all_are_used, lambda: str(project.run(query)))
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    assert_one_answer_each(project, leads)


def test_lead_that_google_refuses_is_dead_once_others_are_answered(arena: Arena) -> None:
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
    assert "2 other leads were answered" in reason
    assert "so this lead is the cause" in reason
    attempts = project.run("select outcome, reason from leadhook.attempts where lead_id = %s order by id", bad)
    assert [outcome for outcome, _ in attempts] == ["returned"] * (len(attempts) - 1) + ["dead"]
    assert len(attempts) >= 3
    assert all("other lead" in why for _, why in attempts)


def test_lead_that_is_refused_by_chance_is_answered(arena: Arena) -> None:
    project = arena.project
    leads = project.bring(6)
    project.model.order({"match": {"lead": leads[0], "first": 4}, "do": REFUSALS["bare 400"]})
    arena.serve()
    arena.wait_for_answers(leads)
    assert project.value("select max(attempts) from leadhook.jobs") == 0


def test_healthy_lead_does_not_wait_behind_poisonous_ones(arena: Arena) -> None:
    project = arena.project
    poison = project.bring(3)
    project.model.order(*({"match": {"lead": lead}, "do": {"answer": "empty"}} for lead in poison))
    service = arena.serve(webhooks=True).wait_until_up()
    poll(lambda: len(project.model.calls()) >= 6, service.tail)
    arena.wait_for_answers(project.bring(1))
    poll(lambda: project.states().get("dead") == 3, lambda: str(project.states()))
    assert max(Counter(call["name"] for call in project.model.calls()).values()) <= 3


@pytest.mark.usefixtures("one_utc_day")
def test_answers_without_token_counts_are_booked_at_the_highest_cost(arena: Arena) -> None:
    """A budget ends them."""
    project = arena.project
    answer = json.dumps({"MATCHED": [], "MISSED": [], "RESPONSE": "No.", "SCORE": 10, "SHOULD_CONTACT": 0})
    parts = {"content": {"role": "model", "parts": [{"text": answer}]}, "finishReason": "STOP"}
    project.model.order({"do": {"raw": {"body": json.dumps({"candidates": [parts]})}}})
    project.run("select public.leadhook_set_budget(null, 0.1, 'tester')")
    project.bring(20)
    service = arena.serve().wait_until_up()
    spent = "select coalesce(sum(spent_usd), 0) > 0.05 from leadhook.spend"  # and not only reserved
    poll(lambda: project.value(spent) and "budget" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    assert len(project.model.calls()) < 10
    project.run("select public.leadhook_set_budget(null, null, 'tester')")
