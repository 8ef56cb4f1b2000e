"""Builds an index while the application goes on writing, also where the table is partitioned."""

import re
from typing import Any, NamedTuple, Self

from psycopg.sql import SQL, Identifier

from leadhook.install.connection import Connection, fetch_one
from leadhook.install.sql import question

_CONCURRENT_INDEX = re.compile(
    r"create\s+index\s+concurrently\s+if\s+not\s+exists\s+(\w+)\s+on\s+(\w+)\.(\w+)\s+(.+)", re.IGNORECASE | re.DOTALL
)


class Index(NamedTuple):
    """An index as its statement describes it.

    Attributes:
        name: without the schema, which is that of its table.
        schema: of both.
        table: without the schema.
        definition: what follows the table's name.
    """

    name: str
    schema: str
    table: str
    definition: str

    @classmethod
    def read(cls, statement: str) -> Self | None:
        """The index that a statement builds concurrently; None where it does something else."""
        found = _CONCURRENT_INDEX.fullmatch(statement)
        return cls(*found.groups()) if found else None


async def is_built(connection: Connection, index: Index) -> bool:
    """Whether it is there and valid; that of a partitioned table is once every partition has its own."""
    return (await _state(connection, index)) is True


async def build_index(connection: Connection, index: Index) -> None:
    """Builds it, or what is missing of it: what a failed build left behind is dropped and built again.

    A partitioned table takes no `concurrently`: its index is made empty, and those of the partitions are built one by
    one and attached to it. The last of them makes it valid. A partition that is made meanwhile has its index from the
    start.
    """
    names = {"index": f"{index.schema}.{index.name}", "table": f"{index.schema}.{index.table}", "name": index.name}
    if (await fetch_one(connection, question("is_partitioned"), names))["exists"]:
        await _create_empty(connection, index)
        while row := await (await connection.execute(question("partition_without_index"), names)).fetchone():
            await _build_on_partition(connection, index, row)
        return
    if await _state(connection, index) is False:
        await _drop(connection, index)
    await _create(connection, index)


async def _state(connection: Connection, index: Index) -> bool | None:
    """Whether it is valid; None: it is not there."""
    found = await fetch_one(connection, question("index_state"), {"index": f"{index.schema}.{index.name}"})
    valid: bool | None = found["is_valid"]
    return valid


async def _build_on_partition(connection: Connection, index: Index, row: dict[str, Any]) -> None:
    part = Index(row["index_name"], row["schema_name"], row["table_name"], index.definition)
    if row["is_partitioned"]:
        await _create_empty(connection, part)
    else:
        if row["is_leftover"]:
            await _drop(connection, part)
        await _create(connection, part)
    attach = SQL("alter index {} attach partition {}")
    above = Identifier(row["above_schema"], row["above_name"])
    await connection.execute(attach.format(above, Identifier(part.schema, part.name)))


async def _create(connection: Connection, index: Index) -> None:
    await _execute(connection, "create index concurrently if not exists", "on", index)


async def _create_empty(connection: Connection, index: Index) -> None:
    await _execute(connection, "create index if not exists", "on only", index)


async def _execute(connection: Connection, create: str, on: str, index: Index) -> None:
    name, table = Identifier(index.name), Identifier(index.schema, index.table)
    words = create, name.as_string(connection), on, table.as_string(connection), index.definition
    await connection.execute(" ".join(words).encode())


async def _drop(connection: Connection, index: Index) -> None:
    await connection.execute(SQL("drop index concurrently {}").format(Identifier(index.schema, index.name)))
