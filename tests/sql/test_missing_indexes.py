"""Which indexes of the application's tables are advised: each that is missing, none that is there by another name."""

from typing import LiteralString

import pytest
from tests.sql.conftest import Sql

from leadhook.install.connection import connect
from leadhook.install.tables import find_missing_indexes
from leadhook.local.database import Database

ADVICE = {
    "create index concurrently on public.all_leads (lead_id);",
    "create index concurrently on public.lead_details (lead_id);",
    "create index concurrently on public.prompts (user_id, tag, created_at desc);",
    "create index concurrently on public.llm_response (lead_id);",
}


@pytest.fixture
def stripped(db: Sql) -> Sql:
    """A project without an index on what leads are found by."""
    for table in ("all_leads", "lead_details", "llm_response"):
        db.run(f"alter table public.{table} drop constraint {table}_pkey")
    db.run("drop index public.prompts_by_user_and_tag")
    return db


async def missing(database: Database) -> set[str]:
    async with connect(database.conninfo) as connection:
        return {index.statement for index in await find_missing_indexes(connection)}


async def test_no_index_is_advised_for_tables_that_leadhook_created(database: Database) -> None:
    """Their keys and the index on prompts are enough."""
    assert await missing(database) == set()


@pytest.mark.usefixtures("stripped")
async def test_each_missing_index_is_advised_and_its_statement_is_enough(database: Database, stripped: Sql) -> None:
    """Advice that was followed is not repeated; the index on unsent leads alone, being partial, is no help."""
    assert await missing(database) == ADVICE
    for statement in sorted(ADVICE):
        stripped.run(statement)
    assert await missing(database) == set()


HELPS: list[LiteralString] = [
    "create index on public.all_leads (lead_id)",
    "create index on public.all_leads (lead_id, tag)",
    "create index on public.all_leads (lead_id) include (tag)",
    "alter table public.all_leads add primary key (lead_id)",
    "alter table public.all_leads add unique (lead_id, user_id)",
    "create index on public.prompts (user_id, tag)",
    "create index on public.prompts (tag, user_id, created_at)",
]
DOES_NOT: list[LiteralString] = [
    "create index on public.all_leads (tag, lead_id)",
    "create index on public.all_leads (tag) include (lead_id)",
    "create index on public.all_leads (lead_id) where scrapped",
    "create index on public.all_leads (lower(lead_id))",
    'create index on public.all_leads (lead_id collate "C")',
    "create index on public.all_leads using hash (lead_id)",
    "create index on public.prompts (user_id)",
    "create index on public.prompts (user_id) include (tag)",
    "create index on public.prompts (created_at, user_id, tag)",
]


@pytest.mark.parametrize("statement", HELPS)
async def test_an_index_that_begins_with_the_columns_is_enough(
    database: Database, stripped: Sql, statement: LiteralString
) -> None:
    """A key or a constraint makes one as well."""
    stripped.run(statement)
    assert len(await missing(database)) == len(ADVICE) - 1


@pytest.mark.parametrize("statement", DOES_NOT)
async def test_an_index_that_finds_no_lead_is_not_enough(
    database: Database, stripped: Sql, statement: LiteralString
) -> None:
    """Partial, of an expression, of another collation or kind, or with another column first."""
    stripped.run(statement)
    assert await missing(database) == ADVICE


async def test_a_partitioned_table_is_advised_what_postgres_can_build(database: Database, stripped: Sql) -> None:
    """Without `concurrently`, which it refuses there."""
    stripped.run("drop table public.llm_response")
    stripped.run("create table public.llm_response (lead_id text, tag text) partition by hash (lead_id)")
    assert "create index on public.llm_response (lead_id);" in await missing(database)
