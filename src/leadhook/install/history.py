"""What `leadhook.migrations` remembers: which files this database has had, and with which text."""

from collections.abc import Sequence

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, fetch_one
from leadhook.install.files import Migration

_EXISTS = b"select to_regclass('leadhook.migrations') is not null as there"


async def read_history(connection: Connection) -> dict[str, str]:
    """The checksum of each file that was applied, by name; empty before the first migration."""
    if not (await fetch_one(connection, _EXISTS))["there"]:
        return {}
    rows = await (await connection.execute("select name, sha256 from leadhook.migrations")).fetchall()
    return {row["name"]: row["sha256"] for row in rows}


async def remember(connection: Connection, migrations: Sequence[Migration]) -> None:
    """Records the files and their checksums; those before the one that makes the history are recorded with it."""
    if not (await fetch_one(connection, _EXISTS))["there"]:
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

    A database that is ahead of this version keeps its functions.
    """
    versioned = [migration for migration in migrations if not migration.repeatable and migration.name not in history]
    if find_newer(migrations, history):
        return versioned
    return versioned + [
        migration
        for migration in migrations
        if migration.repeatable and history.get(migration.name) != migration.sha256
    ]


def find_newer(migrations: Sequence[Migration], history: dict[str, str]) -> list[str]:
    """The versioned files that the database has had and this version does not know."""
    known = {migration.name for migration in migrations}
    return sorted(name for name in history.keys() - known if not Migration(name, "").repeatable)


def refuse_changed(migrations: Sequence[Migration], history: dict[str, str]) -> None:
    """A versioned file is final once it was applied.

    Raises:
        CommandError: names the files whose text is another one now.
    """
    changed = [
        migration.name
        for migration in migrations
        if not migration.repeatable and history.get(migration.name, migration.sha256) != migration.sha256
    ]
    if changed:
        raise CommandError(
            f"{', '.join(changed)}: not the text that was applied to this database, and nothing was changed. What "
            "was applied is not edited: restore the file and write a new one (a local stack is thrown away with its "
            "directory)."
        )
