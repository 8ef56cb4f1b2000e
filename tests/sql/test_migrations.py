"""The SQL files run again without harm, change nothing that was there, and are undone as they say."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from leadhook.install.files import Migration, read_migrations, read_webhook_steps, split_statements
from leadhook.local.database import Database

WEBHOOKS = Path(__file__).parents[2] / "webhooks.sql"
FINGERPRINT = (Path(__file__).parent / "fingerprint.sql").read_bytes()
EXISTING_PROJECT = (Path(__file__).parent / "existing_project.sql").read_bytes()


def fingerprint(connection: psycopg.Connection) -> dict[tuple[str, str], str]:
    """What is there, by kind and name."""
    return {(kind, name): text for kind, name, text in connection.execute(FINGERPRINT).fetchall()}


def apply(connection: psycopg.Connection, migration: Migration) -> None:
    """By hand, without a history."""
    if migration.in_transaction:
        connection.execute(migration.sql.encode())
    else:
        for statement in split_statements(migration.sql):
            connection.execute(statement.encode())


def wire(connection: psycopg.Connection) -> None:
    """All steps of webhooks.sql, each by itself."""
    for step in read_webhook_steps():
        connection.execute(step.sql.encode())


@pytest.mark.parametrize("fixture", ["wired_database", "old_regime_database"])
def test_every_file_runs_again_without_harm(request: pytest.FixtureRequest, fixture: str) -> None:
    """Under new and old default privileges; not even a trigger is made again."""
    database: Database = request.getfixturevalue(fixture)
    with database.connect() as owner:
        wire(owner)
        before = fingerprint(owner)
        assert len(before) > 100
        for migration in read_migrations():
            apply(owner, migration)
        wire(owner)
        assert fingerprint(owner) == before


def test_what_was_there_stays_as_it_was(bare_database: Database) -> None:
    with bare_database.connect() as owner:
        owner.execute(EXISTING_PROJECT)
        before = fingerprint(owner)
        rows = owner.execute("select a::text from public.all_leads as a").fetchall()
        for migration in read_migrations():
            apply(owner, migration)
        wire(owner)
        after = fingerprint(owner)
        assert {key: after.get(key) for key in before} == before
        added = {key for key in after.keys() - before.keys() if "leadhook." not in key[1]}
        assert {name for kind, name in added if kind == "index"} == {"leadhook_unsent"}
        assert {kind for kind, _ in added} == {"index", "relation", "function", "trigger"}
        assert all("leadhook_" in name for _, name in added)
        assert owner.execute("select a::text from public.all_leads as a").fetchall() == rows


def test_triggers_that_are_up_to_date_are_not_locked_for(wired_database: Database) -> None:
    """Running webhooks.sql again waits for no writer, and no writer for it."""
    with wired_database.connect(autocommit=False) as writer, wired_database.connect() as owner:
        for table in ("all_leads", "lead_details", "prompts", "gemini_api"):
            writer.execute(f"lock table public.{table} in row exclusive mode".encode())
        owner.execute("set lock_timeout = '100ms'")
        wire(owner)
        writer.rollback()


def test_webhooks_sql_runs_as_one_script(database: Database) -> None:
    """As the SQL editor runs it: one transaction."""
    script = "".join(f"-- step: {step.words}{step.sql}" for step in read_webhook_steps())
    with database.connect() as owner:
        owner.execute(script.encode())
        assert owner.execute("select count(*) from pg_trigger where tgname like 'leadhook%'").fetchone() == (11,)


def test_webhooks_sql_repairs_its_triggers_and_leaves_others_alone(wired_database: Database) -> None:
    state: Any = (
        "select tgname::text, tgrelid::regclass::text, tgenabled::text, tgtype from pg_trigger where not tgisinternal"
    )
    with wired_database.connect() as owner:
        before = set(owner.execute(state).fetchall())
        owner.execute(b"""
            create function public.theirs() returns trigger language plpgsql as 'begin return new; end';
            create trigger theirs before update on public.all_leads for each row execute function public.theirs();
            alter table public.all_leads disable trigger theirs;
            alter table public.all_leads disable trigger leadhook_insert;
            drop trigger leadhook_delete on public.lead_details;
            drop trigger leadhook_change on public.gemini_api;
            create trigger leadhook_change after insert on public.gemini_api
              for each statement execute function leadhook.send_webhook_for_keys();
        """)
        wire(owner)
        after = set(owner.execute(state).fetchall())
        assert after - before == {("theirs", "all_leads", "D", 19)}
        assert before <= after


def test_webhooks_sql_enables_the_extensions_that_a_webhook_needs(wired_database: Database) -> None:
    """Where the extensions are on offer and not enabled."""
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension pg_net")
        admin.execute("drop extension supabase_vault cascade")
    with wired_database.connect() as owner:
        wire(owner)
        rows = owner.execute("select extname::text from pg_extension where extname in ('pg_net', 'supabase_vault')")
        assert len(rows.fetchall()) == 2
        owner.execute("select vault.create_secret('http://127.0.0.1:9', 'leadhook_webhook_url')")


def test_webhooks_sql_is_undone_as_it_says(wired_database: Database) -> None:
    """The statements in its head leave no trigger behind."""
    with wired_database.connect() as owner:
        for statement in re.findall(r"drop trigger if exists \S+ on \S+;", WEBHOOKS.read_text()):
            owner.execute(statement.encode())
        assert owner.execute("select count(*) from pg_trigger where tgname like 'leadhook%'").fetchone() == (0,)


def test_versioned_files_hold_no_function_and_the_others_nothing_else() -> None:
    """So that each is applied when it has to be; and a file that is applied by hand leaves no function open."""
    for migration in read_migrations():
        kinds = {re.sub(r"--.*\n|\s+", " ", each).split(None, 1)[0].lower() for each in split_statements(migration.sql)}
        if migration.repeatable:
            assert "create table" not in migration.sql, migration.name
            assert "create or replace function" in migration.sql, migration.name
            assert kinds <= {"set", "create", "comment", "do", "drop", "select"}, migration.name
            assert migration.sql.endswith("\nselect leadhook.grant_functions();\n"), migration.name
        else:
            assert not re.search(r"^create (or replace )?function", migration.sql, re.MULTILINE), migration.name


def test_every_function_passes_the_checks_that_its_file_puts_off(wired_database: Database) -> None:
    """A file may call what a later one makes, so its bodies are not checked while it is applied."""
    functions = """
        select pg_get_functiondef(f.oid)
        from pg_proc as f
        where f.pronamespace = 'leadhook'::regnamespace
          or f.pronamespace = 'public'::regnamespace and f.proname ~ '^(leadhook|rpc_get_eligible)'
    """
    with wired_database.connect() as owner:
        definitions = [definition for (definition,) in owner.execute(functions).fetchall()]
        assert len(definitions) > 100
        owner.execute("set check_function_bodies = on")
        for definition in definitions:
            owner.execute(definition.encode())
