"""The table of routes, the document made of it, and what the handlers answer agree."""

import argparse
import json
import re
import shlex
import subprocess
from dataclasses import replace
from typing import Annotated, Any

import httpx
import pytest
from pydantic import Field
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from leadhook.domain.lead_snapshot import Eligibility, LeadSnapshot
from leadhook.domain.replays import ReplayCount, ReplayStatus
from leadhook.store import StoreError
from leadhook.web.auth import Admins
from leadhook.web.console.routes import PAGES
from leadhook.web.openapi import EXAMPLES, Endpoint, describe
from leadhook.web.requests import Answer, Body, ProblemAnswer
from leadhook.web.site import ENDPOINTS

from .conftest import ADMIN, HEALTHY, STATIC, Service, is_declared

PROOF = {"authorization": f"Bearer {ADMIN}", "x-webhook": STATIC}
DYNAMIC = {404, 503}
"""Problems whose detail names the lead, the replay or the fault; so does that of a query."""


KNOWN = LeadSnapshot.model_validate(EXAMPLES["explain_lead"]["answers"]["200"])


NOWHERE = Eligibility.model_validate(dict.fromkeys(Eligibility.model_fields, False) | {"user_id": None, "tag": None})


class Order(Body):
    """What is wanted."""

    count: Annotated[int, Field(ge=1)]
    """How many."""


class Receipt(Answer):
    """What was ordered."""

    count: int


async def take_order(_request: Request[Any]) -> Response:
    """Take an order.

    It is not shipped.
    """
    raise NotImplementedError


def test_the_document_says_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXAMPLES, "take_order", {"parameters": {"order_id": 7, "place": "a"}})
    endpoint = Endpoint(
        "POST",
        "/orders/{order_id}/{place:path}",
        take_order,
        tag="Leads",
        who="all",
        body=Order,
        largest_body=1000,
        answers={202: Receipt},
        problems={404: "None."},
    )
    document = describe([endpoint])
    item = document["paths"]["/orders/{order_id}/{place}"]["post"]

    assert (item["operationId"], item["tags"], item["summary"]) == ("take_order", ["Leads"], "Take an order")
    assert item["description"] == 'It is not shipped.\n\n```sh\ncurl "$SERVICE_URL/orders/7/a"\n```'
    in_path = {"in": "path", "required": True}
    assert item["parameters"] == [
        {"name": "order_id", **in_path, "schema": {"type": "integer", "minimum": 0}, "example": 7},
        {"name": "place", **in_path, "schema": {"type": "string", "minLength": 1}, "example": "a"},
    ]
    assert set(item["responses"]) == {"202", "400", "404", "413", "415", "422"}
    order = document["components"]["schemas"]["Order"]
    assert order["additionalProperties"] is False
    assert order["properties"]["count"] == {
        "description": "How many.", "minimum": 1, "title": "Count", "type": "integer"
    }  # fmt: skip


