"""Leadhook comes and goes while someone's transaction is open on the application's tables: no one waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.conftest import LONG, PATIENCE_S
from tests.faults.living import EXISTING
from tests.support.databases import connect_async

from leadhook.install.connection import Report
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.install import InstallOptions, install
from leadhook.install.locks import Patience
from leadhook.install.migrate import migrate
from leadhook.install.uninstall import uninstall
from leadhook.local.database import Database

EVERY = read_migrations()
STEPS = read_webhook_steps()
ORDER = InstallOptions("https://leads.example.com/webhooks/leads")
TABLES = ("all_leads", "lead_details", "prompts", "gemini_api", "llm_response")
ROWS = (
    "insert into public.all_leads (lead_id) values ('somebody')",
    "insert into public.lead_details (lead_id) values ('somebody')",
    "insert into public.prompts (tag) values ('somebody')",
    "insert into public.gemini_api (api_key) values ('visibly-fake-key')",
)
HOLD_S = 20 if LONG else 6
LONGEST_S = 1.5 if LONG else 4
"""The installer waits for a lock for a second; in the short form, beside other tests."""
PAUSE_S = 0.02
EAGER = Patience(total_s=120, pause_s=0.2)
"""With more tries, thus more queues behind them, than a user's command makes."""

Work = Callable[[Database, Report], Coroutine[Any, Any, object]]


def silent(_: str) -> None:
    """Discard the output."""


async def make_index(database: Database, report: Report) -> None:
    """The migrations; all but the index stay away from the application's tables."""
    await migrate(database.conninfo, EVERY, report, EAGER)


async def make_triggers(database: Database, report: Report) -> None:
    """The whole installation on top of the migrations."""
    await install(database.conninfo, ORDER, EVERY, STEPS, report, EAGER)


async def take_out(database: Database, report: Report) -> None:
    """The whole way back."""
    await uninstall(database.conninfo, purge=True, report=report, patience=EAGER)


async def drop_triggers(database: Database) -> None:
    async with await connect_async(database) as connection:
        found = await connection.execute(
            "select tgname, tgrelid::regclass::text from pg_trigger where tgname ~ '^leadhook'"
        )
        for name, table in await found.fetchall():
            await connection.execute(f"drop trigger {name} on {table}".encode())


async def nothing(database: Database, report: Report) -> None:
    """A project without leadhook."""


async def migrated(database: Database, report: Report) -> None:
    await migrate(database.conninfo, EVERY, report)


async def installed(database: Database, report: Report) -> None:
    await install(database.conninfo, ORDER, EVERY, STEPS, report)


async def installed_without_triggers(database: Database, report: Report) -> None:
    """So that the index is the first thing in the way."""
    await installed(database, report)
    await drop_triggers(database)


CREATED = {
    "all_leads": "note rows inserted into all_leads",
    "lead_details": "note rows inserted into lead_details",
    "prompts": "note rows inserted into prompts",
    "gemini_api": "send a webhook when gemini_api changes",
}
DROPPED = {
    "all_leads": "the trigger leadhook_delete on all_leads",
    "lead_details": "the trigger leadhook_delete on lead_details",
    "prompts": "the trigger leadhook_insert on prompts",
    "gemini_api": "the trigger leadhook_change on gemini_api",
}
CASES = [
    pytest.param(nothing, make_index, "lead_details", "unsent_index.sql", id="create-index"),
    *(
        pytest.param(before, work, table, words[table], id=f"{verb}-triggers-{table}", marks=marks)
        for verb, before, work, words in (
            ("create", migrated, make_triggers, CREATED),
            ("drop", installed, take_out, DROPPED),
        )
        for table, marks in (
            ("all_leads", ()), ("lead_details", pytest.mark.long), ("prompts", pytest.mark.long),
            ("gemini_api", pytest.mark.long),
        )
    ),
    pytest.param(installed_without_triggers, take_out, "lead_details", "the index leadhook_unsent", id="drop-index"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "work", "table", "in_the_way"), CASES)
async def test_no_other_session_waits(
    bare_database: Database, before: Work, work: Work, table: str, in_the_way: str
) -> None:
    """The lock is really asked for, again and again; other sessions read and write all the while."""
    with bare_database.connect() as connection:
        connection.execute(EXISTING["other_rpc"].read_bytes())
        for rows in ROWS:
            connection.execute(rows.encode())
    await before(bare_database, silent)
    waiting = asyncio.Event()
    waits: list[float] = []

    def report(line: str) -> None:
        if in_the_way in line and "waiting for a lock" in line:
            waiting.set()

    async with foreign_transaction(bare_database, table) as foreign, applications(bare_database, waits):
        task = asyncio.create_task(work(bare_database, report))
        await asyncio.wait_for(waiting.wait(), PATIENCE_S)
        await asyncio.sleep(HOLD_S)
        assert not task.done()
        await foreign.commit()
        await asyncio.wait_for(task, PATIENCE_S)
    print(f"{len(waits)} statements of the application, the longest {max(waits):.2f} s")  # noqa: T201 - a figure for people
    assert max(waits) < LONGEST_S


@asynccontextmanager
async def foreign_transaction(database: Database, table: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """It has written to the table and is still open."""
    async with await connect_async(database, autocommit=False) as foreign:
        await foreign.execute(sql.SQL("delete from public.{}").format(sql.Identifier(table)))
        yield foreign


@asynccontextmanager
async def applications(database: Database, waits: list[float]) -> AsyncIterator[None]:
    """A reader and a writer of each table; notes how long each statement took, and fails where one failed."""
    over = asyncio.Event()

    async def repeat(statement: sql.Composed) -> None:
        async with await connect_async(database) as connection:
            while not over.is_set():
                began = monotonic()
                await connection.execute(statement)
                waits.append(monotonic() - began)
                await asyncio.sleep(PAUSE_S)

    read, write = sql.SQL("select from public.{}"), sql.SQL("delete from public.{} where false")
    tasks = [
        asyncio.create_task(repeat(what.format(sql.Identifier(table)))) for table in TABLES for what in (read, write)
    ]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)
