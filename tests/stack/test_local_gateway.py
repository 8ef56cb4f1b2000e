from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from io import BytesIO
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from supabase import AsyncClientOptions, acreate_client
from supabase._async.client import AsyncClient
from tests.conftest import Supabase, poll
from yarl import URL

from leadhook.local.keys import new_keys, sign_jwt
from leadhook.local.processes import free_port
from leadhook.local.rest_api import READ_AT_ONCE_BYTES, serving

# The client warns of what it passes on to itself.
pytestmark = pytest.mark.filterwarnings("ignore:The '(timeout|verify)' parameter is deprecated:DeprecationWarning")

WHO = "create function public.who() returns text language sql as $$ select current_user::text $$"


@asynccontextmanager
async def client(supabase: Supabase, key: str) -> AsyncIterator[AsyncClient]:
    async with httpx.AsyncClient() as session:
        yield await acreate_client(supabase.url, key, AsyncClientOptions(httpx_client=session))


async def role_of(supabase: Supabase, key: str) -> Any:
    """Whom the database takes the bearer of this key for."""
    async with client(supabase, key) as project:
        return (await project.rpc("who").execute()).data


@pytest.fixture
def asking_project(supabase: Supabase) -> Supabase:
    """A project with a function that returns the caller's role; as on a hosted one, PostgREST notices it by itself."""
    with supabase.database.connect() as connection:
        connection.execute(WHO)
    headers = {"apikey": supabase.secret_key}
    url = f"{supabase.url}/rest/v1/rpc/who"
    poll(lambda: httpx.post(url, headers=headers, json={}).is_success)
    return supabase


@asynccontextmanager
async def gateway_before_an_echo() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A gateway whose upstream answers with the path, the headers and the size of the body that reached it."""

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        facts = {"path": request.raw_path, "authorization": request.headers.get("authorization"), "bytes": len(body)}
        return web.json_response(facts | {"padding": "x" * len(body)}, headers={"Content-Range": "0-1/2"})

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", echo)
    keys = new_keys()
    async with TestServer(app) as server, serving(str(server.make_url("")).rstrip("/"), keys) as port:
        yield f"http://127.0.0.1:{port}", {"apikey": keys.secret_key}


async def get(url: str, headers: dict[str, str]) -> tuple[aiohttp.ClientResponse, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(URL(url, encoded=True), headers=headers) as answer,
    ):
        return answer, await answer.json()


async def test_each_of_the_four_keys_opens_its_role(asking_project: Supabase) -> None:
    supabase = asking_project
    expected = {
        supabase.secret_key: "service_role",
        supabase.keys.service_role_key: "service_role",
        supabase.keys.publishable_key: "anon",
        supabase.keys.anon_key: "anon",
    }

    found = {key: await role_of(supabase, key) for key in expected}

    assert expected == found


async def test_the_callers_own_jwt_passes(asking_project: Supabase) -> None:
    """A signed-in user sends the publishable key and a token of their own."""
    supabase = asking_project
    headers = {
        "apikey": supabase.keys.publishable_key,
        "Authorization": f"Bearer {sign_jwt(supabase.keys.jwt_secret, 'authenticated')}",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{supabase.url}/rest/v1/rpc/who", headers=headers, json={}) as answer,
    ):
        assert (answer.status, await answer.json()) == (HTTPStatus.OK, "authenticated")


@pytest.mark.parametrize("key", ["sb_secret_wrong", "sb_publishable_wrong", "eyJhbGciOiJIUzI1NiJ9.e30.wrong"])
async def test_a_wrong_key_is_answered_401_in_json(key: str) -> None:
    """Whatever kind of key it is, and without asking PostgREST."""
    async with gateway_before_an_echo() as (url, _):
        answer, body = await get(f"{url}/rest/v1/x", {"apikey": key})

    assert (answer.status, body["message"]) == (HTTPStatus.UNAUTHORIZED, "Invalid API key")


async def test_a_missing_key_is_answered_401_in_json() -> None:
    """A token alone opens nothing, as on a hosted project."""
    async with gateway_before_an_echo() as (url, _):
        answer, body = await get(f"{url}/rest/v1/x", {"Authorization": "Bearer x"})

    assert (answer.status, body["message"]) == (HTTPStatus.UNAUTHORIZED, "No API key found in request")


async def test_other_paths_are_unknown() -> None:
    async with gateway_before_an_echo() as (url, headers):
        answer, _ = await get(f"{url}/auth/v1/token", headers)

    assert answer.status == HTTPStatus.NOT_FOUND


async def test_postgrest_away_is_answered_502_in_json() -> None:
    keys = new_keys()
    async with serving(f"http://127.0.0.1:{free_port()}", keys) as port:
        answer, _ = await get(f"http://127.0.0.1:{port}/rest/v1/x", {"apikey": keys.secret_key})

    assert answer.status == HTTPStatus.BAD_GATEWAY


async def test_the_path_reaches_postgrest_without_prefix_and_key_but_else_untouched() -> None:
    """Escapes stay as they were sent; a key in the query is for the gateway alone."""
    query = "lead_id=eq.a%252Fb%20c"
    async with gateway_before_an_echo() as (url, headers):
        _, plain = await get(f"{url}/rest/v1/x%2Fy?{query}", headers)
        _, keyed = await get(f"{url}/rest/v1/x%2Fy?{query}&apikey={headers['apikey']}", {})

    assert plain["path"] == f"/x%2Fy?{query}"
    assert "apikey" not in keyed["path"]


@pytest.mark.parametrize("size", [0, 1000, READ_AT_ONCE_BYTES, READ_AT_ONCE_BYTES + 1, 4_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_any_size_pass_in_both_directions(size: int, chunked: bool) -> None:  # noqa: FBT001 - a case of the table
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * size

    async with gateway_before_an_echo() as (url, headers), aiohttp.ClientSession() as session:
        data = chunks() if chunked else BytesIO(b"x" * size)
        async with session.post(f"{url}/rest/v1/x", headers=headers, data=data) as answer:
            body = await answer.json()

    assert (body["bytes"], len(body["padding"])) == (size, size)
    assert answer.headers["Content-Range"] == "0-1/2"


async def test_a_page_of_any_origin_may_ask(supabase: Supabase) -> None:
    """The browser's preflight has no key; PostgREST's answer and the gateway's refusals may be read, with the count."""
    url = f"{supabase.url}/rest/v1/llm_response"
    page = {"Origin": "https://app.example.com"}
    preflight = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apikey,authorization,content-type,prefer,x-client-info",
    }
    async with httpx.AsyncClient() as session:
        allowed = await session.options(url, headers=preflight)
        found = await session.get(url, headers=page | {"apikey": supabase.secret_key, "Prefer": "count=exact"})
        refused = await session.get(url, headers=page)

    assert allowed.status_code == HTTPStatus.OK
    assert allowed.headers["access-control-allow-headers"] == preflight["Access-Control-Request-Headers"]
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert {reply.headers["access-control-allow-origin"] for reply in (allowed, found, refused)} == {"*"}
    assert "Content-Range" in found.headers["access-control-expose-headers"]
    assert refused.status_code == HTTPStatus.UNAUTHORIZED
