"""One request of the queue, from the row to the row of its response."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from psycopg.types.json import Jsonb
from yarl import URL

VERSION = "0.20.4"


@dataclass(frozen=True)
class QueuedRequest:
    """A row of net.http_request_queue."""

    id: int
    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    timeout_milliseconds: int


async def send(session: aiohttp.ClientSession, request: QueuedRequest) -> tuple[object, ...]:
    """Send one request, following redirects; returns the values of its row in net._http_response, never raises."""
    headers = CIMultiDict((name, value) for name, value in request.headers)
    headers.add("User-Agent", f"pg_net/{VERSION}")
    started = time.perf_counter()
    try:
        async with session.request(
            request.method.upper(),
            URL(request.url, encoded=True),
            headers=headers,
            data=request.body,
            timeout=aiohttp.ClientTimeout(total=request.timeout_milliseconds / 1000),
        ) as response:
            body = await response.read()
    except TimeoutError:
        return request.id, None, None, None, None, True, timeout_words(request, (time.perf_counter() - started) * 1000)
    except (aiohttp.ClientError, ValueError, OSError) as error:
        return request.id, None, None, None, None, False, error_words(error)
    content = body.decode(errors="replace").partition("\0")[0] or None
    kept = {name: value.replace("\0", "") for name, value in response.headers.items()}
    return request.id, response.status, response.headers.get("Content-Type"), Jsonb(kept), content, False, None


def timeout_words(request: QueuedRequest, total_ms: float) -> str:
    """What pg_net writes when a request took too long; the stand-in cannot tell its parts from one another."""
    return (
        f"Timeout of {request.timeout_milliseconds} ms reached. Total time: {total_ms:.6f} ms "
        f"(DNS time: 0.000000 ms, TCP/SSL handshake time: 0.000000 ms, HTTP Request/Response time: {total_ms:.6f} ms)"
    )


def error_words(error: Exception) -> str:
    """What libcurl would say."""
    words: tuple[tuple[type[Exception], str], ...] = (
        (aiohttp.ClientConnectorDNSError, "Couldn't resolve host name"),
        (aiohttp.ClientConnectorCertificateError, "SSL peer certificate or SSH remote key was not OK"),
        (aiohttp.ClientConnectorError, "Couldn't connect to server"),
        (aiohttp.ServerDisconnectedError, "Server returned nothing (no headers, no data)"),
        (aiohttp.TooManyRedirects, "Number of redirects hit maximum amount"),
        (ValueError, "URL using bad/illegal format or missing URL"),
    )
    return next((said for kind, said in words if isinstance(error, kind)), "Failure when receiving data from the peer")
