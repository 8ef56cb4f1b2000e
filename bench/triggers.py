"""What our triggers cost the application: statements with and without them, timed by turns, commit included."""

from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import psycopg
from bench.console import say, track
from bench.database import wired_database
from bench.measurement import Figure, Measurement
from bench.stack import BrokenRunError

from leadhook.local.database import Database

PAIRS = 15
TABLES = ("all_leads", "lead_details")
PREPARE = """
create schema bench;
create table bench.source as
  select 'lead-' || i as lead_id, (select string_agg(md5(i || '.' || n), '') from generate_series(1, 47) as n) as bio
  from generate_series(1, 10000) as i;
analyze bench.source;
"""
ONE_BY_ONE = """
do $$
begin
  for i in 1..5000 loop
    insert into public.lead_details (lead_id) values ('lead-' || i);
  end loop;
end
$$
"""


@dataclass(frozen=True)
class Case:
    """One statement of the application's.

    Attributes:
        words: what it is.
        statement: what is timed.
        filled: whether the 10,000 leads are there before.
        outbox rows: whether our triggers write down whom it changed.
        repeated: how often it runs in each half of a pair; the median counts, as a first run has plans to make.
        most: what it may cost with our triggers, as a multiple of what it costs without them.
        together: how often it is sent in one transaction, which is what is timed.
    """

    words: str
    statement: str
    filled: bool = False
    outbox: bool = True
    repeated: int = 1
    together: int = 1
    most: float | None = None


INSERT_1 = "insert into public.lead_details (lead_id) values (gen_random_uuid())"
CASES = {
    "insert_10000_details": Case(
        "INSERT of 10,000 lead_details of 1.5 kB",
        "insert into public.lead_details (lead_id, bio) select lead_id, bio from bench.source",
    ),
    "insert_10000_leads": Case(
        "INSERT of 10,000 all_leads",
        "insert into public.all_leads (lead_id, user_id, tag)"
        " select lead_id, '00000000-0000-4000-8000-000000000001', 'founders' from bench.source",
        most=1.3,
    ),
    "update_10000_bios": Case(
        "UPDATE of 10,000 bios, which concern no lead",
        "update public.lead_details set bio = bio || '.'",
        filled=True,
        outbox=False,
    ),
    "insert_5000_one_by_one": Case(
        "5,000 INSERTs of one row in one transaction, in a loop in the database", ONE_BY_ONE
    ),
    "insert_1000_sent": Case("1,000 INSERTs of one row in one transaction, sent by a client", INSERT_1, together=1000),
    "insert_1": Case(
        "INSERT of one row",
        INSERT_1,
        filled=True,
        repeated=50,
        most=2,
    ),
}


def measure(*, short: bool) -> Measurement:
    """In a cluster of its own; about two minutes."""
    say("starting Postgres")
    with wired_database() as database:
        return measure_on(database, 1 if short else PAIRS)


def measure_on(database: Database, pairs: int) -> Measurement:
    """Medians over pairs, and their ratio."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as connection:
        connection.execute(PREPARE.encode())
        figures = {name: _measure(connection, case, pairs) for name, case in CASES.items()}
    return Measurement(f"The application's own statements, with our triggers and without: {pairs} pairs each", figures)


def _measure(connection: psycopg.Connection, case: Case, pairs: int) -> Figure:
    times = [
        (_time(connection, case, on=False), _time(connection, case, on=True)) for _ in track(range(pairs), case.words)
    ]
    without, with_them = zip(*times, strict=True)
    cost = median(with_them)
    return Figure(
        case.words,
        cost,
        "ms",
        spread=(min(with_them), max(with_them)),
        beside={"without": median(without)},
        target=f"≤ {case.most:g} times" if case.most else "",
        met=cost <= case.most * median(without) if case.most else None,
    )


def _time(connection: psycopg.Connection, case: Case, *, on: bool) -> float:
    _switch(connection, on=False)
    connection.execute("truncate public.all_leads, public.lead_details, leadhook.outbox, leadhook.webhooks")
    if case.filled:
        connection.execute("insert into public.lead_details (lead_id, bio) select lead_id, bio from bench.source")
    _switch(connection, on=on)
    connection.execute("checkpoint")
    took_ms = median(_run(connection, case) for _ in range(case.repeated))
    if case.outbox and _has_changes(connection) is not on:
        raise BrokenRunError(f"{case.words}: the triggers did {'nothing' if on else 'something'}")
    return took_ms


def _has_changes(connection: psycopg.Connection) -> bool:
    row = connection.execute("select exists (select from leadhook.outbox)").fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    return bool(row[0])


def _run(connection: psycopg.Connection, case: Case) -> float:
    started = perf_counter()
    with connection.transaction() if case.together > 1 else nullcontext():
        for _ in range(case.together):
            connection.execute(case.statement.encode())
    return (perf_counter() - started) * 1000


def _switch(connection: psycopg.Connection, *, on: bool) -> None:
    for table in TABLES:
        connection.execute(f"alter table public.{table} {'enable' if on else 'disable'} trigger user".encode())
