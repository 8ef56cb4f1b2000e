"""`leadhook install`: a living project is taken over without a surprise, and restored as it was."""

# ruff: noqa: S608 - the queries are made of this file's own constants

import re
from pathlib import Path
from typing import Any

import pytest
from tests.commands import SqlStore
from tests.conftest import silent
from tests.dump import dump
from tests.sql.conftest import Sql

from leadhook.command_error import CommandError
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.install import InstallOptions, install, make_plan
from leadhook.install.uninstall import uninstall
from leadhook.local.database import Database
from leadhook.store import Wanted, release_held

EVERY = read_migrations()
STEPS = read_webhook_steps()
HERE = Path(__file__).parent
FINGERPRINT = (HERE / "fingerprint.sql").read_text()
EXISTING = {path.stem: path.read_text() for path in sorted((HERE / "existing").glob("*.sql"))}
SEQUENCES = b"select sequencename::text as name, last_value as last from pg_sequences where schemaname = 'public'"
NO_KEYS = EXISTING["no_keys"]
ORDER = InstallOptions("https://leads.example.com/webhooks/leads")


async def put_in(database: Database, order: InstallOptions = ORDER) -> list[str]:
    said: list[str] = []
    await install(database.conninfo, order, EVERY, STEPS, said.append)
    return said


def run_script(bare: Sql, script: str) -> None:
    bare.connection.execute(script.encode())


def picture(database: Database, bare: Sql) -> list[tuple[Any, ...]]:
    """Everything in public, its rows too: in the catalog's words and in those of pg_dump."""
    things = [tuple(row.values()) for row in bare.connection.execute(FINGERPRINT.encode()).fetchall()]
    return [*sorted(things, key=repr), *((line,) for line in dump(database, "public"))]


@pytest.mark.parametrize("schema", EXISTING)
async def test_an_existing_project_is_used_and_left_as_it_was(bare_database: Database, bare: Sql, schema: str) -> None:
    run_script(bare, EXISTING[schema])
    before, numbers = picture(bare_database, bare), bare.connection.execute(SEQUENCES).fetchall()
    await put_in(bare_database)

    bare.key()
    bare.eligible_lead("fresh")
    batch = bare.claim()
    assert bare.ids_of(batch) == ["fresh"]
    assert bare.outcomes(bare.save(bare.result_of(batch["leads"][0]))) == {"fresh": "saved"}
    assert bare.ids_of(bare.claim()) == []
    assert (bare.answer("fresh")["score"], bare.answer("fresh")["subject"]) == (80, "A subject")
    assert bare.value("select sent_to_llm from public.lead_details where lead_id = 'fresh'")

    for table in ("llm_response", "lead_details", "all_leads"):
        bare.connection.execute(f"delete from public.{table} where lead_id = 'fresh'".encode())
    run_script(bare, "delete from public.prompts; delete from public.gemini_api")
    for sequence in numbers:
        bare.run("select setval(%(name)s, coalesce(%(last)s, 1), %(last)s::bigint is not null)", **sequence)
    await uninstall(bare_database.conninfo, purge=True, report=silent)
    assert picture(bare_database, bare) == before


async def test_a_project_with_uuid_ids_is_refused_and_stays_as_it_is(bare_database: Database, bare: Sql) -> None:
    script = EXISTING["checks_and_policies"].replace(" check (length(lead_id) < 100)", "")
    run_script(bare, script.replace("lead_id text primary key", "lead_id uuid primary key"))
    before = picture(bare_database, bare)
    words = "public.all_leads.lead_id is uuid, not text"
    with pytest.raises(CommandError, match=words):
        await make_plan(bare_database.conninfo, EVERY, STEPS)
    with pytest.raises(CommandError, match=words):
        await put_in(bare_database)
    assert picture(bare_database, bare) == before


async def test_the_backlog_is_held_and_a_fresh_lead_is_not(bare_database: Database, bare: Sql) -> None:
    run_script(bare, EVERY[0].sql)
    old = bare.eligible_leads(1500)
    bare.run("update public.prompts set created_at = now() - interval '1 day'")
    said = await put_in(bare_database)
    assert any(line.startswith("first sweep round: ") and "1500 leads held, 0 made ready" in line for line in said)
    assert "insert into public.gemini_api" in said[-1]
    bare.key()
    assert "`leadhook serve`" in (again := await put_in(bare_database))[-1]
    assert "gemini_api" not in again[-1]
    assert bare.ids_of(bare.claim()) == []
    bare.eligible_lead("fresh")
    assert bare.ids_of(bare.claim()) == ["fresh"]
    released = await release_held(SqlStore(bare), Wanted(limit=100), "test", None)
    assert released.released == 100
    assert bare.ids_of(bare.claim()) == old[:50]


async def test_waiting_and_held_leads_wake_with_the_next_prompts_row(bare_database: Database, bare: Sql) -> None:
    """They were asked for: those without a prompts row before, and those that were held."""
    run_script(bare, EVERY[0].sql)
    held = bare.eligible_leads(3)
    bare.run("update public.prompts set created_at = now() - interval '1 day'")
    bare.eligible_leads(3, prefix="w-", tag="later")
    bare.run("delete from public.prompts where tag = 'later'")
    await put_in(bare_database)
    bare.key()
    assert bare.ids_of(bare.claim()) == []
    bare.prompts(tag="later")
    assert len(bare.ids_of(bare.claim())) == 3
    bare.prompts()
    assert bare.ids_of(bare.claim()) == held


