"""How the sweep and the slices of replays go on."""

from itertools import pairwise

import anyio
from tests.unit.engine.conftest import World

from leadhook.domain.job import ReplaySlice


def times(world: World) -> list[float]:
    return [call.at for call in world.store.of("sweep")]


async def test_round_begins_at_once_and_goes_on_slice_by_slice(world: World) -> None:
    world.store.script["sweep"] += [
        world.slice(round_finished=False, looked_at=1000, made_ready=2),
        world.slice(round_finished=False, looked_at=1000, held=3),
        world.slice(looked_at=10, removed=1),
    ]
    await world.run(100)
    first, second, third = times(world)
    assert first == 0
    assert 0.05 <= second - first <= 0.1
    assert 0.05 <= third - second <= 0.1
    lines = [line for line in world.log if line["event"] == "sweep.finished"]
    assert [(line["slices"], line["looked_at"], line["made_ready"]) for line in lines] == [(3, 2010, 2)]
    assert (lines[0]["held"], lines[0]["removed"]) == (3, 1)


async def test_round_is_walked_each_interval(world: World) -> None:
    await world.run(130, sweep_interval_s=60)
    assert times(world) == [0, 60, 120]


async def test_sweep_that_another_process_is_busy_with_is_tried_again_soon(world: World) -> None:
    """It may have died in the middle of the round."""
    world.store.script["sweep"] += [world.slice(busy=True, round_finished=False)] * 2
    await world.run(10)
    gaps = [after - before for before, after in pairwise(times(world))]
    assert len(gaps) == 2
    assert all(1 <= gap <= 3 for gap in gaps)


async def test_failed_slice_is_repeated(world: World) -> None:
    world.store.script["sweep"] += [world.trouble(), world.trouble("misconfigured")]
    async with world.engine() as engine:
        await anyio.sleep(3)
        assert engine.health().fault == "misconfigured reason"
        assert engine.health().claiming, "claims do not depend on the sweep"
        await anyio.sleep(20)
        assert len(times(world)) == 3
        assert engine.health().fault is None


async def test_failing_sweep_is_reported_once(world: World) -> None:
    refused, cut = world.trouble("misconfigured"), world.trouble()
    world.store.script["sweep"] += [refused, refused, cut, cut, world.slice(round_finished=False), cut]
    await world.run(100)
    lines = [line["code"] for line in world.log if line["event"] == "sweep.failed"]
    assert lines == [refused.code, cut.code, cut.code]


async def test_outbox_rows_that_a_slice_left_wake_the_dispatcher(world: World) -> None:
    """Due in 0 ms means that the outbox has rows."""
    world.store.script["sweep"].append(lambda: world.after(5, world.slice(next_due_ms=0)))
    await world.run(6)
    assert [(call.source, call.at) for call in world.store.of("claim")] == [("start", 0), ("sweep", 5)]


async def test_replay_slices_go_on_with_pauses_and_over_failures(world: World) -> None:
    world.hand_out(replays_wait=True)
    world.store.script["replay_slice"] = [
        ReplaySlice(left=True),
        world.trouble(),
        ReplaySlice(left=True),
        ReplaySlice(),
    ]
    async with world.engine() as engine:
        await anyio.sleep(0.2)
        assert engine.health().fault == "unavailable reason"
        await anyio.sleep(60)
        assert engine.health().fault is None
    asked = [call.at for call in world.store.of("replay_slice")]
    assert len(asked) == 4
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(asked))
    assert [line["code"] for line in world.log if line["event"] == "replay.failed"] == ["unavailable_code"]
