"""The real Supabase CLI and leadhook work on one database, and neither is in the other's way."""

import json
from pathlib import Path

import psycopg
import pytest
from tests.cli_project import CliProject, needs_cli
from tests.conftest import silent
from tests.dump import dump

from leadhook.install.files import WEBHOOKS_NAME, copy_migrations, read_migrations, read_webhook_steps
from leadhook.install.install import InstallOptions, install
from leadhook.install.migrate import migrate
from leadhook.install.uninstall import uninstall
from leadhook.local.database import Database

pytestmark = needs_cli

EVERY = read_migrations()
ORDER = InstallOptions("https://leads.example.com/webhooks/leads")
CLEAN = "Remote database is up to date"
THEIRS = {
    "20250101000000_tables.sql": (Path(__file__).parent / "existing/checks_and_policies.sql").read_text(),
    "20270101000000_later_than_ours.sql": "create table public.more (id bigint primary key);",
}


@pytest.fixture
def project(tmp_path: Path) -> CliProject:
    return CliProject(tmp_path / "project")


def history(database: Database) -> list[tuple[object, ...]]:
    """What the CLI knows to be applied."""
    with database.connect() as connection:
        return connection.execute(
            "select version, name from supabase_migrations.schema_migrations order by 1"
        ).fetchall()


async def test_a_foreign_project_stays_clean(bare_database: Database, project: CliProject) -> None:
    """After leadhook came, and after it went, the CLI sees nothing to push; a new migration of theirs goes through."""
    for name, text in THEIRS.items():
        (project.migrations / name).write_text(text)
    project.supabase(bare_database, "db", "push")
    pushed = history(bare_database)
    assert [row[0] for row in pushed] == [name.partition("_")[0] for name in THEIRS]

    await install(bare_database.conninfo, ORDER, EVERY, read_webhook_steps(), silent)
    assert CLEAN in project.supabase(bare_database, "db", "push", "--dry-run")
    assert history(bare_database) == pushed

    (project.migrations / "20270202000000_newer.sql").write_text("alter table public.all_leads add newer text;")
    said = project.supabase(bare_database, "db", "push", "--dry-run")
    assert "20270202000000_newer.sql" in said
    assert "leadhook" not in said
    project.supabase(bare_database, "db", "push")
    await uninstall(bare_database.conninfo, purge=True, report=silent)
    assert CLEAN in project.supabase(bare_database, "db", "push", "--dry-run")


async def test_the_copies_make_what_migrate_makes(
    bare_database: Database, database: Database, project: CliProject
) -> None:
    """By `migration up`: the same dump, nothing left for `leadhook migrate`, and nothing left for the CLI."""
    copy_migrations(EVERY, project.migrations, silent)
    said = project.supabase(bare_database, "migration", "up")
    assert f"Skipping migration {WEBHOOKS_NAME}" in said
    await migrate(database.conninfo, EVERY, silent)
    ours = dump(database, "public", "leadhook", rows=False)
    assert dump(bare_database, "public", "leadhook", rows=False) == ours

    lines: list[str] = []
    await migrate(bare_database.conninfo, EVERY, lines.append)
    assert lines[-1] == f"up to date: all {len(EVERY)} migrations are applied"
    assert CLEAN in project.supabase(bare_database, "db", "push", "--dry-run")


def test_the_advisors_warn_of_nothing(wired_template: Database, project: CliProject) -> None:
    """It warns of the functions without a search_path, by design: they are inlined, and name every schema."""
    said = project.supabase(wired_template, "db", "advisors", "--type", "all", "--level", "warn")
    found = json.loads(said[said.index("[") : said.rindex("]") + 1])
    assert {(one["name"], one["metadata"]["name"]) for one in found} == {
        ("function_search_path_mutable", name)
        for name in (
            "failing_since",
            "key_fingerprint",
            "read_value",
            "wanted_webhooks",
            "webhook_body",
            "wrap_value",
        )
    }


def test_the_linter_finds_nothing(database: Database, project: CliProject) -> None:
    """`db lint` is plpgsql_check; where Postgres lacks the extension, the reason of the skip says how to get it."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        if not admin.execute("select 1 from pg_available_extensions where name = 'plpgsql_check'").fetchone():
            pytest.skip("plpgsql_check is not there: `make test-cli` takes it from Debian, where apt-get is")
        admin.execute("create extension plpgsql_check")
    said = project.supabase(database, "db", "lint", "--level", "warning")
    found = json.loads(said[said.index("[") : said.rindex("]") + 1]) if "[" in said else []
    assert [(one["function"], issue["message"]) for one in found for issue in one["issues"]] == []
