"""What the database itself says, looked at with its owner's rights."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.domain.findings import INSTALL_WEBHOOKS, UNCLAIMED_S, Code, leads_dead, leads_held
from leadhook.domain.phrases import amount, count_words
from leadhook.install.connection import Connection, fetch_one, fetch_optional
from leadhook.install.files import read_migrations
from leadhook.install.sequences import Behind, find_behind
from leadhook.install.sql import question as installer_question
from leadhook.install.tables import ALL, MissingIndex, find_missing_indexes, find_table_faults

MIGRATE: Final = "leadhook migrate"
WEBHOOKS: Final = INSTALL_WEBHOOKS
ROUND_S: Final = 3600.0
"""A round of the sweep begins every SWEEP_INTERVAL_SEC, 300 by default."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What was asked of the database; the Vault's values are never shown."""

    row: dict[str, Any]
    vault: dict[str, str]
    vault_error: str | None
    """The SQLSTATE with which Vault could not be read."""
    keys: list[dict[str, Any]]
    leads: dict[str, Any]
    doors: list[dict[str, Any]]
    missing_indexes: list[MissingIndex]
    sequences: list[Behind]

    @property
    def now(self) -> datetime:
        """The database's clock."""
        now: datetime = self.row["now"]
        return now


async def check_ground(connection: Connection) -> list[Check]:
    """Whether the application's tables fit, and whether the schema is there; the rest can be asked only then."""
    if faults := await find_table_faults(connection):
        words = f"The application's tables are not as leadhook needs them: {'; '.join(each.words for each in faults)}."
        return [fault("database", words, "`leadhook install --plan` prints the statements that help.")]
    there = await fetch_one(connection, b"select to_regclass('leadhook.migrations') is not null as migrated")
    if not there["migrated"]:
        return [fault("database", "leadhook is not in this database: the schema leadhook does not exist.", MIGRATE)]
    return [ok("database", "The application's tables have what leadhook needs.")]


async def collect(connection: Connection) -> DatabaseFacts:
    """Ask everything, each question with five seconds of patience."""
    await connection.execute("select set_config('statement_timeout', '5s', false)")
    row = await fetch_one(connection, sql("facts"), ALL)
    vault: list[dict[str, Any]] = []
    vault_error = None
    if "supabase_vault" in row["extensions"]:
        vault, vault_error = await fetch_optional(connection, sql("vault"))
    return DatabaseFacts(
        row=row,
        vault={r["name"]: r["value"] or "" for r in vault},
        vault_error=vault_error,
        keys=await _all(connection, "keys"),
        leads=await fetch_one(connection, sql("leads")),
        doors=await (await connection.execute(installer_question("open_doors"), ALL)).fetchall(),
        missing_indexes=await find_missing_indexes(connection),
        sequences=await find_behind(connection),
    )


def check_schema(row: dict[str, Any]) -> list[Check]:
    """The migrations, and who may call what."""
    migrations = read_migrations()
    ours, applied = {migration.name for migration in migrations}, set(row["migrations"])
    version = max(migration.name for migration in migrations if not migration.repeatable)
    if missing := sorted(ours - applied):
        return [
            fault("database", f"The database lacks {amount(len(missing), 'migration')}, from {missing[0]} on.", MIGRATE)
        ]
    found = [ok("database", f"The schema is that of this version ({version}).")]
    if newer := sorted(applied - ours):
        words = f"The database is {amount(len(newer), 'migration')} ahead of this program, up to {newer[-1]}."
        found = [warning("database", words, "Use the version that migrated it.")]
    if not row["has_unsent_index"]:
        found.append(
            warning("database", "The index leadhook_unsent is missing or invalid: sweeps read all leads.", MIGRATE)
        )
    if opened := row["open_functions"]:
        words = f"anon or authenticated may execute {_some(opened)}."
        found.append(fault("grants", words, f"{MIGRATE} (it takes these rights away again)"))
    if row["service_role_under_row_security"]:
        words = "Row level security hides rows from service_role: claims and sweeps fail, as leads would look deleted."
        found.append(fault("grants", words, "alter role service_role bypassrls;"))
    if closed := row["closed_functions"]:
        found.append(fault("grants", f"service_role may not execute {_some(closed)}.", MIGRATE))
    if closed := row["closed_tables"]:
        words = f"service_role may not read or write {_some(closed)}."
        tables = ", ".join(f"public.{table}" for table in closed)
        found.append(fault("grants", words, f"grant select, insert, update on {tables} to service_role;"))
    return [
        *found,
        *(
            []
            if opened or row["closed_functions"] or closed or row["service_role_under_row_security"]
            else [ok("grants", "Only service_role may call leadhook.")]
        ),
    ]


