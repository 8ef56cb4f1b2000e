"""How a reply reaches the caller: whole, late, slowly, in half, or not at all."""

import asyncio
import random
import socket
import struct
from typing import Final

from aiohttp import web

from leadhook.local.gemini.orders import Do, Drip
from leadhook.local.gemini.refusals import Reply

HEADERS: Final = {"X-Stand-In": "leadhook's Gemini stand-in; this is not Google"}

Latency = float | tuple[float, float]


async def wait(latency_ms: Latency, since: float) -> None:
    """Sleep until the latency has passed since the loop's time `since`."""
    wanted = random.uniform(*latency_ms) if isinstance(latency_ms, tuple) else latency_ms  # noqa: S311 - a die
    left = since + wanted / 1000 - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.sleep(left)


async def hang() -> None:
    """Wait until the caller gives up."""
    await asyncio.get_running_loop().create_future()


def reset(request: web.Request) -> web.Response:
    """Close the connection with a TCP reset; what is returned is never sent."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def close(request: web.Request) -> web.Response:
    """Close the connection without a word; what is returned is never sent."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def send(request: web.Request, reply: Reply, do: Do) -> web.StreamResponse:
    """Send a reply, in half or slowly if so ordered."""
    broken_off = do.cut or do.stall
    if broken_off is None and do.drip is None:
        return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type})
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
    response.content_length = len(reply.body)
    await response.prepare(request)
    if broken_off is None:
        await _write(response, reply.body, do.drip)
        await response.write_eof()
        return response
    await _write(response, b"" if broken_off == "after_headers" else reply.body[: len(reply.body) // 2], do.drip)
    if do.stall:
        await hang()
    if request.transport is not None:
        request.transport.close()
    return response


async def _write(response: web.StreamResponse, body: bytes, drip: Drip | None) -> None:
    if drip is None:
        await response.write(body)
        return
    for start in range(0, len(body), drip.bytes):
        await response.write(body[start : start + drip.bytes])
        await asyncio.sleep(drip.every_ms / 1000)
