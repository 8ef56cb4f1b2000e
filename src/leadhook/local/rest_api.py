"""The REST API of the local Supabase: PostgREST, and a gateway in front of it with Kong's rule for API keys.

A hosted project refuses requests without a valid key. `sb_secret_` and `sb_publishable_` keys are not JWTs: the gateway
replaces them with the JWT of their role. Any other Authorization header passes unchanged. Pages of any origin may send
requests: a browser's preflight carries no key and is answered first, and refusals are readable.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from leadhook.local.binaries import Binaries
from leadhook.local.keys import Keys, keys_of, write_private
from leadhook.local.processes import Child

POOL = 10
PREFIX = "/rest/v1"
READ_AT_ONCE_BYTES = 256 * 1024
HOP_BY_HOP = frozenset(["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"])
NO_KEY = ("No API key found in request", "No `apikey` request header or url param was found.")
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
ANY_METHOD = {"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Access-Control-Max-Age": "3600"}
WRONG_KEY = ("Invalid API key", "Double check your Supabase `anon` or `service_role` API key.")


@dataclass(frozen=True)
class PostgrestPorts:
    """The port for requests, and the one for `/ready`."""

    server: int
    admin: int

    @property
    def url(self) -> str:
        """Its address, without Supabase's /rest/v1."""
        return f"http://127.0.0.1:{self.server}"


def start_postgrest(
    binaries: Binaries, directory: Path, *, authenticator_conninfo: str, jwt_secret: str, ports: PostgrestPorts
) -> Child:
    """Start PostgREST with the settings of a hosted project. It is ready when `/ready` on the admin port answers 200.

    Args:
        directory: for its configuration, which contains secrets, and its log.
    """
    settings = {
        "db-uri": authenticator_conninfo,
        "db-schemas": "public",
        "db-extra-search-path": "public, extensions",
        "db-anon-role": "anon",
        "db-pool": POOL,
        "db-pool-acquisition-timeout": 10,
        "db-channel-enabled": True,
        "db-max-rows": 1000,
        "jwt-secret": jwt_secret,
        "server-host": "127.0.0.1",
        "server-port": ports.server,
        "admin-server-port": ports.admin,
        "log-level": "warn",
    }
    file = directory / "postgrest.conf"
    write_private(file, "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return Child("postgrest", [binaries.postgrest, file], log=directory / "postgrest.log")


@dataclass(frozen=True)
class Gateway:
    """Forwards requests that carry one of the project's keys."""

    upstream: str
    keys: Keys
    session: aiohttp.ClientSession

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return preflight(request)
        if not request.path.startswith(f"{PREFIX}/"):
            return refusal(HTTPStatus.NOT_FOUND, "no Route matched with those values")
        key = request.headers.get("apikey") or request.query.get("apikey")
        if not key:
            return refusal(HTTPStatus.UNAUTHORIZED, *NO_KEY)
        if (token := self.token_for(key)) is None:
            return refusal(HTTPStatus.UNAUTHORIZED, *WRONG_KEY)
        headers = end_to_end(request.headers)
        headers.popall("host", None)
        if headers.get("authorization", "Bearer sb_").startswith("Bearer sb_"):
            headers["authorization"] = f"Bearer {token}"
        return await self._forward(request, headers)

    def token_for(self, key: str) -> str | None:
        keys = self.keys
        known = {
            keys.secret_key: keys.service_role_key,
            keys.publishable_key: keys.anon_key,
            keys.service_role_key: keys.service_role_key,
            keys.anon_key: keys.anon_key,
        }
        return known.get(key)

    async def _forward(self, request: web.BaseRequest, headers: CIMultiDict[str]) -> web.Response:
        small = request.body_exists and (request.content_length or READ_AT_ONCE_BYTES + 1) <= READ_AT_ONCE_BYTES
        body = await request.read() if small else request.content if request.body_exists else None
        url = URL(self.upstream + request.raw_path.removeprefix(PREFIX), encoded=True)
        if "apikey" in url.query:
            url = url.without_query_params("apikey")
        try:
            async with self.session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                headers = end_to_end(answer.headers)
                headers.popall("content-length", None)
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
        except aiohttp.ClientConnectionError:
            return refusal(HTTPStatus.BAD_GATEWAY, "An invalid response was received from the upstream server")


def end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


def preflight(request: web.BaseRequest) -> web.Response:
    """Answer a browser's preflight: everything is allowed."""
    asked = request.headers.get("access-control-request-headers", "")
    return web.Response(headers=ANY_ORIGIN | ANY_METHOD | {"Access-Control-Allow-Headers": asked})


def refusal(status: HTTPStatus, message: str, hint: str | None = None) -> web.Response:
    body = {"message": message} | ({"hint": hint} if hint else {})
    return web.json_response(body, status=status, headers=ANY_ORIGIN)


@asynccontextmanager
async def serving(upstream: str, keys: Keys, port: int = 0) -> AsyncIterator[int]:
    """Run a gateway on 127.0.0.1 during the block; yield its port."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        server = web.Server(Gateway(upstream, keys, session), access_log=None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            await server.shutdown(timeout=1)


async def serve(upstream: str, port: str, keys: str) -> None:
    async with serving(upstream, keys_of(Path(keys)), int(port)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