def check_sequences(sequences: Sequence[Behind]) -> list[Check]:
    """Sequences that give out numbers which are taken, as after a restore."""
    found = []
    if ours := [each for each in sequences if each.counter.ours]:
        named = _some(f"{each.counter.sequence} (next {each.next_value}, in use up to {each.highest})" for each in ours)
        words = f"Behind their rows: {named}. Leads can't be claimed or saved; paid answers are kept until they can."
        found.append(fault("database", words, MIGRATE))
    found += [
        fault(
            "database",
            f"{each.counter.sequence} is behind its rows (next {each.next_value}, in use up to {each.highest}): "
            "the table refuses new rows, and with them answers of leads.",
            each.remedy,
        )
        for each in sequences
        if not each.counter.ours
    ]
    return found


def check_doors(doors: Iterable[dict[str, Any]]) -> list[Check]:
    """Tables of the application that anybody with the public key can use."""
    return [
        warning(
            "grants",
            f"{' and '.join(door['roles'])} can use public.{door['table_name']} without row level security.",
            f"{door['statement']};",
        )
        for door in doors
    ]


def check_indexes(missing: Iterable[MissingIndex]) -> list[Check]:
    """Indexes that the application's tables lack."""
    return [warning("database", index.sentence, index.statement) for index in missing]


def check_triggers(row: dict[str, Any]) -> list[Check]:
    """Whether each change is noted and told."""
    if disabled := row["disabled_triggers"]:
        names = [f"{trigger['name']} on {trigger['table']}" for trigger in disabled]
        fix = "".join(f"alter table public.{t['table']} enable trigger {t['name']}; " for t in disabled).strip()
        return [fault("triggers", f"Disabled: {_some(names)}. Their changes wait for the sweep.", fix)]
    if missing := sorted(table for table, there in row["triggers"].items() if not there):
        words = f"Triggers are missing on {_some(missing)}. Their changes wait for the sweep."
        return [fault("triggers", words, WEBHOOKS)]
    return [ok("triggers", "Every change that matters is noted and told.")]


def check_work(facts: DatabaseFacts) -> list[Check]:
    """Whether somebody works, and why leads wait."""
    row, leads = facts.row, facts.leads
    found = []
    waiting = row["waiting"]
    late = (waiting["unclaimed_ms"] or 0) / 1000
    if late > UNCLAIMED_S and not waiting["working"]:
        words = f"Work has waited for {late:.0f} s: no service claims leads here."
        fix = "curl https://YOUR-SERVICE/ready says what keeps it from them; if no service runs: leadhook serve"
        found.append(fault("leads", words, fix, cause=Code.LEADS_UNCLAIMED))
    if (row["sweep_age_s"] or 0) > ROUND_S:
        found.append(warning("leads", f"The last sweep began {row['sweep_age_s'] / 3600:.1f} h ago.", "leadhook serve"))
    if row["held"]:
        held = leads_held(row["held"])
        found.append(warning("leads", held.sentence, held.remedy, cause=held.code))
    if row["dead"]:
        dead = leads_dead(row["dead"])
        found.append(warning("leads", dead.sentence, dead.remedy, cause=dead.code))
    unsent, eligible = leads["unsent"], leads["eligible"]
    if unsent and not eligible:
        lacks = {
            "not scrapped": leads["not_scrapped"],
            "without a row in all_leads": leads["unknown"],
            "without a prompts row of the same user and tag": leads["without_prompts"],
        }
        said = ", ".join(f"{n} {words}" for words, n in lacks.items() if n)
        words = f"{count_words(unsent, 'unsent lead')}, none of them eligible: {said}."
        found.append(warning("leads", words, "leadhook explain LEAD_ID says it of one."))
    return found or [ok("leads", "No work is left lying.")]


def _some(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")  # noqa: PLR2004 - as many as a sentence bears


async def webhooks(connection: Connection) -> list[dict[str, Any]]:
    """What became of the webhooks of the last hour, newest first. Needs pg_net."""
    found, unreadable = await fetch_optional(connection, sql("webhooks"))
    return found if unreadable is None else await _all(connection, "webhooks_alone")


async def _all(connection: Connection, name: str) -> list[dict[str, Any]]:
    return await (await connection.execute(sql(name))).fetchall()


def sql(name: str) -> bytes:
    """The text of `<name>.sql` beside this file."""
    return (files(__package__ or "leadhook.doctor") / f"{name}.sql").read_bytes()
