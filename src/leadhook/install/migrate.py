"""Brings a database to this version, one file after the other."""

import re
from collections.abc import Sequence
from time import perf_counter

import psycopg

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, connect, say
from leadhook.install.files import Migration
from leadhook.install.history import find_newer, find_pending, read_history, refuse_changed, remember
from leadhook.install.indexes import Index, build_index, is_built
from leadhook.install.patience import TWO_MINUTES, Change, Patience, Tell
from leadhook.install.sequences import put_right
from leadhook.install.sql import question
from leadhook.install.statements import split
from leadhook.install.tables import advise, check_tables, describe_difference, footprint
from leadhook.install.turn import take_turn

_OURS = re.compile(r"^revoke all on function ((?:leadhook\.|public\.leadhook_)\w+\([^)]*\)) from public", re.MULTILINE)
"""Each of our functions, by the revoke that stands under it."""


async def migrate(
    database_url: str, migrations: Sequence[Migration], tell: Tell, patience: Patience = TWO_MINUTES
) -> None:
    """Applies what the database has not had yet, and tells what that did.

    Raises:
        CommandError: nothing was changed, or all files before the named one were; a repetition goes on from there.
    """
    async with connect(database_url) as connection, take_turn(connection, tell):
        await check_tables(connection)
        history = await read_history(connection)
        refuse_changed(migrations, history)
        pending = [
            *[each for each in migrations if each.name in history and await _has_lost_its_index(connection, each)],
            *find_pending(migrations, history),
        ]
        before = await footprint(connection)
        change = Change(connection, database_url, patience, tell)
        for count, migration in enumerate(pending, 1):
            started = perf_counter()
            await _apply(change, migration, pending[:count])
            tell(f"{migration.name}  {(perf_counter() - started) * 1000:.0f} ms")
        if not find_newer(migrations, history):
            await _drop_strangers(change, migrations)
        await put_right(change)
        for line in [*describe_difference(before, await footprint(connection)), *await advise(connection)]:
            tell(line)
        tell(_summary(migrations, pending, history))
        await connection.execute("notify pgrst, 'reload schema'")


async def _apply(change: Change, migration: Migration, done: Sequence[Migration]) -> None:
    async def in_one_transaction() -> None:
        async with change.connection.transaction():
            await change.connection.execute(migration.sql.encode())
            await remember(change.connection, done)

    async def one_by_one() -> None:
        for statement in split(migration.sql):
            if index := Index.read(statement):
                await build_index(change.connection, index)
            else:
                await change.connection.execute(statement.encode())
        await remember(change.connection, done)

    try:
        await change.make(migration.name, in_one_transaction if migration.in_transaction else one_by_one)
    except psycopg.Error as error:
        kept = "nothing of this file was kept" if migration.in_transaction else "the statements before were kept"
        raise CommandError(
            f"{migration.name}: {say(error)} ({kept}, and so were the files before it; run it again)"
        ) from error


async def _has_lost_its_index(connection: Connection, migration: Migration) -> bool:
    """Whether an index that this file builds has been dropped since, or is invalid."""
    if migration.in_transaction:
        return False
    indexes = [index for statement in split(migration.sql) if (index := Index.read(statement))]
    return not all([await is_built(connection, index) for index in indexes])


async def _drop_strangers(change: Change, migrations: Sequence[Migration]) -> None:
    """Functions of an older version, and in `public` those with the name of one of ours and other parameters.

    PostgREST could not choose between two functions of one name.
    """
    ours = sorted({signature for migration in migrations for signature in _OURS.findall(migration.sql)})
    rows = await change.connection.execute(question("strangers"), {"ours": ours})
    for row in await rows.fetchall():
        try:
            await change.connection.execute(row["statement"].encode())
        except psycopg.Error as error:
            raise CommandError(f"{row['words']} is in the way of leadhook's own function: {say(error)}") from error
        change.tell(f"dropped {row['words']}, which was in the way of leadhook's own function")


def _summary(migrations: Sequence[Migration], pending: Sequence[Migration], history: dict[str, str]) -> str:
    if newer := find_newer(migrations, history):
        return f"the database is newer than this leadhook: it has had {', '.join(newer)}"
    if pending:
        return f"{len(pending)} of {len(migrations)} migrations applied"
    return f"up to date: all {len(migrations)} migrations are applied"
