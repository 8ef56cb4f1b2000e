"""When the worker claims, and how much."""

from itertools import pairwise
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.unit.engine.conftest import Call, World

from leadhook.domain.failure import FailureClass, StoreError
from leadhook.domain.job import LeaseReplies
from leadhook.engine.timing import Timing


def causes(world: World) -> list[str]:
    return [call.source for call in world.store.of("claim")]


def times(world: World) -> list[float]:
    return [call.at for call in world.store.of("claim")]


def webhooks(world: World) -> list[Call]:
    """The claims that a webhook led to, without the looks that follow them."""
    return [
        call
        for earlier, call in pairwise(world.store.of("claim"))
        if call.source == "webhook" and round(call.at - earlier.at, 6) not in Timing.look_s
    ]


async def test_worker_claims_at_start_and_not_again_while_nothing_is_due(world: World) -> None:
    async with world.engine():
        await anyio.sleep(600)
        assert causes(world) == ["start"]
        assert len(world.store.of("sweep")) == 2
        world.store.script["sweep"].append(world.slice(next_due_ms=2000))
        await anyio.sleep(3.1)
        assert causes(world) == ["start", "retry"]


async def test_a_webhook_leads_to_a_claim_at_once(world: World) -> None:
    async with world.engine() as engine:
        await anyio.sleep(10)
        engine.wake(["x", "y"])
        await anyio.sleep(5)
        engine.wake()
        await anyio.sleep(1)
        first, second = webhooks(world)
        assert (first.at, first.hints) == (10, ("x", "y"))
        assert (second.at, second.hints) == (15, ())


async def test_ten_thousand_webhooks_lead_to_one_claim(world: World) -> None:
    async with world.engine() as engine:
        await anyio.sleep(10)
        for _ in range(10_000):
            engine.wake()
        await anyio.sleep(5)
        assert [call.at for call in webhooks(world)] == [10]
        for _ in range(1000):
            engine.wake()
            await anyio.sleep(0.001)
        await anyio.sleep(1)
        assert len(webhooks(world)) - 1 <= 1 / Timing.claim_gap_s + 1


async def test_the_dispatcher_looks_by_itself_for_a_second_after_a_webhook(world: World) -> None:
    """What is committed in pg_net's pause is found within 200 ms; three seconds later nothing is asked any more."""
    async with world.engine() as engine:
        await anyio.sleep(10)
        engine.wake()
        await anyio.sleep(60)
        looks = times(world)[1:]
        assert looks[-1] - 10 > 1.1
        assert max(after - before for before, after in pairwise(looks)) <= 0.2001
        assert len(looks) <= 8
        assert set(causes(world)[1:]) == {"webhook"}


async def test_the_dispatcher_looks_on_while_leads_come(world: World) -> None:
    world.scorer.seconds = 0
    found = [world.batch(world.lead(f"lead-{n}")) for n in range(50)]
    async with world.engine() as engine:
        await anyio.sleep(10)
        world.store.script["claim"] = found
        engine.wake()
        await anyio.sleep(60)
        looks = times(world)[1:]
        assert [call.at for call in webhooks(world)] == [10]
        assert looks[49] == pytest.approx(10 + 49 * 0.1)
        assert looks[-1] < looks[49] + 3


async def test_the_dispatcher_does_not_look_while_nothing_may_be_claimed(world: World) -> None:
    """Whatever ends a pause or a spent budget sends a webhook."""
    async with world.engine() as engine:
        await anyio.sleep(10)
        world.hand_out(blocked_by="paused")
        engine.wake()
        await anyio.sleep(60)
        assert times(world) == [0, 10]


async def test_a_webhook_during_a_claim_leads_to_another_claim(world: World) -> None:
    """The signal is cleared before the claim is sent: what comes afterwards may be news to it."""
    world.store.script["claim"].append(lambda: world.after(1, world.batch()))
    async with world.engine() as engine:
        await anyio.sleep(0.5)
        engine.wake(["late"])
        await anyio.sleep(1)
        assert [(call.at, call.hints) for call in webhooks(world)] == [(1, ("late",))]


@pytest.mark.parametrize("operation", ["claim", "sweep", "save"])
async def test_due_time_of_a_reply_wakes_the_dispatcher_with_jitter(world: World, operation: str) -> None:
    world.scorer.seconds = 0
    lead = world.lead(checkpoint=world.paid(message=world.message()))
    world.hand_out(lead, next_due_ms=2000 if operation == "claim" else None)
    if operation == "save":
        world.store.script["save"].append(LeaseReplies(next_due_ms=2000))
    if operation == "sweep":
        world.store.script["sweep"].append(world.slice(next_due_ms=2000))
    await world.run(3.1)
    assert causes(world) == ["start", "retry"]
    assert 2 < times(world)[1] <= 3.1


async def test_due_time_far_away_is_capped_at_the_interval(world: World) -> None:
    """A key comes back tomorrow; until then another machine may have changed something."""
    world.hand_out(next_due_ms=86_400_000)
    world.store.script["sweep"].append(world.slice(next_due_ms=86_400_000))
    await world.run(301)
    assert causes(world) == ["start", "retry"]


