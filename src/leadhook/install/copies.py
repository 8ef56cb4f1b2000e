"""The SQL files as a Supabase CLI project takes them: it runs each in one transaction, under a history of its own."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leadhook.command_error import CommandError
from leadhook.install.connection import bullets
from leadhook.install.files import Migration, read_webhooks
from leadhook.install.patience import Tell
from leadhook.install.sql import question

WEBHOOKS_NAME = "leadhook_webhooks.sql"
_TIMESTAMP = "%Y%m%d%H%M%S"
_CONCURRENTLY = re.compile(r"^(create(?: unique)? index) concurrently ", re.MULTILINE)


def copy_migrations(migrations: Sequence[Migration], directory: Path, tell: Tell) -> None:
    """Writes the migrations into `supabase/migrations`, and webhooks.sql beside them.

    The CLI runs a file once, so functions that have changed are written again, under a later timestamp.

    Raises:
        CommandError: a file of that name with another text is there already; nothing was written.
    """
    if not directory.is_dir():
        raise CommandError(
            f"{directory} is not a directory; it is supabase/migrations in a project of the Supabase CLI"
        )
    versioned = [migration for migration in migrations if not migration.repeatable]
    files = {migration.name: for_cli(versioned[: place + 1]) for place, migration in enumerate(versioned)}
    files |= _copy_functions([migration for migration in migrations if migration.repeatable], versioned, directory)
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


def _copy_functions(functions: Sequence[Migration], versioned: Sequence[Migration], directory: Path) -> dict[str, str]:
    """Names and texts of the copies: the newest copy's name where its text is the same, else one after all others."""
    last = max([datetime.now(UTC).strftime(_TIMESTAMP), *(name[:14] for name in _timestamped(directory))])
    last = max(last, *(migration.name[:14] for migration in versioned))
    files = {}
    for migration in functions:
        topic = Path(migration.name).name
        text = for_cli([migration])
        copies = sorted(
            path for path in directory.glob(f"*_leadhook_{topic}") if re.match(r"\d{14}_leadhook_", path.name)
        )
        if copies and copies[-1].read_text("utf-8", "replace") == text:
            files[copies[-1].name] = text
        else:
            last = (datetime.strptime(last, _TIMESTAMP).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(_TIMESTAMP)
            files[f"{last}_leadhook_{topic}"] = text
    return files


def _timestamped(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*_leadhook_*.sql") if re.match(r"\d{14}_", path.name)]


def _refuse_others(files: dict[str, str], directory: Path) -> None:
    others = [
        name
        for name, text in files.items()
        if (path := directory / name).exists() and path.read_text("utf-8", "replace") != text
    ]
    if others:
        raise CommandError(
            "these files are there with another text, and nothing was written; what was pushed before is not to be "
            "edited, so look at what differs:" + bullets(str(directory / name) for name in others)
        )
