"""Sequences that a restore left behind their rows are put right, and named until they are."""

from typing import LiteralString

import pytest
from psycopg import sql
from tests.sql.conftest import Sql

from leadhook.doctor.check import Check
from leadhook.doctor.database import check_sequences
from leadhook.install.connection import connect
from leadhook.install.files import read_migrations
from leadhook.install.migrate import migrate
from leadhook.install.sequences import find_behind
from leadhook.local.database import Database

ROWS: dict[str, LiteralString] = {
    "leadhook.attempts": "(lead_id, run, fence, outcome) select 'x', 1, g, 'saved' from generate_series(1, 3000) as g",
    "leadhook.outbox": "(kind, n) select 'everything', 0 from generate_series(1, 5)",
    "leadhook.webhooks": "(message_id, reason) select g::text, 'x' from generate_series(1, 5) as g",
    "leadhook.replays": "(actor) select 'x' from generate_series(1, 5)",
    "leadhook.releases": "(actor, lead_limit, groups) select 'x', 1, '[]' from generate_series(1, 5)",
    "leadhook.pauses": "(user_id, actor) select gen_random_uuid(), 'x' from generate_series(1, 5)",
    "leadhook.audit": "(actor, action) select 'x', 'erase' from generate_series(1, 5)",
    "leadhook.budgets": "(user_id, daily_usd) select gen_random_uuid(), 1 from generate_series(1, 5)",
}


def insert(db: Sql, table: str) -> None:
    """Rows that take their numbers from the sequence."""
    db.run(sql.SQL("insert into {} ").format(sql.Identifier(*table.split("."))) + sql.SQL(ROWS[table]))


def rewind(db: Sql, table: str) -> None:
    """As a restore or a switch-over of logical replication does."""
    db.value("select setval(pg_get_serial_sequence(%(table)s, 'id'), 1, false)", table=table)


async def findings(database: Database) -> list[Check]:
    """What the doctor says of sequences."""
    async with connect(database.conninfo) as connection:
        return check_sequences(await find_behind(connection))


async def migrated(database: Database) -> str:
    lines: list[str] = []
    await migrate(database.conninfo, read_migrations(), lines.append)
    return "\n".join(lines)


def test_the_rows_stand_for_every_numbered_table(db: Sql) -> None:
    """A new one is tested too."""
    numbered = db.rows(
        """select distinct format('leadhook.%%s', t.relname) as name
        from pg_class as t join pg_attribute as a on a.attrelid = t.oid
        where t.relnamespace = 'leadhook'::regnamespace and t.relkind = 'r' and a.attidentity <> ''"""
    )
    assert {row["name"] for row in numbered} == ROWS.keys()


@pytest.mark.parametrize("table", ROWS)
async def test_migrate_puts_a_sequence_before_its_rows_right(db: Sql, database: Database, table: str) -> None:
    db.record_migrations()
    insert(db, table)
    rewind(db, table)
    (finding,) = await findings(database)
    assert f"{table}_id_seq" in finding.sentence
    assert (finding.level, finding.remedy) == ("fault", "Run `leadhook migrate`.")
    assert f"{table}_id_seq" in await migrated(database)
    insert(db, table)
    assert await findings(database) == []
    assert "_id_seq" not in await migrated(database), "it is not changed again"


async def test_migrate_puts_the_fences_beyond_every_lease(db: Sql, database: Database) -> None:
    """A fence that comes again would let an outdated worker write."""
    db.record_migrations()
    db.key()
    db.make_job("a", state="done", fence=700)
    db.value("select setval('leadhook.fences', 1, false)")
    (finding,) = await findings(database)
    assert "leadhook.fences" in finding.sentence
    await migrated(database)
    db.ready_job("b")
    (lead,) = db.claim()["leads"]
    assert lead["fence"] == 701
    assert await findings(database) == []


async def test_migrate_leaves_a_sequence_that_is_right_alone(db: Sql, database: Database) -> None:
    """It may be far ahead."""
    db.record_migrations()
    db.value("select setval(pg_get_serial_sequence('leadhook.attempts', 'id'), 5000, false)")
    await migrated(database)
    insert(db, "leadhook.attempts")
    assert db.value("select min(id) from leadhook.attempts") == 5000


async def test_doctor_names_a_sequence_of_the_application_with_the_statement_that_helps(
    db: Sql, database: Database
) -> None:
    """It is the application's own: migrate changes nothing there."""
    db.run("create sequence public.answers_id owned by public.llm_response.score")
    db.run("alter table public.llm_response alter column score set default nextval('public.answers_id')")
    db.run("insert into public.llm_response (lead_id, score) values ('a', 50)")
    (finding,) = await findings(database)
    assert finding.remedy is not None
    db.record_migrations()
    await migrated(database)
    assert await findings(database) == [finding]
    db.connection.execute(finding.remedy.encode())
    assert await findings(database) == []


@pytest.mark.parametrize("named", [True, False], ids=["with its token", "without"])
@pytest.mark.parametrize("write", ["save", "renew", "release"])
def test_a_worker_from_before_a_restore_writes_nothing(db: Sql, write: str, named: "object") -> None:
    """Its fence was lost with its lease; the token of its claim identifies it, or a fence beyond the job's."""
    db.key()
    db.ready_job("a")
    (zombie,) = db.claim()["leads"]
    db.run("update leadhook.jobs set state = 'ready', claim_token = null, lease_until = null")
    if named:
        db.run("update leadhook.jobs set fence = 0")
    db.value("select setval('leadhook.fences', 1, false)")
    (lead,) = db.claim()["leads"]
    assert (zombie["fence"] == lead["fence"]) is bool(named)
    lease = db.lease_of(zombie, token=zombie["token"]) if named else db.lease_of(zombie)
    if write == "renew":
        reply = db.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
    else:
        reply = db.save(db.result_of(zombie) | lease) if write == "save" else db.release(db.release_of(zombie) | lease)
    assert db.outcomes(reply) == {"a": "lease_lost"}
    saved = db.result_of(lead, checkpoint=db.paid(99), token=lead["token"])
    assert db.outcomes(db.save(saved)) == {"a": "saved"}
    assert db.answer("a")["score"] == 99


def test_the_first_claim_moves_sequences_that_are_behind_their_rows(db: Sql) -> None:
    """So that no answer that was paid for meets a number that is taken."""
    db.key()
    for table in ROWS:
        insert(db, table)
        rewind(db, table)
    db.run("delete from leadhook.pauses")
    db.run("delete from leadhook.budgets")
    db.run("update leadhook.outbox set not_before = clock_timestamp() + interval '1 hour' where kind = 'everything'")
    db.ready_job("a")
    (lead,) = db.claim()["leads"]
    assert db.outcomes(db.save(db.result_of(lead))) == {"a": "saved"}
    for table in ROWS:
        insert(db, table)


def test_the_first_claim_after_a_restore_leaves_the_fences_of_another_history_behind(db: Sql) -> None:
    """On another server or timeline; what was handed out after the moment that was restored, no row knows."""
    db.key()
    db.ready_job("a")
    first = db.claim()["leads"][0]["fence"]
    db.run("update leadhook.controls set history = '1 00000001'")
    for name in ("b", "c"):
        db.ready_job(name)
        (lead,) = db.claim()["leads"]
        assert 10**9 < lead["fence"] - first < 10**9 + 100
