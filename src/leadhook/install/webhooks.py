"""Installs the triggers of `webhooks.sql`, and the URL and secret of the webhooks, which are kept in Supabase Vault."""

import secrets
from base64 import b64encode
from collections.abc import Sequence
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import psycopg

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, Report, bullets, connect, fetch_all, fetch_one
from leadhook.install.files import Migration, Step
from leadhook.install.locks import TWO_MINUTES, Change, Patience, installer_lock
from leadhook.install.migrate import find_pending, read_history
from leadhook.install.sql import query
from leadhook.install.tables import describe_difference, footprint, missing_tables
from leadhook.network import without_credentials

URL_NAME: Final = "leadhook_webhook_url"
SECRET_NAME: Final = "leadhook_webhook_secret"  # noqa: S105 - a name, no secret
_SECRET_BYTES: Final = 32
_LOCAL: Final = ("", "localhost", "127.0.0.1", "::1")
_PATH: Final = "/webhooks/leads"
_EXTENSIONS: Final = {
    "pg_net": "the extension pg_net",
    "supabase_vault": "Vault (the extension supabase_vault)",
}


_OPEN_QUEUE: Final = (
    "note: every role of this database may add triggers to pg_net's tables, and this role may not revoke that; "
    "leadhook sends no webhook while there is one"
)


async def install_webhooks(
    database_url: str,
    url: str,
    migrations: Sequence[Migration],
    steps: Sequence[Step],
    report: Report,
    patience: Patience = TWO_MINUTES,
) -> str:
    """Install triggers, URL and secret; return the secret. Existing ones are kept, except that the URL is updated.

    Raises:
        CommandError: a requirement is missing, or a step failed; running it again repeats all steps.
    """
    async with connect(database_url) as connection, installer_lock(connection, report):
        await _check_requirements(connection, migrations)
        before = await footprint(connection)
        change = Change(connection, database_url, patience, report)
        for step in steps:
            started = perf_counter()
            await change.execute(step.words, step.sql, kept="the previous steps were kept")
            report(f"{step.words}  {(perf_counter() - started) * 1000:.0f} ms")
        if faults := await _missing_extensions(connection, and_disabled=True):
            raise CommandError("the triggers are installed, but they can't send webhooks:" + bullets(faults))
        if (await fetch_one(connection, query("open_queue")))["is_open"]:
            report(_OPEN_QUEUE)
        secret, is_new = await _store(connection, url, report)
        for line in describe_difference(before, await footprint(connection)):
            report(line)
        report(f"the database sends webhooks to {without_credentials(url)}")
        if note := describe_odd_path(url):
            report(f"note: {note}")
        if note := describe_local_url(url, connection.info.host):
            report(f"note: {note}")
        report(f"the secret {'was created' if is_new else 'already existed'}; set it as the service's WEBHOOK_SECRETS")
        return secret


async def _check_requirements(connection: Connection, migrations: Sequence[Migration]) -> None:
    pending = find_pending(migrations, await read_history(connection))
    faults = await _missing_extensions(connection)
    if pending:
        faults.append(f"run `leadhook migrate` first: {len(pending)} of {len(migrations)} migrations are missing")
    elif missing := await missing_tables(connection):
        faults.append(f"the tables {', '.join(missing)} were dropped from the schema public; create them again")
    if faults:
        raise CommandError("webhooks can't be installed, and nothing was changed:" + bullets(faults))


async def _missing_extensions(connection: Connection, *, and_disabled: bool = False) -> list[str]:
    rows = await fetch_all(connection, query("extensions"))
    found = {row["name"] for row in rows if row["enabled"] or not and_disabled}
    return [
        f"{words} is missing; enable it in the project's dashboard under Database > Extensions, then run this again"
        for name, words in _EXTENSIONS.items()
        if name not in found
    ]


def check_url(url: str) -> None:
    """Refuse a URL that the database could not send webhooks to.

    Raises:
        ValueError: with the reason.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("needs http:// or https:// and a host, e.g. https://leads.example.com/webhooks/leads")
    blanks = any(character.isspace() or not character.isprintable() for character in url)
    if blanks or parts.username is not None or parts.fragment:
        raise ValueError("must not contain a user name, a password, # or spaces")


def describe_odd_path(url: str) -> str | None:
    """Describe a path at which the service receives no webhooks, unless a proxy rewrites it; None for the usual one."""
    path = urlsplit(url).path
    if path.endswith(_PATH):
        return None
    return f"the service receives webhooks at {_PATH}; this URL's path is {path or '/'}"


def describe_local_url(url: str, database_host: str) -> str | None:
    """Describe a URL of this machine, at which a database on another one reaches no service; None for any other."""
    host = urlsplit(url).hostname
    if host not in _LOCAL or database_host in _LOCAL or database_host.startswith("/"):
        return None
    return f"the database is on {database_host} and can't reach {host}, which is this machine; webhooks will be lost"


async def _store(connection: Connection, url: str, report: Report) -> tuple[str, bool]:
    """Store the URL, and a secret unless there is one; return the secret and whether it is new."""
    try:
        for name in await _delete_unreadable(connection):
            report(f"Vault could not decrypt {name}: it was deleted and will be recreated")
        await _write(connection, URL_NAME, url, "where leadhook sends webhooks; set by leadhook webhooks install")
        return await _keep_or_create_secret(connection)
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise CommandError(
            f"the triggers exist, but Vault keeps no secrets (SQLSTATE {error.sqlstate}): webhooks can't be signed "
            "and leads wait for the sweep. Repair Vault (dashboard: Integrations > Vault), then run this again"
        ) from error


async def _delete_unreadable(connection: Connection) -> list[str]:
    """Delete entries that Vault can't decrypt, as after the loss of its key; return their names."""
    deleted = []
    for name in (URL_NAME, SECRET_NAME):
        try:
            await _read(connection, name)
        except psycopg.Error:
            if connection.broken:
                raise
            await connection.execute("delete from vault.secrets where name = %s", (name,))
            deleted.append(name)
    return deleted


async def _keep_or_create_secret(connection: Connection) -> tuple[str, bool]:
    """Several secrets, separated by blanks, are kept while one is being replaced; they are returned with commas."""
    stored = await _read(connection, SECRET_NAME)
    if stored is not None and (words := (stored[1] or "").split()):
        return ",".join(words), False
    secret = "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    await _write(connection, SECRET_NAME, secret, "the secret that signs webhooks; set by leadhook webhooks install")
    return secret, True


async def _read(connection: Connection, name: str) -> tuple[str, str] | None:
    """The id and the value of an entry."""
    rows = await connection.execute(
        "select id::text, decrypted_secret from vault.decrypted_secrets where name = %s", (name,)
    )
    row = await rows.fetchone()
    return None if row is None else (row["id"], row["decrypted_secret"])


async def _write(connection: Connection, name: str, value: str, description: str) -> None:
    stored = await _read(connection, name)
    if stored is None:
        await connection.execute("select vault.create_secret(%s, %s, %s)", (value, name, description))
    elif stored[1] != value:
        await connection.execute("select vault.update_secret(%s::uuid, %s)", (stored[0], value))
