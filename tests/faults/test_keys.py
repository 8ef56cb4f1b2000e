"""Keys fail while many leads want them: no lead pays for it, and no key is called needlessly."""

import hashlib
import time
from typing import Any

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_one_answer_each
from tests.support.processes import ask
from tests.support.project import KEYS, Project

REST_S = 4


def test_bad_and_tired_keys_cost_no_lead_an_attempt(arena: Arena) -> None:
    project = arena.project
    refused, tired, _ = KEYS
    unproven = {"match": {"step": "check"}, "do": {"error": 503}}  # so that one call tries each
    invalid = {"match": {"key": refused}, "do": {"error": {"status": 400, "reason": "API_KEY_INVALID"}}}
    over_quota = {
        "match": {"key": tired},
        "do": {"error": {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": REST_S}},
    }
    project.model.order({"do": {"latency_ms": 200}}, unproven, invalid, over_quota)
    leads = project.bring(200 if arena.long else 70)
    instances = [arena.serve(MAX_CONCURRENCY="64") for _ in range(3 if arena.long else 1)]
    poll(lambda: bool(calls_with(project, tired)), instances[0].tail)
    time.sleep(REST_S - 1)  # its minute is over a little before Google's delay
    project.model.order({"do": {"latency_ms": 200}}, unproven, invalid)
    arena.wait_for_answers(leads)
    poll(
        lambda: (
            not project.value(
                "select count(*) from leadhook.api_keys"
                " where state = 'cooling' and until > clock_timestamp() and fingerprint = %s",
                fingerprint(tired),
            )
        ),
        instances[0].tail,
    )
    leads += project.bring(40)
    arena.serve(webhooks=True)
    arena.wait_until_done(leads)

    assert 1 <= len(calls_with(project, refused)) <= len(arena.services)
    of_tired = calls_with(project, tired)
    rested_at = of_tired[0]["time"] + of_tired[0]["duration_ms"] + REST_S * 1000
    early = [call["status"] for call in of_tired if call["time"] < rested_at]
    assert early == [429] * len(early)
    assert 1 <= len(early) <= len(instances), "after one call an instance, the key should rest"
    assert len(of_tired) > len(early), "it is to be used again"
    assert project.run("select outcome, count(*) from leadhook.attempts group by 1") == [("saved", len(leads))]
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    states = dict(project.run("select fingerprint, state from leadhook.api_keys"))
    assert states == {
        fingerprint(key): state for key, state in zip(KEYS, ("cooling", "healthy", "healthy"), strict=True)
    }
    assert_all_done(project, leads)
    assert project.model.repeated(answered=True) == 0


@pytest.mark.parametrize("check", [{"latency_ms": 0}, {"error": 503}], ids=["answered", "refused"])
def test_first_leads_after_an_install_begin_at_once(arena: Arena, check: dict[str, Any]) -> None:
    """New keys were checked when the service started; where that failed, one call tries each, and no key rests."""
    project = arena.project
    project.model.order({"match": {"step": "check"}, "do": check}, {"do": {"latency_ms": 500}})
    checks = project.model.checks().total()
    service = arena.serve(webhooks=True, MAX_CONCURRENCY="24").wait_until_up()
    poll(lambda: project.model.checks().total() == checks + len(KEYS), service.tail)
    for _ in range(3):  # each is answered after what the service received before it
        service.ready()
    leads = project.bring(24)
    arena.wait_until_done(leads)

    waits = [row[0] for row in project.run("select key_wait_ms from leadhook.attempts where key_wait_ms > 0")]
    print(f"{len(waits)} of 24 leads waited for a key, up to {max(waits, default=0)} ms")  # noqa: T201 - a figure for people
    assert bool(waits) == ("error" in check)
    assert project.run("select distinct state from leadhook.api_keys") == [("healthy",)]
    assert project.model.checks().total() == checks + len(KEYS), "each process checks a key once"


def test_a_key_that_rests_by_one_instances_evidence_is_not_called_by_another(arena: Arena) -> None:
    """The other one hears of it while its leads are being scored, by the calls that it makes anyway."""
    project = arena.project
    project.reset(renew_s=0.5)
    empty, good = KEYS[:2]
    project.set_keys(empty, good)
    first = {"latency_ms": 6000, "finish": "STOP"}
    project.model.order(
        {"match": {"key": empty, "first": 1}, "do": first},
        {"match": {"key": good, "first": 1}, "do": first},
        {"match": {"key": empty}, "do": {"error": {"status": 429, "reason": "DAY_QUOTA", "retry_s": None}}},
        {"do": {"latency_ms": 1000}},  # so that the other one's second lead takes the empty key
    )
    token = "visibly-fake-webhook-token"
    other = arena.serve(MAX_CONCURRENCY="2", WEBHOOK_STATIC_HEADER=f"Authorization: Bearer {token}").wait_until_up()
    arena.serve(webhooks=True, MAX_CONCURRENCY="2").wait_until_up()
    leads = project.bring(2, title="Chief pumps director")
    poll(lambda: len(project.model.calls()) == 2, lambda: str(project.states()))
    leads += project.bring(2, title="Chief pumps director")
    change = {"type": "INSERT", "schema": "public", "table": "all_leads", "record": {"lead_id": leads[-1]}}
    ask(f"{other.url}/webhooks/leads", method="POST", body=change, token=token)
    arena.wait_until_done(leads)

    assert sorted(call["status"] for call in calls_with(project, empty)) == [200, 429]
    states = dict(project.run("select fingerprint, state from leadhook.api_keys"))
    assert states == {fingerprint(empty): "cooling", fingerprint(good): "healthy"}
    assert project.value("select count(distinct worker) from leadhook.attempts") == 2
    assert_one_answer_each(project, leads)


def calls_with(project: Project, key: str) -> list[dict[str, Any]]:
    return [call for call in project.model.calls() if call["key"] == fingerprint(key)]


def fingerprint(key: str) -> str:
    """What a key is called in public."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
