"""The engine with the real client on a real database; only the model is played."""

import anyio
from tests.conftest import PATIENCE_S, Supabase
from tests.support.scorers import PlainScorer

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.engine import Engine, EngineContext
from leadhook.store import open_store

USER = "00000000-0000-4000-8000-000000000001"


class Model(PlainScorer):
    def __init__(self) -> None:
        self.seconds = 0.0
        self.scored: list[str] = []

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> None:  # noqa: ARG002 - the port's
        if step == "score":
            self.scored.append(lead.lead_id)
            await anyio.sleep(self.seconds)


def insert_leads(supabase: Supabase, count: int) -> None:
    """As users do: the prompts row last."""
    with supabase.database.connect() as owner:
        owner.execute("insert into gemini_api (api_key) values ('visibly-fake-gemini-key')")
        owner.execute(
            "insert into all_leads (lead_id, user_id, tag, scrapped) select 'lead ' || n, %s, 't', true "
            "from generate_series(1, %s) as n",
            [USER, count],
        )
        owner.execute("insert into lead_details (lead_id, name) select lead_id, 'Ada' from all_leads")
        owner.execute("insert into prompts (user_id, tag, message_prompt) values (%s, 't', 'Be kind.')", [USER])


def count(supabase: Supabase, query: str) -> int:
    with supabase.database.connect() as owner:
        row = owner.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])


async def until(supabase: Supabase, query: str, wanted: int) -> None:
    with anyio.fail_after(PATIENCE_S):
        while await anyio.to_thread.run_sync(count, supabase, query) != wanted:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.05)


async def test_leads_that_a_webhook_reports_are_answered(wired_supabase: Supabase) -> None:
    """More than there are slots: batch after batch, without another webhook."""
    model = Model()
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store, anyio.create_task_group() as tasks:
        context = EngineContext(store=store, scorer=model, worker_name="tester")
        engine = Engine(context, max_concurrency=16, sweep_interval_s=3600)
        tasks.start_soon(engine.run)
        await anyio.to_thread.run_sync(insert_leads, wired_supabase, 120)
        engine.wake()
        await until(wired_supabase, "select count(*) from llm_response", 120)
        await engine.stop(20)
    assert sorted(model.scored) == sorted({f"lead {n}" for n in range(1, 121)})
    assert count(wired_supabase, "select count(*) from leadhook.jobs where state = 'done'") == 120
    assert count(wired_supabase, "select count(*) from leadhook.attempts where outcome = 'saved'") == 120


async def test_stopped_engine_gives_its_leads_back(wired_supabase: Supabase) -> None:
    model = Model()
    model.seconds = 60
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store, anyio.create_task_group() as tasks:
        context = EngineContext(store=store, scorer=model, worker_name="tester")
        engine = Engine(context, max_concurrency=4, sweep_interval_s=3600)
        insert_leads(wired_supabase, 8)
        tasks.start_soon(engine.run)
        await until(wired_supabase, "select count(*) from leadhook.jobs where state = 'leased'", 4)
        await engine.stop(2)
    assert count(wired_supabase, "select count(*) from leadhook.jobs where state = 'ready'") == 8
    assert count(wired_supabase, "select count(*) from leadhook.jobs where attempts > 0") == 0
    assert count(wired_supabase, "select count(*) from leadhook.attempts where outcome = 'returned'") == 4
