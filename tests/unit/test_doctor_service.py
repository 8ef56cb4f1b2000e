"""The doctor distinguishes the running service from whatever else may answer at its address."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from leadhook.doctor.network import check_service
from leadhook.local.processes import free_port

READY = '{"ready": true, "reasons": [], "warnings": []}'
OTHERS = {
    "nothing": (200, "", "application/json"),
    "a gateway's JSON": (404, '{"message": "no Route matched"}', "application/json"),
    "any JSON": (200, "{}", "application/json"),
    "a page": (200, "<html>Welcome</html>", "text/html"),
    "endless brackets": (200, "[" * 100_000, "application/json"),
    "reasons of another shape": (503, '{"ready": false, "reasons": 5}', "application/json"),
}


async def reported(status: int, body: str, content_type: str) -> list[tuple[str, str]]:
    """What the doctor reports about a server that answers so."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode(), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/ready", answer)
    async with TestServer(app) as server:
        found = await check_service(str(server.make_url("")).rstrip("/"))
    return [(check.level.value, check.sentence.partition("http://")[0]) for check in found if check.about == "service"]


@pytest.mark.parametrize("name", OTHERS)
async def test_another_server_is_not_taken_for_the_service(name: str) -> None:
    """Whatever it answers, and whatever HTTP status it has."""
    assert await reported(*OTHERS[name]) == [("fault", "Another server than leadhook answers at ")]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=hex", "text/plain"])
async def test_the_service_is_known_by_its_answer(content_type: str) -> None:
    """A proxy may change the content type."""
    assert await reported(200, READY, content_type) == [("ok", "The service at ")]


async def test_a_service_that_does_not_answer_is_reported_with_the_reason() -> None:
    (found,) = await check_service(f"http://127.0.0.1:{free_port()}")
    assert "/ready (connection refused)" in found.sentence
