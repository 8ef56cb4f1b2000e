"""What a long transaction of the application with our triggers costs every other session.

Postgres looks up each subtransaction of a transaction that has more than 64: other sessions pay for it as long as it
is open.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import psycopg
from bench.console import say, track
from bench.database import wired_database
from bench.measurement import Figure, Measurement

ROUNDS = 8
SESSIONS = 4
TRANSACTIONS = 1000
INSERTS = 500
LEAST_SHARE = 0.97
PREPARE = """
create schema bench;
create table bench.accounts as select i as id, 0 as balance from generate_series(1, 2000) as i;
alter table bench.accounts add primary key (id);
analyze bench.accounts;
"""
UPDATE = "update bench.accounts set balance = balance + 1 where id = %s"
SUM = "select sum(balance) from bench.accounts"
INSERT = "insert into public.lead_details (lead_id) values (gen_random_uuid())"
Connection = psycopg.Connection[tuple[object, ...]]


def measure(*, short: bool) -> Measurement:
    """In a cluster of its own; two minutes."""
    say("starting Postgres")
    with wired_database() as database, ExitStack() as stack:
        writer, *others = (
            stack.enter_context(psycopg.connect(database.admin_conninfo, autocommit=True)) for _ in range(1 + SESSIONS)
        )
        writer.execute(PREPARE.encode())
        return measure_on(writer, others, *((1, 50) if short else (ROUNDS, TRANSACTIONS)))


def measure_on(writer: Connection, others: list[Connection], rounds: int, transactions: int) -> Measurement:
    """CPU and rate beside an open transaction, by turns: without our triggers, with them, and with a savepoint each."""
    arms = {"without": (False, False), "with": (True, False), "savepoints": (False, True)}
    cpu_us: dict[str, list[float]] = {name: [] for name in arms}
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for number in track(range(rounds), f"{SESSIONS} sessions beside a transaction of {INSERTS} INSERTs"):
        # Each is first as often as it is last.
        for name in sorted(arms, reverse=number % 2 == 1):
            triggers, savepoints = arms[name]
            writer.execute("vacuum bench.accounts")
            with _open_transaction(writer, triggers=triggers, savepoints=savepoints):
                before_us, began = sum(map(_cpu_us, others)), perf_counter()
                _transact_all(others, transactions)
                rates[name].append(len(others) * transactions / (perf_counter() - began))
                cpu_us[name].append((sum(map(_cpu_us, others)) - before_us) / len(others) / transactions)
    share, control = (
        median(without / cost for cost, without in zip(cpu_us[name], cpu_us["without"], strict=True))
        for name in ("with", "savepoints")
    )
    return Measurement(
        f"{SESSIONS} sessions beside an open transaction of {INSERTS} INSERTs: {rounds} rounds",
        {
            "cpu": Figure(
                "CPU of a transaction of theirs, with our triggers", median(cpu_us["with"]), "µs",
                spread=(min(cpu_us["with"]), max(cpu_us["with"])), beside={"without": median(cpu_us["without"])},
            ),
            "share": Figure(
                "the rate that this CPU allows, as a share of that without our triggers", share,
                target=f"≥ {LEAST_SHARE}", met=share >= LEAST_SHARE,
            ),
            "control": Figure("the same share with a savepoint for each INSERT, and no triggers", control),
            "rate": Figure("their rate", median(rates["with"]), "/s", beside={"without": median(rates["without"])}),
        },
        {"cpu_us": cpu_us, "rates": rates},
    )  # fmt: skip


@contextmanager
def _open_transaction(writer: Connection, *, triggers: bool, savepoints: bool) -> Iterator[None]:
    writer.execute("begin")
    try:
        if not triggers:
            writer.execute("set local session_replication_role = replica")
        for _ in range(INSERTS):
            if savepoints:
                writer.execute("savepoint one")
            writer.execute(INSERT)
            if savepoints:
                writer.execute("release one")
        yield
    finally:
        writer.execute("rollback")


def _transact_all(sessions: list[Connection], transactions: int) -> None:
    with ThreadPoolExecutor(len(sessions)) as pool:
        list(pool.map(lambda session: _transact(session, transactions), sessions))


def _transact(session: Connection, transactions: int) -> None:
    random = Random(session.info.backend_pid)  # noqa: S311 - a load
    for _ in range(transactions):
        with session.transaction():
            session.execute(UPDATE, (random.randint(1, 2000),))
            session.execute(SUM)


def _cpu_us(session: Connection) -> float:
    return int(Path(f"/proc/{session.info.backend_pid}/schedstat").read_text().split()[0]) / 1000
