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


def create_roles(superuser: str, *, postgres: str, authenticator: str) -> None:
    """Create Supabase's roles, once per cluster, with these passwords of the two that log in over TCP.

    They are sent as SCRAM verifiers, so that no log shows them.
    """
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "roles.sql").read_bytes())
        for role, password in (("postgres", postgres), ("authenticator", authenticator)):
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            statement = sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
            connection.execute(statement)


def fill_database(superuser: str) -> None:
    """Create Supabase's schemas and extensions in a database that belongs to `postgres`, as the superuser."""
    with psycopg.connect(superuser) as connection:
        connection.execute((SQL / "database.sql").read_bytes())
        connection.execute((SQL / "auth.sql").read_bytes())
