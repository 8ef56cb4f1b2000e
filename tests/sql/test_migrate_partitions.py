"""The application's tables may be partitioned, in several levels: they are migrated, used and left as they were."""

from typing import Any

import psycopg
import pytest
from tests.conftest import silent
from tests.dump import dump
from tests.sql.conftest import connect_to

from leadhook.command_error import CommandError
from leadhook.install.files import for_cli, read_migrations, read_webhook_steps
from leadhook.install.install import make_plan
from leadhook.install.locks import Patience
from leadhook.install.migrate import migrate
from leadhook.install.uninstall import uninstall
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database

EVERY = read_migrations()
STEPS = read_webhook_steps()
URL = "https://leads.example.com/webhooks/leads"
LONG = "a_partition_whose_name_is_as_long_as_a_name_may_be_in_postgres1"

ALL_LEADS = """
create table public.all_leads (lead_id text, user_id uuid, tag text, scrapped boolean default false,
  linkedin_url text)
  partition by list (tag);
create table public.all_leads_founders partition of public.all_leads for values in ('founders')
  partition by hash (lead_id);
create table public.all_leads_founders_0 partition of public.all_leads_founders
  for values with (modulus 2, remainder 0);
create table public.all_leads_founders_1 partition of public.all_leads_founders
  for values with (modulus 2, remainder 1);
create table public.all_leads_rest partition of public.all_leads default;
"""
LEAD_DETAILS = f"""
create schema archive;
create table public.lead_details (lead_id text, name text, title text, location text, company_name text,
  experience text, skills text, bio text, profile_url text, company_page_url text, sent_to_llm boolean default false)
  partition by hash (lead_id);
create table public.{LONG} partition of public.lead_details for values with (modulus 3, remainder 0);
create table archive."Lead details" partition of public.lead_details for values with (modulus 3, remainder 1);
create table public.deeper partition of public.lead_details for values with (modulus 3, remainder 2)
  partition by list (sent_to_llm);
create table public.deeper_sent partition of public.deeper for values in (true);
create table public.deeper_unsent partition of public.deeper default;
"""
PROMPTS = """
create table public.prompts (user_id uuid, tag text, wildnet_data text, scoring_criteria_and_icp text,
  message_prompt text, created_at timestamptz default now()) partition by list (tag);
create table public.prompts_rest partition of public.prompts default;
"""
GEMINI_API = """
create table public.gemini_api (api_key text) partition by hash (api_key);
create table public.gemini_api_0 partition of public.gemini_api for values with (modulus 1, remainder 0);
"""
LLM_RESPONSE = """
create table public.llm_response (lead_id text, tag text, name text, linkedin_url text, location text, score integer,
  response text, should_contact integer, subject text, message text) partition by list (tag);
create table public.llm_response_rest partition of public.llm_response default;
"""
TABLES = ALL_LEADS + LEAD_DETAILS + PROMPTS + GEMINI_API + LLM_RESPONSE
LEAVES = 4
INDEXED = "select relid from pg_partition_tree('public.leadhook_unsent') where isleaf"
IS_VALID = (
    "select bool_and(x.indisvalid) from pg_index as x"
    " where x.indexrelid in (select t.relid from pg_partition_tree('public.leadhook_unsent') as t)"
)
LEFT = "select i.relname::text from pg_class as i where i.relname like 'leadhook%unsent%'"


def ask(database: Database, query: str) -> list[Any]:
    """The first column of each row."""
    with database.connect() as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def run(database: Database, script: str) -> None:
    """Statements of the owner."""
    with database.connect() as connection:
        connection.execute(script.encode())


def index_stands(database: Database) -> bool:
    """Whether the index is there, valid, and on every partition that has rows."""
    return ask(database, IS_VALID) == [True] and len(ask(database, INDEXED)) == LEAVES


@pytest.mark.parametrize(
    "tables",
    [ALL_LEADS, LEAD_DETAILS, PROMPTS, GEMINI_API, LLM_RESPONSE, TABLES],
    ids=["all_leads", "lead_details", "prompts", "gemini_api", "llm_response", "all five"],
)
async def test_partitioned_tables_are_migrated(bare_database: Database, tables: str) -> None:
    """Each of the five, and all of them; a second run finds nothing to do."""
    run(bare_database, tables)
    assert "found:" in await make_plan(bare_database.conninfo, EVERY, STEPS)
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert "created the index leadhook_unsent on public.lead_details" in said or LEAD_DETAILS not in tables
    assert LEAD_DETAILS not in tables or index_stands(bare_database)
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert said[-1].startswith("up to date")


