"""STAND-IN for pg_net's background worker: sends what net.http_post queued, as the real worker does.

It sends at most 200 requests at once, in one transaction with their responses, then pauses for a second; it never
retries. The first commit after the worker went to sleep wakes it immediately, even out of its pause; later commits wait
for the end of the pause.

Run it: `python -m leadhook.local.pgnet`, with DATABASE_URL naming the database, as superuser.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import uvloop
from multidict import CIMultiDict
from psycopg.types.json import Jsonb
from yarl import URL

VERSION = "0.20.4"
BATCH = 200
TTL = "6 hours"
PAUSE_S = 1.0
RESTART_S = 1.0

EXPIRE = """
with expired as (
  select ctid from net._http_response where created < now() - %(ttl)s::interval order by created limit %(batch)s
)
delete from net._http_response r using expired where r.ctid = expired.ctid"""
# The bytes of a body are those that net.http_post made of the jsonb.
TAKE = """
with batch as (select id from net.http_request_queue order by id limit %(batch)s)
delete from net.http_request_queue q using batch where q.id = batch.id
returning q.id, q.method::text, q.url, array(select array[key, value] from jsonb_each_text(q.headers)), q.body,
  q.timeout_milliseconds"""
RECORD = """
insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
values (%s, %s, %s, %s, %s, %s, %s)"""

log = logging.getLogger("pg_net stand-in")


class Wake:
    """The real worker's flag and latch: once the flag is set, no commit sets the latch until the flag is cleared."""

    def __init__(self) -> None:
        """Start awake, so that requests queued earlier are sent."""
        self._flag = True
        self._latch = asyncio.Event()

    def set(self) -> None:
        if not self._flag:
            self._flag = True
            self._latch.set()

    async def cleared(self) -> None:
        """Wait until the flag is set, and clear it."""
        while not self._flag:
            await self._latch.wait()
            self._latch.clear()
        self._flag = False

    async def pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._latch.wait(), seconds)
        self._latch.clear()


async def work(conninfo: str, *, pause_s: float = PAUSE_S) -> None:
    """Send what is queued in this database until cancelled.

    Like the real worker, it restarts after a second whenever the database refuses something: a connection, a lock, or a
    write while it is read-only. Each kind of error is logged once, until a batch succeeds.

    Args:
        pause_s: after each batch; shorten it for a test, never for a figure that is published.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, skip_auto_headers=["Accept-Encoding", "Content-Type"]
    ) as session:
        troubles: set[str] = set()
        while True:
            try:
                await _work_connected(conninfo, session, pause_s, troubles)
            except psycopg.Error as error:
                trouble = error.sqlstate or type(error).__name__
                if trouble not in troubles:
                    log.warning("stopped; retrying each second: %s", str(error).strip())
                troubles.add(trouble)
                await asyncio.sleep(RESTART_S)


async def _work_connected(conninfo: str, session: aiohttp.ClientSession, pause_s: float, troubles: set[str]) -> None:
    wake = Wake()
    async with _listening(conninfo, wake) as listener, await _connect(conninfo) as connection:
        sender = asyncio.create_task(_send_for_ever(connection, session, wake, pause_s, troubles))
        try:
            await asyncio.wait({listener, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sender.cancel()
            # An error of its last batch must not replace our own.
            await asyncio.gather(sender, return_exceptions=True)
        if not sender.cancelled():
            await sender
        await listener


async def _send_for_ever(
    connection: psycopg.AsyncConnection[Any],
    session: aiohttp.ClientSession,
    wake: Wake,
    pause_s: float,
    troubles: set[str],
) -> None:
    while True:
        await wake.cleared()
        busy = True
        while busy:
            busy = await _finished(send_batch(connection, session))
            if troubles:
                log.warning("working again")
                troubles.clear()
            await wake.pause(pause_s)


async def _finished(batch: Coroutine[Any, Any, bool]) -> bool:
    # As in the real worker, a shutdown waits for the batch: its requests are out, their responses must be recorded.
    task = asyncio.create_task(batch)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def send_batch(connection: psycopg.AsyncConnection[Any], session: aiohttp.ClientSession) -> bool:
    """Send up to 200 requests at once and record the responses, in one transaction; return whether there were any."""
    try:
        return await _send_batch(connection, session)
    except psycopg.errors.UndefinedTable:  # without the extension
        return False


async def _send_batch(connection: psycopg.AsyncConnection[Any], session: aiohttp.ClientSession) -> bool:
    async with connection.transaction():
        expired = await connection.execute(EXPIRE, {"ttl": TTL, "batch": BATCH})
        rows = await (await connection.execute(TAKE, {"batch": BATCH})).fetchall()
        responses = await asyncio.gather(*(send(session, QueuedRequest(*row)) for row in rows))
        if responses:
            await connection.cursor().executemany(RECORD, responses)
    return bool(rows) or expired.rowcount > 0


@asynccontextmanager
async def _listening(conninfo: str, wake: Wake) -> AsyncIterator[asyncio.Task[None]]:
    async with await _connect(conninfo) as connection:
        await connection.execute("listen pg_net")

        async def listen() -> None:
            async for _ in connection.notifies():
                wake.set()

        task = asyncio.create_task(listen())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, psycopg.Error):
                await task


async def _connect(conninfo: str) -> psycopg.AsyncConnection[Any]:
    # Cancelled half-way, psycopg would leave the connection open.
    connecting = asyncio.create_task(
        psycopg.AsyncConnection.connect(conninfo, autocommit=True, application_name=f"pg_net {VERSION}")
    )
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(psycopg.Error):
            await (await connecting).close()
        raise


@asynccontextmanager
async def working(conninfo: str, *, pause_s: float = PAUSE_S) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` during the block, and finish the last batch."""
    task = asyncio.create_task(work(conninfo, pause_s=pause_s))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass(frozen=True)
class QueuedRequest:
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
    """Return pg_net's message for a timeout; the stand-in cannot measure the parts."""
    return (
        f"Timeout of {request.timeout_milliseconds} ms reached. Total time: {total_ms:.6f} ms "
        f"(DNS time: 0.000000 ms, TCP/SSL handshake time: 0.000000 ms, HTTP Request/Response time: {total_ms:.6f} ms)"
    )


def error_words(error: Exception) -> str:
    """Return libcurl's message for this error."""
    words: tuple[tuple[type[Exception], str], ...] = (
        (aiohttp.ClientConnectorDNSError, "Couldn't resolve host name"),
        (aiohttp.ClientConnectorCertificateError, "SSL peer certificate or SSH remote key was not OK"),
        (aiohttp.ClientConnectorError, "Couldn't connect to server"),
        (aiohttp.ServerDisconnectedError, "Server returned nothing (no headers, no data)"),
        (aiohttp.TooManyRedirects, "Number of redirects hit maximum amount"),
        (ValueError, "URL using bad/illegal format or missing URL"),
    )
    return next((said for kind, said in words if isinstance(error, kind)), "Failure when receiving data from the peer")


async def serve(conninfo: str) -> None:
    async with working(conninfo) as task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait({task})


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    uvloop.run(serve(os.environ["DATABASE_URL"]))
