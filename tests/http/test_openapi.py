"""What is declared of an operation is what it does, and what the document says."""

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from pydantic import Field
from starlette.applications import Starlette

from leadhook.web.docs import page
from leadhook.web.document import describe
from leadhook.web.openapi import Answer, Body, Call, operation
from leadhook.web.serving import routes
from leadhook.web.site import OPERATIONS

from .conftest import Service


class Order(Body):
    """What is wanted."""

    count: Annotated[int, Field(ge=1)]
    """How many."""


class Receipt(Answer):
    """What was ordered."""

    count: int


@operation("POST", "/orders/{order_id:int}", who="all", body=Order, answers={202: Receipt}, problems={404: "No such."})
async def take_order(call: Call[Order]) -> Receipt:
    """Take an order.

    It is not shipped.
    """
    return Receipt(count=call.body.count)


@operation("GET", "/orders/{order_id:int}", who="all", answers={200: Receipt})
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

    assert (item["operationId"], item["summary"], item["description"]) == (
        "take_order", "Take an order", "It is not shipped.",
    )  # fmt: skip
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


async def test_the_page_shows_all_of_it_and_loads_nothing(service: Service) -> None:
    """No script, no foreign host; its policy forbids both."""
    answer = await service.client.get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<link|src=|@import|url\(|https?://", answer.text)
    assert set(re.findall(r'href="([^#"]+)"', answer.text)) == {"openapi.json"}
    for one in OPERATIONS:
        assert re.sub(r":\w+}", "}", one.path) in answer.text
    targets = set(re.findall(r'id="([^"]+)"', answer.text))
    assert set(re.findall(r'href="#([^"]+)"', answer.text)) <= targets


def test_the_page_escapes_what_it_shows() -> None:
    """Whatever a docstring says."""
    document = describe([take_order])
    document["paths"]["/orders/{order_id}"]["post"]["summary"] = "<script>"
    document["components"]["schemas"]["Order"]["title"] = "<b>&"

    shown = page(document)
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;&amp;" in shown


def test_the_document_is_plain_json() -> None:
    """Nothing of Python in it."""
    document = describe(OPERATIONS)
    assert json.loads(json.dumps(document)) == document
