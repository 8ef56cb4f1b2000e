"""Every operation of the HTTP API against its own document: the oddest request gets an answer that stands there."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks
from tests.faults.conftest import Arena

STATIC = ("x-webhook-secret", "visibly-fake-static-secret")
SHORT, LONG = 8, 400
"""Requests for each operation, right ones and as many wrong ones."""
SHORT_STRANGERS, LONG_STRANGERS = 1, 20
MODES = {"right": schemathesis.GenerationMode.POSITIVE, "wrong": schemathesis.GenerationMode.NEGATIVE}


CONFIG = {
    "generation": {"with-security-parameters": False},
    "checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413, 415, 422, 429]}},
}


def can_be_wrong(operation: Any) -> bool:
    """Any text is a right one for a path."""
    parameters = [*operation.path_parameters, *operation.query]
    return bool(operation.body) or any(parameter.definition["schema"]["type"] != "string" for parameter in parameters)


def ask_everything(url: str, mode: schemathesis.GenerationMode, examples: int, headers: dict[str, str]) -> list[int]:
    """Send that many generated requests to each operation; the statuses of all answers."""
    load_all_checks()
    config = schemathesis.Config.from_dict(CONFIG)
    statuses: list[int] = []
    with requests.Session() as session:
        for found in schemathesis.openapi.from_url(f"{url}/openapi.json", config=config).get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # an operation, or it raises
            if mode is MODES["wrong"] and not can_be_wrong(operation):
                continue

            @settings(
                max_examples=examples,
                phases=[Phase.generate],
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                response = case.call(session=session, headers=headers)
                statuses.append(response.status_code)
                case.validate_response(
                    response,
                    checks=[
                        not_a_server_error,
                        checks.status_code_conformance,
                        checks.content_type_conformance,
                        checks.response_schema_conformance,
                        *([checks.positive_data_acceptance, checks.negative_data_rejection] if headers else []),
                    ],
                )

            ask()
    return statuses


@pytest.mark.parametrize("mode", MODES)
def test_no_request_gets_an_answer_outside_the_document(arena: Arena, mode: str) -> None:
    """Right requests are answered, wrong ones refused, none with a 5xx, and the service works on."""
    service = arena.serve(webhooks=True, WEBHOOK_STATIC_HEADER=": ".join(STATIC)).wait_until_up()
    token = arena.project.facts["admin_token"]
    headers = {"Authorization": f"Bearer {token}", STATIC[0]: STATIC[1]}
    statuses = ask_everything(service.url, MODES[mode], LONG if arena.long else SHORT, headers)

    print(f"{len(statuses)} requests: { {status: statuses.count(status) for status in sorted(set(statuses))} }")  # noqa: T201 - a figure for people
    leads = arena.project.bring(3)
    arena.wait_for_answers(leads)
    assert [line for line in service.events("http.request") if line["status"] >= 500] == []


def test_no_stranger_gets_more_than_the_document_says(arena: Arena) -> None:
    """Without any proof: refused, and more slowly with every try; an id with a slash in it is no address."""
    service = arena.serve().wait_until_up()
    examples = LONG_STRANGERS if arena.long else SHORT_STRANGERS
    statuses = ask_everything(service.url, MODES["right"], examples, {})

    assert set(statuses) <= {200, 401, 404, 429}
    assert {401, 429} <= set(statuses)
    service.end()
    answers = [(line["route"], line["status"]) for line in service.events("http.request")]
    assert {status for route, status in answers if route is not None} <= {200, 401, 429}
    assert {route for route, status in answers if status == 200} <= {"/", "/health", "/ready", "/docs", "/openapi.json"}
    assert arena.project.states() == {}
