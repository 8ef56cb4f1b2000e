"""Finds and fixes sequences that are behind their rows after a restore or failover, so that inserts would collide."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.errors import QueryCanceled

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, fetch_one, say
from leadhook.install.patience import Change
from leadhook.install.sql import question
from leadhook.install.tables import ALL

_FENCES = "leadhook.fences"


@dataclass(frozen=True, slots=True)
class Counter:
    """A sequence, and the columns that get their values from it.

    Attributes:
        ours: True for the schema leadhook, False for the application.
    """

    sequence: str
    columns: tuple[tuple[str, str], ...]
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Behind:
    """A sequence whose next value is already in use.

    Attributes:
        next_value: the value that the next insert would get.
        highest: the highest value in use.
    """

    counter: Counter
    next_value: int
    highest: int

    @property
    def remedy(self) -> str:
        """The statement that fixes a sequence of the application."""
        ((table, column),) = self.counter.columns
        statement = "select setval('{}', (select max({}) from {}));"
        return statement.format(self.counter.sequence, column, table)


async def find_behind(connection: Connection) -> list[Behind]:
    """Find all sequences of leadhook and the application that are behind their rows, without locks."""
    rows = await (await connection.execute(question("sequences"), ALL)).fetchall()
    counters = await _fences(connection) + [
        Counter(row["sequence"], ((row["table_name"], row["column_name"]),), row["ours"]) for row in rows
    ]
    found = [await _try_examine(connection, counter) for counter in counters]
    return [behind for behind in found if behind is not None]


async def _fences(connection: Connection) -> list[Counter]:
    """Return the fence sequence, which no column owns, if the migrations have created it."""
    query = b"select to_regclass(%s) is not null and to_regclass('leadhook.jobs') is not null as there"
    there = (await (await connection.execute(query, [_FENCES])).fetchall())[0]["there"]
    return [Counter(_FENCES, (("leadhook.jobs", "fence"),))] if there else []


async def put_right(change: Change) -> None:
    """Move leadhook's own sequences beyond their rows; a correct sequence does not change.

    Raises:
        CommandError: the sequences could not be moved.
    """
    behind = [each.counter for each in await find_behind(change.connection) if each.counter.ours]

    async def advance() -> None:
        async with change.connection.transaction():
            await _advance(change.connection, behind)

    if not behind:
        return
    names = ", ".join(counter.sequence for counter in behind)
    try:
        await change.make(names, advance)
    except psycopg.Error as error:
        raise CommandError(f"{names}: {say(error)} (not moved beyond their rows; run it again)") from error
    change.tell(f"moved sequences that were behind their rows: {names}")


async def _advance(connection: Connection, counters: Sequence[Counter]) -> None:
    """Lock the tables so that no number is taken between reading and moving, which could move a sequence back."""
    for table in sorted({table for counter in counters for table, _ in counter.columns}):
        await connection.execute(_named("lock table {} in share row exclusive mode", table))
    for counter in counters:
        behind = await _examine(connection, counter)
        if behind is not None:
            await connection.execute("select setval(%s::regclass, %s)", (counter.sequence, behind.highest))


async def _try_examine(connection: Connection, counter: Counter) -> Behind | None:
    """Return None also if the query exceeds the statement timeout."""
    try:
        return await _examine(connection, counter)
    except QueryCanceled:
        return None


async def _examine(connection: Connection, counter: Counter) -> Behind | None:
    state = await fetch_one(
        connection, _named("select last_value + is_called::int as next_value from {}", counter.sequence)
    )
    tops = [
        (await fetch_one(connection, _named("select max({1}) as top from {0}", table, column)))["top"]
        for table, column in counter.columns
    ]
    highest = max((int(top) for top in tops if top is not None), default=0)
    return Behind(counter, state["next_value"], highest) if state["next_value"] <= highest else None


def _named(statement: str, *names: str) -> bytes:
    """The names come from the catalog, quoted."""
    return statement.format(*names).encode()
