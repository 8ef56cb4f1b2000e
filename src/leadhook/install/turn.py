"""Serializes installers: only one changes a database at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, fetch_one
from leadhook.install.patience import Tell

# Listed with the other advisory locks in the migration that makes the schema.
_TRY_LOCK = b"select pg_try_advisory_lock(727201, 4) as got"
_UNLOCK = b"select pg_advisory_unlock(727201, 4)"
_LOOK_EACH_S = 0.2
_WAIT_S = 600


@asynccontextmanager
async def take_turn(connection: Connection, tell: Tell) -> AsyncIterator[None]:
    """Hold the installer's advisory lock of this database.

    The lock is polled, never waited for: a waiting statement has a snapshot, and `create index concurrently` in the
    process that holds the lock would wait for that snapshot.

    Raises:
        CommandError: another installer was running for ten minutes.
    """
    give_up_at: float | None = None
    while not (await fetch_one(connection, _TRY_LOCK))["got"]:
        if give_up_at is None:
            give_up_at = monotonic() + _WAIT_S
            tell("another leadhook is changing this database; waiting for it")
        if monotonic() >= give_up_at:
            raise CommandError(
                f"another leadhook has been changing this database for {_WAIT_S} s; this one changed nothing"
            )
        await asyncio.sleep(_LOOK_EACH_S)
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute(_UNLOCK)
