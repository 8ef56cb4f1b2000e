"""What is declared of an operation is what it does, and what the document says."""

import argparse
import json
import re
import shlex
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from pydantic import Field
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.applications import Starlette

from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.store import DryRun, ReplayStatus
from leadhook.web.document import EXAMPLES, describe
from leadhook.web.openapi import Answer, Body, Call, Operation, operation
from leadhook.web.problems import ProblemAnswer
from leadhook.web.serving import routes
from leadhook.web.site import OPERATIONS

from .conftest import ADMIN, STATIC, Service


class Order(Body):
    """What is wanted."""

    count: Annotated[int, Field(ge=1)]
    """How many."""


class Receipt(Answer):
    """What was ordered."""

    count: int


@operation(
    "POST",
    "/orders/{order_id:int}",
    tag="Leads",
    who="all",
    body=Order,
    answers={202: Receipt},
    problems={404: "None."},
)
async def take_order(call: Call[Order]) -> Receipt:
    """Take an order.

    It is not shipped.
    """
    return Receipt(count=call.body.count)


@operation("GET", "/orders/{order_id:int}", tag="Leads", who="all", answers={200: Receipt})
async def find_order(_call: Call[Any]) -> tuple[int, Receipt]:
    """Find an order."""
    return 418, Receipt(count=1)