async def test_later_due_time_does_not_move_an_earlier_one(world: World) -> None:
    """A save that knows of nothing may have overlapped with the claim that did: no lead waits for the sweep."""
    world.hand_out(world.lead(checkpoint=world.paid(score=10)), next_due_ms=2000)
    await world.run(3.001)
    assert len(world.store.of("save")) == 1
    assert len(causes(world)) == 2


async def test_a_claim_that_leaves_outbox_rows_is_repeated_without_a_hot_loop(world: World) -> None:
    world.store.script["claim"] = [world.batch(has_more=True, next_due_ms=0) for _ in range(100)]
    await world.run(0.99)
    assert causes(world) == ["start"] * 20


async def test_free_slot_alone_is_no_reason_to_claim(world: World) -> None:
    world.hand_out(world.lead())
    await world.run(60)
    assert len(world.finished) == 1
    assert causes(world) == ["start"]


async def test_free_slot_is_a_reason_after_a_batch_that_had_more(world: World) -> None:
    world.hand_out(*world.leads(4), has_more=True, next_due_ms=0)
    await world.run(2.5, slots=4)
    assert causes(world) == ["start", "start"]
    assert [call.limit for call in world.store.of("claim")] == [4, 5]
    assert times(world)[1] == 2


async def test_no_claim_without_a_free_slot(world: World) -> None:
    world.hand_out(*world.leads(4))
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.1)
        engine.wake()
        await anyio.sleep(1.8)
        assert len(causes(world)) == 1
        await anyio.sleep(0.2)
        assert causes(world) == ["start", "webhook"]


async def test_claim_asks_for_no_more_than_fifty(world: World) -> None:
    await world.run(1, slots=200)
    assert (world.store.of("claim")[0].limit, world.store.of("claim")[0].low_priority_limit) == (50, 50)


@pytest.mark.parametrize(("slots", "room"), [(1, 1), (4, 3), (16, 12)])
async def test_low_priority_leads_get_three_quarters_of_the_slots(world: World, slots: int, room: int) -> None:
    world.hand_out(world.lead(low_priority=True))
    async with world.engine(slots=slots) as engine:
        await anyio.sleep(0.1)
        assert world.store.of("claim")[0].low_priority_limit == room
        engine.wake()
        await anyio.sleep(0.1)
        assert [call.low_priority_limit for call in world.store.of("claim")[1:]] == ([room - 1] if slots > 1 else [])


async def test_low_priority_leads_that_wait_are_claimed_when_a_low_priority_slot_is_free(world: World) -> None:
    """With nothing but low-priority leads left, slots that they may not use cause no claims."""
    world.hand_out(*world.leads(3, low_priority=True), has_more=True, next_due_ms=0)
    world.store.script["claim"] += [world.batch(next_due_ms=250) for _ in range(4)]
    await world.run(2.2, slots=4)
    in_vain = [call for call in world.store.of("claim")[1:] if call.at < 2]
    assert len(in_vain) <= 7, "the database names 250 ms, which is all that is asked for meanwhile"
    first_with_room = next(call for call in world.store.of("claim") if call.at >= 2)
    assert first_with_room.at <= 2 + Timing.claim_gap_s
    assert first_with_room.low_priority_limit == 3


async def test_unknown_outcome_repeats_the_same_claim(world: World) -> None:
    world.store.script["claim"] += [world.trouble(), world.batch(busy=True), world.batch()]
    async with world.engine() as engine:
        engine.wake(["x"])
        await anyio.sleep(5)
        engine.wake()
        await anyio.sleep(1)
        first, second, third, last = world.store.of("claim")[:4]
        assert first.token == second.token == third.token != last.token
        assert first.hints == second.hints == third.hints == ("x",)


async def test_busy_claim_is_repeated_soon(world: World) -> None:
    world.store.script["claim"] += [world.batch(busy=True)] * 20
    await world.run(20)
    gaps = [after - before for before, after in pairwise(times(world))]
    assert len(gaps) == 20
    assert all(0.2 <= gap <= 0.6001 for gap in gaps)


async def test_claim_goes_on_behind_the_last_user(world: World) -> None:
    user = UUID(int=1)
    world.hand_out(last_user=user)
    async with world.engine() as engine:
        await anyio.sleep(1)
        engine.wake()
        await anyio.sleep(1)
        assert [call.after_user for call in world.store.of("claim")][:2] == [None, user]


async def test_failing_claims_pause_longer_and_longer_and_are_reported(world: World) -> None:
    world.store.script["claim"] += [world.trouble()] * 12
    async with world.engine() as engine:
        await anyio.sleep(0.1)
        since = engine.health().since
        await anyio.sleep(30)
        assert engine.health().since == since is not None
        assert not engine.health().claiming
        assert engine.health().fault == "unavailable reason"
        gaps = [after - before for before, after in pairwise(times(world))]
        assert 0.25 <= gaps[0] <= 0.5
        assert all(2.5 <= gap <= 5 for gap in gaps[5:])
        await anyio.sleep(60)
        assert engine.health().claiming
        assert engine.health().fault is None


