"""The application's tables: required columns, existing indexes and triggers, and recommended indexes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, bullets, fetch_all, fetch_one
from leadhook.install.sql import query


class Column(NamedTuple):
    """A column that leadhook reads or writes."""

    name: str
    type: str
    """In a table created by leadhook."""
    use: str
    is_fixed: bool = False
    """No other type is accepted."""
    default: str = ""
    """Of an added column; empty for NULL."""
    is_free: bool = False
    """Any type is accepted; otherwise one that Postgres compares with `type` and assigns to."""

    def fits(self, found: str, category: str) -> bool:
        """Whether a column of this type, of this one of Postgres's categories, will do."""
        if found == self.type or self.is_free:
            return True
        return not self.is_fixed and category in _CATEGORIES[self.type] and not found.startswith("time ")


_CATEGORIES: Final = {"text": "S", "integer": "NS", "timestamp with time zone": "D"}
"""As in pg_type.typcategory: strings, numbers, dates and times; a domain has that of its base."""
_TEXTS: Final = {"text", "character varying", "character"}
_WHOLE_NUMBERS: Final = {"smallint", "integer", "bigint"}
_CONVERTIBLE: Final = {
    "uuid": _TEXTS,
    "boolean": _TEXTS | _WHOLE_NUMBERS,
    "integer": {"boolean"},
    "timestamp with time zone": _TEXTS,
}
"""The types whose values each type can keep; text keeps those of almost any."""

COLUMNS: Final = {
    "all_leads": (
        Column("lead_id", "text", "the lead; the same id in all tables", is_fixed=True),
        Column("user_id", "uuid", "whose lead it is; finds its `prompts` row", is_fixed=True),
        Column("tag", "text", "the user's campaign; finds its `prompts` row"),
        Column("scrapped", "boolean", "the lead is scored only while this is true", is_fixed=True, default="false"),
        Column("linkedin_url", "text", "sent to the model, and copied to `llm_response`", is_free=True),
    ),
    "lead_details": (
        Column("lead_id", "text", "the lead", is_fixed=True),
        Column("name", "text", "sent to the model, and copied to `llm_response`", is_free=True),
        Column("title", "text", "sent to the model", is_free=True),
        Column("location", "text", "sent to the model, and copied to `llm_response`", is_free=True),
        Column("company_name", "text", "sent to the model", is_free=True),
        Column("experience", "text", "sent to the model; `jsonb` will do", is_free=True),
        Column("skills", "text", "sent to the model; `jsonb` will do", is_free=True),
        Column("bio", "text", "sent to the model", is_free=True),
        Column("profile_url", "text", "used where `all_leads.linkedin_url` is NULL", is_free=True),
        Column("company_page_url", "text", "sent to the model", is_free=True),
        Column(
            "sent_to_llm",
            "boolean",
            "the lead is scored while this is false or NULL; leadhook sets it to true with the answer",
            is_fixed=True,
            default="false",
        ),
    ),
    "prompts": (
        Column("user_id", "uuid", "whose prompts these are", is_fixed=True),
        Column("tag", "text", "for which campaign"),
        Column("wildnet_data", "text", "what the user's company sells; sent to the model", is_free=True),
        Column("scoring_criteria_and_icp", "text", "whom the user looks for; sent to the model", is_free=True),
        Column(
            "message_prompt", "text", "how to write the message; sent to the model from a score of 50 up", is_free=True
        ),
        Column("created_at", "timestamp with time zone", "the newest row of a user and tag counts", default="now()"),
    ),
    "gemini_api": (Column("api_key", "text", "a Gemini key; one of the healthy ones pays for each lead"),),
    "llm_response": (
        Column("lead_id", "text", "the lead", is_fixed=True),
        Column("tag", "text", "written: the lead's tag"),
        Column("name", "text", "written: the lead's name"),
        Column("linkedin_url", "text", "written: the lead's address"),
        Column("location", "text", "written: the lead's place"),
        Column("score", "integer", "written: 0 to 100"),
        Column("response", "text", "written: the reasoning behind the score"),
        Column("should_contact", "integer", "written: 1 or 0"),
        Column("subject", "text", "written: the message's subject; `ineligible` below a score of 50"),
        Column("message", "text", "written: the message; `ineligible` below a score of 50"),
    ),
}
"""Also the source of docs/tables.md."""
_TABLE_KINDS = {"r", "p"}
ALL = {"tables": list(COLUMNS)}
"""Parameters of every query about the application's tables."""


@dataclass(frozen=True, order=True)
class TableObject:
    """A table, or an index or trigger on one."""

    kind: str
    name: str
    table: str


class Fault(NamedTuple):
    """Why a table is incompatible, and the statement that fixes it; empty if no single statement does."""

    words: str
    remedy: str


