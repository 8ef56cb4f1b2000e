"""`leadhook migrate --copy-to`: for the Supabase CLI, which runs each file in one transaction."""

from dataclasses import replace
from pathlib import Path

import pytest

from leadhook.command_error import CommandError
from leadhook.install.files import WEBHOOKS_NAME, Migration, copy_migrations, read_migrations, read_webhook_steps
from leadhook.install.migrate import migrate
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database

EVERY = read_migrations()
FINGERPRINT = (Path(__file__).parent / "fingerprint.sql").read_bytes()
URL = "https://leads.example.com/webhooks/leads"


def silent(_: str) -> None:
    """Discard the output."""


def push(database: Database, directory: Path) -> None:
    """As the CLI does: each file with a timestamp, in order, each in one transaction."""
    for path in sorted(directory.glob("2*.sql")):
        with database.connect(autocommit=False) as connection:
            connection.execute(path.read_bytes())


def schema(database: Database) -> list[tuple[str, ...]]:
    """What is there, in the catalog's words, without the numbers by which a trigger is the same one."""
    with database.connect() as connection:
        found = connection.execute(FINGERPRINT).fetchall()
    return sorted((kind, name, text.split(" ", 2)[2] if kind == "trigger" else text) for kind, name, text in found)


def history(database: Database) -> list[tuple[str, ...]]:
    """What our own history knows."""
    with database.connect() as connection:
        return connection.execute("select name, sha256 from leadhook.migrations order by 1").fetchall()


async def test_copies_make_what_migrate_makes(bare_database: Database, database: Database, tmp_path: Path) -> None:
    """The same schema, and the same history: so `migrate` has nothing to do after a push."""
    copy_migrations(EVERY, tmp_path, silent)
    push(bare_database, tmp_path)
    await migrate(database.conninfo, EVERY, silent)
    assert schema(bare_database) == schema(database)
    assert history(bare_database) == history(database)
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert said[-1] == f"up to date: all {len(EVERY)} migrations are applied"


async def test_webhooks_can_be_installed_after_a_push(bare_database: Database, tmp_path: Path) -> None:
    """The program knows what was applied."""
    copy_migrations(EVERY, tmp_path, silent)
    push(bare_database, tmp_path)
    await install_webhooks(bare_database.conninfo, URL, EVERY, read_webhook_steps(), silent)


def test_the_copy_of_webhooks_runs_by_hand(database: Database, tmp_path: Path) -> None:
    """As one script, like the SQL editor runs it."""
    copy_migrations(EVERY, tmp_path, silent)
    with database.connect() as connection:
        connection.execute((tmp_path / WEBHOOKS_NAME).read_bytes())
        assert connection.execute("select count(*) from pg_trigger where tgname like 'leadhook%'").fetchone() == (11,)


def test_the_index_is_built_without_concurrently_and_says_so(tmp_path: Path) -> None:
    """The CLI's transaction would refuse it."""
    copy_migrations(EVERY, tmp_path, silent)
    [path] = tmp_path.glob("*_unsent_index.sql")
    text = path.read_text()
    assert text.startswith("-- COPY FOR THE SUPABASE CLI")
    assert "\ncreate index if not exists leadhook_unsent on public.lead_details" in text
    copied = {path.name for path in tmp_path.iterdir()}
    versioned = {migration.name for migration in EVERY if not migration.repeatable}
    functions = {Path(migration.name).name for migration in EVERY if migration.repeatable}
    assert versioned | {WEBHOOKS_NAME} <= copied
    assert {name.partition("_leadhook_")[2] for name in copied - versioned - {WEBHOOKS_NAME}} == functions


def test_copies_may_be_repeated_and_never_overwrite_another_text(tmp_path: Path) -> None:
    """An edited file is named, and no file is written."""
    said: list[str] = []
    copy_migrations(EVERY, tmp_path, said.append)
    assert "supabase db push" in said[-1]
    copy_migrations(EVERY, tmp_path, silent)
    edited, gone = tmp_path / EVERY[2].name, tmp_path / EVERY[0].name
    edited.write_text("-- edited")
    gone.unlink()
    with pytest.raises(CommandError, match=f"another text.*\n.*{EVERY[2].name}$"):
        copy_migrations(EVERY, tmp_path, silent)
    assert edited.read_text() == "-- edited"
    assert not gone.exists()


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """It is more likely a slip."""
    with pytest.raises(CommandError, match="does not exist"):
        copy_migrations(EVERY, tmp_path / "nowhere", silent)


def test_changed_functions_are_copied_again_after_everything_else(tmp_path: Path) -> None:
    """The CLI has run the first copy, and runs each file once."""
    function = Migration("functions/topic.sql", "select 1;")
    copy_migrations([*EVERY, function], tmp_path, silent)
    before = {path.name for path in tmp_path.iterdir()}
    copy_migrations([*EVERY, replace(function, sql="select 2;")], tmp_path, silent)
    [added] = {path.name for path in tmp_path.iterdir()} - before
    assert added.endswith("_leadhook_topic.sql")
    assert added > max(name for name in before if name[0].isdigit())
    assert "select 2;" in (tmp_path / added).read_text()