@pytest.fixture
async def orders() -> AsyncIterator[httpx.AsyncClient]:
    """A site of these two."""
    app = Starlette(routes=routes([take_order, find_order]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as client:
        yield client


async def test_one_declaration_makes_route_checks_and_answer(orders: httpx.AsyncClient) -> None:
    """And both methods of a path are told to who tries a third."""
    taken = await orders.post("/orders/7", json={"count": 3})
    other = await orders.delete("/orders/7")

    assert (taken.status_code, taken.json()) == (202, {"count": 3})
    assert (other.status_code, set(other.headers["allow"].split(", "))) == (405, {"POST", "GET", "HEAD"})


async def test_an_answer_that_is_not_declared_is_an_error(orders: httpx.AsyncClient) -> None:
    """It is found by the first test, not by a client."""
    with pytest.raises(KeyError):
        await orders.get("/orders/7")


def test_the_document_says_what_is_declared() -> None:
    """Parameters, body, answers, problems, words."""
    document = describe([take_order, find_order])
    item = document["paths"]["/orders/{order_id}"]["post"]

    assert (item["operationId"], item["tags"], item["summary"]) == ("take_order", ["Leads"], "Take an order")
    assert item["description"].startswith("It is not shipped.\n\n```sh\ncurl ")
    assert item["parameters"] == [
        {"name": "order_id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
    ]
    assert set(item["responses"]) == {"202", "400", "404", "413", "415", "422"}
    order = document["components"]["schemas"]["Order"]
    assert order["additionalProperties"] is False
    assert order["properties"]["count"] == {
        "description": "How many.", "minimum": 1, "title": "Count", "type": "integer"
    }  # fmt: skip


async def test_the_document_is_served_and_names_every_operation(service: Service) -> None:
    """OpenAPI 3.1, and each reference leads somewhere."""
    answer = await service.client.get("/openapi.json")
    document = answer.json()

    assert answer.headers["content-type"] == "application/json"
    assert document["openapi"] == "3.1.0"
    named = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert named == {(one.method, re.sub(r":\w+}", "}", one.path)) for one in OPERATIONS}
    schemas = document["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', answer.text)) <= set(schemas)
    for item in (item for items in document["paths"].values() for item in items.values()):
        assert item["summary"]
        assert item["security"] in ([], [{"admin": []}], [{"webhook": []}])


def test_the_document_is_valid() -> None:
    """By OpenAPI's own schema of version 3.1."""
    OPENAPI_31_VALIDATOR.validate(describe(OPERATIONS))


def test_the_service_is_its_own_server() -> None:
    """A relative address works behind any host."""
    assert [server["url"] for server in describe(OPERATIONS)["servers"]] == ["/"]


def test_what_a_person_calls_comes_before_the_webhook() -> None:
    """Each operation has one of the tags, and they come in the tags' order."""
    document = describe(OPERATIONS)
    used = [tag for items in document["paths"].values() for item in items.values() for tag in item["tags"]]

    assert len(used) == len(OPERATIONS)
    assert list(dict.fromkeys(used)) == [tag["name"] for tag in document["tags"]]
    assert used[-1] == "Webhook"


def test_names_of_shapes_are_words_of_the_glossary() -> None:
    """No two types share a name, and no retired word is shown."""
    names = list(describe(OPERATIONS)["components"]["schemas"])
    assert [name for name in names if re.search(r"-|__|Ring|Touch|Verdict|Judged|Told", name)] == []


def test_each_operation_has_examples() -> None:
    """Of a request where it has a body, of each answer, and of each parameter of the path; and no others are kept."""
    for one in OPERATIONS:
        examples = EXAMPLES[one.name]
        assert set(examples.get("answers", {})) == {f"{status}" for status in one.answers}, one.name
        assert bool(examples.get("requests")) == (one.body is not None), one.name
        assert set(examples.get("parameters", {})) == set(re.findall(r"{(\w+)", one.path)), one.name
    assert set(EXAMPLES) == {one.name for one in OPERATIONS}


def test_each_example_answer_is_what_the_service_would_send() -> None:
    """Field for field, as the declared type writes it."""
    for one in OPERATIONS:
        for status, answer in one.answers.items():
            example = EXAMPLES[one.name]["answers"][f"{status}"]
            sent = answer.model_validate_json(json.dumps(example)).model_dump_json(by_alias=True)
            assert json.loads(sent) == example, f"{one.name} {status}"


def test_each_example_request_is_of_the_declared_shape() -> None:
    """Also those that no curl line shows."""
    for one in OPERATIONS:
        for name, example in EXAMPLES[one.name].get("requests", {}).items():
            assert one.body is not None
            assert one.body.model_validate_json(json.dumps(example)), f"{one.name}: {name}"


def test_each_problem_has_an_example() -> None:
    """With its own status."""
    for items in describe(OPERATIONS)["paths"].values():
        for item in items.values():
            for status, answer in item["responses"].items():
                for media_type, content in answer["content"].items():
                    if media_type == "application/problem+json":
                        example = ProblemAnswer.model_validate(content["example"])
                        assert (f"{example.status}", bool(example.detail)) == (status, True)


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.body], ids=lambda one: one.name)
async def test_the_example_problems_of_a_body_are_what_the_service_sends(
    service: Service, operation: Operation
) -> None:
    """No proof, no JSON, too large, another content type, another shape: word for word."""
    proof = {"authorization": f"Bearer {ADMIN}", "x-webhook": STATIC}
    requests: dict[str, tuple[bytes, dict[str, str]]] = {
        "400": (b"{", proof),
        "401": (b"{}", {}),
        "413": (b" " * (operation.largest_body + 1), proof),
        "415": (b"{}", {**proof, "content-type": "text/plain"}),
        "422": (b"[]", proof),
    }
    responses = describe([operation])["paths"][operation.path][operation.method.lower()]["responses"]
    for status, (body, headers) in requests.items():
        answer = await service.client.request(operation.method, operation.path, content=body, headers=headers)
        assert answer.json() == responses[status]["content"]["application/problem+json"]["example"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
async def test_each_curl_line_does_what_it_says(service: Service, operation: Operation) -> None:
    """Sent as it stands in the document, it succeeds."""
    service.store.snapshot = LeadSnapshot.model_validate(EXAMPLES["explain_lead"]["answers"]["200"])
    service.store.on_dry_run = [DryRun(counts={"queued": 1})]
    service.store.on_replay_status = ReplayStatus(found=True, replay_id=12)
    described = describe([operation])["paths"].popitem()[1][operation.method.lower()]["description"]
    line = described.partition("```sh\n")[2].removesuffix("\n```")
    values = {"SERVICE_URL": "http://service", "ADMIN_TOKEN": ADMIN, "WEBHOOK_STATIC_HEADER": f"x-webhook: {STATIC}"}
    for name, value in values.items():
        line = line.replace(f"${name}", value)
    curl = argparse.ArgumentParser()
    curl.add_argument("-X")
    curl.add_argument("-H", action="append", default=[])
    curl.add_argument("-d")
    curl.add_argument("url")
    command, *arguments = shlex.split(line.replace("\\\n", " "))
    sent = curl.parse_args(arguments)
    answer = await service.client.request(
        sent.X or ("POST" if sent.d else "GET"),
        sent.url,
        content=sent.d,
        headers=dict(header.split(": ", 1) for header in sent.H),
    )

    assert command == "curl"
    assert answer.is_success, answer.text
    assert answer.status_code in operation.answers


def test_the_document_is_plain_json() -> None:
    """Nothing of Python in it."""
    document = describe(OPERATIONS)
    assert json.loads(json.dumps(document)) == document
