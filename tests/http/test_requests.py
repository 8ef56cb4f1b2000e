"""What holds for every request: problems in one form, one line in the log, and no detail of a failure."""

import json
from typing import Any, Final, Literal

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from leadhook.store import StoreError

from .conftest import ADMIN, Service

PROMPTS: Final = {
    "api_key": "visibly-fake",
    "wildnet_data": "We sell.",
    "scoring_criteria_and_icp": "Buyers.",
    "message_prompt": "Be kind.",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("POST", "/webhooks/leads/", 404),
        ("DELETE", "/health", 405),
        ("GET", "/replay", 405),
        ("POST", "/replay", 401),
    ],
)
async def test_every_error_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    """RFC 9457: type, title, status, and a detail that says what to do."""
    answer = await service.client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert answer.json()["status"] == status
    assert answer.json()["detail"].endswith(".")


async def test_head_is_answered_where_get_is(service: Service) -> None:
    assert (await service.client.head("/health")).status_code == 200


async def test_a_bug_shows_nothing_and_logs_everything(service: Service) -> None:
    async def broken(_request: Request) -> Response:
        raise RuntimeError("private")

    service.site.router.routes.append(Route("/broken", broken))
    with capture_logs() as logs:
        answer = await service.client.get("/broken")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "private" not in answer.text
    assert answer.headers["x-request-id"]
    assert (logs[0]["event"], logs[0]["log_level"], logs[0]["status"]) == ("http.request", "error", 500)
    assert repr(logs[0]["exc_info"]) == "RuntimeError('private')"


async def test_each_request_leaves_one_line_without_path_query_or_headers(service: Service) -> None:
    """The route's template stands for the path, which may hold personal data."""
    with capture_logs() as logs:
        await service.client.get("/health?lead=jane@example.com", headers={"x-private": "private"})
        await service.client.get("/leads/jane@example.com")
        await service.client.get("/people/jane@example.com")
        await service.client.request("PROPFIND" * 100, "/")

    assert [(line["event"], line["method"], line["route"], line["status"]) for line in logs] == [
        ("http.request", "GET", "/health", 200),
        ("http.request", "GET", "/leads/{lead_id:whole}", 401),
        ("http.request", "GET", None, 404),
        ("http.request", "other", "/", 405),
    ]
    assert all(0 <= line["duration_ms"] < 5000 for line in logs)
    assert "jane" not in json.dumps(logs)
    assert "private" not in json.dumps(logs)


async def test_each_answer_carries_its_id_and_is_not_kept_by_caches(service: Service) -> None:
    """The id is ours, whatever the client sends."""
    answers = [await service.client.get("/health", headers={"x-request-id": "forged"}) for _ in range(2)]

    assert len({answer.headers["x-request-id"] for answer in answers} - {"forged"}) == 2
    assert answers[0].headers["cache-control"] == "no-store"


async def test_a_client_that_leaves_is_no_error(service: Service) -> None:
    async def leaves() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def nobody(_message: object) -> None:
        pytest.fail("answered")

    path = {"path": "/webhooks/leads", "raw_path": b"/webhooks/leads", "query_string": b"", "root_path": ""}
    scope = {"type": "http", "method": "POST", "headers": [], "state": dict(service.state), **path}
    with capture_logs() as logs:
        await service.site(scope, leaves, nobody)

    assert [line["status"] for line in logs] == [499]


async def test_the_log_names_the_admin_but_not_the_token(service: Service) -> None:
    with capture_logs() as logs:
        await service.ask("POST", "/replay", {"lead_ids": ["a"]})

    assert logs[0]["event"] == "replay.requested"
    assert logs[0]["actor"].startswith("admin:")
    assert ADMIN not in json.dumps(logs)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/replay", {"lead_ids": ["a\x00b"]}),
        ("/replay", {"filter": {"tag": "a\x00b"}}),
        ("/process-lead", PROMPTS | {"lead": {"lead_id": "a\x00b"}}),
        ("/process-lead", PROMPTS | {"lead": {"lead_id": "a", "tag": "a\x00b"}}),
        ("/process-leads", PROMPTS | {"leads": [{"lead_id": "a\x00b"}]}),
    ],
)
async def test_a_name_that_postgres_cannot_store_is_refused(service: Service, path: str, body: dict[str, Any]) -> None:
    """Without its NUL it would be the name of another lead."""
    answer = await service.ask("POST", path, body)
    assert answer.status_code == 422
    assert (service.store.replayed, service.engine.processed) == ([], [])


ASK_THE_DATABASE = pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/leads/a", None),
        ("POST", "/replay", {"lead_ids": ["a"]}),
        ("GET", "/replays/7", None),
        ("DELETE", "/replays/7", None),
    ],
)


@ASK_THE_DATABASE
@pytest.mark.parametrize("kind", ["unavailable", "misconfigured"])
async def test_a_database_that_cannot_answer_is_503_with_its_reason(
    service: Service, method: str, path: str, body: Any, kind: Literal["unavailable", "misconfigured"]
) -> None:
    service.store.fail(StoreError(kind, "PGRST202", "the function is missing: run `leadhook migrate`"))
    answer = await service.ask(method, path, body)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "run `leadhook migrate`" in answer.json()["detail"]


@ASK_THE_DATABASE
async def test_a_bug_is_500_and_only_the_log_has_its_reason(
    service: Service, method: str, path: str, body: Any
) -> None:
    service.store.fail(StoreError("caller_bug", "PT400", "secret internals"))
    with capture_logs() as logs:
        answer = await service.ask(method, path, body)

    assert answer.status_code == 500
    assert "internals" not in answer.text
    failed = [line for line in logs if line["event"] == "http.request"]
    assert [(line["status"], str(line["exc_info"])) for line in failed] == [(500, "PT400: secret internals")]