async def test_every_route_is_described(service: Service) -> None:
    """Each method of each path, but those of pages for people."""
    routes = [route for route in service.site.routes if isinstance(route, Route)]
    answered = {(method, re.sub(r":\w+}", "}", route.path)) for route in routes for method in route.methods or ()}
    paths = describe(ENDPOINTS)["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}

    pages = {("GET", "/openapi.json"), ("GET", "/docs"), *((page.method, page.path) for page in PAGES)}
    assert {one for one in answered if one[0] != "HEAD"} == described | pages
    assert [route.path for route in service.site.routes if isinstance(route, Mount)] == ["/docs"]


def example(endpoint: Endpoint, status: int) -> Any:
    """The example request that gets this status."""
    requests = list(EXAMPLES[endpoint.name].get("requests", {}).values())
    if endpoint.name == "replay" and status != 200:
        return next(one for one in requests if not one.get("dry_run"))
    return requests[0] if requests else None


async def send(service: Service, endpoint: Endpoint, **changed: Any) -> httpx.Response:
    """Send a request with every proof; its parameters are those of the examples."""
    path = endpoint.template.format(**EXAMPLES[endpoint.name].get("parameters", {}))
    return await service.client.request(endpoint.method, path, **{"headers": PROOF, **changed})


def wrong_request(endpoint: Endpoint, status: int) -> dict[str, Any] | None:
    """What to send otherwise for this status; None where a right request gets it."""
    wrong: dict[int, dict[str, Any]] = {
        400: {"content": b"{"},
        401: {"content": b"{}", "headers": {"authorization": "Bearer wrong"}},
        413: {"content": b" " * (endpoint.largest_body + 1)},
        415: {"content": b"{}", "headers": {**PROOF, "content-type": "text/plain"}},
        422: {"params": {"limit": "0"}} if endpoint.query else {"content": b"[]"},
        429: {"content": b"{}", "headers": {"authorization": "Bearer wrong"}},
    }
    return wrong.get(status)


def hinder(service: Service, status: int) -> None:
    """Make the service answer a right request with this problem."""
    if status == 403:
        service.state["admins"] = Admins([])
    if status == 404:
        service.store.snapshot = KNOWN.model_copy(update={"eligibility": NOWHERE, "job": None})
        service.store.on_replay_status = None
    if status == 503:
        service.store.fail(StoreError("unavailable", "timeout", "it did not answer in time"))
        service.engine.health = replace(HEALTHY, running=False)
        service.engine.full = True


def answerable(service: Service) -> None:
    """What every right request needs."""
    service.store.snapshot = KNOWN
    service.store.on_dry_run = [ReplayCount(counts={"queued": 1})]
    service.store.on_replay_status = ReplayStatus(found=True, replay_id=12)


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        pytest.param(one, status, id=f"{one.name}-{status}")
        for one in ENDPOINTS
        for status in (*one.answers, *one.refusals)
    ],
)
async def test_every_declared_status_is_answered(service: Service, endpoint: Endpoint, status: int) -> None:
    """With the declared shape (see `is_declared`); a refusal without a name or a reason, word for word."""
    answerable(service)
    hinder(service, status)
    wrong = wrong_request(endpoint, status)
    if status == 429:
        for _ in range(5):
            await send(service, endpoint, **wrong or {})
    answer = await send(service, endpoint, **wrong or {"json": example(endpoint, status)})

    assert answer.status_code == status
    if status in endpoint.refusals and not (status in DYNAMIC or endpoint.query):
        responses = describe([endpoint])["paths"][endpoint.template][endpoint.method.lower()]["responses"]
        assert answer.json() == responses[f"{status}"]["content"]["application/problem+json"]["example"]


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.body], ids=lambda one: one.name)
async def test_the_declared_limit_is_the_one_that_is_kept(service: Service, endpoint: Endpoint) -> None:
    """One byte less than what is too large is read, and found to be no JSON."""
    assert (await send(service, endpoint, content=b" " * endpoint.largest_body)).status_code == 400


@pytest.mark.parametrize(
    ("status", "body", "media_type"),
    [
        (202, b'{"ok":true}', "application/json"),
        (200, b'{"ok":true,"more":1}', "application/json"),
        (200, b'{"ok":true}', "text/plain"),
        (404, b'{"title":"x","status":404,"detail":"x"}', "application/problem+json"),
    ],
)
async def test_an_undeclared_answer_would_fail_every_test(status: int, body: bytes, media_type: str) -> None:
    request = httpx.Request("GET", "http://service/health")
    answer = httpx.Response(status, content=body, headers={"content-type": media_type}, request=request)
    with pytest.raises((AssertionError, ValueError)):
        await is_declared(answer)


async def test_the_document_is_served(service: Service) -> None:
    answer = await service.client.get("/openapi.json")
    document = answer.json()

    assert answer.headers["content-type"] == "application/json"
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', answer.text)) <= set(schemas)
    for item in (item for items in document["paths"].values() for item in items.values()):
        assert item["summary"]
        assert item["security"] in ([], [{}, {"admin": []}], [{"admin": []}], [{"webhook": []}])


def test_the_document_is_valid() -> None:
    OPENAPI_31_VALIDATOR.validate(describe(ENDPOINTS))


