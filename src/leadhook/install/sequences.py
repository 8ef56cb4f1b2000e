"""Finds and fixes sequences that are behind their rows after a restore or failover, so that inserts would collide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.errors import QueryCanceled

from leadhook.install.connection import Connection, fetch_all, fetch_one
from leadhook.install.locks import Change
from leadhook.install.sql import query
from leadhook.install.tables import ALL

_FENCES: Final = "leadhook.fences"
_FENCES_EXIST: Final = (
    b"select to_regclass('leadhook.fences') is not null and to_regclass('leadhook.jobs') is not null as there"
)


@dataclass(frozen=True, slots=True)
class Counter:
    """A sequence of leadhook or of the application, and the columns that get their values from it."""

    sequence: str
    columns: tuple[tuple[str, str], ...]
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Behind:
    """A sequence whose next value is already in use; `highest` is the highest one in use."""

    counter: Counter
    next_value: int
    highest: int

    def __str__(self) -> str:
        return f"{self.counter.sequence} (next {self.next_value}, in use up to {self.highest})"

    @property
    def remedy(self) -> str:
        """The statement that fixes a sequence of the application."""
        ((table, column),) = self.counter.columns
        statement = "select setval('{}', (select max({}) from {}));"
        return statement.format(self.counter.sequence, column, table)


async def find_behind(connection: Connection) -> list[Behind]:
    """Find all sequences of leadhook and the application that are behind their rows, without locks."""
    counters = await _fences(connection) + [
        Counter(row["sequence"], ((row["table_name"], row["column_name"]),), row["ours"])
        for row in await fetch_all(connection, query("sequences"), ALL)
    ]
    found = [await _try_examine(connection, counter) for counter in counters]
    return [behind for behind in found if behind is not None]


async def _fences(connection: Connection) -> list[Counter]:
    """The fence sequence, which no column owns, if the migrations have created it."""
    there = await fetch_one(connection, _FENCES_EXIST)
    return [Counter(_FENCES, (("leadhook.jobs", "fence"),))] if there["there"] else []


async def advance_sequences(change: Change) -> None:
    """Move leadhook's own sequences beyond their rows; a correct sequence does not change.

    Raises:
        CommandError: the sequences could not be moved.
    """
    behind = [each.counter for each in await find_behind(change.connection) if each.counter.ours]

    async def advance() -> None:
        async with change.connection.transaction():
            await _advance(change.connection, behind)

    if behind:
        names = ", ".join(counter.sequence for counter in behind)
        await change.make(names, advance, kept="not moved beyond their rows")
        change.report(f"moved sequences that were behind their rows: {names}")


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
