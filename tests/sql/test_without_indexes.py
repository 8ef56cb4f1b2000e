"""No index of the application is needed: without one a call reads a table a fixed number of times, not once a lead."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import POSTGRES
from tests.sql.conftest import Sql
from tests.sql.explained import Plans, read_blocks

from leadhook.local.database import Database

LEADS = 3000
PROMPTS = 3000

INDEXES = {
    "without an index": "select",
    # lead_id, user_id and tag are there, but an index that begins with something else finds nothing; Postgres 18 skips
    # through one whose first column has few values.
    "with indexes that do not help": (
        "create index on public.all_leads (scrapped, lead_id);"
        "create index on public.lead_details (sent_to_llm, lead_id);"
        "create index on public.prompts (created_at, user_id, tag);"
        "create index on public.llm_response (score, lead_id)"
    ),
}
STATISTICS = {
    "never analyzed": "select",
    "analyzed": "analyze",
    "analyzed when all but empty": "update pg_class set reltuples = 1, relpages = 1000 where oid = any (array["
    "'public.all_leads', 'public.lead_details', 'public.prompts', 'public.llm_response']::regclass[])",
}

FILL: LiteralString = """
alter table public.all_leads drop constraint all_leads_pkey;
alter table public.lead_details drop constraint lead_details_pkey;
alter table public.llm_response drop constraint llm_response_pkey;
drop index public.prompts_by_user_and_tag;
alter table public.all_leads set (autovacuum_enabled = off);
alter table public.lead_details set (autovacuum_enabled = off);
alter table public.prompts set (autovacuum_enabled = off);
alter table public.llm_response set (autovacuum_enabled = off);
insert into public.gemini_api (api_key) values ('visibly-fake');
insert into public.all_leads (lead_id, user_id, tag, scrapped)
select 'lead-' || lpad(g::text, 5, '0'), lpad(g::text, 32, '0')::uuid, 'tag', true
from generate_series(1, %(leads)s) as g;
insert into public.lead_details (lead_id, sent_to_llm) select lead_id, false from public.all_leads;
insert into public.llm_response (lead_id, tag) select lead_id, tag from public.all_leads;
insert into public.prompts (user_id, tag, created_at)
select lpad((g + 100000)::text, 32, '0')::uuid, 'tag', now() - g * interval '1 second'
from generate_series(1, %(prompts)s) as g;
"""


@pytest.fixture(params=INDEXES)
def bare_tables(request: pytest.FixtureRequest, database: Database, db: Sql) -> Iterator[Plans]:
    """3,000 leads of as many users, 3,000 prompts rows of others, and no index that finds any of them."""
    is_current = request.node.callspec.params["statistics"] == "analyzed"
    if int(POSTGRES) < 17 and request.param != "without an index" and not is_current:
        pytest.skip("until the table is analyzed, Postgres 15 and 16 walk such an index once for each id")
    with psycopg.ClientCursor(db.connection) as cursor:
        cursor.execute(FILL, {"leads": LEADS, "prompts": PROMPTS})
    with type(db)(psycopg.connect(database.admin_conninfo, autocommit=True, row_factory=dict_row)) as explained:
        with psycopg.ClientCursor(explained.connection) as cursor:
            cursor.execute(INDEXES[request.param])
        # Too little for a hash of a whole table, as its default is for 300,000 leads.
        explained.run("set work_mem = '64kB'")
        explained.run("set hash_mem_multiplier = 1")
        yield Plans(explained)


def give(tables: Plans, statistics: str) -> None:
    """Let the planner know what it knows at such a time."""
    with psycopg.ClientCursor(tables.db.connection) as cursor:
        cursor.execute(STATISTICS[statistics])


def assert_read(tables: Plans, times: int) -> None:
    """Nothing was read more often than so; an index that is walked from end to end may be larger than its table."""
    for table in ("all_leads", "lead_details", "prompts"):
        blocks = tables.db.value("select pg_relation_size(%(t)s) / 8192", t=f"public.{table}")
        assert tables.blocks(table) <= 3 * times * blocks, table


@pytest.mark.parametrize("statistics", STATISTICS)
def test_leads_before_their_prompts_row_cost_one_look_at_prompts(bare_tables: Plans, statistics: str) -> None:
    """500 leads of 500 users, as after an import."""
    give(bare_tables, statistics)
    bare_tables.db.note_change(*[f"lead-{i:05}" for i in range(1, 501)])
    bare_tables.start()
    assert bare_tables.db.claim(16)["leads"] == []
    assert bare_tables.db.count("leadhook.outbox") == 0
    assert_read(bare_tables, times=1)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_round_of_the_sweep_reads_the_tables_once_a_window(bare_tables: Plans, statistics: str) -> None:
    """3,000 jobs are six windows of 500 and an empty one; nothing is asked once a job."""
    give(bare_tables, statistics)
    bare_tables.db.run("update public.lead_details set sent_to_llm = true")
    bare_tables.db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state)"
        " select lead_id, user_id, tag, 'done' from public.all_leads"
    )
    bare_tables.db.run("update leadhook.controls set sweep_phase = 'jobs'")
    bare_tables.start()
    reply = bare_tables.db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)
    assert (reply["round_finished"], reply["looked_at"]) == (True, LEADS)
    assert_read(bare_tables, times=6)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_save_compares_each_answer_with_a_hashed_list_of_leads(bare_tables: Plans, statistics: str) -> None:
    """Only a plan that is made for these leads hashes them; a cached one compares each row with each id."""
    db = bare_tables.db
    for round_ in range(7):
        if round_ == 6:
            give(bare_tables, statistics)
            bare_tables.start()
        leads = [f"lead-{i:05}" for i in range(round_ * 20 + 1, round_ * 20 + 21)]
        db.run(
            "insert into public.prompts (user_id, tag)"
            " select user_id, tag from public.all_leads where lead_id = any (%(i)s)",
            i=leads,
        )
        db.note_change(*leads)
        batch = db.claim(20)
        assert len(batch["leads"]) == 20
        reply = db.save(*[db.result_of(db.lease_of(lead)) for lead in batch["leads"]])
        assert set(db.outcomes(reply).values()) == {"saved"}
    conditions = [
        condition
        for scan in bare_tables.scans
        if scan["Relation Name"] == "llm_response"
        for condition in (scan.get("Filter"), scan.get("Index Cond"))
        if condition
    ]
    assert conditions
    assert [condition for condition in conditions if "ANY ($" in condition] == []
    assert bare_tables.loops("llm_response") == 1


def test_rows_without_a_duplicate_are_not_written_out_as_text(db: Sql) -> None:
    """A column of 100 kB that no one asked for stays where it is: no more is read than without it."""
    db.eligible_leads(100)
    db.run("alter table public.all_leads add column fat text")
    db.run("alter table public.all_leads alter column fat set storage external")
    db.run("update public.all_leads set fat = repeat('x', 100000)")
    ids = [f"lead-{i:05}" for i in range(1, 101)]
    with db.transaction():
        before = read_blocks(db, "all_leads")
        db.rows("select * from leadhook.check_eligibility(%(ids)s)", ids=ids)
        assert read_blocks(db, "all_leads") == before