async def test_install_can_leave_the_backlog_to_the_service(bare_database: Database, bare: Sql) -> None:
    """--backlog run: its first round makes ready."""
    run_script(bare, EVERY[0].sql)
    bare.eligible_leads(3)
    bare.run("update public.prompts set created_at = now() - interval '1 day'")
    said = await put_in(bare_database, InstallOptions(ORDER.url, backlog="run"))
    assert "the backlog is not held: the service processes it when it starts" in said
    assert bare.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)["made_ready"] == 3


async def test_install_may_be_repeated(bare_database: Database, bare: Sql) -> None:
    """It holds nothing the second time: what is eligible now came after it."""
    await put_in(bare_database)
    before = picture(bare_database, bare)
    said = await put_in(bare_database, InstallOptions(ORDER.url, backlog="run"))
    assert "the first sweep round was already over; 0 leads are held" in said
    assert bare.value("select backlog from leadhook.controls") == "hold"
    assert picture(bare_database, bare) == before


async def test_a_repeat_with_backlog_run_says_why_it_is_too_late_and_what_to_run(
    bare_database: Database, bare: Sql
) -> None:
    """It was asked for, so it is not passed over in silence."""
    run_script(bare, EVERY[0].sql)
    bare.eligible_leads(3)
    bare.run("update public.prompts set created_at = now() - interval '1 day'")
    await put_in(bare_database)
    assert "the first sweep round was already over; 3 leads are held; `leadhook backlog status` shows them" in (
        await put_in(bare_database)
    )
    said = "\n".join(await put_in(bare_database, InstallOptions(ORDER.url, backlog="run")))
    assert "--backlog run has no effect: the first sweep round was already over, and 3 leads are held" in said
    assert "`leadhook backlog release` queues them" in said


async def test_the_plan_shows_what_is_there_and_changes_nothing(bare_database: Database, bare: Sql) -> None:
    run_script(bare, NO_KEYS)
    run_script(bare, "insert into public.prompts (user_id, tag) select distinct user_id, tag from public.all_leads")
    before = picture(bare_database, bare)
    said = "\n".join(await make_plan(bare_database.conninfo, EVERY, STEPS))
    for words in (
        "public.lead_details: lead_id text, name text,",
        f"{len(EVERY)} of {len(EVERY)} migrations",
        "11 triggers leadhook_*",
        "1 leads have several rows in public.llm_response",
        "1 leads are eligible now, 1 of them have an answer in llm_response",
        "public.gemini_api is open to anon and authenticated",
        "alter table public.gemini_api enable row level security;",
        "advice: public.all_leads has no index on lead_id",
    ):
        assert words in said
    assert picture(bare_database, bare) == before
    assert bare.value("select to_regnamespace('leadhook') is null")


async def test_the_plan_of_an_empty_project_names_the_tables_to_be_made(bare_database: Database, bare: Sql) -> None:
    said = await make_plan(bare_database.conninfo, EVERY, STEPS)
    assert "  - the table public.all_leads, closed to the outside" in said
    assert "  - no lead is eligible now" in said
    assert said[-1] == "none of the five tables is open to anon or authenticated without row level security"
    assert bare.count("pg_catalog.pg_class", "relnamespace = 'public'::regnamespace") == 0


async def test_the_plan_counts_what_the_first_round_holds(bare_database: Database, bare: Sql) -> None:
    """Two ways to the same number, whatever duplicates there are."""
    run_script(bare, NO_KEYS)
    bare.eligible_leads(7)
    bare.details("lead-00001", name="again")
    bare.lead("lead-00002", tag="no prompts")
    bare.details("lead-00003", sent=True)
    bare.lead("lead-00004", tag="second")
    bare.prompts(tag="second")
    bare.eligible_leads(2, prefix="sent-")
    bare.run("update public.lead_details set sent_to_llm = true where lead_id like 'sent-%%'", x=0)
    bare.run("update public.prompts set created_at = null where user_id = %(u)s", u=bare.USER)
    said = "\n".join(await make_plan(bare_database.conninfo, EVERY, STEPS))
    await put_in(bare_database)
    counted = re.search(r"(\d+) leads are eligible now", said)
    assert counted
    assert int(counted[1]) == bare.count("leadhook.jobs", "state = 'held'") == 7


async def test_the_plan_of_a_second_time_promises_no_holding(bare_database: Database, bare: Sql) -> None:
    """What is eligible now is in the queue already."""
    await put_in(bare_database)
    bare.eligible_lead("fresh")
    said = "\n".join(await make_plan(bare_database.conninfo, EVERY, STEPS))
    assert "nothing by migrations; all are applied" in said
    assert "1 leads are eligible now" in said
    assert "they will be held" not in said


async def test_lock_down_closes_what_the_plan_names(bare_database: Database, bare: Sql) -> None:
    """Without it, the installer leaves the doors as they are."""
    run_script(bare, NO_KEYS)
    closed = (
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relrowsecurity"
    )
    await put_in(bare_database)
    assert bare.connection.execute(closed.encode()).fetchone() == {"count": 0}
    await put_in(bare_database, InstallOptions(ORDER.url, lock_down=True))
    assert bare.connection.execute(closed.encode()).fetchone() == {"count": 5}
