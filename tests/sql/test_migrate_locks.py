"""The installer waits for the application, and never the other way round for longer than a second."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import LiteralString

import psycopg
import pytest
from tests.conftest import PATIENCE_S, silent
from tests.support.databases import connect_async

from leadhook.command_error import CommandError
from leadhook.install.files import Migration, read_migrations
from leadhook.install.locks import Patience
from leadhook.install.migrate import migrate
from leadhook.local.database import Database

EVERY = read_migrations()
ENOUGH = Patience(total_s=PATIENCE_S, pause_s=0.1)
CHANGE = Migration("20991231235900_one_more.sql", "alter table public.all_leads add note text")


@contextmanager
def busy_application(database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the application that has written to all_leads and is still open."""
    with database.connect(autocommit=False) as connection:
        connection.execute("set application_name = 'nightly import'")
        connection.execute("update public.all_leads set scrapped = true")
        yield connection


async def test_migrate_gives_up_and_names_the_query_in_its_way(database: Database) -> None:
    """It names the session to look at."""
    with busy_application(database) as application:
        said: list[str] = []
        pid = application.info.backend_pid
        with pytest.raises(CommandError) as caught:
            await migrate(database.conninfo, [*EVERY, CHANGE], said.append, Patience(total_s=2.5, pause_s=0.1))
    assert f"{CHANGE.name}: waiting for a lock" in said
    assert f"blocked by pid {pid} (nightly import, idle in transaction, for" in str(caught.value)
    assert str(caught.value).endswith("update public.all_leads set scrapped = true")


async def test_migrate_goes_on_when_the_lock_is_gone(database: Database) -> None:
    """A lock in its way is not an error while there is patience."""
    waiting = asyncio.Event()

    def report(line: str) -> None:
        if "waiting for a lock" in line:
            waiting.set()

    with busy_application(database) as application:
        task = asyncio.create_task(migrate(database.conninfo, [*EVERY, CHANGE], report, ENOUGH))
        async with asyncio.timeout(PATIENCE_S):
            await waiting.wait()
        application.commit()
        async with asyncio.timeout(PATIENCE_S):
            await task
    with database.connect() as connection:
        assert connection.execute("select 1 from leadhook.migrations where name = %s", (CHANGE.name,)).fetchone()


async def test_a_waiting_migrate_blocks_others_only_briefly(database: Database) -> None:
    """Writers queue behind a lock that is waited for: a second at most, as the installer steps back."""
    with busy_application(database):
        task = asyncio.create_task(migrate(database.conninfo, [*EVERY, CHANGE], silent, Patience(3, 0.5)))
        writer = await connect_async(database)
        longest = 0.0
        while not task.done():
            started = monotonic()
            await writer.execute("insert into public.all_leads values (gen_random_uuid(), gen_random_uuid(), 't')")
            longest = max(longest, monotonic() - started)
            await asyncio.sleep(0.01)
        await writer.close()
        with pytest.raises(CommandError, match="gave up"):
            await task
    assert 0.2 < longest < 4


async def test_migrate_builds_an_index_again_whose_build_failed(database: Database) -> None:
    """What a failed `create index concurrently` leaves behind is invalid, and `if not exists` would keep it."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute("update pg_index set indisvalid = false where indexrelid = 'public.leadhook_unsent'::regclass")
    await migrate(database.conninfo, EVERY, silent)
    with database.connect() as connection:
        valid = "select indisvalid from pg_index where indexrelid = 'public.leadhook_unsent'::regclass"
        assert connection.execute(valid).fetchone() == (True,)


@pytest.mark.parametrize(
    "lost",
    [
        "drop index public.leadhook_unsent",
        "update pg_index set indisvalid = false where indexrelid = 'public.leadhook_unsent'::regclass",
    ],
)
async def test_migrate_builds_an_index_that_was_lost_after_the_migration(
    database: Database, lost: LiteralString
) -> None:
    """The file stands in the history; doctor says to run `leadhook migrate`, and it helps."""
    await migrate(database.conninfo, EVERY, silent)
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute(lost)
    await migrate(database.conninfo, EVERY, silent)
    with database.connect() as connection:
        valid = "select indisvalid from pg_index where indexrelid = 'public.leadhook_unsent'::regclass"
        assert connection.execute(valid).fetchone() == (True,)


async def test_migrate_waits_for_a_reader_that_an_index_has_to_wait_for(database: Database) -> None:
    """`create index concurrently` waits for older snapshots. Giving up names the reader; the next run fixes it."""
    with database.connect() as connection:
        connection.execute("drop index public.leadhook_unsent")
    with database.connect(autocommit=False) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from public.prompts")
        with pytest.raises(
            CommandError, match=f"unsent_index.sql: gave up after 2 s; blocked by pid {reader.info.backend_pid} "
        ):
            await migrate(database.conninfo, EVERY, silent, Patience(total_s=2.5, pause_s=0.1))
    await migrate(database.conninfo, EVERY, silent)
    with database.connect() as connection:
        valid = "select indisvalid from pg_index where indexrelid = 'public.leadhook_unsent'::regclass"
        assert connection.execute(valid).fetchone() == (True,)
