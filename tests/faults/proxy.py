"""Stands between a service and its Supabase, remembers what was said, and spoils it on order."""

import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import anyio
from aiohttp import web
from anyio.from_thread import start_blocking_portal

Fault = Literal["cut", "late", "refuse", "503", "html", "not_json", "401"]
"""cut: the database does it, its reply is lost. late: the reply takes 1.5 s. refuse: the connection breaks at once.
The others answer in the database's place: 503, an HTML page with 502, an HTML page with 200, a refused key."""

FAULTS: tuple[Fault, ...] = ("cut", "late", "refuse", "503", "html", "not_json")
ANSWERED_HERE = ("refuse", "503", "401", "html", "not_json")
LATE_S = 1.5
PAGE = "<html><body>Bad gateway</body></html>"


@dataclass
class Exchange:
    """One request of a service. Times are of `time.monotonic`."""

    function: str
    request: dict[str, Any]
    arrived_at: float
    answered_at: float | None = None
    reply: dict[str, Any] | None = None
    fault: Fault | None = None


@dataclass
class Order:
    """A fault for the next so many requests of a function; every function where none is named."""

    fault: Fault
    function: str | None
    times: float


@dataclass
class Proxy:
    """One in front of each service that is to be watched."""

    upstream: str
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    forbidden: str | None = None
    """A firewall's rule: requests and replies with this text get its page, with 403."""
    _orders: list[Order] = field(default_factory=list)
    _chaos: tuple[random.Random, float] | None = None

    def spoil(self, fault: Fault, function: str | None = None, times: float = 1) -> None:
        self._orders.append(Order(fault, function, times))

    def spoil_at_random(self, chance: random.Random, share: float) -> None:
        """Spoil that share of all requests, each in a way that is drawn."""
        self._chaos = (chance, share)

    def behave(self) -> None:
        self._orders.clear()
        self._chaos = None

    def forbids(self, body: bytes) -> bool:
        return self.forbidden is not None and self.forbidden.encode() in body

    def of(self, function: str) -> list[Exchange]:
        """What was said so far of one function, given without `leadhook_`."""
        return [exchange for exchange in self.exchanges if exchange.function == function]

    def count(self, fault: Fault) -> int:
        """How many requests met with this fault."""
        return sum(exchange.fault == fault for exchange in self.exchanges)

    def draw(self, function: str) -> Fault | None:
        """What happens to a request."""
        for order in self._orders:
            if order.times > 0 and order.function in (None, function):
                order.times -= 1
                return order.fault
        if self._chaos and self._chaos[0].random() < self._chaos[1]:
            return self._chaos[0].choice(FAULTS)
        return None


@contextmanager
def standing_before(upstream: str) -> Iterator[Proxy]:
    """A proxy in its own thread, until the block ends."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_serving(Proxy(upstream))) as proxy:
        yield proxy


@asynccontextmanager
async def _serving(proxy: Proxy) -> AsyncIterator[Proxy]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await _handle(proxy, session, request)

        server = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.5)
        await server.setup()
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{server.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await server.cleanup()


async def _handle(proxy: Proxy, session: aiohttp.ClientSession, request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    function = request.path.rpartition("/")[2].removeprefix("leadhook_")
    exchange = Exchange(function, json.loads(body or b"{}"), time.monotonic())
    proxy.exchanges.append(exchange)
    exchange.fault = proxy.draw(function)
    if exchange.fault in ANSWERED_HERE:
        return _answer_here(exchange.fault, request)
    if proxy.forbids(body):
        return _refuse_text()
    headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
    try:
        async with session.request(
            request.method, proxy.upstream + request.raw_path, headers=headers, data=body
        ) as answer:
            content, status, kind = await answer.read(), answer.status, answer.content_type
    except aiohttp.ClientError:
        return _break(request)
    if exchange.fault == "cut":
        return _break(request)
    if exchange.fault == "late":
        await anyio.sleep(LATE_S)
    if kind == "application/json" and status == 200:
        reply = json.loads(content)
        exchange.reply = reply if isinstance(reply, dict) else None
    exchange.answered_at = time.monotonic()
    if proxy.forbids(content):
        return _refuse_text()
    return web.Response(body=content, status=status, content_type=kind)


def _refuse_text() -> web.Response:
    return web.Response(text="<html><title>Attention Required!</title></html>", content_type="text/html", status=403)


def _answer_here(fault: Fault, request: web.BaseRequest) -> web.Response:
    match fault:
        case "503":
            return web.json_response({"message": "name resolution failed"}, status=503)
        case "401":
            return web.json_response({"message": "Invalid API key"}, status=401)
        case "html" | "not_json":
            return web.Response(text=PAGE, content_type="text/html", status=502 if fault == "html" else 200)
        case _:
            return _break(request)


def _break(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