async def test_refused_claim_is_not_repeated_as_it_was(world: World) -> None:
    """Its hints may be the reason: the next claim goes without them, under another token."""
    world.store.script["claim"].append(world.trouble("caller_bug"))
    async with world.engine() as engine:
        engine.wake(["bad"])
        await anyio.sleep(20)
        first, second = world.store.of("claim")[:2]
        assert (first.hints, second.hints) == (("bad",), ())
        assert first.token != second.token


async def test_sweep_that_made_something_ready_leads_to_a_claim(world: World) -> None:
    world.store.script["sweep"].append(lambda: world.after(5, world.slice(made_ready=3)))
    await world.run(6)
    assert causes(world) == ["start", "sweep"]
    assert times(world) == [0, 5]


async def test_misconfigured_model_stops_claims_and_one_lead_is_tried_a_minute(world: World) -> None:
    broken = world.failure(FailureClass.CONFIGURATION)
    world.hand_out(world.lead("a"))
    world.hand_out(world.lead("b"), has_more=True)
    world.hand_out(world.lead("c"), has_more=True)
    # Each key is asked.
    world.scorer.script = {"a": [broken] * 2, "b": [broken] * 2}
    async with world.engine() as engine:
        await anyio.sleep(15)
        engine.wake()
        await anyio.sleep(15)
        release = world.releases[0]
        assert (release.outcome, release.delay_ms, release.error_code) == ("returned", 0, "configuration_code")
        assert not engine.health().claiming
        assert engine.health().fault == "configuration reason"
        assert causes(world) == ["start"]
        await anyio.sleep(71.5)
        assert [call.limit for call in world.store.of("claim")] == [4, 1, 1]
        assert times(world)[1:] == [35, 101]
        await anyio.sleep(5)
        assert engine.health().claiming
        assert world.store.of("claim")[3].limit > 1


async def test_lead_that_is_held_already_is_not_started_twice(world: World) -> None:
    world.hand_out(world.lead())
    world.hand_out(world.lead())
    async with world.engine() as engine:
        engine.wake()
        await anyio.sleep(0.1)
        engine.wake()
        await anyio.sleep(10)
        assert world.scorer.steps == ["score", "write"]


async def test_leads_that_wait_to_be_written_do_not_grow_without_bound(world: World) -> None:
    world.store.script["save"] += [world.trouble()] * 1000
    fences = iter(range(1000))

    def four() -> Any:
        return world.batch(*[world.lead(fence=next(fences)) for _ in range(4)], has_more=True)

    world.store.script["claim"] = [four] * 50
    async with world.engine(slots=4) as engine:
        for _ in range(60):
            await anyio.sleep(1)
            assert engine.health().held <= 8
        assert len(world.store.of("claim")) == 2


async def test_a_hint_that_a_firewall_refuses_is_dropped(world: World) -> None:
    """Anyone who may change a row can name a lead; the sweep finds it."""
    async with world.engine() as engine:
        await anyio.sleep(1)

        def reply() -> StoreError | None:
            hints = world.store.calls[-1].hints
            return world.trouble(code="http_403") if hints else None

        world.store.script["claim"] += [reply] * 1_000
        world.store.script["claim_bare"] += [reply] * 1_000
        engine.wake(["1 union select 2"])
        await anyio.sleep(10)
    assert world.store.of("claim")[-1].hints == ()
    assert sum(bool(call.hints) for call in world.store.of("claim")) == 1


async def test_a_claim_that_fails_without_a_lead_is_repeated_at_longer_and_longer_pauses(world: World) -> None:
    """The reply is not understood, for example of an older database, though there is no lead in it."""
    world.store.script["claim"] = [world.trouble("misconfigured", "reply_not_understood")] * 1_000
    await world.run(300)
    assert len(world.store.of("claim")) < 20


@pytest.mark.parametrize("away_s", [45.3, 45.6, 45.9])
@pytest.mark.parametrize("hangs", [False, True])
async def test_after_an_outage_leases_are_renewed_before_the_next_claim(
    world: World, away_s: float, *, hangs: bool
) -> None:
    """The claim would take them, as they have expired."""
    world.scorer.delays = {"a": 90}
    world.hand_out(world.lead("a"))
    async with world.engine() as engine:
        await anyio.sleep(2)

        async def away() -> StoreError:
            await anyio.sleep(10 if hangs else 0)
            return world.trouble(code="timeout")

        for operation in ("claim", "renew"):
            world.store.script[operation] += [away] * 1000
        engine.wake()
        await anyio.sleep(away_s)
        for operation in ("claim", "renew"):
            world.store.script[operation].clear()
        back_at = anyio.current_time()
        await anyio.sleep(20)
    [first, *_] = [call for call in world.store.calls if call.at > back_at and call.operation in ("claim", "renew")]
    assert first.operation == "renew"
    assert any(call.at > back_at for call in world.store.of("claim"))
