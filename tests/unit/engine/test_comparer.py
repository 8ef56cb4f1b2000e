"""Comparisons beside the work: when they are asked for, with which slots, and how they end."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from leadhook.domain.failure import FailureClass
from leadhook.domain.job import LeaseOutcome
from leadhook.store import ReplaySlice

if TYPE_CHECKING:
    from tests.unit.engine.conftest import World


def offer(world: World, *batches: Any, due_ms: int | None = 0) -> None:
    """Have the first claim tell of comparisons, and hand these out."""
    world.hand_out(comparisons_due_ms=due_ms)
    world.store.script["claim_comparisons"] += batches


def comparisons(world: World, count: int, **fields: Any) -> Any:
    """A batch of them."""
    batch = {"lease_ms": 300_000, "start_limit_ms": 150_000, **fields}
    return world.batch(*world.leads(count, slow=True, found_by="compare"), **batch)


def finished(world: World) -> list[tuple[str, str | None]]:
    """The lines `comparison.finished`: outcome and error code."""
    return [(line["outcome"], line["error_code"]) for line in world.log if line["event"] == "comparison.finished"]


async def test_nobody_asks_for_comparisons_while_there_are_none(world: World) -> None:
    """An hour without a call of theirs."""
    async with world.engine():
        await anyio.sleep(3600)
    assert world.store.of("claim_comparisons") == []
    assert world.store.of("replay_slice") == []


async def test_a_claim_that_tells_of_comparisons_has_them_made(world: World) -> None:
    """Judged as any lead is, saved in one call, and not a word to save or release."""
    offer(world, comparisons(world, 2))
    async with world.engine(slots=8):
        await anyio.sleep(5)
    (save,) = world.store.of("save_comparisons")
    assert [result.paid.score.score for result in save.results] == [80, 80]
    assert [result.paid.message.subject for result in save.results] == ["Hello", "Hello"]
    assert finished(world) == [("saved", None), ("saved", None)]
    assert (world.store.of("save"), world.store.of("renew"), world.store.of("release")) == ([], [], [])


async def test_comparisons_that_are_due_later_are_asked_for_then(world: World) -> None:
    """By the clock, without another claim."""
    offer(world, due_ms=20_000)
    async with world.engine():
        await anyio.sleep(60)
    assert [call.at for call in world.store.of("claim_comparisons")] == [20]


@pytest.mark.parametrize(("slots", "quarter"), [(1, 1), (3, 1), (4, 1), (16, 4), (100, 25)])
async def test_comparisons_borrow_a_quarter_of_the_slots(world: World, slots: int, quarter: int) -> None:
    """At least one; and those are not the worker's meanwhile."""
    offer(world, comparisons(world, quarter, next_due_ms=0))
    world.judge.seconds = 30
    async with world.engine(slots=slots) as engine:
        await anyio.sleep(10)
        assert [call.limit for call in world.store.of("claim_comparisons")] == [quarter]
        engine.ring()
        await anyio.sleep(1)
        later = [call for call in world.store.of("claim") if call.at > 5]
        assert [call.limit for call in later] == ([min(50, slots - quarter)] if slots > 1 else [])


async def test_no_more_comparisons_are_asked_for_than_the_database_hands_out(world: World) -> None:
    """A quarter of many slots takes several claims."""
    offer(world, comparisons(world, 50, next_due_ms=0), comparisons(world, 50))
    world.judge.seconds = 30
    async with world.engine(slots=400):
        await anyio.sleep(10)
    assert [call.limit for call in world.store.of("claim_comparisons")] == [50, 50]


async def test_slots_come_back_when_comparisons_end(world: World) -> None:
    """The next ones are claimed at once, and the worker is asked for all slots again."""
    offer(world, comparisons(world, 4, next_due_ms=0), comparisons(world, 1))
    async with world.engine(slots=16) as engine:
        await anyio.sleep(20)
        assert [(call.at, call.limit) for call in world.store.of("claim_comparisons")] == [(0, 4), (2, 4)]
        engine.ring()
        await anyio.sleep(1)
    assert world.store.of("claim")[-1].limit == 16


async def test_comparisons_and_replays_together_leave_a_quarter_to_fresh_leads(world: World) -> None:
    """Three quarters are all that slow work gets, whichever it is."""
    offer(world, comparisons(world, 4))
    world.judge.seconds = 30
    async with world.engine(slots=16) as engine:
        await anyio.sleep(1)
        engine.ring()
        await anyio.sleep(1)
    assert (world.store.of("claim")[-1].limit, world.store.of("claim")[-1].slow_limit) == (12, 8)


async def test_comparisons_wait_while_fresh_leads_do(world: World) -> None:
    """The last batch was full of fresh ones, and more is ready; once that is over they begin."""
    world.hand_out(*world.leads(3), cut=True, comparisons_due_ms=0)
    world.judge.delays = {"lead-0": 3, "lead-1": 30, "lead-2": 30}
    async with world.engine(slots=3):
        await anyio.sleep(5)
        assert world.store.of("claim_comparisons") == []
        await anyio.sleep(3)
        assert [call.at for call in world.store.of("claim_comparisons")] == [6]


