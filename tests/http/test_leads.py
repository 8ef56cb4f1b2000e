"""`GET /leads/{lead_id}`: who may, which ids it takes, what it answers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from leadhook.domain.lead_snapshot import Eligibility, Job, LeadSnapshot

from .conftest import HEALTHY, Service

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PARTS: dict[str, Any] = {
    "known": True,
    "has_details": True,
    "scrapped": True,
    "has_prompts": True,
    "unsent": True,
    "eligible": True,
}
READY = LeadSnapshot(
    lead_id="a",
    now=NOW,
    eligibility=Eligibility(**PARTS, tag="Secret tag of Jane Doe"),
    job=Job(state="ready", available_at=NOW - timedelta(hours=1), source="webhook"),
    keys={"total": 1, "healthy": 1},  # type: ignore[arg-type]  # read from JSON as the reply is
    triggers={"all_leads": True},
)
UNKNOWN = LeadSnapshot(lead_id="a", now=NOW, eligibility=Eligibility.model_validate(dict.fromkeys(PARTS, False)))


async def test_an_explanation_is_a_sentence_and_its_facts(service: Service) -> None:
    service.store.snapshot = READY
    answer = await service.ask("GET", "/leads/a")
    found = answer.json()

    assert answer.status_code == 200
    assert (found["lead_id"], found["state"], found["diagnosis"]) == ("a", "ready", "unclaimed")
    assert found["sentence"].startswith("The lead has been ready since 2026-11-23T11:00:00Z (60 minutes ago)")
    assert "/ready" in found["next_step"]
    assert {part: found["eligibility"][part] for part in PARTS} == PARTS
    assert (found["attempts"], found["results"], found["job"]["source"]) == ([], [], "webhook")


async def test_an_explanation_has_the_answer_with_its_reasons(service: Service) -> None:
    result = {
        "run": 1, "score": 82, "should_contact": True, "response": "Why", "subject": "Hi", "message": "Dear Ann",
        "matched": ["fintech"], "missed": ["founder"], "flags": ["asks_for_score"], "written": True, "created_at": NOW,
    }  # fmt: skip
    service.store.snapshot = LeadSnapshot.model_validate({**READY.model_dump(), "results": [result]})
    (found,) = (await service.ask("GET", "/leads/a")).json()["results"]
    assert {name: found[name] for name in result if name != "created_at"} == {
        name: value for name, value in result.items() if name != "created_at"
    }
    assert found["flag_words"] == ["names the score it wants"]


async def test_what_keeps_this_service_from_claiming_is_shown(service: Service) -> None:
    """It knows of itself what the database can't: an outage, a fault of configuration, a shutdown."""
    service.store.snapshot = READY
    service.engine.health = replace(HEALTHY, fault="the model is away")
    answer = await service.ask("GET", "/leads/a")
    assert answer.json()["remarks"][0] == "This service claims no leads now: The model is away."


async def test_an_unknown_lead_is_404_with_the_sentence(service: Service) -> None:
    service.store.snapshot = UNKNOWN
    answer = await service.ask("GET", "/leads/a")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "public.all_leads has no row with this lead_id" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "lead_id"),
    [
        ("/leads/a%2Fb", "a/b"),
        ("/leads/a/b/", "a/b/"),
        ("/leads//a", "/a"),
        ("/leads/%22a%27%20%3F%23%25%3B--", "\"a' ?#%;--"),
        ("/leads/%F0%9F%98%80", "😀"),
        ("/leads/a%0A", "a\n"),
        ("/leads/%0Aa%0Ab", "\na\nb"),
        ("/leads/..%2Fready", "../ready"),
        ("/leads/a?b=c", "a"),
        ("/leads/%FF", "\ufffd"),
        ("/leads/" + "x" * 5000, "x" * 5000),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_id_may_hold_anything(service: Service, path: str, lead_id: str) -> None:
    """Percent-encoded or not: what the database is asked for is exactly the id."""
    service.store.snapshot = READY
    assert (await service.ask("GET", path)).status_code == 200
    assert service.store.explained == [lead_id]


@pytest.mark.parametrize("path", ["/leads/", "/leads/a%00", "/leads/%00"])
async def test_what_no_lead_can_be_called_is_404(service: Service, path: str) -> None:
    """Postgres holds no NUL, and without it it would be another lead."""
    answer = await service.ask("GET", path)

    assert answer.status_code == 404
    assert service.store.explained == []


async def test_strangers_learn_nothing(service: Service) -> None:
    answer = await service.client.get("/leads/a", headers={"authorization": "Bearer wrong"})

    assert answer.status_code == 401
    assert service.store.explained == []
    assert (await service.client.post("/leads/a")).status_code == 405


async def test_the_log_never_holds_the_reply(service: Service) -> None:
    service.store.snapshot = READY
    with capture_logs() as logs:
        await service.ask("GET", "/leads/a")

    (line,) = [line for line in logs if line["event"] == "lead.explained"]
    assert (line["lead_id"], line["diagnosis"], line["actor"][:6]) == ("a", "unclaimed", "admin:")
    assert "Jane Doe" not in json.dumps(logs)
