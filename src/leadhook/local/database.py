"""One database of the local cluster, and how to reach it in each role."""

from dataclasses import dataclass, field

import psycopg


@dataclass(frozen=True)
class Database:
    """Connection strings; they hold passwords, so they are kept out of the repr."""

    name: str
    conninfo: str = field(repr=False)
    """As `postgres`, the owner, who is no superuser: what DATABASE_URL is on a hosted project."""
    admin_conninfo: str = field(repr=False)
    """As `supabase_admin`, the superuser."""
    authenticator_conninfo: str = field(repr=False)
    """As `authenticator`, who PostgREST logs in as."""

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection:
        """A connection as `postgres`."""
        return psycopg.connect(self.conninfo, autocommit=autocommit)

    async def connect_async(self, *, autocommit: bool = True) -> psycopg.AsyncConnection:
        """A connection as `postgres`, for asyncio."""
        return await psycopg.AsyncConnection.connect(self.conninfo, autocommit=autocommit)
