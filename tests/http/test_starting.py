"""What is asked of the service while its engine and its store are still being imported."""

import anyio

from leadhook.web.state import MOST_HINTS, Backend, Parts

from .conftest import FakeEngine, FakeScorer, FakeStore


def parts(engine: FakeEngine) -> Parts:
    return Parts(engine=engine, store=FakeStore(), scorer=FakeScorer())


async def test_webhooks_before_the_engine_are_remembered() -> None:
    """Ids that only a dashboard webhook names; the outbox has the others."""
    backend, engine = Backend(), FakeEngine()
    backend.wake(["a"])
    backend.wake()
    backend.wake(["b"] * MOST_HINTS)
    backend.start(parts(engine))
    backend.wake(["c"])

    assert engine.webhooks == [["a"] + ["b"] * (MOST_HINTS - 1), ["c"]]


async def test_a_start_without_webhooks_wakes_no_one() -> None:
    """The engine claims at its start anyway."""
    backend, engine = Backend(), FakeEngine()
    backend.start(parts(engine))

    assert engine.webhooks == []


async def test_a_request_waits_for_the_engine_and_the_store() -> None:
    backend, given = Backend(), parts(FakeEngine())
    found: list[object] = []

    async def ask() -> None:
        found.append(await backend.wait())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert found == []
        backend.start(given)
    assert found == [given]
