"""Makes an empty cluster look like a hosted Supabase project: roles, schemas, extensions, default privileges."""

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class RolePasswords:
    """Of the two roles that log in over TCP."""

    postgres: str
    authenticator: str


def create_roles(superuser: str, passwords: RolePasswords) -> None:
    """Create Supabase's roles, once a cluster.

    Args:
        superuser: conninfo of the superuser, any database.
        passwords: stored as SCRAM verifiers that are made here, so that no log can show them.
    """
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "roles.sql").read_bytes())
        for role, password in (("postgres", passwords.postgres), ("authenticator", passwords.authenticator)):
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            statement = sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
            connection.execute(statement)


def fill_database(superuser: str, *, old_regime: bool = False) -> None:
    """Create Supabase's schemas and extensions in a database.

    Args:
        superuser: conninfo of the superuser for that database, which must belong to `postgres`.
        old_regime: with the default privileges of before 30 October 2026.
    """
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "database.sql").read_bytes())
        connection.execute((SQL / "auth.sql").read_bytes())
        if old_regime:
            connection.execute((SQL / "old_default_privileges.sql").read_bytes())


def create_database(superuser: str, name: str, template: str | None = None) -> None:
    """Create a database that belongs to `postgres`, empty or as a copy of another one.

    Args:
        superuser: conninfo of the superuser, any other database.
        name: of the new database.
        template: of the database to copy; nobody may be connected to it.
    """
    statement = sql.SQL("create database {} owner postgres template {} strategy file_copy").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(statement)


def drop_database(superuser: str, name: str) -> None:
    """Drop a database and cut off whoever is connected to it."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
