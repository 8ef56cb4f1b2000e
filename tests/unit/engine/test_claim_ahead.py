"""Leads are claimed for slots that will soon be free; they begin when one is, and go back when none is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.job import LeaseOutcome
from leadhook.engine import Engine
from leadhook.engine.timing import Timing

SLOW_S = 30.0


def backlog(world: World, *, model_s: float, round_trip_s: float) -> None:
    numbers = iter(range(100_000))

    def more() -> Any:
        asked = world.store.of("claim")[-1].limit
        leads = [world.lead(f"lead-{next(numbers)}") for _ in range(asked)]
        return world.after(round_trip_s, world.batch(*leads, has_more=True, next_due_ms=0))

    world.scorer.seconds = model_s
    world.store.script["claim"] = [more] * 10_000


@asynccontextmanager
async def leads_ahead(world: World, *low_priority: str, slots: int = 8, **delays: float) -> AsyncIterator[Engine]:
    """As many quick leads as slots; then slow ones, named by number, for all slots and a quarter more.

    Args:
        world: of the test.
        low_priority: which are of low priority.
        slots: of the engine.
        delays: how long a model call for a lead takes if not 30 s.
    """
    names = [f"slow_{n}" for n in range(slots + slots // 4)]
    world.scorer.delays = dict.fromkeys(names, SLOW_S) | delays
    world.scorer.seconds = 0.1
    world.hand_out(*world.leads(slots), has_more=True)
    world.hand_out(*[world.lead(name, low_priority=name in low_priority) for name in names], renew_ms=2_000)
    async with world.engine(slots=slots) as engine:
        await anyio.sleep(0.6)
        assert world.store.of("claim")[1].limit == len(names)
        assert (engine.health().in_flight, engine.health().held) == (slots, len(names))
        yield engine


def begun(world: World) -> set[str]:
    return {lead for _, lead, _ in world.scorer.calls if lead.startswith("slow")}


@pytest.mark.parametrize("round_trip_s", [0.05, 0.2])
async def test_slots_stay_full_while_a_claim_is_under_way(world: World, round_trip_s: float) -> None:
    backlog(world, model_s=1, round_trip_s=round_trip_s)
    async with world.engine(slots=8) as engine:
        await anyio.sleep(20)
        working = []
        for _ in range(400):
            working.append(engine.health().in_flight)
            assert engine.health().held <= 8 + 2 + 8
            await anyio.sleep(0.05)
        assert max(working) == 8
        assert sum(working) / len(working) >= 0.97 * 8


async def test_nothing_is_claimed_ahead_of_slow_model_calls(world: World) -> None:
    """Another instance may have a free slot for the lead, for minutes."""
    backlog(world, model_s=20, round_trip_s=0.02)
    world.scorer.delays = {f"lead-{n}": 3.0 * n for n in range(8)}
    await world.run(300, slots=8)
    limits = [call.limit for call in world.store.of("claim")]
    assert len(limits) > 40
    assert max(limits[1:]) == 1
    assert world.releases == []


async def test_nothing_is_claimed_ahead_where_slow_leads_end_together(world: World) -> None:
    backlog(world, model_s=6, round_trip_s=0.02)
    await world.run(200, slots=16)
    assert len(world.finished) >= 200
    assert world.releases == []


async def test_lead_that_gets_no_slot_in_time_goes_back_unspent(world: World) -> None:
    async with leads_ahead(world):
        await anyio.sleep(10)
        assert {(item.lead_id, item.outcome, item.error_code, item.delay_ms) for item in world.releases} == {
            ("slow_8", "returned", "no_free_slot", 0),
            ("slow_9", "returned", "no_free_slot", 0),
        }
        assert {item.usage.calls for item in world.releases} == {0}
        assert world.store.of("release")[0].at <= 0.2 + Timing.longest_ahead_s + Timing.gather_writes_s
        assert begun(world).isdisjoint({"slow_8", "slow_9"})
        assert len(world.store.of("claim")) == 2


async def test_leads_that_wait_for_a_slot_go_back_at_a_shutdown(world: World) -> None:
    async with leads_ahead(world) as engine, anyio.create_task_group() as stopping:
        stopping.start_soon(engine.stop, 100)
        await anyio.sleep(Timing.gather_writes_s + 0.1)
        assert {(item.lead_id, item.error_code) for item in world.releases} == {
            ("slow_8", "shutting_down"),
            ("slow_9", "shutting_down"),
        }
        assert engine.health().held == 8


async def test_leads_that_wait_for_a_slot_go_back_when_a_claim_meets_a_pause(world: World) -> None:
    async with leads_ahead(world, slots=32, **{f"slow_{n}": 0.4 for n in range(6)}) as engine:
        world.hand_out(blocked_by="paused")
        engine.wake()
        await anyio.sleep(1)
        assert {(item.lead_id, item.outcome, item.error_code) for item in world.releases} == {
            ("slow_38", "returned", "paused"),
            ("slow_39", "returned", "paused"),
        }


async def test_fresh_lead_gets_a_slot_before_one_of_low_priority(world: World) -> None:
    async with leads_ahead(world, "slow_8", slow_0=1.0):
        await anyio.sleep(3)
        assert "slow_9" in begun(world)
        assert "slow_8" not in begun(world)


async def test_request_gets_a_slot_before_leads_that_were_claimed_ahead(world: World) -> None:
    async with leads_ahead(world, slow_0=1.0) as engine:
        with anyio.fail_after(3):
            await engine.process([world.on_demand()])
        assert [lead for _, lead, _ in world.scorer.calls].index("e") == 16 + 8 + 1
        await anyio.sleep(1)
        assert "slow_8" in begun(world)


async def test_lost_lease_gets_no_slot(world: World) -> None:
    world.store.script["renew"].append(world.replies([world.lead("slow_8")], LeaseOutcome.LEASE_LOST))
    async with leads_ahead(world, slow_0=2.0) as engine:
        await anyio.sleep(4.5)
        assert "slow_9" in begun(world)
        assert "slow_8" not in begun(world)
        assert world.releases == []
        assert engine.health().held == 8
