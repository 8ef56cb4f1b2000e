"""The real supabase client against a server that answers with bytes on order."""

import json
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import anyio
import anyio.abc
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from leadhook.domain.job import Batch, ClaimRequest, Release, Timings
from leadhook.domain.results import Usage
from leadhook.observability.redaction import redactor
from leadhook.store import StoreError, SupabaseStore, open_store
from leadhook.store.transport import transport_errors

KEY = "visibly-fake-key"


Answer = Callable[[SocketStream], Awaitable[None]]


@dataclass
class Server:
    answer: Answer
    requests: list[tuple[str, Any]] = field(default_factory=list)

    async def serve(self, stream: SocketStream) -> None:
        """One request a connection."""
        async with stream:
            buffered = BufferedByteReceiveStream(stream)
            head = (await buffered.receive_until(b"\r\n\r\n", 65536)).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            assert length
            self.requests.append((head, json.loads(await buffered.receive_exactly(int(length[1])))))
            with suppress(anyio.BrokenResourceError):
                await self.answer(stream)


def http(status: int, body: str, content_type: str = "application/json", encoding: str = "identity") -> Answer:
    async def answer(stream: SocketStream) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body.encode())}\r\n"
        await stream.send(f"{head}Content-Encoding: {encoding}\r\nConnection: close\r\n\r\n{body}".encode())

    return answer


async def hang_up(stream: SocketStream) -> None:
    """No answer at all."""


async def trickle(stream: SocketStream) -> None:
    """A byte occasionally, so that no single read takes long."""
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        await stream.send(b" ")
        await anyio.sleep(0.02)


@asynccontextmanager
async def asked(server: Server, timeout_s: float = 30) -> AsyncIterator[SupabaseStore]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
        async with open_store(f"http://127.0.0.1:{port}", KEY, timeout_s=timeout_s) as store:
            yield store
        tasks.cancel_scope.cancel()


async def claim(store: SupabaseStore) -> Batch:
    token = UUID("00000000-0000-0000-0000-000000000001")
    return await store.claim(
        ClaimRequest(worker="w", token=token, limit=4, low_priority_limit=3, hints=("a\x00", "\ud800"), source="start")
    )


async def test_claim_names_its_arguments_and_carries_the_key() -> None:
    """As PostgREST and the gateway want them; NULs and lone surrogates are cleaned."""
    server = Server(http(200, '{"has_more": true}'))
    async with asked(server) as store:
        batch = await claim(store)
    head, sent = server.requests[0]
    assert batch.has_more
    assert head.startswith("POST /rest/v1/rpc/leadhook_claim ")
    assert f"apikey: {KEY}" in head.replace("apiKey", "apikey")
    assert f"Bearer {KEY}" in head
    assert sent == {
        "p_token": "00000000-0000-0000-0000-000000000001",
        "p_worker": "w",
        "p_limit": 4,
        "p_low_priority_limit": 3,
        "p_after_user": None,
        "p_hints": ["a", "\ufffd"],
        "p_source": "start",
        "p_price": {},
        "p_model": None,
        "p_probe": False,
    }


