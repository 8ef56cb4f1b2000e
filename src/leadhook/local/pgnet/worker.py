"""The worker: listens, takes a batch, sends it, records it, pauses."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from leadhook.local.pgnet.sending import VERSION, QueuedRequest, send
from leadhook.local.pgnet.wake import Wake

BATCH = 200
TTL = "6 hours"
PAUSE_S = 1.0
RESTART_S = 1.0

EXPIRE, TAKE, RECORD = ((Path(__file__).parent / f"{name}.sql").read_bytes() for name in ("expire", "take", "record"))

log = logging.getLogger("pg_net stand-in")


async def work(conninfo: str, *, pause_s: float = PAUSE_S) -> None:
    """Send what is queued in this database until cancelled.

    As the real worker it begins anew after a second, whatever the database refuses: a connection, a lock, or a write
    while it is read-only. Each kind of trouble is told once, until a batch succeeds.

    Args:
        conninfo: as superuser.
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
                    log.warning("stopped; tries again each second until it works: %s", str(error).strip())
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
            # Whatever its last batch comes to must not take the place of our own end.
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
                log.warning("at work again")
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
    """Send up to 200 requests at once and record what came back, in one transaction.

    Returns:
        Whether there was anything to do; without the extension there is not.
    """
    try:
        return await _send_batch(connection, session)
    except psycopg.errors.UndefinedTable:
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
    """`work` while the block runs; the last batch is finished."""
    task = asyncio.create_task(work(conninfo, pause_s=pause_s))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
