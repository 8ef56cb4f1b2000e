"""the endpoint for webhooks beside the least that does the same: CPU a webhook of both, by turns, each in a process.

The bare endpoint is a Starlette route that reads the body, checks the signature and answers 202, on the same uvicorn
with the same parser. Both get the same signed requests over 32 connections; what counts is the server's CPU.
"""

import asyncio
import base64
import gc
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from hashlib import sha256
from statistics import median
from typing import Final

import uvicorn
from bench.measurement import Figure, Measurement
from bench.process import cpu_ms
from bench.stack import wait_until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadhook.app import server_config
from leadhook.local.processes import answers, free_port
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.health import Readiness
from leadhook.web.request_log import WebhookSum
from leadhook.web.site import build_site
from leadhook.web.state import AppState, Backend
from leadhook.web.webhook_auth import WebhookAuth

CONNECTIONS: Final = 32
TARGET: Final = 0.75
KEY: Final = b"visibly-fake-key-of-32-characters"
BODY: Final = json.dumps({"type": "INSERT", "table": "all_leads", "schema": "public", "records": ["lead-1"]}).encode()


def measure(*, short: bool) -> Measurement:
    """Medians over alternating rounds, and their ratio."""
    rounds, each = (2, 500) if short else (10, 10_000)
    with ExitStack() as running:
        servers = [running.enter_context(_server(name)) for name in ("bare", "ours")]
        for server in servers:
            server.load(each // 5)
        pairs = [tuple(server.load(each) for server in servers) for _ in range(rounds)]
    bare, ours = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(plain / mine for plain, mine in pairs)
    spread = (min(mine for _, mine in pairs), max(mine for _, mine in pairs))
    figures = {
        "cpu_ms": Figure(
            "CPU of a webhook, from the socket to the 202",
            ours,
            "ms",
            spread,
            {"a bare endpoint": bare},
            f"a bare endpoint takes at least {TARGET} of it",
            ratio >= TARGET,
        )
    }
    rate = f"a core takes {1000 / ours:,.0f} a second, {ratio:.2f} of what a bare endpoint takes"
    return Measurement(f"{rounds} rounds of {each:,} webhooks: {rate}", figures)


class _Server:
    def __init__(self, pid: int, port: int) -> None:
        self._pid, self._port = pid, port

    def load(self, count: int) -> float:
        """Send that many webhooks, and return the server's CPU for each in ms."""
        request, before = _request(), cpu_ms(self._pid)
        asyncio.run(self._send(request, count))
        return (cpu_ms(self._pid) - before) / count

    async def _send(self, request: bytes, count: int) -> None:
        async def one(share: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for _ in range(share):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 202"):
                    raise RuntimeError(head.decode())
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.close()

        await asyncio.gather(*(one(count // CONNECTIONS + 1) for _ in range(CONNECTIONS)))


@contextmanager
def _server(name: str) -> Iterator[_Server]:
    port = free_port()
    command = [sys.executable, "-m", "bench.webhooks", name, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:  # noqa: S603 - our own program
        try:
            wait_until(answers(port, "/health"), f"the {name} endpoint")
            yield _Server(child.pid, port)
        finally:
            child.terminate()


def _request() -> bytes:
    at = str(int(time.time()))
    signature = base64.b64encode(hmac.digest(KEY, b".".join((b"msg_1", at.encode(), BODY)), sha256)).decode()
    return (
        "POST /webhooks/leads HTTP/1.1\r\nhost: x\r\nuser-agent: pg_net/0.20.4\r\ncontent-type: application/json\r\n"
        f"webhook-id: msg_1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{signature}\r\n"
        f"content-length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


async def _bare(request: Request) -> Response:
    body, headers = await request.body(), request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, content, sha256))
    fits = hmac.compare_digest(expected, headers["webhook-signature"].encode())
    return JSONResponse({"ok": True}, 202 if fits else 401)


async def _alive(_request: Request) -> Response:
    return JSONResponse({"ok": True})


@asynccontextmanager
async def _state(_app: Starlette) -> AsyncIterator[AppState]:
    async def never() -> None:
        raise NotImplementedError

    admins = Admins([], [])
    yield AppState(
        backend=Backend(),
        slots=16,
        sweep_interval_s=300,
        webhook_auth=WebhookAuth([KEY]),
        late_webhooks=TokenBucket(per_second=1, burst=10),
        webhook_sum=WebhookSum(),
        admins=admins,
        readiness=Readiness(status=never, engine=lambda: None),  # type: ignore[arg-type]  # no one asks
    )


def _serve(name: str, port: int) -> None:
    bare = Starlette(routes=[Route("/webhooks/leads", _bare, methods=["POST"]), Route("/health", _alive)])
    config = server_config(bare if name == "bare" else build_site(_state))
    config.lifespan = "off" if name == "bare" else "on"
    config.port = port
    gc.freeze()  # as the service does
    uvicorn.Server(config).run()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
