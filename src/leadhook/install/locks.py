"""Changes tables in use: one installer at a time, waiting at most a second for a lock, retrying, naming what blocks."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, Report, describe_error, fetch_one, open_connection
from leadhook.install.sql import query

# Listed with the other advisory locks in migrations/functions/helpers.sql.
_TRY_LOCK: Final = b"select pg_try_advisory_lock(727201, 4) as got"
_UNLOCK: Final = b"select pg_advisory_unlock(727201, 4)"
_POLL_S: Final = 0.2
_OTHER_INSTALLER_S: Final = 600
_QUERY_SHOWN: Final = 200


@asynccontextmanager
async def installer_lock(connection: Connection, report: Report) -> AsyncIterator[None]:
    """Hold the installer's advisory lock of this database.

    The lock is polled, never waited for: a waiting statement has a snapshot, and `create index concurrently` in the
    process that holds the lock would wait for that snapshot.

    Raises:
        CommandError: another installer was running for ten minutes.
    """
    give_up_at: float | None = None
    while not (await fetch_one(connection, _TRY_LOCK))["got"]:
        if give_up_at is None:
            give_up_at = monotonic() + _OTHER_INSTALLER_S
            report("another leadhook is changing this database; waiting for it")
        if monotonic() >= give_up_at:
            raise CommandError(
                f"another leadhook has been changing this database for {_OTHER_INSTALLER_S} s; this one changed nothing"
            )
        await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute(_UNLOCK)


@dataclass(frozen=True)
class Patience:
    """How long to retry a change."""

    total_s: float = 120
    """From the first failure until giving up."""
    pause_s: float = 2
    """Between two tries; up to half of it is added at random."""


TWO_MINUTES: Final = Patience()


@dataclass
class Change:
    """Makes changes, each retried while another session's lock blocks it."""

    connection: Connection
    """Its `lock_timeout` is a second."""
    database_url: str
    """For a second connection that looks for the blocking session."""
    patience: Patience
    report: Report
    blocker: str = "a lock whose holder is not visible"

    async def make(self, what: str, work: Callable[[], Awaitable[object]], *, kept: str) -> None:
        """Call `work` until no lock blocks it; messages name `what`, and say what is `kept` if it fails.

        Raises:
            CommandError: the database refused, or the lock was held the whole time; names the query and its pid.
        """
        try:
            await self._retry(what, work)
        except psycopg.Error as error:
            raise CommandError(f"{what}: {describe_error(error)} ({kept}; run it again)") from error

    async def execute(self, what: str, statements: str, *, kept: str) -> None:
        """Make a change that consists of SQL statements, in one transaction."""

        async def work() -> None:
            async with self.connection.transaction():
                await self.connection.execute(statements.encode())

        await self.make(what, work, kept=kept)

    async def _retry(self, what: str, work: Callable[[], Awaitable[object]]) -> object:
        give_up_at: float | None = None
        async with AsyncExitStack() as stack:
            while True:
                try:
                    return await work()
                except (LockNotAvailable, DeadlockDetected):
                    if give_up_at is None:
                        give_up_at = monotonic() + self.patience.total_s
                        self.report(f"{what}: waiting for a lock")
                        await stack.enter_async_context(self._looking())
                    if monotonic() >= give_up_at:
                        raise CommandError(
                            f"{what}: gave up after {self.patience.total_s:.0f} s; blocked by {self.blocker}"
                        ) from None
                    await asyncio.sleep(self.patience.pause_s * random.uniform(1, 1.5))  # noqa: S311 - jitter, not a secret

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """Look for the blocking session while the block runs; if that fails, none is named."""
        pid = (await fetch_one(self.connection, b"select pg_backend_pid() as pid"))["pid"]
        looking = asyncio.create_task(self._look(pid))
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError, psycopg.Error, CommandError):
                await looking

    async def _look(self, pid: int) -> None:
        async with await open_connection(self.database_url) as witness:
            while True:
                row = await (await witness.execute(query("blocker"), {"pid": pid})).fetchone()
                if row is not None:
                    self.blocker = _describe_session(row)
                await asyncio.sleep(_POLL_S)


def _describe_session(row: Mapping[str, Any]) -> str:
    text = " ".join(row["query"].split())[:_QUERY_SHOWN]
    return f"pid {row['pid']} ({row['who']}, {row['state']}, for {row['seconds']:.0f} s): {text}"
