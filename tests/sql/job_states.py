"""Which functions move a job between which states: as the schema's comment says, and as a database does it."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from tests.sql.conftest import Sql

Move = tuple[str, str, str]
"""From, to, by which function."""

SCHEMA = Path(__file__).parents[2] / "migrations/20261123000200_leadhook_schema.sql"
ROW = re.compile(r"--   (\w+(?:, \w+)*)  +(\w+(?:, \w+)*)  +([\w.]+)  +\S")


@cache
def written_down() -> set[Move]:
    """The comment table beside leadhook.jobs, a move for each of its pairs."""
    table = SCHEMA.read_text().partition("-- The state machine")[2].partition("create table")[0]
    rows = [row for line in table.splitlines() if (row := ROW.match(line)) and row[1] != "from"]
    return {(was, becomes, row[3]) for row in rows for was in row[1].split(", ") for becomes in row[2].split(", ")}


def watch(db: "Sql") -> None:
    """Have a trigger note each move and the innermost function that made it; what a test writes itself has none."""
    db.connection.execute(b"""
        create schema watched;
        create table watched.moves (was text, becomes text, made_by text);
        create function watched.note() returns trigger language plpgsql security definer as $$
        declare
          v_was text := case when tg_op = 'INSERT' then 'none' else old.state end;
          v_becomes text := case when tg_op = 'DELETE' then 'none' else new.state end;
          v_stack text;
          v_made_by text;
        begin
          get diagnostics v_stack = pg_context;
          v_made_by := substring(v_stack from 'function (?:leadhook[.]|")(\\w+)');
          -- No key: a test's other transaction would wait for it.
          if v_was <> v_becomes and v_made_by is not null then
            insert into watched.moves
            select v_was, v_becomes, v_made_by
            where not exists (
              select from watched.moves as m where (m.was, m.becomes, m.made_by) = (v_was, v_becomes, v_made_by)
            );
          end if;
          return null;
        end
        $$;
        create trigger watched after insert or update or delete on leadhook.jobs
          for each row execute function watched.note();
    """)


def watched(connection: psycopg.Connection[Any]) -> set[Move]:
    """The moves since `watch`."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return set(cursor.execute("select was, becomes, made_by from watched.moves"))
