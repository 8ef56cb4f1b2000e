"""Sequences that a restore or a switch-over of the database left behind their rows: the next insert would collide."""

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
    """A sequence, and the columns whose values come from it.

    Attributes:
        ours: it is in the schema leadhook; else it belongs to the application.
    """

    sequence: str
    columns: tuple[tuple[str, str], ...]
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Behind:
    """A sequence whose next value is taken already.

    Attributes:
        next_value: what the next insert would get.
        highest: the greatest value in use.
    """

    counter: Counter
    next_value: int
    highest: int

    @property
    def remedy(self) -> str:
        """The statement that puts it right; for a sequence of the application."""
        ((table, column),) = self.counter.columns
        statement = "select setval('{}', (select max({}) from {}));"
        return statement.format(self.counter.sequence, column, table)


async def find_behind(connection: Connection) -> list[Behind]:
    """Every sequence that is behind its rows, of leadhook's tables and of the application's; takes no lock."""
    rows = await (await connection.execute(question("sequences"), ALL)).fetchall()
    counters = await _fences(connection) + [
        Counter(row["sequence"], ((row["table_name"], row["column_name"]),), row["ours"]) for row in rows
    ]
    found = [await _try_examine(connection, counter) for counter in counters]
    return [behind for behind in found if behind is not None]


async def _fences(connection: Connection) -> list[Counter]:
    """The sequence of the fences, which no column owns, once the migrations have made it."""
    query = b"select to_regclass(%s) is not null and to_regclass('leadhook.jobs') is not null as there"
    there = (await (await connection.execute(query, [_FENCES])).fetchall())[0]["there"]
    return [Counter(_FENCES, (("leadhook.jobs", "fence"),))] if there else []


async def put_right(change: Change) -> None:
    """Move leadhook's own sequences beyond their rows. Repeatable; a sequence that is right is not touched.

    Raises:
        CommandError: it could not be done.
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
    change.tell(f"behind their rows, and moved beyond them: {names}")


async def _advance(connection: Connection, counters: Sequence[Counter]) -> None:
    """Nobody takes a number between the look and the move: else it could be moved back."""
    for table in sorted({table for counter in counters for table, _ in counter.columns}):
        await connection.execute(_named("lock table {} in share row exclusive mode", table))
    for counter in counters:
        behind = await _examine(connection, counter)
        if behind is not None:
            await connection.execute("select setval(%s::regclass, %s)", (counter.sequence, behind.highest))


async def _try_examine(connection: Connection, counter: Counter) -> Behind | None:
    """None too where the question takes longer than the connection's patience."""
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
