"""Removes leadhook from a database. The application's own objects stay as they are."""

from functools import partial
from typing import Any, Final

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from leadhook.command_error import CommandError
from leadhook.domain.phrases import amount
from leadhook.install.connection import Connection, Report, bullets, connect, fetch_all, fetch_one
from leadhook.install.locks import TWO_MINUTES, Change, Patience, installer_lock
from leadhook.install.sql import query
from leadhook.install.webhooks import SECRET_NAME, URL_NAME

_SCHEMA_EXISTS: Final = b"select to_regnamespace('leadhook') is not null as there"
_VAULT_EXISTS: Final = b"select to_regclass('vault.secrets') is not null as there"


async def describe_purge(database_url: str) -> list[str]:
    """Describe what `--purge` would drop permanently, without changing anything."""
    async with connect(database_url) as connection:
        objects = await _find_objects(connection)
        lines = [f"would drop {each['words']}" for each in objects if not each["is_function"]]
        if functions := sum(each["is_function"] for each in objects):
            lines.append(f"would drop {amount(functions, 'function')} public.leadhook_*")
        if (await fetch_one(connection, _SCHEMA_EXISTS))["there"]:
            rows = await fetch_all(connection, query("purged_rows"))
            lost = ", ".join(amount(row["rows"], row["noun"]) for row in rows)
            lines.append(f"would drop the schema leadhook, with {lost}, which can't be restored")
        return [*(lines or ["leadhook is not installed"]), "the application's tables stay"]


async def uninstall(database_url: str, *, purge: bool, report: Report, patience: Patience = TWO_MINUTES) -> None:
    """Drop triggers, index, functions and Vault entries; with `purge`, also the schema leadhook with all its data.

    Raises:
        CommandError: other objects depend on leadhook, or a lock was not available; running it again continues.
    """
    async with connect(database_url) as connection, installer_lock(connection, report):
        await _refuse_dependents(connection, purge=purge)
        change = Change(connection, database_url, patience, report)
        for each in await _find_objects(connection):
            if not each["is_function"]:
                # Outside of a transaction, as `drop index concurrently` demands.
                drop = partial(connection.execute, each["statement"].encode())
                await change.make(each["words"], drop, kept="earlier drops are kept")
                report(f"dropped {each['words']}")
        for line in await _drop_the_rest(change, purge=purge):
            report(line)
        await connection.execute("notify pgrst, 'reload schema'")


async def _find_objects(connection: Connection) -> list[dict[str, Any]]:
    return await fetch_all(connection, query("objects"))


async def _drop_the_rest(change: Change, *, purge: bool) -> list[str]:
    """Drop functions, Vault entries and schema in one transaction, so that a service never sees half of them."""
    done: list[str] = []

    async def in_one_transaction() -> None:
        done.clear()
        async with change.connection.transaction():
            done.extend(await _drop_functions(change.connection))
            done.extend(await _delete_vault_entries(change.connection))
            done.extend(await _leave_schema(change.connection, purge=purge))

    await change.make("functions, Vault entries and schema", in_one_transaction, kept="they all still exist")
    return [
        *(done or ["leadhook was not installed"]),
        "the application's tables stay, including those that leadhook created",
    ]


async def _drop_functions(connection: Connection) -> list[str]:
    functions = [each for each in await _find_objects(connection) if each["is_function"]]
    for function in functions:
        await connection.execute(function["statement"].encode())
    return [f"dropped {function['words']}" for function in functions]


async def _delete_vault_entries(connection: Connection) -> list[str]:
    if not (await fetch_one(connection, _VAULT_EXISTS))["there"]:
        return []
    try:
        async with connection.transaction():
            deleted = (await connection.execute(query("forget_vault"))).rowcount
    except psycopg.Error as error:
        if connection.broken or isinstance(error, LockNotAvailable | DeadlockDetected):
            raise
        return [f"Vault keeps the entries {URL_NAME} and {SECRET_NAME} (SQLSTATE {error.sqlstate})"]
    return [f"deleted {deleted} Vault entries"] if deleted else []


async def _leave_schema(connection: Connection, *, purge: bool) -> list[str]:
    if not (await fetch_one(connection, _SCHEMA_EXISTS))["there"]:
        return []
    if purge:
        await connection.execute("drop schema leadhook cascade")
        return ["dropped the schema leadhook"]
    await connection.execute(query("rest"))
    return ["the schema leadhook stays, with its records of each lead; `leadhook uninstall --purge` drops it too"]


async def _refuse_dependents(connection: Connection, *, purge: bool) -> None:
    if rows := await fetch_all(connection, query("dependents"), {"purge": purge}):
        raise CommandError(
            "leadhook can't be uninstalled, and nothing was changed; first drop the objects that depend on it:"
            + bullets(row["words"] for row in rows)
        )
