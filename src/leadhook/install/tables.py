"""The application's tables: what leadhook relies on, what stands on them, and what would do them good."""

from dataclasses import dataclass

from leadhook.install.connection import Connection, bullets, fetch_one
from leadhook.install.failure import InstallError
from leadhook.install.sql import question

_COLUMNS = {
    "all_leads": "lead_id user_id tag scrapped linkedin_url",
    "lead_details": (
        "lead_id name title location company_name experience skills bio profile_url company_page_url sent_to_llm"
    ),
    "prompts": "user_id tag wildnet_data scoring_criteria_and_icp message_prompt created_at",
    "gemini_api": "api_key",
    "llm_response": "lead_id tag name linkedin_url location score response should_contact subject message",
}
_TYPES = {"lead_id": "text", "user_id": "uuid", "scrapped": "boolean", "sent_to_llm": "boolean"}
_TABLE_KINDS = {"r", "p"}
ALL = {"tables": list(_COLUMNS)}
"""The parameter of every question about the application's tables."""


@dataclass(frozen=True, order=True)
class Thing:
    """A table, or an index or trigger on one."""

    kind: str
    name: str
    table: str


async def check_tables(connection: Connection) -> None:
    """Refuses tables that leadhook can't work with; a missing one is fine, the migrations make it.

    Raises:
        InstallError: names every column that is missing or has another type.
    """
    rows = await (await connection.execute(question("columns"), ALL)).fetchall()
    kinds = {row["table_name"]: row["kind"] for row in rows}
    faults = [f"public.{table} is not a table" for table, kind in kinds.items() if kind not in _TABLE_KINDS]
    for table in kinds.keys() - {fault.split()[0].removeprefix("public.") for fault in faults}:
        types = {row["column_name"]: row["type"] for row in rows if row["table_name"] == table}
        faults += _column_faults(table, types)
    if faults:
        raise InstallError(
            "the tables are not as leadhook needs them, and nothing was changed:" + bullets(sorted(faults))
        )


async def describe_columns(connection: Connection) -> list[str]:
    """Each table that is there, with the types of the columns that leadhook relies on."""
    rows = await (await connection.execute(question("columns"), ALL)).fetchall()
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], {})[row["column_name"]] = row["type"]
    return [_describe_table(table, found[table]) for table in _COLUMNS if table in found]


def _describe_table(table: str, types: dict[str, str]) -> str:
    used = _COLUMNS[table].split()
    more = len(types.keys() - set(used))
    return f"public.{table}: {', '.join(f'{column} {types[column]}' for column in used)}" + (
        f", and {more} more" if more else ""
    )


async def missing_tables(connection: Connection) -> list[str]:
    """The tables of the application that do not exist."""
    found = {thing.name for thing in await footprint(connection)}
    return [table for table in _COLUMNS if table not in found]


async def footprint(connection: Connection) -> set[Thing]:
    """What stands on the tables at this moment."""
    rows = await (await connection.execute(question("footprint"), ALL)).fetchall()
    return {Thing(row["kind"], row["name"], row["table_name"]) for row in rows}


def describe_difference(before: set[Thing], after: set[Thing]) -> list[str]:
    """What was added, a line each; what stands on a new table is not told apart from it."""
    made = {thing.table for thing in after - before if thing.kind == "table"}
    return [
        f"made the table public.{thing.name}"
        if thing.kind == "table"
        else f"made the {thing.kind} {thing.name} on public.{thing.table}"
        for thing in sorted(after - before)
        if thing.kind in {"table", "trigger"} or thing.table not in made
    ]


async def advise(connection: Connection) -> list[str]:
    """What the owner may want to know or to add; leadhook does not do it by itself."""
    found = await fetch_one(connection, question("advice"))
    advice = {
        "advice: public.all_leads has no index on lead_id, so each lookup reads the whole table; "
        "create index concurrently on public.all_leads (lead_id);": not found["has_lead_index"],
        "note: public.rpc_get_eligible_llm_jobs() was there before leadhook and stays as it is": found[
            "has_foreign_function"
        ],
    }
    return [sentence for sentence, is_due in advice.items() if is_due]


def _column_faults(table: str, types: dict[str, str]) -> list[str]:
    columns = _COLUMNS[table].split()
    missing = [f"public.{table} has no column {column}" for column in columns if column not in types]
    foreign = [
        f"public.{table}.{column} is {types[column]}, not {_TYPES[column]}"
        for column in columns
        if column in types and types[column] != _TYPES.get(column, types[column])
    ]
    return missing + foreign
