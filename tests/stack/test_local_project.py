import re

import psycopg
import pytest

from leadhook.local.database import Database

ROLES = """
select rolname, rolsuper, rolcanlogin, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls
from pg_roles where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator')
order by rolname"""
# From the verb to the end of the statement or of its common table expression.
WRITE = re.compile(r"\b(?:update|delete from) (?:leadhook|public)\.")


def can(connection: psycopg.Connection, role: str, question: str) -> bool:
    row = connection.execute(f"select {question}".encode(), {"role": role}).fetchone()
    assert row is not None
    return bool(row[0])


def test_roles_are_those_of_a_hosted_project(bare_database: Database) -> None:
    """Above all, `postgres` is no superuser."""
    with bare_database.connect() as connection:
        rows = connection.execute(ROLES.encode()).fetchall()

    assert rows == [
        ("anon", False, False, False, False, False, False),
        ("authenticated", False, False, False, False, False, False),
        ("authenticator", False, True, False, False, False, False),
        ("postgres", False, True, True, True, True, True),
        ("service_role", False, False, False, False, False, True),
    ]


def test_the_api_roles_have_hosted_timeouts(bare_database: Database) -> None:
    """PostgREST applies them to every request."""
    query = "select rolname, unnest(rolconfig) from pg_roles where rolname like any ('{anon,auth%}') order by 1, 2"
    with bare_database.connect() as connection:
        rows = connection.execute(query.encode()).fetchall()

    assert rows == [
        ("anon", "statement_timeout=3s"),
        ("authenticated", "statement_timeout=8s"),
        ("authenticator", "lock_timeout=8s"),
        ("authenticator", "statement_timeout=8s"),
    ]


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_nothing_new_in_public_is_granted_to_the_api(bare_database: Database, role: str) -> None:
    """The rule for every project since 30 October 2026."""
    with bare_database.connect() as connection:
        connection.execute("create table public.things (id int)")

        assert not can(connection, role, "has_table_privilege(%(role)s, 'public.things', 'select')")


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_the_old_regime_grants_everything_new_to_the_api(old_regime_database: Database, role: str) -> None:
    with old_regime_database.connect() as connection:
        connection.execute("create table public.things (id int)")
        connection.execute("create function public.f() returns int language sql as 'select 1'")
        connection.execute("revoke execute on function public.f() from public")

        assert can(connection, role, "has_table_privilege(%(role)s, 'public.things', 'select')")
        assert can(connection, role, "has_function_privilege(%(role)s, 'public.f()', 'execute')")


@pytest.mark.parametrize("extension", ["pg_net", "supabase_vault"])
def test_a_stand_in_says_that_it_is_one(bare_database: Database, extension: str) -> None:
    with bare_database.connect() as connection:
        row = connection.execute("select comment from pg_available_extensions where name = %s", [extension]).fetchone()

    assert row is not None
    assert row[0].startswith("STAND-IN")


def test_postgres_enables_and_uses_the_extensions_itself(bare_database: Database) -> None:
    """As on a hosted project, where no migration has a superuser."""
    with psycopg.connect(bare_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension pg_net")
        admin.execute("drop extension supabase_vault")
    with bare_database.connect() as connection:
        connection.execute("create extension pg_net with schema extensions")
        connection.execute("create extension supabase_vault with schema vault")
        assert connection.execute("select net.http_get('http://x.invalid/')").fetchone() == (1,)


def test_vault_keeps_a_secret_and_changes_it(bare_database: Database) -> None:
    with bare_database.connect() as connection:
        made = connection.execute("select vault.create_secret('first', 'name', 'what for')").fetchone()
        assert made is not None
        connection.execute("select vault.update_secret(%s, 'second')", made)
        query = "select decrypted_secret, name, description from vault.decrypted_secrets where id = %s"
        assert connection.execute(query.encode(), made).fetchone() == ("second", "name", "what for")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("select vault.create_secret('other', 'name')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into vault.secrets (secret) values ('by hand')")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_vault_is_closed_to_the_public_api(bare_database: Database, role: str) -> None:
    with bare_database.connect() as connection:
        assert not can(connection, role, "has_schema_privilege(%(role)s, 'vault', 'usage')")
        function = "vault.create_secret(text, text, text, uuid)"
        assert not can(connection, role, f"has_function_privilege(%(role)s, '{function}', 'execute')")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "'http://x/', headers => '{\"content-type\": \"text/plain\"}'",
            "Content-Type header must be",
        ),
        ("'/no/scheme'", 'invalid URL "/no/scheme"'),
        ("null", 'null value in column "url"'),
    ],
)
def test_a_wrong_request_raises_in_the_callers_transaction(bare_database: Database, arguments: str, words: str) -> None:
    """As the real one does: a trigger that sends a webhook must be ready for it."""
    with bare_database.connect() as connection, pytest.raises(psycopg.Error, match=words):
        connection.execute(f"select net.http_post({arguments})".encode())


def own_words(source: str) -> list[str]:
    """The words of the statement that `source` begins with, without what stands in parentheses."""
    depth, own = 0, ""
    for character in source:
        depth += (character == "(") - (character == ")")
        if depth < 0 or (depth == 0 and character == ";"):
            break
        own += character if depth == 0 else " "
    return own.split()


def test_no_function_updates_or_deletes_without_where(database: Database) -> None:
    """Hosted projects load safeupdate for the API: such a statement raises there, within functions too."""
    query = """
        select p.oid::regprocedure::text, regexp_replace(p.prosrc, '--[^\n]*', '', 'g') from pg_proc p
        where p.pronamespace = any (array['leadhook', 'public']::regnamespace[])"""
    with database.connect() as connection:
        functions = connection.execute(query.encode()).fetchall()
    writes = [(name, own_words(source[at.start() :])) for name, source in functions for at in WRITE.finditer(source)]

    assert len(writes) > 30
    assert [(name, words) for name, words in writes if "where" not in words] == []


def test_the_queue_survives_no_crash(bare_database: Database) -> None:
    query = "select relname, relpersistence from pg_class where relnamespace = 'net'::regnamespace and relkind = 'r'"
    with bare_database.connect() as connection:
        rows = connection.execute(query.encode()).fetchall()

    assert sorted(rows) == [("_http_response", "u"), ("http_request_queue", "u")]
