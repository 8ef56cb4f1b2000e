"""Removes leadhook from a database. The application's own objects stay as they are."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from leadhook.command_error import CommandError
from leadhook.domain.phrases import amount
from leadhook.install.connection import Connection, bullets, connect, fetch_one, say
from leadhook.install.patience import TWO_MINUTES, Change, Patience, Tell
from leadhook.install.sql import question
from leadhook.install.turn import take_turn

_SCHEMA_EXISTS = b"select to_regnamespace('leadhook') is not null as there"
_VAULT_EXISTS = b"select to_regclass('vault.secrets') is not null as there"
_THE_LAST_STEP = "functions, Vault entries and schema"


async def describe_purge(database_url: str) -> list[str]:
    """Describe what `--purge` would drop permanently, without changing anything."""
    async with connect(database_url) as connection:
        steps = await _standing(connection)
        lines = [f"would drop {step['words']}" for step in steps if not step["is_function"]]
        functions = sum(step["is_function"] for step in steps)
        if functions:
            lines.append(f"would drop {amount(functions, 'function')} public.leadhook_*")
        if (await fetch_one(connection, _SCHEMA_EXISTS))["there"]:
            rows = await (await connection.execute(question("purged_rows"))).fetchall()
            kept = ", ".join(amount(row["rows"], row["noun"]) for row in rows)
            lines.append(f"would drop the schema leadhook, with {kept}, which can't be restored")
        return [*(lines or ["leadhook is not installed"]), "the application's tables stay"]


async def uninstall(database_url: str, *, purge: bool, tell: Tell, patience: Patience = TWO_MINUTES) -> None:
    """Drop triggers, index, functions and Vault entries; with `purge`, also the schema leadhook with all its data.

    Raises:
        CommandError: other objects depend on leadhook, or a lock was not available; running it again continues.
    """
    async with connect(database_url) as connection, take_turn(connection, tell):
        await _refuse_dependents(connection, purge=purge)
        change = Change(connection, database_url, patience, tell)
        steps = await _standing(connection)
        for step in steps:
            if not step["is_function"]:
                await _take_away(change, step)
                tell(f"dropped {step['words']}")
        for line in await _take_the_rest(change, purge=purge):
            tell(line)
        await connection.execute("notify pgrst, 'reload schema'")


async def _take_away(change: Change, step: Mapping[str, Any]) -> None:
    async def drop() -> None:
        await change.connection.execute(step["statement"].encode())

    try:
        await change.make(step["words"], drop)
    except psycopg.Error as error:
        raise CommandError(f"{step['words']}: {say(error)} (earlier drops are kept; run it again)") from error


async def _take_the_rest(change: Change, *, purge: bool) -> list[str]:
    """Drop functions, Vault entries and schema in one transaction, so that a service never sees half of them."""
    done: list[str] = []

    async def in_one_transaction() -> None:
        done.clear()
        async with change.connection.transaction():
            done.extend(await _drop_functions(change.connection))
            done.extend(await _empty_vault(change.connection))
            done.extend(await _leave_schema(change.connection, purge=purge))

    try:
        await change.make(_THE_LAST_STEP, in_one_transaction)
    except psycopg.Error as error:
        raise CommandError(f"{_THE_LAST_STEP}: {say(error)} (they are all still there; run it again)") from error
    return [
        *(done or ["leadhook was not installed"]),
        "the application's tables stay, including those that leadhook created",
    ]


async def _drop_functions(connection: Connection) -> list[str]:
    functions = [step for step in await _standing(connection) if step["is_function"]]
    for function in functions:
        await connection.execute(function["statement"].encode())
    return [f"dropped {function['words']}" for function in functions]


async def _empty_vault(connection: Connection) -> list[str]:
    if not (await fetch_one(connection, _VAULT_EXISTS))["there"]:
        return []
    try:
        async with connection.transaction():
            deleted = (await connection.execute(question("forget_vault"))).rowcount
    except psycopg.Error as error:
        if connection.broken or isinstance(error, LockNotAvailable | DeadlockDetected):
            raise
        return [f"Vault keeps the entries leadhook_webhook_url and leadhook_webhook_secret (SQLSTATE {error.sqlstate})"]
    return [f"deleted {deleted} Vault entries"] if deleted else []


async def _leave_schema(connection: Connection, *, purge: bool) -> list[str]:
    if not (await fetch_one(connection, _SCHEMA_EXISTS))["there"]:
        return []
    if purge:
        await connection.execute("drop schema leadhook cascade")
        return ["dropped the schema leadhook"]
    await connection.execute(question("rest"))
    return ["the schema leadhook stays, with its records of each lead; `leadhook uninstall --purge` drops it too"]


async def _standing(connection: Connection) -> list[dict[str, Any]]:
    return await (await connection.execute(question("standing"))).fetchall()


async def _refuse_dependents(connection: Connection, *, purge: bool) -> None:
    rows = await (await connection.execute(question("dependents"), {"purge": purge})).fetchall()
    if rows:
        raise CommandError(
            "leadhook can't be uninstalled, and nothing was changed; first drop the objects that depend on it:"
            + bullets(row["words"] for row in rows)
        )
