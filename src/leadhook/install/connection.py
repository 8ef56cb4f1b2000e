"""Connects to the database as its owner and explains connection problems."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from leadhook.command_error import CommandError, MisuseError
from leadhook.install.sql import query

Connection: TypeAlias = psycopg.AsyncConnection[dict[str, Any]]
Report: TypeAlias = Callable[[str], None]
"""Takes a line about what was done."""

_EXAMPLE = "postgresql://postgres:PASSWORD@db.PROJECT.supabase.co:5432/postgres"
_SESSION_POOLER = "the session pooler (port 5432 of the pooler's host, user postgres.PROJECT)"
_PID = b"select pg_backend_pid() as pid"
_POOLER_PATIENCE_S = 5
_OLDEST_VERSION = 150000
_CONNECT_TIMEOUT_S = 10
_NO_HOST = "the host does not exist, or the Supabase project is paused: restore it in the dashboard"
_EXPLANATIONS = {
    "password authentication failed": "the password in DATABASE_URL is wrong",
    "no password supplied": "DATABASE_URL has no password",
    "connection refused": "nothing is listening there",
    "network is unreachable": f"this network can't reach it; a direct connection needs IPv6, so use {_SESSION_POOLER}",
    "resolve host": _NO_HOST,
    "translate host name": _NO_HOST,
    "timeout expired": f"no answer within {_CONNECT_TIMEOUT_S} s",
    "tenant or user not found": "the pooler does not know the project (paused?); its user must be postgres.PROJECT",
    "does not exist": "the database or the role does not exist",
    "too many clients": "the database has no free connection",
    "remaining connection slots": "the database has no free connection",
    "starting up": "the database is starting; try again shortly",
}


_SETTINGS: Final = {
    "lock_timeout": "1s",
    "statement_timeout": "0",
    # Role and database may have others, in which names and times are written otherwise.
    "quote_all_identifiers": "off",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}


@asynccontextmanager
async def connect(database_url: str) -> AsyncIterator[Connection]:
    """Connect as the owner, in autocommit mode, with a lock timeout of one second and no statement timeout.

    Raises:
        CommandError: the database can't be reached or can't be migrated.
    """
    connection = await open_connection(database_url)
    async with connection:
        await _refuse_transaction_pooler(connection, database_url)
        await connection.execute(
            "select set_config(name, value, false) from jsonb_each_text(%s) as s (name, value)", [Jsonb(_SETTINGS)]
        )
        await _check_server(connection)
        try:
            yield connection
        except psycopg.Error as error:
            what = "the connection to the database was lost" if connection.broken else "the database refused"
            raise CommandError(f"{what}: {describe_error(error)}. Run it again.") from error


def describe_error(error: psycopg.Error) -> str:
    """Postgres's message, detail and hint on one line."""
    parts = [error.diag.message_primary or str(error), error.diag.message_detail, error.diag.message_hint]
    return " ".join(" ".join(part.split()) for part in parts if part).rstrip(".")


async def open_connection(database_url: str) -> Connection:
    """Connect without any check or setting: for `connect`, and to observe its connection while that waits."""
    place = _read(database_url)
    try:
        return await psycopg.AsyncConnection.connect(
            database_url,
            autocommit=True,
            prepare_threshold=None,
            row_factory=dict_row,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="leadhook",
        )
    except psycopg.Error as error:
        raise CommandError(
            f"can't connect to the database at {place['host']}:{place['port']}: {_explain(str(error))}"
            f"{_list_libpq_variables(database_url)}"
        ) from None


