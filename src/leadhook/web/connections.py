"""Listens, and bounds what strangers can keep open: the time for a request, and the number of connections."""

import os
import resource
import socket
from asyncio import TimerHandle, Transport, get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address
from typing import Any, Final, Literal

import structlog
import uvicorn
from prometheus_client import make_asgi_app
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from leadhook.observability.events import Event
from leadhook.observability.metrics import REGISTRY

HEADERS_S: Final = 10.0
"""From the begin of a connection, or from the last answer, to the end of the next headers."""
BODY_S: Final = 30.0
"""From the headers to the end of the body. A signed webhook has 64 KiB at most."""
READ_S: Final = 30.0
"""How long a client may refuse to read an answer."""
LARGEST_HEADERS: Final = 64 * 1024
"""In bytes, and as much after the body. httptools has no limit."""
MOST_PIPELINED: Final = 16
"""Requests that wait for the answers before theirs. httptools parses all that it is given: thousands in one packet."""
MOST_CONNECTIONS: Final = 6000
"""About 5 kB each while they are idle."""
RESERVED_FILES: Final = 200
"""For the database, the log and the metrics; model calls need one more each."""
MOST_SCRAPES: Final = 20

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection, which is closed when its client is too slow, or the slowest of too many.

    uvicorn limits only the time between two requests, and answers 503 to everyone when there are too many connections.
    An honest client sends a whole request within milliseconds, so the one that has waited longest makes room.
    """

    _watched: Literal["headers", "body", "read"] | None = None
    _timer: TimerHandle | None = None
    _in_body = False
    _unfinished = 0
    """Bytes since the last complete headers, or since the last piece of a body."""

    def __init__(self, *arguments: Any, slow: dict["BoundedConnection", None], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._slow: Final = slow
        """The connections whose clients the server waits for, the longest first."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Accept a connection, and close another one if there are too many."""
        super().connection_made(transport)
        self._watch()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            next(iter(self._slow)).drop()

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > LARGEST_HEADERS and not self.transport.is_closing():
            self.send_400_response("The headers are too large.")
        self._watch()

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait."""
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many pipelined requests")  # httptools stops, and uvicorn closes the connection
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._unfinished = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._set_deadline(None)

    def drop(self) -> None:
        """Close the connection, whatever was not sent yet."""
        self._set_deadline(None)
        self.connections.discard(self)
        self.transport.abort()

    def _watch(self) -> None:
        """Start the deadline for whatever the server now waits for; more bytes of the same do not extend it."""
        waits_for = self._waits_for()
        if waits_for != self._watched:
            self._watched = waits_for
            self._set_deadline({"headers": HEADERS_S, "body": BODY_S, "read": READ_S, None: None}[waits_for])

    def _waits_for(self) -> Literal["headers", "body", "read"] | None:
        if self.flow.write_paused:
            return "read"
        if self._in_body:
            return "body"
        has_answered = self.cycle is None or self.cycle.response_complete
        return "headers" if has_answered else None

    def _set_deadline(self, after_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if after_s is None else self.loop.call_later(after_s, self.drop)
        self._slow.pop(self, None)
        if after_s is not None:
            self._slow[self] = None


def bounded(app: Any, most_connections: int = MOST_CONNECTIONS, **more: Any) -> uvicorn.Config:
    """Configure uvicorn for an ASGI application, without its logging."""
    return uvicorn.Config(
        app,
        http=partial(BoundedConnection, slow={}),  # type: ignore[arg-type]  # uvicorn calls it as it would the class
        limit_concurrency=most_connections,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **more,
    )


def raise_file_limit(max_concurrency: int) -> int:
    """Allow as many files as the system does; return how many connections leave enough for database and model."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS refuses what it calls infinity
            pass
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(RESERVED_FILES // 4, min(MOST_CONNECTIONS, soft - RESERVED_FILES - max_concurrency))


def open_socket(host: str, port: int) -> socket.socket:
    """Listen; `::` also accepts IPv4.

    Raises:
        OSError: the address is in use, or not this machine's.
        ValueError: the host is no name.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family == socket.AF_INET6 and IPv6Address(host).is_unspecified and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)


@asynccontextmanager
async def serving_metrics(host: str, port: int | None) -> AsyncIterator[str | None]:
    """Answer `GET /metrics` until the block ends, on a separate port that need not be public.

    Yields:
        A sentence for /ready if the port could not be bound; the service then runs without metrics.
    """
    if port is None:
        yield None
        return
    try:
        listener = open_socket(host, port)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number else type(error).__name__
        log.error(Event.METRICS_FAILED, host=host, port=port, reason=why)  # noqa: TRY400 - no defect
        yield f"There are no metrics: METRICS_PORT {port} on {host} can't be opened: {why}."
        return
    config, state = bounded(make_asgi_app(REGISTRY), MOST_SCRAPES, lifespan="off"), ServerState()
    slow: dict[BoundedConnection, None] = {}
    server = await get_running_loop().create_server(
        lambda: BoundedConnection(config, state, {}, slow=slow), sock=listener
    )
    log.info(Event.METRICS_LISTENING, host=host, port=listener.getsockname()[1])
    try:
        yield None
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