@pytest.mark.parametrize(("kind", "outcome"), [(FailureClass.TRANSIENT, "retry"), (FailureClass.CONTENT, "dead")])
async def test_a_comparison_that_fails_is_given_back(world: World, kind: Any, outcome: str) -> None:
    """By the rules for leads."""
    offer(world, comparisons(world, 1))
    world.judge.script["lead-0"] = [world.failure(kind)]
    async with world.engine():
        await anyio.sleep(5)
    (save,) = world.store.of("save_comparisons")
    assert (save.results, [release.outcome for release in save.releases]) == ([], [outcome])


async def test_what_an_earlier_lease_bought_is_not_bought_again(world: World) -> None:
    """A score that was paid for."""
    lead = world.lead(slow=True, paid=world.paid())
    offer(world, world.batch(lead, lease_ms=300_000, start_limit_ms=150_000))
    async with world.engine():
        await anyio.sleep(5)
    assert [call[0] for call in world.judge.calls] == ["write"]


async def test_a_claim_whose_reply_is_lost_is_repeated_as_it_was(world: World) -> None:
    """The same token, so that no lease has to run out."""
    offer(world, world.trouble(), comparisons(world, 1))
    async with world.engine():
        await anyio.sleep(10)
    first, second, *_ = world.store.of("claim_comparisons")
    assert first.token == second.token
    assert finished(world) == [("saved", None)]


async def test_a_save_that_fails_is_repeated_while_the_lease_lasts(world: World) -> None:
    """Then it is dropped: somebody else may have it."""
    offer(world, comparisons(world, 1))
    world.store.script["save_comparisons"] += [world.trouble() for _ in range(200)]
    async with world.engine():
        await anyio.sleep(400)
        assert finished(world) == [("lease_lost", None)]
        assert max(call.at for call in world.store.of("save_comparisons")) <= 301


async def test_a_shutdown_gives_comparisons_back(world: World) -> None:
    """None begins a model call that can't end in time; what is in flight is cut off; the engine ends."""
    offer(world, comparisons(world, 1))
    world.judge.seconds = 50
    async with world.engine() as engine:
        await anyio.sleep(1)
        await engine.stop(20)
    (save,) = world.store.of("save_comparisons")
    assert [(release.outcome, release.error_code) for release in save.releases] == [("returned", "shutting_down")]
    assert anyio.current_time() < 20


async def test_a_model_that_fails_is_tried_by_one_comparison_at_a_time(world: World) -> None:
    """The brake holds for them too; without any other lead they are the ones that find out."""
    offer(world, *[comparisons(world, 1, next_due_ms=0) for _ in range(40)])
    failures = [world.failure(FailureClass.TRANSIENT) for _ in range(12)]
    world.judge.script["lead-0"] = [*failures]
    world.judge.seconds = 0
    async with world.engine(slots=16):
        await anyio.sleep(120)
    tries = [call.at for call in world.store.of("claim_comparisons") if call.limit == 1]
    assert [round(later - earlier) for earlier, later in pairwise(tries)] == [10, 20], "pauses double, from 5 s on"
    assert any(line["event"] == "brake.released" for line in world.log)
    assert ("saved", None) in finished(world)


async def test_a_comparison_that_the_database_took_away_is_told(world: World) -> None:
    """Its lease ran out meanwhile."""
    offer(world, comparisons(world, 1))
    world.store.script["save_comparisons"].append(world.replies(world.leads(1), LeaseOutcome.LEASE_LOST))
    async with world.engine():
        await anyio.sleep(5)
    assert finished(world) == [("lease_lost", None)]


async def test_a_replay_that_waits_is_gone_on_with_in_slices(world: World) -> None:
    """With a pause after each, over failures too, until nothing is left; and comparisons begin meanwhile."""
    world.hand_out(replays_wait=True)
    world.store.script["replay_slice"] += [
        ReplaySlice(left=True, comparisons_due_ms=0), world.trouble(), ReplaySlice(left=True), ReplaySlice(),
    ]  # fmt: skip
    async with world.engine():
        await anyio.sleep(30)
    times = [call.at for call in world.store.of("replay_slice")]
    assert len(times) == 4
    assert times[1] - times[0] >= 0.05
    assert len(world.store.of("claim_comparisons")) == 1


async def test_a_comparison_that_can_not_be_saved_costs_no_other_its_answer(world: World) -> None:
    """Refused as a whole, they are saved one by one."""
    offer(world, comparisons(world, 2))
    bug = world.trouble("caller_bug")
    world.store.script["save_comparisons"] += [bug, bug, None]
    async with world.engine(slots=8):
        await anyio.sleep(5)
    assert [len(call.results) for call in world.store.of("save_comparisons")] == [2, 1, 1]
    assert sorted(finished(world)) == [("lease_lost", None), ("saved", None)]
