"""What clients send that no HTTP library would: answered with a 4xx, never a 5xx, and nothing wakes the dispatcher."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest
from tests.conftest import PATIENCE_S

from .conftest import STATIC, FakeEngine, serving, signed

BODY = b'{"type": "INSERT", "table": "lead_details", "schema": "public", "records": []}'
LENGTH = b"content-length: %d\r\n" % len(BODY)


@dataclass
class Wire:
    port: int
    engine: FakeEngine

    async def send(self, request: bytes) -> bytes:
        """What is answered until the server closes or has nothing more to say for a second."""
        received = b""
        with anyio.fail_after(PATIENCE_S):
            async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
                try:
                    await stream.send(request)
                    while not _complete(received):
                        received += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
        return received


def _complete(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and length and len(body) >= int(length[0].partition(b":")[2]))


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    engine = FakeEngine()
    async with serving(engine) as port:
        yield Wire(port, engine)


def post(headers: bytes = b"", body: bytes = BODY, line: bytes = b"POST /webhooks/leads HTTP/1.1") -> bytes:
    return line + b"\r\nhost: x\r\n" + headers + b"\r\n" + body


def lines(headers: dict[str, str]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())


GOOD = lines(signed(BODY))

HOSTILE = {
    "no headers": post(LENGTH),
    "signature that is no ascii": post(LENGTH + GOOD.replace(b"v1,", b"v1,\xc3\xa9\xff")),
    "id that is no ascii": post(LENGTH + GOOD.replace(b"msg_1", b"\xff\xfe")),
    "timestamp that is no ascii": post(LENGTH + GOOD.replace(b"timestamp: 1", b"timestamp: \xd9\xa1")),
    "two commas": post(LENGTH + GOOD.replace(b"v1,", b"v1,,")),
    "huge signature": post(LENGTH + GOOD.replace(b"v1,", b"v1," + b"A" * 30_000)),
    "huge headers": post(LENGTH + b"x: " + b"A" * 200_000 + b"\r\n" + GOOD),
    "repeated signature": post(LENGTH + GOOD + GOOD),
    "repeated static header": post(LENGTH + f"x-webhook: {STATIC}\r\n".encode() * 2),
    "empty static header": post(LENGTH + b"x-webhook:\r\n"),
    "static header that is no ascii": post(LENGTH + b"x-webhook: \xff\xfe\r\n"),
    "nul in a header": post(LENGTH + GOOD + b"x: a\x00b\r\n"),
    "line break in a header": post(LENGTH + b"webhook-id: a\r\n b\r\n" + GOOD),
    "two lengths": post(LENGTH + b"content-length: 3\r\n" + GOOD),
    "negative length": post(b"content-length: -1\r\n" + GOOD),
    "length of other digits": post("content-length: ٣\r\n".encode() + GOOD),
    "huge length": post(b"content-length: 99999999999999999999\r\n" + GOOD),
    "broken chunks": post(b"transfer-encoding: chunked\r\n" + GOOD, b"zz\r\n"),
    "unknown encoding": post(b"transfer-encoding: gzip, chunked\r\n" + GOOD),
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n",
    "unknown path": post(LENGTH + GOOD, line=b"POST /%ff%00%0d%0a HTTP/1.1"),
    "path that is no ascii": post(LENGTH + GOOD, line=b"POST /\xff HTTP/1.1"),
    "unknown method": post(LENGTH + GOOD, line=b"RING /webhooks/leads HTTP/1.1"),
    "upgrade": post(LENGTH + b"connection: upgrade\r\nupgrade: websocket\r\n"),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_request_is_refused_with_4xx(wire: Wire, what: str) -> None:
    answer = await wire.send(HOSTILE[what])

    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b"server: " not in answer.lower()
    assert wire.engine.webhooks == []
    assert (await wire.send(post(LENGTH + GOOD))).startswith(b"HTTP/1.1 202")


async def test_a_webhook_arrives_whole_or_in_chunks(wire: Wire) -> None:
    chunked = b"transfer-encoding: chunked\r\n" + GOOD
    pieces = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    whole = await wire.send(post(LENGTH + GOOD))

    assert whole.startswith(b"HTTP/1.1 202")
    assert json.loads(whole.partition(b"\r\n\r\n")[2]) == {"ok": True}
    assert (await wire.send(post(chunked, pieces))).startswith(b"HTTP/1.1 202")
    assert wire.engine.webhooks == [[], []]


async def test_a_body_that_never_ends_is_cut_off_at_the_limit(wire: Wire) -> None:
    announced = await wire.send(post(b"content-length: 1000000000\r\n" + GOOD, b""))
    streamed = await wire.send(
        post(b"transfer-encoding: chunked\r\n" + GOOD, b"ffff\r\n" + b" " * 0xFFFF + b"\r\nffff\r\n" + b" " * 9)
    )

    by_header = b"transfer-encoding: chunked\r\n" + lines({"x-webhook": STATIC})
    large = await wire.send(post(by_header, (b"ffff\r\n" + b" " * 0xFFFF + b"\r\n") * 17))

    for answer in (announced, streamed, large):
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer


async def test_a_client_that_hangs_up_disturbs_no_other(wire: Wire) -> None:
    async with await anyio.connect_tcp("127.0.0.1", wire.port) as stream:
        await stream.send(post(LENGTH + GOOD, BODY[:10]))

    assert (await wire.send(post(LENGTH + GOOD))).startswith(b"HTTP/1.1 202")
    assert wire.engine.webhooks == [[]]
