"""Changes tables in use: never waits longer than a second for a lock, retries, and reports what blocks it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, connect_as_witness, fetch_one
from leadhook.install.sql import question

Tell = Callable[[str], None]

_QUERY_SHOWN = 200
_LOOK_EACH_S = 0.2


@dataclass(frozen=True)
class Patience:
    """How long to retry a change.

    Attributes:
        total_s: time from the first failure until giving up.
        pause_s: time between two tries; up to half of it is added at random.
    """

    total_s: float = 120
    pause_s: float = 2


TWO_MINUTES = Patience()


@dataclass
class Change:
    """A change that is retried while another session's lock blocks it.

    Attributes:
        connection: the connection for the change; its `lock_timeout` is a second.
        database_url: for a second connection that looks for the blocking session.
        patience: how long to retry.
        tell: reports progress.
    """

    connection: Connection
    database_url: str
    patience: Patience
    tell: Tell
    blocker: str = "a lock whose holder is not visible"

    async def make(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Call `work` until no lock blocks it.

        Raises:
            CommandError: the lock was held the whole time; names the query and its pid.
        """
        give_up_at: float | None = None
        async with AsyncExitStack() as stack:
            while True:
                try:
                    return await work()
                except (LockNotAvailable, DeadlockDetected):
                    if give_up_at is None:
                        give_up_at = monotonic() + self.patience.total_s
                        self.tell(f"{what}: waiting for a lock")
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
        async with connect_as_witness(self.database_url) as witness:
            while True:
                row = await (await witness.execute(question("blocker"), {"pid": pid})).fetchone()
                if row is not None:
                    self.blocker = _describe(row)
                await asyncio.sleep(_LOOK_EACH_S)


def _describe(row: Mapping[str, Any]) -> str:
    query = " ".join(row["query"].split())[:_QUERY_SHOWN]
    return f"pid {row['pid']} ({row['who']}, {row['state']}, for {row['seconds']:.0f} s): {query}"
