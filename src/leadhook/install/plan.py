"""Describes what an install would find and create, without changing the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leadhook.domain.forecast import PricedModel, TextSize, estimate
from leadhook.install.connection import Connection, connect, fetch_one
from leadhook.install.files import Migration, Step
from leadhook.install.first_round import is_first_round_over
from leadhook.install.history import find_pending, read_history
from leadhook.install.sql import question
from leadhook.install.tables import ALL, advise, check_tables, describe_columns, missing_tables

UNPRICED = PricedModel("the model")


@dataclass(frozen=True)
class Door:
    """A table that outside roles can use without row level security, and the statement that closes it."""

    words: str
    statement: str


async def make_plan(
    database_url: str, migrations: Sequence[Migration], steps: Sequence[Step], model: PricedModel = UNPRICED
) -> list[str]:
    """Describe existing objects, objects to create, and eligible leads.

    Raises:
        CommandError: leadhook can't be installed; the message gives the reasons.
    """
    async with connect(database_url) as connection:
        await check_tables(connection)
        columns = await describe_columns(connection)
        makes = await _describe_making(connection, migrations, steps)
        doors = await find_open_doors(connection)
        # Missing tables are created for these queries and never committed.
        async with connection.transaction(force_rollback=True):
            await connection.execute(migrations[0].sql.encode())
            will_be_held = not await is_first_round_over(connection)
            eligible = await _describe_eligible(connection, will_be_held=will_be_held, model=model)
            found = [*await _describe_duplicates(connection), *eligible]
            advice = await advise(connection)
    return [
        *_section("the application's tables are compatible:", columns or ["none of them exists"]),
        *_section("to be created if missing:", makes),
        *_section("found:", [*found, *advice]),
        *_describe_doors(doors),
    ]


async def find_open_doors(connection: Connection) -> list[Door]:
    """Find application tables that anyone with the project's public key can use."""
    rows = await (await connection.execute(question("open_doors"), ALL)).fetchall()
    return [
        Door(
            f"public.{row['table_name']} is open to {' and '.join(row['roles'])}"
            + (f"; its {row['policies']} policies have no effect" if row["policies"] else ""),
            row["statement"],
        )
        for row in rows
    ]


async def _describe_making(connection: Connection, migrations: Sequence[Migration], steps: Sequence[Step]) -> list[str]:
    history = await read_history(connection)
    pending = len(find_pending(migrations, history))
    triggers = sum("CREATE TRIGGER" in step.sql for step in steps)
    tables = [f"the table public.{table}, closed to the outside" for table in await missing_tables(connection)]
    return [
        *tables,
        f"{pending} of {len(migrations)} migrations: the schema leadhook, functions public.leadhook_*"
        if pending
        else "nothing by migrations; all are applied",
        "the index leadhook_unsent on public.lead_details, without blocking writes",
        f"{triggers} triggers leadhook_* on all_leads, lead_details, prompts and gemini_api",
        "the Vault entries leadhook_webhook_url and leadhook_webhook_secret; pg_net and Vault are enabled if necessary",
        "no column, row or constraint of the application is changed",
    ]


async def _describe_duplicates(connection: Connection) -> list[str]:
    rows = await (await connection.execute(question("duplicates"))).fetchall()
    return [
        f"{row['leads']} leads have several rows in public.{row['table_name']}; leadhook always uses the same one"
        for row in rows
        if row["leads"]
    ]


async def _describe_eligible(connection: Connection, *, will_be_held: bool, model: PricedModel) -> list[str]:
    size: dict[str, Any] = await fetch_one(connection, question("eligible_now"))
    if not size["leads"]:
        return ["no lead is eligible now"]
    counted = f"{size['leads']} leads are eligible now, {size['answered']} of them have an answer in llm_response"
    held = "they will be held until `leadhook backlog release`, unless --backlog run"
    known = "`leadhook backlog status` shows which of them are held"
    return [f"{counted}; {held if will_be_held else known}", str(estimate(TextSize.model_validate(size), model))]


def _describe_doors(doors: Sequence[Door]) -> list[str]:
    if not doors:
        return ["none of the five tables is open to anon or authenticated without row level security"]
    return [
        *_section("open to anyone with the project's public key:", [door.words for door in doors]),
        "--lock-down runs these statements to close them (front ends that use that key then need policies):",
        *[f"  {door.statement};" for door in doors],
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *[f"  - {line}" for line in lines]]