async def check_tables(connection: Connection) -> None:
    """Refuse incompatible tables. A missing table is fine: the migrations create it.

    Raises:
        CommandError: names every missing or incompatible column, and the statements that fix them.
    """
    if faults := await find_table_faults(connection):
        references = await fetch_all(connection, query("lead_references"), ALL)
        raise CommandError(_refusal(faults, references))


async def find_table_faults(connection: Connection) -> list[Fault]:
    rows = await fetch_all(connection, query("columns"), ALL)
    kinds = {row["table_name"]: row["kind"] for row in rows}
    faults: list[Fault] = []
    for table, kind in kinds.items():
        if kind in _TABLE_KINDS:
            found = {row["column_name"]: row for row in rows if row["table_name"] == table}
            faults += _column_faults(table, found)
        else:
            faults.append(
                Fault(f"public.{table} is not a table; rename it, and leadhook creates a table in its place", "")
            )
    foreign = await fetch_all(connection, query("foreign_partitions"), ALL)
    rules = await fetch_all(connection, query("rules"))
    faults += [_foreign_fault(row) for row in foreign] + [_rule_fault(row) for row in rules]
    return sorted(faults + _collation_faults(rows))


def _refusal(faults: Sequence[Fault], references: Sequence[Mapping[str, Any]]) -> str:
    refusal = "the tables are not compatible with leadhook, and nothing was changed:" + bullets(
        fault.words for fault in faults
    )
    statements = [
        *(f"alter table {key['table_name']} drop constraint {key['name']};" for key in references),
        *(fault.remedy for fault in faults if fault.remedy),
        *(
            f"alter table {key['table_name']} alter {key['column_name']} type text using {key['column_name']}::text;"
            for key in references
            if not key["is_ours"] and key["type"] != "text"
        ),
        *(f"alter table {key['table_name']} add constraint {key['name']} {key['definition']};" for key in references),
    ]
    if not statements:
        return refusal
    return "\n  ".join([f"{refusal}\nthese statements fix them; docs/tables.md describes each column:", *statements])


async def describe_columns(connection: Connection) -> list[str]:
    """Describe each existing table with the types of the columns that leadhook uses."""
    rows = await fetch_all(connection, query("columns"), ALL)
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], {})[row["column_name"]] = row["type"]
    return [_describe_table(table, found[table]) for table in COLUMNS if table in found]


def _describe_table(table: str, types: dict[str, str]) -> str:
    used = [column.name for column in COLUMNS[table]]
    more = len(types.keys() - set(used))
    return f"public.{table}: {', '.join(f'{column} {types[column]}' for column in used)}" + (
        f", and {more} more" if more else ""
    )


async def missing_tables(connection: Connection) -> list[str]:
    found = {each.name for each in await footprint(connection)}
    return [table for table in COLUMNS if table not in found]


async def footprint(connection: Connection) -> set[TableObject]:
    rows = await fetch_all(connection, query("footprint"), ALL)
    return {TableObject(row["kind"], row["name"], row["table_name"]) for row in rows}


def describe_difference(before: set[TableObject], after: set[TableObject]) -> list[str]:
    """Describe what was added; indexes and triggers of a new table are not listed separately."""
    new_tables = {each.table for each in after - before if each.kind == "table"}
    return [
        f"created the table public.{each.name}"
        if each.kind == "table"
        else f"created the {each.kind} {each.name} on public.{each.table}"
        for each in sorted(after - before)
        if each.kind in {"table", "trigger"} or each.table not in new_tables
    ]


@dataclass(frozen=True)
class MissingIndex:
    """An index that an application table lacks, its effect, and the statement that creates it."""

    sentence: str
    statement: str


async def find_missing_indexes(connection: Connection) -> list[MissingIndex]:
    """Find missing indexes. Without them everything works, but large tables are slow; the owner decides."""
    rows = await fetch_all(connection, query("missing_indexes"))
    return [
        MissingIndex(
            f"public.{row['table_name']} has no index on {', '.join(sorted(row['columns'], reverse=True))}: "
            f"{row['asked_by']} the whole table. With it only the rows of the leads in question are read; it takes "
            "disk space and a little time at each INSERT.",
            f"{row['statement']};",
        )
        for row in rows
    ]


@dataclass(frozen=True)
class OpenTable:
    """An application table that outside roles can use without row level security, and the statement that closes it."""

    name: str
    roles: str
    policies: int
    statement: str

    def __str__(self) -> str:
        without_effect = f"; its {self.policies} policies have no effect" if self.policies else ""
        return f"public.{self.name} is open to {self.roles}{without_effect}"


async def find_open_tables(connection: Connection) -> list[OpenTable]:
    return [
        OpenTable(row["table_name"], " and ".join(row["roles"]), row["policies"], row["statement"])
        for row in await fetch_all(connection, query("open_tables"), ALL)
    ]