async def test_release_sends_what_the_database_reads() -> None:
    server = Server(http(200, '{"leases": [{"lead_id": "a", "fence": 1, "outcome": "released"}], "next_due_ms": 250}'))
    release = Release(
        lead_id="a",
        fence=1,
        outcome="retry",
        error_code="x",
        reason="y\x00",
        delay_ms=5,
        usage=Usage(),
        timing=Timings(),
    )
    async with asked(server) as store:
        replies = await store.release("w", [release])
    _, sent = server.requests[0]
    assert (replies.leases[0].outcome, replies.next_due_ms) == ("released", 250)
    assert sent["p_releases"][0] | {"usage": 0} == {
        "lead_id": "a",
        "fence": 1,
        "token": None,
        "outcome": "retry",
        "error_code": "x",
        "reason": "y",
        "delay_ms": 5,
        "checkpoint": None,
        "key_fingerprint": None,
        "usage": 0,
        "failing": False,
        "decide_after_ms": None,
        "cost_usd": None,
        "timing": {"first_call_ms": None, "key_wait_ms": 0, "model_ms": 0},
    }


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (http(404, '{"code": "PGRST202", "message": "no function"}'), "misconfigured", "PGRST202"),
        (http(401, '{"message": "Invalid API key"}'), "misconfigured", "key_refused"),
        (http(500, '{"code": "57014", "message": "canceling statement"}'), "unavailable", "57014"),
        (http(400, '{"code": "PT400", "message": "bad"}'), "caller_bug", "PT400"),
        (http(502, "<html>bad gateway</html>", "text/html"), "unavailable", "http_502"),
        (http(200, "<html>log in to the wifi</html>", "text/html"), "unavailable", "not_json"),
        pytest.param(http(200, '[{"has_more": true}]'), "unavailable", "not_json", id="a list"),
        pytest.param(http(200, '{"leads": [{}]}'), "misconfigured", "reply_not_understood", id="no prompts"),
        (http(200, '{"has_more": "perhaps"}'), "misconfigured", "reply_not_understood"),
        (http(307, "", "text/plain"), "misconfigured", "not_supabase"),
        pytest.param(http(500, "no gzip", encoding="gzip"), "unavailable", "not_json", id="refusal, no gzip"),
        pytest.param(http(200, "no zstd", encoding="zstd"), "unavailable", "not_json", id="reply, no zstd"),
        pytest.param(
            http(500, "{}", "application/json; charset=hex"), "unavailable", "http_500", id="charset of bytes"
        ),
        pytest.param(
            http(503, "{}", "application/json; charset=undefined"), "unavailable", "http_503", id="charset of nothing"
        ),
        pytest.param(http(500, "[" * 100_000), "unavailable", "http_500", id="nested"),
        (hang_up, "unavailable", "disconnected"),
        (trickle, "unavailable", "timeout"),
    ],
)
async def test_every_failure_is_a_store_error(answer: Answer, kind: str, code: str) -> None:
    """Whatever comes over the wire; and its text holds no key."""
    async with asked(Server(answer), timeout_s=0.5 if answer is trickle else 30) as store:
        with pytest.raises(StoreError) as caught:
            await claim(store)
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert KEY not in str(caught.value)


async def test_refused_connection_is_a_store_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with open_store(f"http://127.0.0.1:{unused.getsockname()[1]}", KEY) as store:
            with pytest.raises(StoreError) as caught:
                await store.status()
    assert (caught.value.kind, caught.value.code) == ("unavailable", "unreachable")
    assert "(connection refused): check the address" in caught.value.reason


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN])
async def test_a_name_that_dns_does_not_know_may_be_a_paused_project(code: int) -> None:
    """Supabase removes the name of a project that is paused; some resolvers say that as "try again"."""
    key = ConnectionKey(
        "abc.supabase.co", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    unknown = aiohttp.ClientConnectorDNSError(key, socket.gaierror(code, "Name or service not known"))
    with pytest.raises(StoreError) as caught, transport_errors("leadhook_claim", 1):
        raise httpx.ConnectTimeout("") from unknown
    assert (caught.value.kind, caught.value.code) == ("unavailable", "host_unknown")
    assert all(words in caught.value.reason for words in ("SUPABASE_URL", "paused", "leads wait"))


async def test_reply_that_is_not_understood_does_not_quote_it() -> None:
    """It may hold keys and leads."""
    server = Server(http(200, '{"keys": [{"fingerprint": "f", "api_key": ["a secret"]}]}'))
    async with asked(server) as store:
        with pytest.raises(StoreError) as caught:
            await claim(store)
    assert "keys.0.api_key" in caught.value.reason
    assert "a secret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_the_keys_of_a_claim_are_hidden_in_the_log() -> None:
    key = secrets.token_hex(16)
    server = Server(http(200, json.dumps({"keys": [{"fingerprint": "f", "api_key": key}]})))
    async with asked(server) as store:
        await claim(store)

    assert key not in redactor.text(f"sent {key}")
