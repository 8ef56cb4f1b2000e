"""`POST /process-lead` and `/process-leads`: what they take and answer; their writing is tested on the whole stack."""

import hashlib
import json
import secrets
from typing import Any

import pytest
from structlog.testing import capture_logs

from leadhook.observability.redaction import redactor

from .conftest import AS_ADMIN, Service

KEY = "visibly-fake-key-of-a-caller"
TERMS = {
    "api_key": KEY,
    "wildnet_data": "We make pumps.",
    "scoring_criteria_and_icp": "Directors of pump makers",
    "message_prompt": "Be brief.",
}
LEAD = {
    "lead_id": "abc123",
    "tag": "founders",
    "name": "Jane Doe",
    "title": "Director",
    "location": "Pune",
    "company_name": "Acme Pumps",
    "experience": [{"company": "Acme", "years": 3}],
    "skills": ["pumps", "sales"],
    "bio": "Pumps.",
    "profile_url": "https://example.com/jane",
    "linkedin_url": "https://linkedin.example/jane",
    "company_page_url": "https://example.com",
}
RESULT = {
    "lead_id": "abc123",
    "tag": "founders",
    "name": "Jane Doe",
    "linkedin_url": "https://linkedin.example/jane",
    "location": "Pune",
    "score": 80,
    "response": "A reason",
    "should_contact": 1,
    "message": "A message",
    "subject": "A subject",
}
EMPTY = dict.fromkeys(("lead_id", "tag", "name", "linkedin_url", "location"))


async def test_the_predecessors_request_for_one_lead_gets_its_answer(service: Service) -> None:
    answer = await service.ask("POST", "/process-lead", TERMS | {"lead": LEAD})

    assert answer.status_code == 200
    assert list(answer.json()) == ["result", "errors", "duration_sec"]
    assert (answer.json()["result"], list(answer.json()["result"])) == (RESULT, list(RESULT))
    assert answer.json()["errors"] == []
    assert 0 <= answer.json()["duration_sec"] < 60
    [[processed]] = service.engine.processed
    assert processed.lead.model_dump() == LEAD
    assert processed.prompts.model_dump() == {name: text for name, text in TERMS.items() if name != "api_key"}
    assert processed.key.api_key.get_secret_value() == KEY
    assert processed.key.fingerprint == hashlib.sha256(KEY.encode()).hexdigest()[:16]


async def test_the_predecessors_request_for_many_leads_gets_its_answer(service: Service) -> None:
    answer = await service.ask("POST", "/process-leads", TERMS | {"leads": [LEAD, LEAD | {"lead_id": "b"}, {}]})

    assert list(answer.json()) == ["results", "errors", "duration_sec"]
    assert answer.json()["results"] == [RESULT, RESULT | {"lead_id": "b"}, RESULT | EMPTY]


@pytest.mark.parametrize("value", [None, "text", 7, 1.5, True, [], {}, [{"a": [None]}], {"b": {"c": 1}}])
async def test_experience_and_skills_are_any_json(service: Service, value: Any) -> None:
    """As in `lead_details`, where they are text in some projects and jsonb in others."""
    answer = await service.ask("POST", "/process-lead", TERMS | {"lead": {"experience": value, "skills": value}})

    assert answer.status_code == 200
    assert service.engine.processed[0][0].lead.experience == value


async def test_every_field_of_a_lead_may_be_missing_or_null_and_unknown_ones_are_ignored(service: Service) -> None:
    for lead in ({}, dict.fromkeys(LEAD), {"favourite_colour": "red"}):
        answer = await service.ask("POST", "/process-lead", TERMS | {"lead": lead, "temperature": 0.1})
        assert (answer.status_code, answer.json()["result"]) == (200, RESULT | EMPTY)


async def test_a_trouble_of_one_lead_stands_in_errors_and_the_others_are_answered(service: Service) -> None:
    service.engine.troubles["Bad"] = ("answer_blocked", "Google blocked the answer.")
    answer = await service.ask("POST", "/process-leads", TERMS | {"leads": [{"name": "Bad", "lead_id": "x"}, LEAD]})
    alone = await service.ask("POST", "/process-lead", TERMS | {"lead": {"name": "Bad"}})

    failure = {"code": "answer_blocked", "error": "Google blocked the answer."}
    assert answer.json()["results"] == [RESULT]
    assert answer.json()["errors"] == [{"place": 0, "lead_id": "x", **failure}]
    assert (alone.status_code, alone.json()["result"]) == (200, None)
    assert alone.json()["errors"] == [{"place": 0, "lead_id": None, **failure}]


