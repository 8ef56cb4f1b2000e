"""Migrations are applied once, in order, however often and from wherever they are run."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.conftest import silent

from leadhook.command_error import CommandError
from leadhook.install.files import Migration, read_migrations
from leadhook.install.migrate import migrate
from leadhook.local.database import Database

EVERY = read_migrations()
LAST = "20991231235900_one_more.sql"


def applied(database: Database) -> dict[str, str]:
    """The history: checksum by file."""
    with database.connect() as connection:
        return dict(connection.execute("select name, sha256 from leadhook.migrations").fetchall())


def count_tables(database: Database, *names: str) -> int:
    """How many of these tables there are."""
    with database.connect() as connection:
        query = "select count(*) from pg_class where relkind = 'r' and relname = any (%s)"
        return int(connection.execute(query, (list(names),)).fetchone()[0])  # type: ignore[index]  # a count has a row


async def test_migrate_applies_every_file_and_remembers_its_checksum(bare_database: Database) -> None:
    """The history has each file, also those before the one that makes it."""
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert applied(bare_database) == {file.name: sha256(file.sql.encode()).hexdigest() for file in EVERY}
    assert [line.split()[0] for line in said[: len(EVERY)]] == [file.name for file in EVERY]
    assert "created the table public.llm_response" in said
    assert said[-1] == f"{len(EVERY)} of {len(EVERY)} migrations applied"


async def test_migrate_does_nothing_the_second_time(bare_database: Database) -> None:
    """A release command runs it at each deploy."""
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, silent)
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert said == [f"up to date: all {len(EVERY)} migrations are applied"]


async def test_migrate_repeats_files_that_another_road_applied(database: Database) -> None:
    """The files were run by hand or by another tool, which leaves no history: each is idempotent."""
    with database.connect() as connection:
        connection.execute("delete from leadhook.migrations")
    await migrate(database.conninfo, EVERY, silent)
    assert applied(database).keys() == {file.name for file in EVERY}


async def test_ten_installers_at_once_apply_each_file_once(bare_database: Database) -> None:
    """They take turns; nine find nothing to do."""
    said: list[str] = []
    await asyncio.gather(*(migrate(bare_database.conninfo, EVERY, said.append) for _ in range(10)))
    names = {file.name for file in EVERY}
    assert [word for word in (line.split()[0] for line in said) if word in names] == [file.name for file in EVERY]
    assert sum(line.startswith("up to date") for line in said) == 9


async def test_migrate_goes_on_after_a_stop_before_the_history_was_there(bare_database: Database) -> None:
    """The first file makes no history; a process killed right after it repeats it."""
    await migrate(bare_database.conninfo, EVERY[:1], silent)
    await migrate(bare_database.conninfo, EVERY, silent)
    assert applied(bare_database).keys() == {file.name for file in EVERY}


async def test_migrate_keeps_nothing_of_a_file_that_fails(database: Database) -> None:
    """The file is one transaction, and its name is in the error."""
    broken = Migration(LAST, "create table public.left_behind (); select 1 / 0;")
    with pytest.raises(CommandError, match=rf"{LAST}: division by zero \(nothing of this file was kept"):
        await migrate(database.conninfo, [*EVERY, broken], silent)
    assert not count_tables(database, "left_behind")
    assert applied(database).keys() == {file.name for file in EVERY if not file.repeatable}


async def test_migrate_refuses_a_file_that_was_edited_after_it_was_applied(bare_database: Database) -> None:
    """The database would not be what the files say."""
    await migrate(bare_database.conninfo, EVERY, silent)
    edited = [
        replace(EVERY[0], sql=EVERY[0].sql + "\n-- edited"),
        *EVERY[1:],
        Migration(LAST, "create table public.t ();"),
    ]
    with pytest.raises(CommandError, match=rf"^{EVERY[0].name}: not the text that was applied"):
        await migrate(bare_database.conninfo, edited, silent)
    assert not count_tables(bare_database, "t")


async def test_migrate_leaves_a_newer_database_alone(bare_database: Database) -> None:
    """A deploy was taken back: the older program runs against the newer schema."""
    await migrate(bare_database.conninfo, [*EVERY, Migration(LAST, "select 1")], silent)
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert said == [f"the database is newer than this leadhook: it has had {LAST}"]


async def test_migrate_applies_statement_by_statement_where_a_file_says_so(database: Database) -> None:
    """Without a transaction around it, `create index concurrently` works, and the statements before an error stay."""
    sql = """-- leadhook: no transaction
    create table public.kept (a int); -- ; not an end
    create index concurrently kept_by_a on public.kept (a);
    select $body$ ; $body$ / 0;
    """
    with pytest.raises(CommandError, match="the statements before were kept"):
        await migrate(database.conninfo, [*EVERY, Migration(LAST, sql)], silent)
    assert count_tables(database, "kept") == 1
    assert LAST not in applied(database)


async def test_migrate_shows_what_it_adds_to_a_table_that_was_there(bare_database: Database) -> None:
    """One partial index is ours; an index that all_leads lacks is advised, not made."""
    with bare_database.connect() as connection:
        connection.execute(EVERY[0].sql.encode())
        connection.execute("alter table public.all_leads drop constraint all_leads_pkey")
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert [line for line in said if line.startswith("created")] == [
        "created the index leadhook_unsent on public.lead_details"
    ]
    assert not [line for line in said if line.startswith("note")]
    (advice,) = [line for line in said if line.startswith("advice")]
    assert "public.all_leads has no index on lead_id" in advice
    assert advice.endswith("create index concurrently on public.all_leads (lead_id);")


async def test_migrate_says_that_it_left_the_predecessors_function(bare_database: Database) -> None:
    """Its callers rely on its columns, so it is theirs."""
    with bare_database.connect() as connection:
        connection.execute("create function public.rpc_get_eligible_llm_jobs() returns int language sql as 'select 42'")
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert "note: public.rpc_get_eligible_llm_jobs() existed before leadhook and stays as it is" in said
    with bare_database.connect() as connection:
        assert connection.execute("select public.rpc_get_eligible_llm_jobs()").fetchone() == (42,)


FUNCTION = Migration(
    "functions/zzz.sql",
    "create or replace function leadhook.answer() returns int language sql as 'select 41';\n",
)


async def test_a_changed_function_is_live_after_migrate_and_an_unchanged_one_is_not_applied(database: Database) -> None:
    """Its file is repeatable: its checksum says whether to apply it again."""
    said: list[str] = []
    await migrate(database.conninfo, [*EVERY, FUNCTION], silent)
    edited = replace(FUNCTION, sql=FUNCTION.sql.replace("41", "42"))
    await migrate(database.conninfo, [*EVERY, edited], said.append)
    assert next(line for line in said if line.startswith("functions/")).startswith(FUNCTION.name)
    assert applied(database)[FUNCTION.name] == edited.sha256
    with database.connect() as connection:
        assert connection.execute("select leadhook.answer()").fetchone() == (42,)
    said.clear()
    await migrate(database.conninfo, [*EVERY, edited], said.append)
    assert said == [f"up to date: all {len(EVERY) + 1} migrations are applied"]


async def test_migrate_restores_the_rights_of_functions(database: Database) -> None:
    """As doctor promises, even if no file has changed."""
    await migrate(database.conninfo, EVERY, silent)
    with database.connect() as connection:
        connection.execute("grant execute on function public.leadhook_status() to anon, public")
        connection.execute("revoke execute on function public.leadhook_failures() from service_role")
        await migrate(database.conninfo, EVERY, silent)
        rights = "select has_function_privilege(%s, %s, 'execute')"
        assert connection.execute(rights, ("anon", "public.leadhook_status()")).fetchone() == (False,)
        assert connection.execute(rights, ("service_role", "public.leadhook_failures()")).fetchone() == (True,)


async def test_nothing_of_a_function_file_that_fails_is_kept(database: Database) -> None:
    """One file is one transaction, so that no half of it is live."""
    await migrate(database.conninfo, [*EVERY, FUNCTION], silent)
    broken = replace(FUNCTION, sql=FUNCTION.sql.replace("41", "42") + "select 1 / 0;")
    with pytest.raises(CommandError, match=r"functions/zzz\.sql: division by zero"):
        await migrate(database.conninfo, [*EVERY, broken], silent)
    assert applied(database)[FUNCTION.name] == FUNCTION.sha256
    with database.connect() as connection:
        assert connection.execute("select leadhook.answer()").fetchone() == (41,)


async def test_no_function_of_an_older_version_is_left_in_the_schema(database: Database) -> None:
    """A function that is gone, and one whose parameters have changed."""
    query = "select oid::regprocedure::text from pg_proc where pronamespace = 'leadhook'::regnamespace"
    await migrate(database.conninfo, EVERY, silent)
    with database.connect() as connection:
        before = set(connection.execute(query).fetchall())
        connection.execute("create function leadhook.retired() returns int language sql as 'select 1'")
        connection.execute("create function leadhook.lock_claims(p_wait int) returns int language sql as 'select 1'")
        await migrate(database.conninfo, EVERY, silent)
        assert set(connection.execute(query).fetchall()) == before


async def test_migrate_of_an_older_version_leaves_newer_functions(database: Database) -> None:
    """The database is ahead by a versioned file, which the functions may need."""
    await migrate(database.conninfo, [*EVERY, Migration(LAST, "select 1"), FUNCTION], silent)
    await migrate(database.conninfo, [*EVERY, replace(FUNCTION, sql="select 1 / 0")], silent)
    assert applied(database)[FUNCTION.name] == FUNCTION.sha256
