"""Keys fail while many leads want them: no lead pays for it, and no key is called in vain."""

import hashlib
from typing import TYPE_CHECKING

from tests.conftest import poll
from tests.faults.invariants import assert_nothing_left, assert_one_answer_each
from tests.faults.project import KEYS

if TYPE_CHECKING:
    from tests.faults.conftest import Arena

REST_S = 4


def test_bad_and_tired_keys_cost_no_lead_an_attempt(arena: "Arena") -> None:
    """Of three keys one is invalid and one over its minute quota; 64 leads at once want them."""
    project = arena.project
    project.reset(lease_s=30, renew_s=10, start_limit_s=15)
    refused, tired, _ = KEYS
    project.model.order(
        {"do": {"latency_ms": 200}},
        {"match": {"key": refused}, "do": {"error": {"status": 400, "reason": "API_KEY_INVALID"}}},
        {
            "match": {"key": tired, "first": 1},
            "do": {"error": {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": REST_S}},
        },
    )
    leads = project.bring(200 if arena.long else 100)
    instances = [arena.serve(MAX_CONCURRENCY="64") for _ in range(3 if arena.long else 1)]
    arena.wait_for_answers(leads, 120)
    poll(
        lambda: (
            not project.value(
                "select count(*) from leadhook.api_keys where state = 'cooling' and until > clock_timestamp()"
            )
        ),
        instances[0].tail,
    )
    leads += project.bring(100)
    arena.serve(rung=True)
    arena.wait_for_answers(leads, 120)
    arena.wait_for_rest()

    calls = project.model.calls()
    assert 1 <= sum(call["key"] == fingerprint(refused) for call in calls) <= len(arena.services)
    of_tired = [call for call in calls if call["key"] == fingerprint(tired)]
    refusals = [call for call in of_tired if call["status"] == 429]
    assert len(refusals) == 1
    told_at = refusals[0]["time"] + refusals[0]["duration_ms"]
    early = [call for call in of_tired if told_at < call["time"] < told_at + REST_S * 1000]
    assert len(early) <= (len(arena.services) - 1 if arena.long else 0), "a resting key was called"
    assert any(call["time"] > told_at for call in of_tired), "it is to be used again"
    assert project.run("select outcome, count(*) from leadhook.attempts group by 1") == [("saved", len(leads))]
    assert project.value("select max(attempts) from leadhook.jobs") == 0
    states = dict(project.run("select fingerprint, state from leadhook.api_keys"))
    assert states == {
        fingerprint(key): state for key, state in zip(KEYS, ("disabled", "healthy", "healthy"), strict=True)
    }
    assert_one_answer_each(project, leads)
    assert_nothing_left(project)
    assert project.model.repeated(answered=True) == 0


def fingerprint(key: str) -> str:
    """What a key is called in public."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
