"""`POST /process-lead` and `/process-leads` on the whole stack: the predecessor's requests, answered and written."""

import json
import uuid
from typing import Any

from tests.conftest import poll
from tests.support.model import Model
from tests.support.names import new_ids
from tests.support.processes import events_in
from tests.support.project import Project

KEY = "visibly-fake-key-of-a-caller"
TERMS = {
    "api_key": KEY,
    "wildnet_data": "We make pumps.",
    "scoring_criteria_and_icp": "Directors of pump makers",
    "message_prompt": "Be brief.",
}
GOOD = {"title": "Chief pumps director", "company_name": "Pump makers"}
SHAPE = [
    "lead_id",
    "tag",
    "name",
    "linkedin_url",
    "location",
    "score",
    "response",
    "should_contact",
    "message",
    "subject",
]


def process(stack: Project, path: str, **body: object) -> Any:
    return stack.ask(path, method="POST", body=TERMS | body)


def test_a_lead_of_the_database_is_answered_and_written(stack: Project) -> None:
    (lead_id,), user = new_ids(1), uuid.uuid4()
    stack.run(
        "insert into public.all_leads (lead_id, user_id, tag, scrapped) values (%s, %s, 't', false)", lead_id, user
    )
    stack.run("insert into public.lead_details (lead_id, name, location) values (%s, 'Stored', 'Pune')", lead_id)

    answer = process(stack, "process-lead", lead={"lead_id": lead_id, "tag": "t", "name": "Given", **GOOD})

    assert list(answer) == ["result", "errors", "duration_sec"]
    assert list(answer["result"]) == SHAPE
    assert answer["errors"] == []
    result = answer["result"]
    assert (result["lead_id"], result["name"], result["should_contact"]) == (lead_id, "Given", 1)
    rows = stack.run(
        "select tag, name, location, score, response, should_contact, subject, message from public.llm_response"
        " where lead_id = %s",
        lead_id,
    )
    written = [result[name] for name in ("score", "response", "should_contact", "subject", "message")]
    assert rows == [("t", "Given", "Pune", *written)], "what was not given comes from the details"
    assert stack.answered([lead_id]) == {lead_id}
    assert stack.jobs([lead_id])[lead_id] == ("done", None, None)
    attempts = "select outcome, source, calls, key_fingerprint from leadhook.attempts where lead_id = %s"
    [(outcome, source, calls, fingerprint)] = stack.run(attempts, lead_id)
    assert (outcome, source, calls, len(fingerprint)) == ("saved", "on_demand", 2, 16)
    assert stack.run("select score, written from leadhook.results where lead_id = %s", lead_id) == [
        (result["score"], True)
    ]


def test_many_leads_are_answered_in_their_order(stack: Project) -> None:
    unknown, twice = new_ids(2)
    leads = [
        {
            "lead_id": unknown,
            "name": "A",
            "experience": [{"firm": "Pumps", "years": [1, 2]}],
            "skills": {"a": None},
            **GOOD,
        },
        {},
        {"lead_id": twice, "name": "B", "title": "Student", "skills": 7, "favourite": "unknown field"},
        {"lead_id": twice, "name": "C"},
        {"name": "\u0000\ud83d\ude80", "lead_id": ""},
    ]
    answer = process(stack, "process-leads", leads=leads, model="unknown field")

    assert list(answer) == ["results", "errors", "duration_sec"]
    assert [result["lead_id"] for result in answer["results"]] == [unknown, None, twice, ""]
    assert answer["results"][2]["subject"] == answer["results"][2]["message"] == "ineligible"
    assert [(error["place"], error["lead_id"], error["code"]) for error in answer["errors"]] == [(3, twice, "repeated")]
    rows = stack.run("select name from public.llm_response where lead_id = any (%s) order by 1", [unknown, twice])
    assert rows == [("A",), ("B",)], "as the predecessor did, though no other table knows them"


def test_what_fails_of_one_lead_fails_it_alone(stack: Project, model: Model) -> None:
    names = new_ids(3)
    leads = [{"lead_id": name, "name": name, **GOOD} for name in names]
    model.order({"match": {"lead": names[1]}, "do": {"answer": "blocked_safety"}})
    try:
        answer = process(stack, "process-leads", leads=leads)
    finally:
        model.order()

    assert [result["name"] for result in answer["results"]] == [names[0], names[2]]
    [error] = answer["errors"]
    assert (error["place"], error["lead_id"], error["code"]) == (1, leads[1]["lead_id"], "answer_blocked")
    assert "blocked" in error["error"]


def test_a_request_takes_its_lead_from_a_worker(stack: Project, model: Model) -> None:
    (lead_id,) = new_ids(1)
    name = f"Slow {lead_id}"
    model.order({"match": {"lead": name}, "do": {"latency_ms": 3000}})
    try:
        stack.bring([lead_id], stack.new_group(), name=name, title="Student")
        poll(lambda: stack.jobs([lead_id]).get(lead_id, ("",))[0] == "leased")
        answer = process(stack, "process-lead", lead={"lead_id": lead_id, "name": "Quick", **GOOD})
        assert stack.jobs([lead_id])[lead_id] == ("done", None, None)
        poll(lambda: "lease_lost" in outcomes(stack, lead_id))
    finally:
        model.order()

    assert answer["errors"] == []
    query = "select name, score from public.llm_response where lead_id = %s"
    assert stack.run(query, lead_id) == [("Quick", answer["result"]["score"])]
    attempts = stack.run("select outcome, source from leadhook.attempts where lead_id = %s order by id", lead_id)
    assert [outcome for outcome, _ in attempts] == ["returned", "saved"]
    assert attempts[1][1] == "on_demand"


def outcomes(stack: Project, lead_id: str) -> list[str]:
    """What the log says that the lead came to."""
    lines = events_in(stack.service_log.read_text(), "lead.finished")
    return [line["outcome"] for line in lines if line["lead_id"] == lead_id]


def test_a_key_that_google_refuses_is_reported_and_leaves_no_trace(stack: Project) -> None:
    secret, (lead_id,) = f"visibly-fake-and-invalid-{uuid.uuid4().hex}", new_ids(1)
    answer = process(stack, "process-lead", lead={"lead_id": lead_id}, api_key=secret)

    assert answer["errors"][0]["code"] == "key_invalid"
    assert secret not in json.dumps(answer)
    assert secret not in stack.service_log.read_text()
    tables = stack.run("select schemaname, tablename from pg_tables where schemaname in ('public', 'leadhook')")
    for schema, table in tables:
        assert stack.run(f'select from "{schema}"."{table}" as t where t::text like %s', f"%{secret}%") == []
    assert stack.ask("ready")["ready"]
