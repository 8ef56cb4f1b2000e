"""How a shutdown ends in bounded time, with every lead saved or released."""

import anyio
from tests.unit.engine.conftest import World

from leadhook.domain.results import Score
from leadhook.engine import Engine


async def stop(engine: Engine, drain_s: float) -> float:
    began = anyio.current_time()
    await engine.stop(drain_s)
    return anyio.current_time() - began


async def test_idle_engine_stops_at_once(world: World) -> None:
    async with world.engine() as engine:
        await anyio.sleep(1)
        asked = len(world.store.calls)
        assert await stop(engine, 45) == 0
        assert len(world.store.calls) == asked
        assert not engine.health().running


async def test_no_lead_is_claimed_after_stop(world: World) -> None:
    world.hand_out(*world.leads(4), has_more=True)
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.5)
        engine.wake()
        await stop(engine, 45)
        assert len(world.store.of("claim")) == 1


async def test_model_call_in_flight_may_finish(world: World) -> None:
    world.hand_out(world.lead())
    world.scorer.seconds = 18
    world.scorer.script = {"a": [Score(score=10, response="no", should_contact=False)]}
    async with world.engine() as engine:
        await anyio.sleep(5)
        assert await stop(engine, 45) == 13
        assert world.outcomes == ["saved"]
        assert len(world.store.of("renew")) == 1


async def test_lead_between_score_and_message_is_released_with_its_score(world: World) -> None:
    """A call of up to 60 s can't end within 45."""
    world.hand_out(world.lead())
    async with world.engine() as engine:
        await anyio.sleep(0.5)
        assert await stop(engine, 45) == 0.5
        release = world.releases[0]
        assert (release.outcome, release.delay_ms, release.error_code) == ("returned", 0, "shutting_down")
        assert release.checkpoint.score.score == 80
        assert world.scorer.steps == ["score"]


async def test_message_is_bought_when_the_time_allows(world: World) -> None:
    world.hand_out(world.lead())
    async with world.engine() as engine:
        await anyio.sleep(0.5)
        assert await stop(engine, 120) == 1.5
        assert world.outcomes == ["saved"]


async def test_model_call_that_lasts_too_long_is_cut_off_and_its_lead_released(world: World) -> None:
    """Five seconds before the end, so that the release still gets through."""
    world.hand_out(world.lead())
    world.scorer.seconds = 60
    async with world.engine() as engine:
        await anyio.sleep(1)
        assert await stop(engine, 45) == 40
        release = world.releases[0]
        assert (release.outcome, release.checkpoint, release.error_code) == ("returned", None, "shutting_down")


async def test_lead_that_waits_for_a_young_lease_is_released_at_once(world: World) -> None:
    batch = world.batch(world.lead(), start_limit_ms=1_000, renew_ms=2_000)
    world.store.script["claim"].append(lambda: world.after(3, batch))
    world.store.script["renew"].append(lambda: world.after(9))
    async with world.engine() as engine:
        await anyio.sleep(4)
        assert await stop(engine, 45) == 0
        assert world.releases[0].error_code == "shutting_down"


async def test_leads_of_a_claim_that_was_under_way_are_released(world: World) -> None:
    """Its reply is awaited: otherwise they would rest for a whole lease."""
    world.store.script["claim"].append(lambda: world.after(3, world.batch(*world.leads(4))))
    async with world.engine() as engine:
        await anyio.sleep(1)
        assert await stop(engine, 45) == 2
        assert [len(call.items) for call in world.store.of("release")] == [4]
        assert world.scorer.calls == []


async def test_saves_and_renewals_go_on_until_the_last_lead_is_released(world: World) -> None:
    world.hand_out(world.lead())
    world.store.script["save"].append(lambda: world.after(10, world.trouble()))
    world.store.script["save"].append(lambda: world.after(10, world.trouble()))
    async with world.engine() as engine:
        await anyio.sleep(2.5)
        assert await stop(engine, 45) < 25
        assert world.outcomes == ["saved"]
        assert len(world.store.of("renew")) == 2


async def test_drain_ends_in_bounded_time_whatever_happens(world: World) -> None:
    world.hand_out(world.lead())
    world.store.script["save"] += [world.trouble()] * 1000
    async with world.engine() as engine:
        await anyio.sleep(3)
        assert await stop(engine, 45) == 45
        assert [line["leads"] for line in world.log if line["event"] == "drain.overrun"] == [1]
        assert not engine.health().running


async def test_stop_without_time_releases_everything_at_once(world: World) -> None:
    world.hand_out(world.lead())
    async with world.engine() as engine:
        await anyio.sleep(0.5)
        assert await stop(engine, 0) == 0
        assert not engine.health().running


async def test_engine_that_never_ran_can_be_stopped(world: World) -> None:
    async with world.engine() as engine:
        await engine.stop(45)
        await anyio.sleep(10)
        assert world.store.calls == []
        assert not engine.health().running