async def _refuse_transaction_pooler(connection: Connection, database_url: str) -> None:
    """Check before anything is set or locked, because a pooler would leave it on another client's connection.

    A pooler invents the process id that it sends to its clients. In session mode each client keeps its server
    process; in transaction mode two clients get the same one, or one client gets another one, when they take turns:
    whether the pooler hands out the server that was used last, or longest ago.
    """
    if (await fetch_one(connection, _PID))["pid"] == connection.info.backend_pid:
        return
    seen: dict[Connection, int] = {}
    try:
        async with asyncio.timeout(_POOLER_PATIENCE_S), await open_connection(database_url) as other:
            for client in (connection, other, other, connection, connection, other) * 2:
                pid = (await fetch_one(client, _PID))["pid"]
                seen.setdefault(client, pid)
                if seen[client] != pid or len(set(seen.values())) < len(seen):
                    raise CommandError(
                        "DATABASE_URL is a pooler in transaction mode, which can't keep a lock or a setting "
                        "between statements; nothing was changed. Use the direct connection "
                        f"({_EXAMPLE}) or {_SESSION_POOLER}."
                    )
    except TimeoutError:
        # The other client waits for a server because this one keeps the only free one, as in session mode.
        return


def _read(database_url: str) -> dict[str, str]:
    """Parse a connection string. An invalid one is not repeated, because the password may be anywhere in it."""
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.Error:
        given = {"host": "@"}
    place = {"host": str(given.get("host") or "localhost"), "port": str(given.get("port") or 5432)}
    if "@" in place["host"] or "@" in str(given.get("dbname")) or not re.fullmatch(r"[\d,]+", place["port"]):
        raise MisuseError(
            f"DATABASE_URL is not a connection string like {_EXAMPLE}; "
            "in the password, characters such as @ : / # % ? must be percent-encoded"
        )
    return place


def _explain(libpq: str) -> str:
    message = " ".join(libpq.split())
    reasons = [words for part, words in _EXPLANATIONS.items() if part in message.lower()]
    return f"{reasons[0]} ({message})" if reasons else message


def _list_libpq_variables(database_url: str) -> str:
    """Name libpq's variables (PGOPTIONS, PGSSLMODE …) that add to DATABASE_URL and may cause the failure."""
    given = conninfo_to_dict(database_url)
    found = sorted(
        option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar and option.keyword.decode() not in given and os.environ.get(option.envvar.decode())
    )
    return f". The environment also sets {', '.join(found)}; unset those not meant for this database" if found else ""


async def _check_server(connection: Connection) -> None:
    server = await fetch_one(connection, query("server"))
    role, missing, version = server["role"], ", ".join(server["missing_roles"]), server["version"]
    in_public = "create tables and functions in the schema public"
    faults = {
        f"Postgres {version // 10000} is too old; leadhook needs 15 or newer": version < _OLDEST_VERSION,
        "the database is read-only: it is a replica, or its disk is full": server["read_only"],
        f"the roles {missing} do not exist; this is not the database of a Supabase project": bool(missing),
        f"the role {role} may not create a schema in this database": not server["may_create_schema"],
        f"the role {role} may not {in_public}": not server["may_create_in_public"],
        f"the role {role} may not change the schema leadhook, which another role owns": not server[
            "may_change_leadhook"
        ],
    }
    found = [words for words, is_so in faults.items() if is_so]
    if found:
        raise CommandError("this database can't be migrated, and nothing was changed:" + bullets(found))


async def fetch_one(
    connection: Connection, statement: bytes, parameters: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return the first row of a query that always has one."""
    row = await (await connection.execute(statement, parameters)).fetchone()
    if row is None:
        raise CommandError("the database returned no row for a query about its own state")
    return row


async def fetch_all(
    connection: Connection, statement: bytes, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement, parameters)).fetchall()


async def fetch_optional(
    connection: Connection, statement: bytes, parameters: Mapping[str, object] | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the rows or, for an optional part (Vault, pg_net) that fails, the SQLSTATE."""
    try:
        return await fetch_all(connection, statement, parameters), None
    except psycopg.Error as error:
        if connection.broken:
            raise
        return [], error.sqlstate or type(error).__name__


def bullets(lines: Iterable[str]) -> str:
    return "".join(f"\n  - {line}" for line in lines)
