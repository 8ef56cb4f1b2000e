"""One database of the local cluster: how to reach it, and how it gets what a hosted Supabase project has."""

from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Database:
    """Connection strings; they contain passwords, so the repr leaves them out."""

    name: str
    conninfo: str = field(repr=False)
    """As `postgres`, the owner, who is no superuser: DATABASE_URL of a hosted project."""
    admin_conninfo: str = field(repr=False)
    """As `supabase_admin`, the superuser."""
    authenticator_conninfo: str = field(repr=False)
    """As `authenticator`, the role that PostgREST logs in as."""

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=autocommit)

    async def connect_async(self, *, autocommit: bool = True) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.conninfo, autocommit=autocommit)


@dataclass(frozen=True)
class RolePasswords:
    """Passwords of the two roles that log in over TCP."""

    postgres: str
    authenticator: str


def create_roles(superuser: str, passwords: RolePasswords) -> None:
    """Create Supabase's roles, once per cluster. Passwords are sent as SCRAM verifiers, so that no log shows them."""
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "roles.sql").read_bytes())
        for role, password in (("postgres", passwords.postgres), ("authenticator", passwords.authenticator)):
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            statement = sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
            connection.execute(statement)


def fill_database(superuser: str, *, old_regime: bool = False) -> None:
    """Create Supabase's schemas and extensions in a database that belongs to `postgres`.

    Args:
        superuser: conninfo of the superuser for that database.
        old_regime: use the default privileges of before 30 October 2026.
    """
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "database.sql").read_bytes())
        connection.execute((SQL / "auth.sql").read_bytes())
        if old_regime:
            connection.execute((SQL / "old_default_privileges.sql").read_bytes())


def create_database(superuser: str, name: str, template: str | None = None) -> None:
    """Create a database owned by `postgres`, empty or as a copy of another one that has no connections."""
    statement = sql.SQL("create database {} owner postgres template {} strategy file_copy").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(statement)


def drop_database(superuser: str, name: str) -> None:
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