async def test_a_lead_that_stands_there_twice_is_checked_once(service: Service) -> None:
    """Leads without an id are different ones."""
    leads = [LEAD, {}, LEAD | {"name": "Other"}, {}]
    answer = await service.ask("POST", "/process-leads", TERMS | {"leads": leads})

    assert [result["name"] for result in answer.json()["results"]] == ["Jane Doe", None, None]
    [error] = answer.json()["errors"]
    assert (error["place"], error["lead_id"], error["code"]) == (2, "abc123", "repeated")
    assert len(service.engine.processed[0]) == 3


async def test_text_that_postgres_cannot_hold_is_cleaned(service: Service) -> None:
    """The id is refused instead: it would be another lead's."""
    await service.ask("POST", "/process-lead", TERMS | {"lead": {"lead_id": "ab", "skills": ["\u0000"]}})

    [[processed]] = service.engine.processed
    assert (processed.lead.lead_id, processed.lead.skills) == ("ab", [""])


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ({"leads": []}, 400, None),
        ({}, 422, ["#/leads"]),
        ({"leads": {}}, 422, ["#/leads"]),
        ({"leads": [{}] * 101}, 422, ["#/leads"]),
        ({"leads": [{}, {"name": 7}]}, 422, ["#/leads/1/name"]),
        ({"leads": [{"lead_id": "x" * 501}]}, 422, ["#/leads/0/lead_id"]),
        ({"leads": [{}], "api_key": ""}, 422, ["#/api_key"]),
        ({"leads": [{}], "api_key": None}, 422, ["#/api_key"]),
        ({"leads": [{}], "message_prompt": ["x"]}, 422, ["#/message_prompt"]),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_processed_is_refused(
    service: Service, body: dict[str, Any], status: int, pointers: list[str] | None
) -> None:
    answer = await service.ask("POST", "/process-leads", TERMS | body)

    assert answer.status_code == status
    assert [error["pointer"] for error in answer.json().get("errors", [])] == (pointers or [])
    assert KEY not in answer.text
    assert service.engine.processed == []


@pytest.mark.parametrize(("path", "mib"), [("process-lead", 1), ("process-leads", 8)])
async def test_a_body_is_read_up_to_its_limit(service: Service, path: str, mib: int) -> None:
    for beyond, status in ((0, 400), (1, 413)):
        body = b" " * (mib * 1024 * 1024 + beyond)
        assert (await service.client.post(f"/{path}", content=body, headers=AS_ADMIN)).status_code == status


async def test_a_request_without_a_token_is_shown_how_to_send_one(service: Service) -> None:
    """The one break with the predecessor, which let in everyone."""
    answer = await service.client.post("/process-lead", json=TERMS | {"lead": LEAD})

    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["detail"]
    assert "CORS_ORIGINS" in answer.json()["detail"]
    assert service.engine.processed == []


async def test_too_many_leads_at_once_are_sent_away_for_a_while(service: Service) -> None:
    service.engine.full = True
    answer = await service.ask("POST", "/process-lead", TERMS | {"lead": LEAD})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_the_log_has_the_keys_fingerprint_and_nothing_of_the_lead(service: Service) -> None:
    with capture_logs() as logs:
        await service.ask("POST", "/process-lead", TERMS | {"lead": LEAD})
        await service.ask("POST", "/process-lead", TERMS | {"lead": {"name": {"first": KEY}}})

    assert logs[0]["event"] == "on_demand.requested"
    assert logs[0]["key"] == hashlib.sha256(KEY.encode()).hexdigest()[:16]
    assert (logs[0]["leads"], logs[0]["results"], logs[0]["errors"]) == (1, 1, 0)
    assert not any(private in json.dumps(logs) for private in (KEY, "Jane", "Pune", "abc123"))


async def test_the_key_of_a_request_is_hidden_from_the_log_from_then_on(service: Service) -> None:
    """It comes with no claim."""
    key = f"visibly-fake-{secrets.token_hex(8)}"
    await service.ask("POST", "/process-leads", TERMS | {"api_key": key, "leads": [{}]})

    assert key not in redactor.text(f"sent {key}")
