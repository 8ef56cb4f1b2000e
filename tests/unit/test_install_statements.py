"""A text of several statements is taken apart where Postgres would, for those that can't share a transaction."""

import pytest

from leadhook.install.files import read_migrations, read_webhook_steps, split_statements
from leadhook.install.webhooks import describe_local_url


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        ("-- only ; a comment\n/* and ; another */ ;;", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';' , E'\\';' , 'it''s;', \"a;b\";", ["select ';' , E'\\';' , 'it''s;', \"a;b\""]),
        ("do $$ begin; end $$; do $a$ ; $$ ; $a$;", ["do $$ begin; end $$", "do $a$ ; $$ ; $a$"]),
        ("select 1 -- one; really\n; select 2", ["select 1 -- one; really", "select 2"]),
        ("select 1 /* ; */ + 1;", ["select 1 /* ; */ + 1"]),
    ],
)
def test_split_ends_a_statement_at_its_own_semicolon_alone(sql: str, statements: list[str]) -> None:
    """Not at one in a string, a name, a function body or a comment."""
    assert list(split_statements(sql)) == statements


def test_migrations_are_in_the_order_of_their_names() -> None:
    """Those with a timestamp, as the Supabase CLI wants it, then the functions."""
    names = [migration.name for migration in read_migrations()]
    assert names == sorted(names)
    assert names[0] == "20261123000100_application_tables.sql"


def test_only_files_with_the_line_run_without_a_transaction() -> None:
    """They are the ones that build an index concurrently."""
    outside = [migration for migration in read_migrations() if not migration.in_transaction]
    assert outside
    assert all("index concurrently" in migration.sql for migration in outside)


def test_each_step_of_the_webhooks_says_what_it_does() -> None:
    """The words are what the installer prints and what an error begins with."""
    steps = read_webhook_steps()
    assert len(steps) > 5
    assert all(step.words and list(split_statements(step.sql)) for step in steps)


@pytest.mark.parametrize(
    ("url", "database_host", "noted"),
    [
        ("http://localhost:8000/webhooks/leads", "db.abc.supabase.co", True),
        ("http://127.0.0.1:8000/webhooks/leads", "10.0.0.1", True),
        ("http://[::1]:8000/webhooks/leads", "db.abc.supabase.co", True),
        ("https://leads.example.com/webhooks/leads", "db.abc.supabase.co", False),
        ("http://localhost:8000/webhooks/leads", "127.0.0.1", False),
        ("http://localhost:8000/webhooks/leads", "localhost", False),
        ("http://localhost:8000/webhooks/leads", "/run/postgres", False),
        ("http://localhost:8000/webhooks/leads", "", False),
    ],
)
def test_a_local_url_is_noted_where_the_database_is_elsewhere(url: str, database_host: str, *, noted: bool) -> None:
    assert (describe_local_url(url, database_host) is not None) == noted
