"""Checks what only the database's owner can see: tables, schema, grants, triggers, indexes, sequences, leads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from leadhook.doctor.check import Check, Level, fault, shared, warning
from leadhook.domain.findings import INSTALL, MIGRATE, REMOVE_FOREIGN_CODE, Code, check_migrations, triggers_disabled
from leadhook.domain.phrases import count_words
from leadhook.domain.status import Status
from leadhook.install.connection import Connection, fetch_all, fetch_one, fetch_optional
from leadhook.install.files import read_migrations
from leadhook.install.migrate import find_obsolete_functions, read_history
from leadhook.install.sequences import Behind, find_behind
from leadhook.install.tables import (
    ALL,
    MissingIndex,
    OpenTable,
    find_missing_indexes,
    find_open_tables,
    find_table_faults,
)

_LONGEST_ROUND_S: Final = 3600.0
"""A sweep round begins every SWEEP_INTERVAL_SEC, 300 by default."""
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database's answers; the values of Vault are never shown."""

    now: datetime
    """By the database's clock."""
    status: Status
    row: Mapping[str, Any]
    """As `facts.sql` returns it."""
    vault: Mapping[str, str]
    """Empty where Vault cannot be read, which the status reports."""
    keys: Sequence[dict[str, Any]]
    leads: Mapping[str, int]
    open_tables: Sequence[OpenTable]
    missing_indexes: Sequence[MissingIndex]
    sequences: Sequence[Behind]


async def check_schema(connection: Connection) -> list[Check]:
    """Compare tables and schema with those of this version; after a fault nothing else can be checked."""
    if faults := await find_table_faults(connection):
        words = f"The application's tables are not compatible: {'; '.join(each.words for each in faults)}."
        return [fault("database", words, "Run `leadhook install --plan`; it prints the statements that fix them.")]
    applied = await read_history(connection)
    if not applied:
        words = "leadhook is not installed in this database: no migration was applied."
        return [fault("database", words, f"Run `{INSTALL}`.")]
    migrations = read_migrations()
    finding = check_migrations(applied, [migration.name for migration in migrations])
    if finding is None:
        obsolete = await find_obsolete_functions(connection, migrations, is_installed=True)
        return [_check_obsolete([row["words"] for row in obsolete])] if obsolete else []
    return [shared(Level.FAULT if finding.code is Code.SCHEMA_OUTDATED else Level.WARNING, finding)]


def _check_obsolete(functions: Sequence[str]) -> Check:
    words = (
        f"Functions are in the way of leadhook's own, and the API can't choose between them: {', '.join(functions)}."
    )
    return fault("database", words, f"{MIGRATE} It drops them.")


async def collect(connection: Connection) -> DatabaseFacts:
    """Read everything, with a limit of five seconds for each query."""
    await connection.execute("select set_config('statement_timeout', '5s', false)")
    row = await fetch_one(connection, sql("facts"), ALL)
    vault: list[dict[str, Any]] = []
    if "supabase_vault" in row["extensions"]:
        vault, _ = await fetch_optional(connection, sql("vault"))
    return DatabaseFacts(
        now=row["now"],
        status=Status.model_validate(row["status"]),
        row=row,
        vault={entry["name"]: (entry["value"] or "").strip() for entry in vault},
        keys=await fetch_all(connection, sql("keys")),
        leads=await fetch_one(connection, sql("leads")),
        open_tables=await find_open_tables(connection),
        missing_indexes=await find_missing_indexes(connection),
        sequences=await find_behind(connection),
    )


def check_facts(facts: DatabaseFacts) -> list[Check]:
    """Find faults in what was collected, except those that the status contains."""
    found = [*_check_indexes(facts), *check_sequences(facts.sequences), *_check_grants(facts)]
    if foreign := facts.row["foreign_code"]:
        words = f"Foreign code is attached to pg_net's tables: {_list(foreign)}. It runs with the rights of pg_net's "
        found.append(warning("pg_net", f"{words}worker.", f"If it is not yours: {REMOVE_FOREIGN_CODE}"))
    if disabled := facts.row["disabled_triggers"]:
        found.append(shared(Level.FAULT, triggers_disabled([(each["name"], each["table"]) for each in disabled])))
    return [*found, *_check_leads(facts)]


def _check_indexes(facts: DatabaseFacts) -> list[Check]:
    found = [warning("database", index.sentence, index.statement) for index in facts.missing_indexes]
    if not facts.row["has_unsent_index"]:
        words = "The index leadhook_unsent is missing or invalid: each sweep reads all leads."
        found.append(warning("database", words, MIGRATE))
    return found


def check_sequences(sequences: Sequence[Behind]) -> list[Check]:
    found = []
    if ours := [each for each in sequences if each.counter.ours]:
        words = f"These sequences are behind their rows: {_list(map(str, ours))}. Leads cannot be claimed or saved; "
        found.append(fault("database", f"{words}answers that were paid for are kept until they can.", MIGRATE))
    for each in sequences:
        if not each.counter.ours:
            words = f"The sequence {each} is behind its rows: the table refuses new rows, and so answers of leads."
            found.append(fault("database", words, each.remedy))
    return found


def _check_grants(facts: DatabaseFacts) -> list[Check]:
    row = facts.row
    found = []
    if opened := row["open_functions"]:
        words = f"anon or authenticated may execute {_list(opened)}."
        found.append(fault("grants", words, f"{MIGRATE} It revokes these rights."))
    if row["service_role_under_row_security"]:
        words = "Row level security hides rows from service_role: claims and sweeps fail, as leads would look deleted."
        found.append(fault("grants", words, "alter role service_role bypassrls;"))
    if closed := row["closed_functions"]:
        found.append(fault("grants", f"service_role may not execute {_list(closed)}.", MIGRATE))
    if closed := row["closed_tables"]:
        words = f"service_role may not read or write {_list(closed)}."
        tables = ", ".join(f"public.{table}" for table in closed)
        found.append(fault("grants", words, f"grant select, insert, update on {tables} to service_role;"))
    for table in facts.open_tables:
        words = f"{table.roles} can use public.{table.name} without row level security."
        found.append(warning("grants", words, f"{table.statement};"))
    return found


def _check_leads(facts: DatabaseFacts) -> list[Check]:
    found = []
    if (facts.row["sweep_age_s"] or 0) > _LONGEST_ROUND_S:
        words = f"The last sweep round began {facts.row['sweep_age_s'] / 3600:.1f} h ago."
        found.append(warning("leads", words, "Start the service: `leadhook serve`."))
    unsent = facts.leads["unsent"]
    if unsent and not facts.leads["eligible"]:
        lacks = {
            "not scrapped": facts.leads["not_scrapped"],
            "without a row in all_leads": facts.leads["unknown"],
            "without a prompts row of the same user and tag": facts.leads["without_prompts"],
        }
        reasons = ", ".join(f"{number} {words}" for words, number in lacks.items() if number)
        words = f"{count_words(unsent, 'unsent lead')}, none of them eligible: {reasons}."
        found.append(warning("leads", words, "Run `leadhook explain LEAD_ID` for the reason of one lead."))
    return found


def _list(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" if len(every) > _NAMED else "")


def sql(name: str) -> bytes:
    return (files(__package__ or "leadhook.doctor") / f"{name}.sql").read_bytes()