async def advise(connection: Connection) -> list[str]:
    """Return recommendations for the owner; leadhook does not carry them out."""
    advice = [f"advice: {index.sentence} {index.statement}" for index in await find_missing_indexes(connection)]
    found = await fetch_one(connection, query("foreign_function"))
    if found["has_foreign_function"]:
        advice.append("note: public.rpc_get_eligible_llm_jobs() existed before leadhook and stays as it is")
    return advice


def add_column(table: str, column: Column) -> str:
    default = f" not null default {column.default}" if column.default else ""
    return f"alter table public.{table} add column {column.name} {column.type}{default};"


def change_type(table: str, column: Column, found: str, *, is_identity: bool = False) -> str:
    """Return the statement that changes a column's type and keeps its values; empty if they can't be kept."""
    family = found.partition("(")[0]
    if family not in _CONVERTIBLE.get(column.type, {family}) or family == "bytea" or family.endswith("[]"):
        return ""
    alter = f"alter table public.{table}"
    first, before, after = "", "", ""
    if is_identity:
        # An identity column can't be text, and Postgres checks that before the same statement could drop the identity.
        first = f"{alter} alter {column.name} drop identity; "
        after = f", alter {column.name} set default gen_random_uuid()"
    elif column.type != "text":
        # A default of the old type can't become one of the new.
        before = f"alter {column.name} drop default, "
        after = f", alter {column.name} set default {column.default}" if column.default else ""
    value = f"{column.name}::text" if column.type == "boolean" and family not in _TEXTS else column.name
    if column.type == "text" and family in {"json", "jsonb"}:
        value = f"({column.name} #>> '{{}}')"
    return f"{first}{alter} {before}alter {column.name} type {column.type} using {value}::{column.type}{after};"


def _column_faults(table: str, found: Mapping[str, Mapping[str, Any]]) -> list[Fault]:
    missing = [
        Fault(f"public.{table} has no column {column.name}", add_column(table, column))
        for column in COLUMNS[table]
        if column.name not in found
    ]
    wrong = [
        _type_fault(table, column, found[column.name])
        for column in COLUMNS[table]
        if column.name in found and not column.fits(found[column.name]["type"], found[column.name]["category"])
    ]
    written = {column.name for column in COLUMNS[table]} if table == "llm_response" else {"sent_to_llm"}
    generated = [_generated_fault(table, found[name]) for name in written & found.keys()]
    return missing + wrong + [fault for fault in generated if fault]


def _generated_fault(table: str, found: Mapping[str, Any]) -> Fault | None:
    """Postgres refuses to write a generated column."""
    column, name = f"public.{table}.{found['column_name']}", found["column_name"]
    words = f"{column} is generated, and leadhook can't write it"
    if found["generated"] == "s":
        return Fault(words, f"alter table public.{table} alter {name} drop expression;")
    if found["generated"]:
        return Fault(f"{words}: drop it, and add a plain column", "")
    if found["is_always_identity"]:
        return Fault(words, f"alter table public.{table} alter {name} drop identity;")
    return None


def _rule_fault(row: Mapping[str, Any]) -> Fault:
    """Postgres can't rewrite the statements of leadhook by a rule."""
    words = f"public.{row['table_name']} has the rule {row['name']}, which no answer passes: use a trigger instead"
    return Fault(words, f"drop rule {row['name']} on public.{row['table_name']};")


def _collation_faults(rows: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """One id must be one lead, and compared columns must agree; the default collation agrees with any other."""
    faults = []
    for name in ("lead_id", "tag"):
        found = [row for row in rows if row["column_name"] == name and row["collation"] not in {None, "default"}]
        clash = len({row["collation"] for row in found}) > 1
        for row in found:
            why = "not that of the same column in other tables" if clash else "which treats different texts as equal"
            if clash or not row["is_exact"]:
                column = f"public.{row['table_name']}.{name}"
                remedy = f'alter table public.{row["table_name"]} alter {name} type {row["type"]} collate "default";'
                faults.append(Fault(f'{column} has the collation "{row["collation"]}", {why}', remedy))
    return faults


def _foreign_fault(row: Mapping[str, Any]) -> Fault:
    """Postgres refuses to write to such a table once a trigger asks for the rows that a statement changed."""
    child, above = row["name"], f"public.{row['table_name']}"
    remedy = "" if row["is_partition"] else f"alter foreign table {child} no inherit {above};"
    return Fault(f"{child} is a foreign table below {above}, which no trigger can follow: detach it", remedy)


def _type_fault(table: str, column: Column, found: Mapping[str, Any]) -> Fault:
    remedy = change_type(table, column, found["type"], is_identity=found["is_identity"])
    words = f"public.{table}.{column.name} is {found['type']}, not {column.type}"
    return Fault(words if remedy else f"{words}: add a new column, fill it, and rename both", remedy)
