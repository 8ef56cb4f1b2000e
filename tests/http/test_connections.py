"""Strangers who connect and send nothing, or little, keep no one else from the service."""

import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import anyio
import pytest
from aiohttp.client_reqrep import ConnectionKey
from anyio.abc import SocketStream
from structlog.testing import capture_logs
from tests.conftest import PATIENCE_S

from leadhook.domain.failure import FailureClass
from leadhook.gemini.failures import classify
from leadhook.web import connections
from leadhook.web.connections import serving_metrics

from .conftest import serving

MOST = 20
HALF = {
    "nothing": b"",
    "half a line": b"POST /webhooks/lea",
    "half of the headers": b"POST /webhooks/leads HTTP/1.1\r\nhost: x\r\nwebhook-id: m",
    "half of a body": b"POST /webhooks/leads HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{",
    "half of a body that nobody reads": b"POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{",
    "half of a chunk": b"POST /webhooks/leads HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{",
    "an answer and then half a line": b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nPOST /w",
}
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(most_connections=MOST) as port:
        yield port


async def read_all(stream: SocketStream) -> bytes:
    received = b""
    with anyio.fail_after(PATIENCE_S):
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


@pytest.mark.parametrize("what", HALF)
async def test_a_request_that_does_not_end_is_cut_off(port: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is dripped: a byte more does not extend the time."""
    for name in ("HEADERS_S", "BODY_S"):
        monkeypatch.setattr(connections, name, 0.3)
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:

        async def drip() -> None:
            with suppress(anyio.BrokenResourceError):
                while True:
                    await anyio.sleep(0.02)
                    await stream.send(b" ")

        if what == "nothing":
            await read_all(stream)
            return
        await stream.send(HALF[what])
        tasks.start_soon(drip)
        await read_all(stream)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /health HTTP/1.1\r\nx: ",
        b"GET /health HTTP/1.1\r\n",
        b"POST /health HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        b"POST /health HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;",
    ],
    ids=["a header", "headers", "headers after the body", "an extension of a chunk"],
)
async def test_headers_without_an_end_are_cut_off(port: int, begin: bytes) -> None:
    """Long before their time is over: they are kept in memory."""
    line = b"" if begin.endswith((b": ", b";")) else b"x: y\r\n"
    sent = 0
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with anyio.fail_after(5), suppress(anyio.BrokenResourceError):
            await stream.send(begin)
            while sent < 4 * 1024 * 1024:
                piece = line * 2000 or b"y" * 10_000
                await stream.send(piece)
                sent += len(piece)
    assert sent < 4 * 1024 * 1024


async def test_few_of_many_requests_in_one_packet_are_taken(port: int) -> None:
    """Each would be kept in memory until those before it are answered."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
        answer = await read_all(stream)
    assert answer.count(b"200 OK") <= connections.MOST_PIPELINED + 1
    assert b"400 Bad Request" in answer
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 9 + HEALTH)
        assert (await read_all(stream)).count(b"200 OK") == 10


async def test_an_offer_to_upgrade_is_ignored(port: int) -> None:
    """As some HTTP clients make with their first request, to speak HTTP/2."""
    offer = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        for _ in range(2):
            await stream.send(b"GET /health HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n")
            with anyio.fail_after(5):
                assert b"200 OK" in await stream.receive()


async def test_a_client_that_does_not_read_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest page there is, asked for again and again."""
    monkeypatch.setattr(connections, "READ_S", 0.3)
    request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with anyio.fail_after(PATIENCE_S), suppress(anyio.BrokenResourceError):
            while True:
                await stream.send(request)
                await anyio.sleep(0.01)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADERS_S", "BODY_S", "READ_S"):
        monkeypatch.setattr(connections, name, 10 * PATIENCE_S)


@pytest.mark.parametrize("what", HALF)
@pytest.mark.usefixtures("unhurried")
async def test_more_idle_connections_than_allowed_stop_no_one(port: int, what: str) -> None:
    async with AsyncExitStack() as open_ones:
        for _ in range(5 * MOST):
            stream = await open_ones.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            if HALF[what]:
                await stream.send(HALF[what])
        for _ in range(3):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(HEALTH)
                with anyio.fail_after(PATIENCE_S):
                    assert b"200 OK" in await read_all(stream)


@pytest.mark.usefixtures("unhurried")
async def test_idle_connections_keep_no_one_from_the_metrics() -> None:
    """The port has no sign-in either."""
    with capture_logs() as told:
        async with serving_metrics("127.0.0.1", 0), AsyncExitStack() as open_ones:
            (port,) = [line["port"] for line in told]
            for _ in range(5 * connections.MOST_SCRAPES):
                await open_ones.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(HEALTH.replace(b"/health", b"/metrics"))
                with anyio.fail_after(PATIENCE_S):
                    assert b"leadhook_build_info" in await read_all(stream)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_process_without_free_files_blames_no_one(number: int) -> None:
    """Neither Google nor the lead: claiming stops, and no attempt is spent."""
    key = ConnectionKey("generativelanguage.googleapis.com", 443, True, True, None, None, None)  # noqa: FBT003 - aiohttp's
    failure = classify(aiohttp.ClientConnectorError(key, OSError(number, "Too many open files")), model="m")
    assert (failure.kind, failure.code) == (FailureClass.CONFIGURATION, "files_exhausted")
    assert failure.usage.calls == 0
