"""`leadhook uninstall`: what the application had is as it was; what leadhook knew stays, unless it is purged."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.conftest import PATIENCE_S, silent
from tests.dump import dump
from tests.support.databases import connect_async

from leadhook.command_error import CommandError
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.locks import Patience
from leadhook.install.migrate import migrate
from leadhook.install.uninstall import describe_purge, uninstall
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database

if TYPE_CHECKING:
    from tests.sql.conftest import Sql

EVERY = read_migrations()
STEPS = read_webhook_steps()
URL = "https://leads.example.com/webhooks/leads"
FINGERPRINT = (Path(__file__).parent / "fingerprint.sql").read_bytes()
EAGER = Patience(total_s=PATIENCE_S, pause_s=0.1)


def ask(database: Database, query: str) -> list[Any]:
    """The first column of each row."""
    with database.connect() as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def run(database: Database, script: str) -> None:
    """Statements of the owner."""
    with database.connect() as connection:
        connection.execute(script.encode())


def fingerprint(database: Database) -> dict[tuple[str, str], str]:
    """What is there, by kind and name."""
    with database.connect() as connection:
        return {(kind, name): text for kind, name, text in connection.execute(FINGERPRINT).fetchall()}


async def install(database: Database) -> None:
    """Migrations and triggers, by the program."""
    await migrate(database.conninfo, EVERY, silent)
    await install_webhooks(database.conninfo, URL, EVERY, STEPS, silent)


@pytest.fixture
async def installed(wired: "Sql", wired_database: Database) -> Database:
    """A project with leadhook in it."""
    wired.record_migrations()
    await install(wired_database)
    return wired_database


@pytest.fixture
async def with_jobs(installed: Database) -> Database:
    """With a job in each state, an outbox row and an attempt."""
    run(
        installed,
        """
        insert into public.all_leads select i, gen_random_uuid(), 't', true from unnest('{r,l,w,d}'::text[]) as i;
        insert into leadhook.jobs (lead_id, user_id, tag, state, claim_token, lease_until) values
          ('r', gen_random_uuid(), 't', 'ready', null, null), ('w', null, null, 'waiting', null, null),
          ('l', gen_random_uuid(), 't', 'leased', gen_random_uuid(), now()), ('d', null, null, 'done', null, null);
        insert into leadhook.attempts (lead_id, run, fence, outcome) values ('d', 1, 1, 'saved');
        update leadhook.controls set first_round_finished_at = now(), backlog = 'run';
        """,
    )
    return installed


async def test_purge_leaves_the_project_as_it_was(bare_database: Database) -> None:
    """Tables, rights, policies, functions and rows; of leadhook nothing, also in Vault."""
    run(bare_database, (Path(__file__).parent / "existing_project.sql").read_text())
    before = fingerprint(bare_database)
    dumped = dump(bare_database, "public")
    await install(bare_database)
    said: list[str] = []
    await uninstall(bare_database.conninfo, purge=True, report=said.append)
    assert fingerprint(bare_database) == before
    assert dump(bare_database, "public") == dumped
    assert ask(bare_database, "select name from vault.secrets") == []
    assert "dropped the trigger leadhook_insert on all_leads" in said
    assert "dropped the index leadhook_unsent on lead_details" in said
    assert "dropped the schema leadhook" in said


async def test_tables_that_leadhook_made_stay(installed: Database) -> None:
    """They hold the application's data."""
    await uninstall(installed.conninfo, purge=True, report=silent)
    tables = ask(
        installed, "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    )
    assert sorted(tables) == ["all_leads", "gemini_api", "lead_details", "llm_response", "prompts"]
    assert ask(installed, "select proname::text from pg_proc where pronamespace = 'public'::regnamespace") == []


async def test_a_function_that_the_application_put_in_place_of_leadhooks_stays(installed: Database) -> None:
    """Its name is the predecessor's; its text calls nothing of leadhook."""
    run(
        installed,
        "drop function public.rpc_get_eligible_llm_jobs();"
        "create function public.rpc_get_eligible_llm_jobs() returns text language sql return 'theirs';"
        "create function public.leadhook_of_theirs() returns text language sql return 'theirs'",
    )
    await uninstall(installed.conninfo, purge=True, report=silent)
    left = ask(installed, "select proname::text from pg_proc where pronamespace = 'public'::regnamespace order by 1")
    assert left == ["leadhook_of_theirs", "rpc_get_eligible_llm_jobs"]


async def test_without_purge_the_history_stays(with_jobs: Database) -> None:
    """And nothing of it starts by itself after the return: what was to be done is held."""
    await uninstall(with_jobs.conninfo, purge=False, report=silent)
    assert ask(with_jobs, "select proname::text from pg_proc where pronamespace = 'public'::regnamespace") == []
    assert ask(with_jobs, "select lead_id from leadhook.attempts") == ["d"]
    assert ask(with_jobs, "select lead_id || ' ' || state from leadhook.jobs order by 1") == [
        "d done", "l held", "r held", "w waiting"
    ]  # fmt: skip
    assert ask(with_jobs, "select count(*) from leadhook.outbox") == [0]


async def test_who_comes_back_finds_its_history_and_a_backlog_that_is_held(with_jobs: Database) -> None:
    """All functions are there again, and the first round is still to come."""
    before = fingerprint(with_jobs)
    await uninstall(with_jobs.conninfo, purge=False, report=silent)
    await install(with_jobs)
    after = fingerprint(with_jobs)
    triggers = {key for key in before if key[0] == "trigger"}
    assert {key: text for key, text in after.items() if key not in triggers} == {
        key: text for key, text in before.items() if key not in triggers
    }
    assert triggers <= after.keys()
    assert ask(with_jobs, "select backlog from leadhook.controls") == ["hold"]
    assert ask(with_jobs, "select first_round_finished_at from leadhook.controls") == [None]
    installed_now = "select installed_at between now() - interval '1 min' and now() from leadhook.controls"
    assert ask(with_jobs, installed_now) == [True]


async def test_uninstall_does_nothing_the_second_time(installed: Database) -> None:
    """Nor where leadhook never was."""
    await uninstall(installed.conninfo, purge=True, report=silent)
    said: list[str] = []
    await uninstall(installed.conninfo, purge=True, report=said.append)
    assert said[0] == "leadhook was not installed"


@pytest.mark.parametrize("purge", [True, False])
async def test_uninstall_refuses_to_take_along_what_is_built_on_it(installed: Database, *, purge: bool) -> None:
    """A view of the owner's: it says which, and changes nothing."""
    run(
        installed,
        "create view public.dashboard as select state, count(*) from leadhook.jobs group by state;"
        "create view public.eligible as select * from public.rpc_get_eligible_llm_jobs();",
    )
    before = fingerprint(installed)
    with pytest.raises(CommandError) as caught:
        await uninstall(installed.conninfo, purge=purge, report=silent)
    assert "view eligible" in str(caught.value)
    assert ("view dashboard" in str(caught.value)) == purge
    assert fingerprint(installed) == before


async def test_a_waiting_uninstall_blocks_others_only_briefly(installed: Database) -> None:
    """A transaction that has written is open; other writers wait no longer than the lock timeout."""
    with installed.connect(autocommit=False) as application:
        application.execute("update public.all_leads set scrapped = true")
        task = asyncio.create_task(uninstall(installed.conninfo, purge=True, report=silent, patience=EAGER))
        writer = await connect_async(installed)
        longest = 0.0
        until = monotonic() + 4
        while monotonic() < until:
            started = monotonic()
            await writer.execute(b"update public.all_leads set scrapped = true where lead_id = 'nobody'")
            longest = max(longest, monotonic() - started)
            await asyncio.sleep(0.01)
        assert not task.done()
        application.rollback()
    async with asyncio.timeout(PATIENCE_S):
        await task
    await writer.close()
    assert longest < 3, "the lock was held for four"
    assert ask(installed, "select to_regnamespace('leadhook') is null") == [True]


async def test_uninstall_gives_up_and_can_be_repeated(installed: Database) -> None:
    """The step and the query in its way are named; what was dropped before stays so."""
    with installed.connect(autocommit=False) as application:
        application.execute("delete from public.prompts")
        with pytest.raises(CommandError, match=r"^the trigger \S+ on prompts: gave up .* pid \d+"):
            await uninstall(installed.conninfo, purge=True, report=silent, patience=Patience(total_s=2, pause_s=0.1))
    await uninstall(installed.conninfo, purge=True, report=silent)
    assert ask(installed, "select to_regnamespace('leadhook') is null") == [True]


async def test_applications_write_while_leadhook_is_taken_out(installed: Database) -> None:
    """No statement of theirs fails."""
    task = asyncio.create_task(uninstall(installed.conninfo, purge=True, report=silent, patience=EAGER))
    async with await psycopg.AsyncConnection.connect(installed.conninfo, autocommit=True) as writer:
        written = 0
        while not task.done():
            await writer.execute(
                "insert into public.all_leads values (%s, gen_random_uuid(), 't', true)", (f"lead-{written}",)
            )
            written += 1
    await task
    assert written > 10


async def test_a_purge_says_before_what_would_be_lost(with_jobs: Database) -> None:
    """With counts; and nothing is changed by saying it."""
    before = fingerprint(with_jobs)
    said = "\n".join(await describe_purge(with_jobs.conninfo))
    assert "4 jobs, 1 attempt, 0 results, 0 replays, which can't be restored" in said
    assert "would drop the trigger leadhook_insert on all_leads" in said
    assert "the application's tables stay" in said
    assert fingerprint(with_jobs) == before


async def test_a_purge_of_nothing_says_so(bare_database: Database) -> None:
    """Where leadhook never was."""
    assert "leadhook is not installed" in await describe_purge(bare_database.conninfo)
