"""Brings a database to this version, one file after the other, and keeps the history in `leadhook.migrations`."""

import re
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple, Self

import psycopg
from psycopg.sql import SQL, Identifier

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, Report, connect, describe_error, fetch_all, fetch_one
from leadhook.install.files import Migration, split_statements
from leadhook.install.locks import TWO_MINUTES, Change, Patience, installer_lock
from leadhook.install.sequences import advance_sequences
from leadhook.install.sql import query
from leadhook.install.tables import advise, check_tables, describe_difference, footprint

_HISTORY_EXISTS: Final = b"select to_regclass('leadhook.migrations') is not null as there"
_CONCURRENT_INDEX = re.compile(
    r"create\s+index\s+concurrently\s+if\s+not\s+exists\s+(\w+)\s+on\s+(\w+)\.(\w+)\s+(.+)", re.IGNORECASE | re.DOTALL
)


async def migrate(
    database_url: str, migrations: Sequence[Migration], report: Report, patience: Patience = TWO_MINUTES
) -> None:
    """Apply what is pending and report what that did.

    Raises:
        CommandError: nothing was changed, or all files before the named one were; running it again continues.
    """
    async with connect(database_url) as connection, installer_lock(connection, report):
        await check_tables(connection)
        history = await read_history(connection)
        _refuse_changed(migrations, history)
        pending = [
            *[each for each in migrations if each.name in history and await _has_lost_its_index(connection, each)],
            *find_pending(migrations, history),
        ]
        before = await footprint(connection)
        change = Change(connection, database_url, patience, report)
        if not history:
            await _drop_obsolete_functions(change, migrations, is_installed=False)
        for count, migration in enumerate(pending, 1):
            started = perf_counter()
            await _apply(change, migration, pending[:count])
            report(f"{migration.name}  {(perf_counter() - started) * 1000:.0f} ms")
        if not _find_newer(migrations, history):
            await _drop_obsolete_functions(change, migrations, is_installed=True)
            if any(migration.repeatable for migration in migrations):
                await change.execute("rights of functions", "select leadhook.grant_functions()", kept="as they were")
        await advance_sequences(change)
        for line in [*describe_difference(before, await footprint(connection)), *await advise(connection)]:
            report(line)
        report(_summary(migrations, pending, history))
        await connection.execute("notify pgrst, 'reload schema'")


async def _apply(change: Change, migration: Migration, done: Sequence[Migration]) -> None:
    async def in_one_transaction() -> None:
        async with change.connection.transaction():
            await change.connection.execute(migration.sql.encode())
            await _record(change.connection, done)

    async def one_by_one() -> None:
        for statement in split_statements(migration.sql):
            if index := Index.read(statement):
                await _build(change.connection, index)
            else:
                await change.connection.execute(statement.encode())
        await _record(change.connection, done)

    if migration.in_transaction:
        kept = "nothing of this file was kept, the files before it were"
        await change.make(migration.name, in_one_transaction, kept=kept)
    else:
        await change.make(migration.name, one_by_one, kept="the statements before were kept")


async def _has_lost_its_index(connection: Connection, migration: Migration) -> bool:
    """Return True if an index that this file builds was dropped later or is invalid."""
    if migration.in_transaction:
        return False
    indexes = [index for statement in split_statements(migration.sql) if (index := Index.read(statement))]
    return not all([await _is_valid(connection, index) for index in indexes])


async def find_obsolete_functions(
    connection: Connection, migrations: Sequence[Migration], *, is_installed: bool
) -> list[dict[str, Any]]:
    """Find functions of an older version, and in `public` those with the name of a function and other parameters.

    PostgREST could not choose between two functions of one name. Before the first migration (`is_installed` false), any
    function with the name of one of ours: `create or replace` fails if its parameters have other names.
    """
    ours = sorted({function for migration in migrations for function in migration.functions})
    return await fetch_all(connection, query("obsolete_functions"), {"ours": ours, "is_installed": is_installed})


async def _drop_obsolete_functions(change: Change, migrations: Sequence[Migration], *, is_installed: bool) -> None:
    for row in await find_obsolete_functions(change.connection, migrations, is_installed=is_installed):
        try:
            await change.connection.execute(row["statement"].encode())
        except psycopg.Error as error:
            words = f"{row['words']} is in the way of leadhook's own function: {describe_error(error)}"
            raise CommandError(words) from error
        change.report(f"dropped {row['words']}, which was in the way of leadhook's own function")


def _summary(migrations: Sequence[Migration], pending: Sequence[Migration], history: dict[str, str]) -> str:
    if newer := _find_newer(migrations, history):
        return f"the database is newer than this leadhook: it has had {', '.join(newer)}"
    if pending:
        return f"{len(pending)} of {len(migrations)} migrations applied"
    return f"up to date: all {len(migrations)} migrations are applied"