def test_the_service_is_its_own_server() -> None:
    """A relative address works behind any host."""
    assert [server["url"] for server in describe(ENDPOINTS)["servers"]] == ["/"]


def test_what_a_person_calls_comes_before_the_webhook() -> None:
    """Each operation has one of the tags, and they come in the tags' order."""
    document = describe(ENDPOINTS)
    used = [tag for items in document["paths"].values() for item in items.values() for tag in item["tags"]]

    assert len(used) == len(ENDPOINTS)
    assert list(dict.fromkeys(used)) == [tag["name"] for tag in document["tags"]]
    assert used[-1] == "Webhook"


def test_names_of_shapes_are_words_of_the_glossary() -> None:
    """No two types share a name, and no retired word is shown."""
    names = list(describe(ENDPOINTS)["components"]["schemas"])
    assert [name for name in names if re.search(r"-|__|Ring|Touch|Verdict|Judged|Told", name)] == []


def test_each_operation_has_examples() -> None:
    """Of a request where it has a body, of each answer, and of each parameter of the path; and no others are kept."""
    for one in ENDPOINTS:
        examples = EXAMPLES[one.name]
        assert set(examples.get("answers", {})) == {f"{status}" for status in one.answers}, one.name
        assert bool(examples.get("requests")) == (one.body is not None), one.name
        assert set(examples.get("parameters", {})) == set(re.findall(r"{(\w+)", one.path)), one.name
    assert set(EXAMPLES) == {one.name for one in ENDPOINTS}


def test_each_example_answer_is_what_the_service_would_send() -> None:
    for one in ENDPOINTS:
        for status, answer in one.answers.items():
            example = EXAMPLES[one.name]["answers"][f"{status}"]
            sent = answer.model_validate_json(json.dumps(example)).model_dump_json(by_alias=True)
            assert json.loads(sent) == example, f"{one.name} {status}"


def test_each_example_request_is_of_the_declared_shape() -> None:
    """Also those that no curl line shows."""
    for one in ENDPOINTS:
        for name, example in EXAMPLES[one.name].get("requests", {}).items():
            assert one.body is not None
            assert one.body.model_validate_json(json.dumps(example)), f"{one.name}: {name}"


def test_each_problem_has_an_example() -> None:
    for items in describe(ENDPOINTS)["paths"].values():
        for item in items.values():
            for status, answer in item["responses"].items():
                for media_type, content in answer["content"].items():
                    if media_type == "application/problem+json":
                        example = ProblemAnswer.model_validate(content["example"])
                        assert (f"{example.status}", bool(example.detail)) == (status, True)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
async def test_each_curl_line_does_what_it_says(service: Service, endpoint: Endpoint) -> None:
    """Sent as it stands in the document, it succeeds, and no argument of curl is secret."""
    answerable(service)
    described = describe([endpoint])["paths"].popitem()[1][endpoint.method.lower()]["description"]
    line = described.partition("```sh\n")[2].removesuffix("\n```")
    values = {"SERVICE_URL": "http://service", "ADMIN_TOKEN": ADMIN, "WEBHOOK_STATIC_HEADER": f"x-webhook: {STATIC}"}
    line = line.replace("\\\n", " ")
    secret, _, command = line.rpartition("curl ")
    printed = subprocess.run(["sh", "-c", secret.rstrip(" |")], env=values, capture_output=True, text=True, check=True)  # noqa: ASYNC221, S607 - of a moment
    command = command.replace("$SERVICE_URL", values["SERVICE_URL"])
    curl = argparse.ArgumentParser()
    curl.add_argument("-X")
    curl.add_argument("-H", action="append", default=[])
    curl.add_argument("-d")
    curl.add_argument("url")
    arguments = shlex.split(command)
    sent = curl.parse_args(arguments)
    answer = await service.client.request(
        sent.X or ("POST" if sent.d else "GET"),
        sent.url,
        content=sent.d,
        headers=dict(header.replace("@-", printed.stdout).split(": ", 1) for header in sent.H),
    )

    assert "$" not in command
    assert answer.is_success, answer.text
    assert answer.status_code in endpoint.answers
