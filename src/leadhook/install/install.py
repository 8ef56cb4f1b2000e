"""Runs a complete install, and shows in advance what it would do.

Migrations, optional lock-down of open tables, triggers, and the first sweep round, which holds the backlog.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal

from leadhook.command_error import CommandError
from leadhook.domain.findings import ADD_KEY
from leadhook.domain.forecast import PricedModel, TextSize, estimate
from leadhook.domain.phrases import amount
from leadhook.install.connection import Connection, Report, connect, fetch_all, fetch_one
from leadhook.install.files import Migration, Step
from leadhook.install.locks import TWO_MINUTES, Change, Patience
from leadhook.install.migrate import find_pending, migrate, read_history
from leadhook.install.sql import query
from leadhook.install.tables import (
    OpenTable,
    advise,
    check_tables,
    describe_columns,
    find_open_tables,
    missing_tables,
)
from leadhook.install.webhooks import SECRET_NAME, URL_NAME, install_webhooks

UNPRICED: Final = PricedModel("the model")
_IS_INSTALLED: Final = b"select to_regclass('leadhook.controls') is not null as there"
_HELD: Final = b"select count(*) as held from leadhook.jobs as j where j.state = 'held'"
_LAST_WORDS: Final = (
    "a predecessor that still polls would pay for the same leads, so stop it before the service starts "
    "(docs/takeover.md); `leadhook backlog status` shows whether something else still marks leads as sent"
)
_HAS_KEY: Final = b"select exists (select from public.gemini_api) as there"
_START: Final = "next: set the service's settings, WEBHOOK_SECRETS among them, and run `leadhook serve`"
_REPORT_EACH_S: Final = 2.0
_PAUSE_S: Final = 0.02
_BUSY_PAUSE_S: Final = 0.2
_GIVE_UP_S: Final = 600


@dataclass(frozen=True)
class InstallOptions:
    url: str
    backlog: Literal["hold", "run"] = "hold"
    lock_down: bool = False


async def install(
    database_url: str,
    options: InstallOptions,
    migrations: Sequence[Migration],
    steps: Sequence[Step],
    report: Report,
    patience: Patience = TWO_MINUTES,
) -> str:
    """Install everything, and return the secret that signs webhooks. Each part can be repeated, and so can the whole.

    Raises:
        CommandError: a step failed; completed steps are kept, and running it again continues from there.
    """
    await migrate(database_url, migrations, report, patience)
    async with connect(database_url) as connection:
        change = Change(connection, database_url, patience, report)
        if options.lock_down:
            for table in await find_open_tables(connection):
                await change.execute(table.statement, table.statement, kept="it stays open")
                report(f"closed: {table.statement}")
        await connection.execute(query("choose_backlog"), {"backlog": options.backlog})
        secret = await install_webhooks(database_url, options.url, migrations, steps, report, patience)
        await _hold_backlog(change, options)
        has_key = (await fetch_one(connection, _HAS_KEY))["there"]
    report(_LAST_WORDS)
    report(_START if has_key else f"{_START}; no lead is scored without a Gemini key: {ADD_KEY}")
    return secret


async def _hold_backlog(change: Change, options: InstallOptions) -> None:
    if await _is_first_round_over(change.connection):
        held = (await fetch_one(change.connection, _HELD))["held"]
        change.report(_describe_earlier_backlog(held, options))
    elif options.backlog == "run":
        change.report("the backlog is not held: the service processes it when it starts")
    else:
        await _sweep_first_round(change)


def _describe_earlier_backlog(held: int, options: InstallOptions) -> str:
    counted = (
        f"the first sweep round was already over{', and' if options.backlog == 'run' and held else ';'} "
        f"{amount(held, 'lead')} {'is' if held == 1 else 'are'} held"
    )
    if not held:
        return counted
    if options.backlog == "hold":
        return f"{counted}; `leadhook backlog status` shows them"
    return (
        f"--backlog run has no effect: {counted}. `leadhook backlog release --dry-run` shows their cost, "
        "`leadhook backlog release` queues them"
    )


async def _is_first_round_over(connection: Connection) -> bool:
    """False if leadhook is not installed."""
    if not (await fetch_one(connection, _IS_INSTALLED))["there"]:
        return False
    return bool((await fetch_one(connection, query("first_round")))["finished"])


async def _sweep_first_round(change: Change) -> None:
    """Sweep until the round is over, here or in another process."""
    started = reported_at = moved_at = monotonic()
    count: Counter[str] = Counter()
    while not await _is_first_round_over(change.connection):
        busy = await _sweep_slice(change, count)
        now = monotonic()
        moved_at = moved_at if busy else now
        if now - moved_at > _GIVE_UP_S:
            raise CommandError(
                f"the first sweep round: another process has been working on it for {_GIVE_UP_S} s; run it again"
            )
        if now - reported_at >= _REPORT_EACH_S:
            reported_at = now
            change.report(f"first sweep round: {_in_words(count)}")
        await asyncio.sleep(_BUSY_PAUSE_S if busy else _PAUSE_S)
    change.report(f"first sweep round: {_in_words(count)}, in {monotonic() - started:.1f} s")


async def _sweep_slice(change: Change, count: Counter[str]) -> bool:
    """Sweep one slice; return whether another process is sweeping instead."""
    reply: dict[str, Any] = {}

    async def sweep() -> None:
        reply.update((await fetch_one(change.connection, query("sweep")))["reply"])

    await change.make("the first sweep round", sweep, kept="what was held stays held")
    count.update({name: reply[name] for name in ("looked_at", "held", "made_ready")})
    return bool(reply["busy"])


def _in_words(count: Counter[str]) -> str:
    return f"{count['looked_at']} rows checked, {count['held']} leads held, {count['made_ready']} made ready"


async def make_plan(
    database_url: str, migrations: Sequence[Migration], steps: Sequence[Step], model: PricedModel = UNPRICED
) -> list[str]:
    """Describe existing objects, objects to create, and eligible leads, without changing the database.

    Raises:
        CommandError: leadhook can't be installed; the message gives the reasons.
    """
    async with connect(database_url) as connection:
        await check_tables(connection)
        columns = await describe_columns(connection)
        created = await _describe_created(connection, migrations, steps)
        tables = await find_open_tables(connection)
        # Missing tables are created for these queries and never committed.
        async with connection.transaction(force_rollback=True):
            await connection.execute(migrations[0].sql.encode())
            found = [
                *await _describe_duplicates(connection),
                *await _describe_eligible(connection, model),
                *await advise(connection),
            ]
    return [
        *_section("the application's tables are compatible:", columns or ["none of them exists"]),
        *_section("to be created if missing:", created),
        *_section("found:", found),
        *_describe_open_tables(tables),
    ]


async def _describe_created(
    connection: Connection, migrations: Sequence[Migration], steps: Sequence[Step]
) -> list[str]:
    pending = len(find_pending(migrations, await read_history(connection)))
    triggers = sum("ensure_trigger" in step.sql for step in steps)
    tables = [f"the table public.{table}, closed to the outside" for table in await missing_tables(connection)]
    return [
        *tables,
        f"{pending} of {len(migrations)} migrations: the schema leadhook, functions public.leadhook_*"
        if pending
        else "nothing by migrations; all are applied",
        "the index leadhook_unsent on public.lead_details, without blocking writes",
        f"{triggers} triggers leadhook_* on all_leads, lead_details, prompts and gemini_api",
        f"the Vault entries {URL_NAME} and {SECRET_NAME}; pg_net and Vault are enabled if necessary",
        "no column, row or constraint of the application is changed",
    ]


async def _describe_duplicates(connection: Connection) -> list[str]:
    return [
        f"{row['leads']} leads have several rows in public.{row['table_name']}; leadhook always uses the same one"
        for row in await fetch_all(connection, query("duplicates"))
        if row["leads"]
    ]


async def _describe_eligible(connection: Connection, model: PricedModel) -> list[str]:
    size: dict[str, Any] = await fetch_one(connection, query("eligible_now"))
    if not size["leads"]:
        return ["no lead is eligible now"]
    counted = f"{size['leads']} leads are eligible now, {size['answered']} of them have an answer in llm_response"
    held = "they will be held until `leadhook backlog release`, unless --backlog run"
    if await _is_first_round_over(connection):
        held = "`leadhook backlog status` shows which of them are held"
    return [f"{counted}; {held}", str(estimate(TextSize.model_validate(size), model))]


def _describe_open_tables(tables: Sequence[OpenTable]) -> list[str]:
    if not tables:
        return ["none of the five tables is open to anon or authenticated without row level security"]
    return [
        *_section("open to anyone with the project's public key:", [str(table) for table in tables]),
        "--lock-down runs these statements to close them (front ends that use that key then need policies):",
        *[f"  {table.statement};" for table in tables],
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *[f"  - {line}" for line in lines]]
