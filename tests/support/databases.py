"""Databases of a worker's cluster: copies of a template, and copies that a next test uses again.

To make and drop a database costs more than most tests, and so does a first call in it: a new session compiles every
function. A test that left nothing but rows gives its database back, with its sessions; the rows are deleted. Where it
changed the schema, or left much to vacuum, the database is dropped.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from tests.support.clusters import PASSWORD

from leadhook.local.database import Database
from leadhook.local.postgres import Cluster

Row = dict[str, Any]

LEFT_TO_VACUUM: Final = 2000
"""Dead rows after which a database is not used again: they would change what the planner does."""
CATALOGS: Final = """
    attrdef attribute authid auth_members class constraint db_role_setting default_acl depend description
    event_trigger extension index inherits namespace policy proc publication rewrite statistic trigger type
"""
SCHEMA = " union all ".join(
    f"select {place}, count(*), age('3'::xid) - nullif(min(age(xmin)), 2147483647) from pg_catalog.pg_{name}"  # noqa: S608 - constants
    for place, name in enumerate(CATALOGS.split())
)
"""How many rows each catalog has, and which transaction wrote the last: any change of the schema changes it.

A transaction has no maximum and its text costs twice as much as its age, which is counted from the current one; those
of initdb have the greatest age there is.
"""
TABLES = """
    select c.oid::regclass::text as name, pg_relation_size(c.oid) > 0 as used,
      (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns
    from pg_class as c
    where c.relkind = 'r' and c.relnamespace in
      (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')
"""
SEQUENCES = "select seqrelid::regclass::text, seqstart, pg_sequence_last_value(seqrelid) from pg_sequence"
OTHERS = """
    select count(*) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and not pid = any (%s)
"""
FORGET_SESSION: Final = b"""
    reset session authorization; reset all; discard plans; unlisten *; select pg_advisory_unlock_all()
"""


@dataclass
class Kept:
    database: Database
    admin: psycopg.Connection[Any]
    sessions: list[psycopg.Connection[Row]] = field(default_factory=list)
    """Of its owner, as new: what they compiled is all that they know."""
    dead_rows: int = 0

    def __post_init__(self) -> None:
        self.admin.execute("set session_replication_role = replica")
        self.schema = self.admin.execute(SCHEMA).fetchall()
        self.sequences = self.admin.execute(SEQUENCES).fetchall()
        self.tables = self.admin.execute(TABLES).fetchall()
        self.rows = {name: self.read(name, columns) for name, used, columns in self.tables if used}

    def read(self, table: str, columns: str) -> tuple[str, bytes]:
        """Return a COPY statement that brings back the rows that the table has now, and its data."""
        with self.admin.cursor().copy(f"copy {table} ({columns}) to stdout".encode()) as copy:
            return f"copy {table} ({columns}) from stdin", b"".join(bytes(chunk) for chunk in copy)

    def session(self) -> psycopg.Connection[Row]:
        """A session of the owner, until `give_back`."""
        if self.sessions:
            return self.sessions.pop()
        return psycopg.connect(self.database.conninfo, autocommit=True, row_factory=dict_row)

    def give_back(self, session: psycopg.Connection[Row]) -> None:
        """Keep a session for the next test, unless this one left it unfit."""
        if session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE or session._notice_handlers:
            session.close()
            return
        with suppress(psycopg.OperationalError):
            session.execute(FORGET_SESSION)
            self.sessions.append(session)

    def restored(self) -> bool:
        """Make the rows and the sequences those of the template; False where more than rows was changed."""
        try:
            if not self._is_alone() or self.admin.execute(SCHEMA).fetchall() != self.schema:
                return False
            with self.admin.transaction():
                self._restore_rows()
        except psycopg.Error:
            return False
        return self.dead_rows < LEFT_TO_VACUUM

    def _is_alone(self) -> bool:
        """Whether no one else is connected; who has just left may be on its way out."""
        pids = [self.admin.info.backend_pid, *(session.info.backend_pid for session in self.sessions)]
        for _ in range(20):
            if self.admin.execute(OTHERS, [pids]).fetchone() == (0,):
                return True
            self.admin.execute("select pg_sleep(0.01)")
        return False

    def _restore_rows(self) -> None:
        for name, used, _ in self.admin.execute(TABLES).fetchall():
            if used:
                self.dead_rows += self.admin.execute(f"delete from {name}".encode()).rowcount  # noqa: S608 - a catalog's
        for statement, rows in self.rows.values():
            with self.admin.cursor().copy(statement.encode()) as copy:
                copy.write(rows)
        for name, start, last in self.sequences:
            self.admin.execute("select setval(%s, %s, %s)", [name, start if last is None else last, last is not None])

    def close(self) -> None:
        for connection in (self.admin, *self.sessions):
            connection.close()


@dataclass(frozen=True)
class Databases:
    cluster: Cluster
    lent: dict[str, Kept] = field(default_factory=dict)
    """Those in use, by their name."""
    _idle: dict[str, list[Kept]] = field(default_factory=dict)
    """The others, by the name of their template."""

    def named(self, name: str) -> Database:
        return Database(
            name=name,
            conninfo=self.cluster.conninfo("postgres", PASSWORD, name),
            admin_conninfo=self.cluster.conninfo(dbname=name),
            authenticator_conninfo=self.cluster.conninfo("authenticator", PASSWORD, name),
        )

    def template(self, name: str, fill: Callable[[Database], None], copy_of: Database | None = None) -> Database:
        self._create(name, copy_of.name if copy_of else "template1")
        database = self.named(name)
        fill(database)
        return database

    def copies(self, template: Database) -> Iterator[Database]:
        """A copy, which is dropped afterwards."""
        database = self._copy(template)
        yield database
        self._drop(database)

    def kept(self, template: Database) -> Iterator[Database]:
        """One that looks like a new copy; if its rows alone were changed, a later test gets it again."""
        idle = self._idle.setdefault(template.name, [])
        kept = idle.pop() if idle else self._new(template)
        database = kept.database
        self.lent[database.name] = kept
        yield database
        del self.lent[database.name]
        if kept.restored():
            idle.append(kept)
        else:
            kept.close()
            self._drop(database)

    def close(self) -> None:
        """Disconnect from those that no test uses any more."""
        for kept in [kept for idle in self._idle.values() for kept in idle]:
            kept.close()

    def _new(self, template: Database) -> Kept:
        database = self._copy(template)
        return Kept(database, psycopg.connect(database.admin_conninfo, autocommit=True))

    def _copy(self, template: Database) -> Database:
        name = f"t_{secrets.token_hex(6)}"
        self._create(name, template.name)
        return self.named(name)

    def _create(self, name: str, template: str) -> None:
        """Empty, or a copy of another one that has no connections."""
        statement = sql.SQL("create database {} owner postgres template {} strategy file_copy")
        self._run(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def _drop(self, database: Database) -> None:
        self._run(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.cluster.conninfo(), autocommit=True) as connection:
            connection.execute(statement)


async def connect_async(database: Database, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
    """Connect as the owner."""
    return await psycopg.AsyncConnection.connect(database.conninfo, autocommit=autocommit)
