"""The engine with the real client on a real database; only the model is played."""

from uuid import uuid4

import anyio
from tests.conftest import PATIENCE_S, Supabase
from tests.support.application import Application
from tests.support.scorers import PlainScorer

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.engine import Engine, EngineContext
from leadhook.store import open_store


class Model(PlainScorer):
    def __init__(self) -> None:
        self.seconds = 0.0
        self.scored: list[str] = []

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> None:  # noqa: ARG002 - the port's
        if step == "score":
            self.scored.append(lead.lead_id)
            await anyio.sleep(self.seconds)


def bring(application: Application, leads: int) -> list[str]:
    """As users do: the prompts row last."""
    group = uuid4(), "t"
    ids = application.bring(leads, group)
    application.new_group(*group)
    return ids


async def until(application: Application, query: str, wanted: int) -> None:
    with anyio.fail_after(PATIENCE_S):
        while await anyio.to_thread.run_sync(application.value, query) != wanted:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.05)


async def test_leads_that_a_webhook_reports_are_answered(wired_supabase: Supabase, application: Application) -> None:
    """More than there are slots: batch after batch, without another webhook."""
    model = Model()
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store, anyio.create_task_group() as tasks:
        context = EngineContext(store=store, scorer=model, worker_name="tester")
        engine = Engine(context, max_concurrency=16, sweep_interval_s=3600)
        tasks.start_soon(engine.run)
        leads = await anyio.to_thread.run_sync(bring, application, 120)
        engine.wake()
        await until(application, "select count(*) from llm_response", 120)
        await engine.stop(20)
    assert sorted(model.scored) == sorted(leads)
    assert application.value("select count(*) from leadhook.jobs where state = 'done'") == 120
    assert application.value("select count(*) from leadhook.attempts where outcome = 'saved'") == 120


async def test_stopped_engine_gives_its_leads_back(wired_supabase: Supabase, application: Application) -> None:
    model = Model()
    model.seconds = 60
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store, anyio.create_task_group() as tasks:
        context = EngineContext(store=store, scorer=model, worker_name="tester")
        engine = Engine(context, max_concurrency=4, sweep_interval_s=3600)
        bring(application, 8)
        tasks.start_soon(engine.run)
        await until(application, "select count(*) from leadhook.jobs where state = 'leased'", 4)
        await engine.stop(2)
    assert application.value("select count(*) from leadhook.jobs where state = 'ready'") == 8
    assert application.value("select count(*) from leadhook.jobs where attempts > 0") == 0
    assert application.value("select count(*) from leadhook.attempts where outcome = 'returned'") == 4
