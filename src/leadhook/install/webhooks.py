"""Installs the triggers of `webhooks.sql` and the URL that they send webhooks to."""

from collections.abc import Sequence
from time import perf_counter

import psycopg

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, bullets, connect, say
from leadhook.install.files import Migration, Step
from leadhook.install.history import find_pending, read_history
from leadhook.install.patience import TWO_MINUTES, Change, Patience, Tell
from leadhook.install.sql import question
from leadhook.install.tables import describe_difference, footprint, missing_tables
from leadhook.install.turn import take_turn
from leadhook.install.vault import drop_unreadable, hint, keep_secret, keep_url

_EXTENSIONS = {
    "pg_net": "the extension pg_net",
    "supabase_vault": "Vault (the extension supabase_vault)",
}


async def install_webhooks(
    database_url: str,
    url: str,
    migrations: Sequence[Migration],
    steps: Sequence[Step],
    tell: Tell,
    patience: Patience = TWO_MINUTES,
) -> str:
    """Install triggers, URL and secret. Existing ones are kept, except that the URL is updated.

    Returns:
        The secret, `whsec_…`.

    Raises:
        CommandError: a requirement is missing, or a step failed; running it again repeats all steps.
    """
    async with connect(database_url) as connection, take_turn(connection, tell):
        await _check_ground(connection, migrations)
        before = await footprint(connection)
        change = Change(connection, database_url, patience, tell)
        for step in steps:
            started = perf_counter()
            await _take(change, step)
            tell(f"{step.words}  {(perf_counter() - started) * 1000:.0f} ms")
        await _check_enabled(connection)
        secret, is_new = await _keep_in_vault(connection, url, tell)
        for line in [
            *describe_difference(before, await footprint(connection)),
            f"the database sends webhooks to {url}",
            hint(url),
        ]:
            if line is not None:
                tell(line)
        tell(f"the secret {'was created' if is_new else 'already existed'}; set it as the service's WEBHOOK_SECRETS")
        return secret


async def _keep_in_vault(connection: Connection, url: str, tell: Tell) -> tuple[str, bool]:
    try:
        for name in await drop_unreadable(connection):
            tell(f"Vault could not decrypt {name}: it was deleted and will be recreated")
        await keep_url(connection, url)
        return await keep_secret(connection)
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise CommandError(
            f"the triggers exist, but Vault keeps no secrets (SQLSTATE {error.sqlstate}): webhooks can't be signed "
            "and leads wait for the sweep. Repair Vault (dashboard: Integrations > Vault), then run this again"
        ) from error


async def _take(change: Change, step: Step) -> None:
    async def in_one_transaction() -> None:
        async with change.connection.transaction():
            await change.connection.execute(step.sql.encode())

    try:
        await change.make(step.words, in_one_transaction)
    except psycopg.Error as error:
        raise CommandError(f"{step.words}: {say(error)} (the previous steps were kept; run it again)") from error


async def _check_ground(connection: Connection, migrations: Sequence[Migration]) -> None:
    history = await read_history(connection)
    pending = find_pending(migrations, history)
    faults = await _missing_extensions(connection)
    if pending:
        faults.append(f"run `leadhook migrate` first: {len(pending)} of {len(migrations)} migrations are missing")
    elif missing := await missing_tables(connection):
        faults.append(f"the tables {', '.join(missing)} were dropped from the schema public; create them again")
    if faults:
        raise CommandError("webhooks can't be installed, and nothing was changed:" + bullets(faults))


async def _check_enabled(connection: Connection) -> None:
    if faults := await _missing_extensions(connection, and_disabled=True):
        raise CommandError("the triggers are installed, but they can't send webhooks:" + bullets(faults))


async def _missing_extensions(connection: Connection, *, and_disabled: bool = False) -> list[str]:
    rows = await (await connection.execute(question("extensions"))).fetchall()
    found = {row["name"] for row in rows if row["enabled"] or not and_disabled}
    return [
        f"{words} is missing; enable it in the project's dashboard under Database > Extensions, then run this again"
        for name, words in _EXTENSIONS.items()
        if name not in found
    ]