async def read_history(connection: Connection) -> dict[str, str]:
    """The checksum of each file that was applied, by name; empty before the first migration."""
    if not (await fetch_one(connection, _HISTORY_EXISTS))["there"]:
        return {}
    rows = await fetch_all(connection, b"select name, sha256 from leadhook.migrations")
    return {row["name"]: row["sha256"] for row in rows}


async def _record(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Record the files with their checksums; the one that creates the history is recorded with those before it."""
    if not (await fetch_one(connection, _HISTORY_EXISTS))["there"]:
        return
    await connection.execute(
        """
        insert into leadhook.migrations (name, sha256)
        select * from unnest(%s::text[], %s::text[])
        on conflict (name) do update set sha256 = excluded.sha256, applied_at = excluded.applied_at
        where migrations.sha256 <> excluded.sha256
        """,
        ([migration.name for migration in migrations], [migration.sha256 for migration in migrations]),
    )


def find_pending(migrations: Sequence[Migration], history: dict[str, str]) -> list[Migration]:
    """The files to apply: versioned ones that are new, and repeatable ones that are new or changed.

    A database that is newer than this version keeps its functions.
    """
    versioned = [migration for migration in migrations if not migration.repeatable and migration.name not in history]
    if _find_newer(migrations, history):
        return versioned
    return versioned + [
        migration
        for migration in migrations
        if migration.repeatable and history.get(migration.name) != migration.sha256
    ]


def _find_newer(migrations: Sequence[Migration], history: dict[str, str]) -> list[str]:
    """The versioned files that were applied and that this version does not know."""
    known = {migration.name for migration in migrations}
    return sorted(name for name in history.keys() - known if not Migration(name, "").repeatable)


def _refuse_changed(migrations: Sequence[Migration], history: dict[str, str]) -> None:
    """A versioned file is final once it was applied."""
    changed = [
        migration.name
        for migration in migrations
        if not migration.repeatable and history.get(migration.name, migration.sha256) != migration.sha256
    ]
    if changed:
        raise CommandError(
            f"{', '.join(changed)}: not the text that was applied to this database, and nothing was changed. A file "
            "that was applied is not edited: restore it and write a new one (for a local stack, delete its directory)."
        )


class Index(NamedTuple):
    """An index as its statement describes it; `definition` is what follows the table's name."""

    name: str
    schema: str
    table: str
    definition: str

    @classmethod
    def read(cls, statement: str) -> Self | None:
        """The index that a statement builds concurrently; None for any other statement."""
        found = _CONCURRENT_INDEX.fullmatch(statement)
        return cls(*found.groups()) if found else None


async def _build(connection: Connection, index: Index) -> None:
    """Build the index, or what is missing of it; an invalid index that a failed build left behind is built again.

    A partitioned table takes no `concurrently`: its index is created empty, and the partitions' indexes are built one
    by one and attached to it. The last of them makes it valid. A partition created in the meantime starts with its
    index.
    """
    names = {"index": f"{index.schema}.{index.name}", "table": f"{index.schema}.{index.table}", "name": index.name}
    if (await fetch_one(connection, query("is_partitioned"), names))["exists"]:
        await _create(connection, index, _EMPTY)
        while row := await (await connection.execute(query("partition_without_index"), names)).fetchone():
            await _build_on_partition(connection, index, row)
        return
    if await _is_valid(connection, index) is False:
        await _drop(connection, index)
    await _create(connection, index)


async def _is_valid(connection: Connection, index: Index) -> bool | None:
    """None if there is no such index. A partitioned table's index is valid when every partition has its index."""
    found = await fetch_one(connection, query("index_state"), {"index": f"{index.schema}.{index.name}"})
    valid: bool | None = found["is_valid"]
    return valid


async def _build_on_partition(connection: Connection, index: Index, row: dict[str, Any]) -> None:
    part = Index(row["index_name"], row["schema_name"], row["table_name"], index.definition)
    if row["is_partitioned"]:
        await _create(connection, part, _EMPTY)
    else:
        if row["is_leftover"]:
            await _drop(connection, part)
        await _create(connection, part)
    attach = SQL("alter index {} attach partition {}")
    above = Identifier(row["above_schema"], row["above_name"])
    await connection.execute(attach.format(above, Identifier(part.schema, part.name)))


_BUILT: Final = "create index concurrently if not exists {} on {} "
_EMPTY: Final = "create index if not exists {} on only {} "


async def _create(connection: Connection, index: Index, statement: str = _BUILT) -> None:
    names = Identifier(index.name), Identifier(index.schema, index.table)
    start = statement.format(*(name.as_string(connection) for name in names))
    await connection.execute((start + index.definition).encode())


async def _drop(connection: Connection, index: Index) -> None:
    await connection.execute(SQL("drop index concurrently {}").format(Identifier(index.schema, index.name)))