async def test_partitioned_tables_take_the_copies_for_the_cli(bare_database: Database) -> None:
    """Each in one transaction; afterwards `leadhook migrate` finds nothing to do."""
    run(bare_database, TABLES)
    for place in range(len(EVERY)):
        run(bare_database, for_cli(EVERY[: place + 1]))
    assert index_stands(bare_database)
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert said[-1].startswith("up to date")


async def test_a_partitioned_table_without_partitions_is_migrated(bare_database: Database) -> None:
    """The index is there for the partitions to come."""
    run(bare_database, LEAD_DETAILS.partition("create table public.a_partition")[0])
    await migrate(bare_database.conninfo, EVERY, silent)
    assert ask(bare_database, IS_VALID) == [True]
    run(
        bare_database,
        "create table public.later partition of public.lead_details for values with (modulus 1, remainder 0)",
    )
    assert len(ask(bare_database, INDEXED)) == 1


async def test_migrate_goes_on_where_the_partitions_were_left(bare_database: Database) -> None:
    """Some partitions have the index, one has it unattached, one has an invalid one, and some have none."""
    run(bare_database, TABLES)
    with bare_database.connect(autocommit=False) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from public.prompts")
        with pytest.raises(CommandError, match=r"unsent_index\.sql: gave up"):
            await migrate(bare_database.conninfo, EVERY, silent, Patience(total_s=1, pause_s=0.1))
    assert ask(bare_database, IS_VALID) == [False]
    for leaf in ("deeper_sent", "deeper_unsent"):
        definition = (
            "(lead_id) where sent_to_llm::varchar is distinct from 'true' and octet_length(lead_id::varchar) <= 2000"
        )
        run(bare_database, f"create index leadhook_unsent_{leaf} on public.{leaf} {definition}")
    with psycopg.connect(bare_database.admin_conninfo, autocommit=True) as admin:
        admin.execute(
            "update pg_index set indisvalid = false where indexrelid = 'public.leadhook_unsent_deeper_unsent'::regclass"
        )
    await migrate(bare_database.conninfo, EVERY, silent)
    assert index_stands(bare_database)
    assert len(ask(bare_database, LEFT)) == LEAVES + 2


async def test_leads_of_partitioned_tables_are_processed(bare_database: Database) -> None:
    """Triggers notice a statement on the table, the sweep one on a partition; answers are saved."""
    run(bare_database, f"{TABLES} grant all on all tables in schema public to service_role;")
    await migrate(bare_database.conninfo, EVERY, silent)
    await install_webhooks(bare_database.conninfo, URL, EVERY, STEPS, silent)
    with connect_to(bare_database) as db:
        db.control(first_round_finished_at=db.value("select now()"))
        db.key()
        eligible = db.eligible_leads(20)
        assert db.apply_outbox() == len(eligible)
        leases = db.claim(20)["leads"]
        assert {lease["lead_id"] for lease in leases} == set(eligible)
        outcomes = db.outcomes(db.save(*[db.result_of(lease) for lease in leases]))
        assert outcomes == dict.fromkeys(eligible, "saved")
        assert db.value("select count(*) from public.deeper_sent") > 0
        db.run("insert into public.all_leads_rest select 'silent', user_id, 'other', true from public.prompts")
        db.run("update public.prompts set tag = 'other'")
        db.details("silent")
        db.run("truncate leadhook.outbox")
        assert db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)["made_ready"] == 1


@pytest.mark.parametrize("is_interrupted", [False, True])
async def test_purge_leaves_partitioned_tables_as_they_were(bare_database: Database, *, is_interrupted: bool) -> None:
    """No index of ours stays on any partition, also none that an interrupted build left there."""
    run(bare_database, TABLES)
    before = dump(bare_database, "public"), dump(bare_database, "archive")
    await migrate(bare_database.conninfo, EVERY, silent)
    await install_webhooks(bare_database.conninfo, URL, EVERY, STEPS, silent)
    if is_interrupted:
        run(bare_database, "drop index public.leadhook_unsent")
        run(bare_database, "create index leadhook_unsent_deeper_sent on public.deeper_sent (lead_id)")
        run(bare_database, 'create index "leadhook_unsent_Lead details" on archive."Lead details" (lead_id)')
    await uninstall(bare_database.conninfo, purge=True, report=silent)
    assert ask(bare_database, LEFT) == []
    assert (dump(bare_database, "public"), dump(bare_database, "archive")) == before
