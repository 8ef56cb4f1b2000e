"""The SQL files as a Supabase CLI project takes them: it runs each in one transaction, under a history of its own."""

import re
from collections.abc import Sequence
from pathlib import Path

from leadhook.install.connection import bullets
from leadhook.install.failure import InstallError
from leadhook.install.files import Migration, read_webhooks
from leadhook.install.patience import Tell
from leadhook.install.sql import question

WEBHOOKS_NAME = "leadhook_webhooks.sql"
_CONCURRENTLY = re.compile(r"^(create(?: unique)? index) concurrently ", re.MULTILINE)


def copy_migrations(migrations: Sequence[Migration], directory: Path, tell: Tell) -> None:
    """Writes the migrations into `supabase/migrations`, and webhooks.sql beside them.

    Raises:
        InstallError: a file of that name with another text is there already; nothing was written.
    """
    if not directory.is_dir():
        raise InstallError(
            f"{directory} is not a directory; it is supabase/migrations in a project of the Supabase CLI"
        )
    files = {migration.name: for_cli(migrations[: place + 1]) for place, migration in enumerate(migrations)}
    files[WEBHOOKS_NAME] = read_webhooks()
    _refuse_others(files, directory)
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
        tell(f"{directory / name}")
    tell(
        "now: supabase db push (with --include-all where newer migrations were pushed before), then run "
        f"{WEBHOOKS_NAME} through psql or the SQL editor in each environment; the CLI skips it, as it has no "
        "timestamp. Its last lines name the two Vault entries that are yours to store."
    )


def for_cli(migrations: Sequence[Migration]) -> str:
    """The text of the last of these migrations that runs in a transaction and notes in our history what was applied.

    An index is built without `concurrently`, and the file says so.
    """
    migration = migrations[-1]
    text = migration.sql
    if not migration.in_transaction:
        text = question("copy_without_concurrently").decode() + _CONCURRENTLY.sub(r"\1 ", text)
    entries = ",\n    ".join(f"('{each.name}', '{each.sha256}')" for each in migrations)
    return text + question("copy_history").decode().replace(":entries", entries)


def _refuse_others(files: dict[str, str], directory: Path) -> None:
    others = [
        name
        for name, text in files.items()
        if (path := directory / name).exists() and path.read_text("utf-8", "replace") != text
    ]
    if others:
        raise InstallError(
            "these files are there with another text, and nothing was written; what was pushed before is not to be "
            "edited, so look at what differs:" + bullets(str(directory / name) for name in others)
        )
