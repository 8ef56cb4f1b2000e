"""How leases are kept, and what their loss does."""

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.job import LeaseOutcome


async def test_all_leases_are_renewed_in_one_call(world: World) -> None:
    world.scorer.delays = {"b": 40}
    world.hand_out(world.lead("a"), world.lead("b"), renew_ms=10_000)
    world.store.script["save"].append(lambda: world.after(15))
    await world.run(25)
    renewals = world.store.of("renew")
    assert [call.at for call in renewals] == [10, 20]
    assert {item.lead_id for item in renewals[0].items} == {"a", "b"}
    assert {item.lead_id for item in renewals[1].items} == {"b"}


async def test_nothing_is_renewed_while_nothing_is_held(world: World) -> None:
    world.hand_out(world.lead())
    await world.run(200)
    assert world.store.of("renew") == []


async def test_fault_of_a_renewal_ends_with_its_leads(world: World) -> None:
    """Once they are saved nothing is left to renew, so that no success could ever end it."""
    world.scorer.seconds = 8
    world.hand_out(world.lead(), renew_ms=10_000)
    world.store.script["renew"] += [world.trouble()] * 20
    async with world.engine() as engine:
        await anyio.sleep(12)
        assert engine.health().fault_code == "unavailable_code"
        await anyio.sleep(20)
        assert world.outcomes == ["saved"]
        assert engine.health().fault is None


async def test_what_was_bought_travels_with_the_next_renewal_once(world: World) -> None:
    world.scorer.seconds = 8
    world.scorer.delays = {"b": 50}
    world.hand_out(world.lead("a"), world.lead("b"), renew_ms=3_000)
    await world.run(15.5)
    carried = [
        item.checkpoint.score.score if item.checkpoint else None
        for call in world.store.of("renew")
        for item in call.items
        if item.lead_id == "a"
    ]
    assert carried == [None, None, 80, None, None]


async def test_paid_answer_is_sent_again_when_the_renewal_failed(world: World) -> None:
    world.scorer.seconds = 8
    world.hand_out(world.lead("a"), renew_ms=10_000)
    world.store.script["renew"] += [world.trouble()] * 2
    await world.run(12)
    sent = [(call.at, item.checkpoint is not None) for call in world.store.of("renew") for item in call.items]
    assert sent == [(10, True), (10, False), (pytest.approx(11), True)]


async def test_failed_renewal_is_repeated_a_second_after_it_failed(world: World) -> None:
    world.scorer.seconds = 60
    world.hand_out(world.lead(), renew_ms=10_000)
    world.store.script["renew"].append(lambda: world.after(9.5, world.trouble()))
    await world.run(25)
    assert [call.at for call in world.store.of("renew")] == [10, 20.5]


async def test_model_call_starts_only_on_a_young_lease(world: World) -> None:
    world.scorer.seconds = 16
    world.hand_out(world.lead(), start_limit_ms=15_000, renew_ms=10_000)
    world.store.script["renew"] += [world.trouble()] * 10
    await world.run(40)
    assert world.scorer.steps == ["score", "write"]
    assert world.scorer.calls[1][2] == world.store.of("renew")[10].at > 16


async def test_confirmation_dates_from_when_the_request_was_sent(world: World) -> None:
    """A renewal that took 9 s is 9 s old when it arrives."""
    world.scorer.seconds = 20
    world.hand_out(world.lead(), start_limit_ms=8_000, renew_ms=10_000)
    world.store.script["renew"].append(lambda: world.after(9, None))
    await world.run(60)
    # Sent at 10, answered at 19: at 20 it is older than 8 s, so the call waits for the renewal of 20.
    assert [call.at for call in world.store.of("renew")][:2] == [10, 20]
    assert world.scorer.calls[1][2] == 20
    assert len(world.store.of("save")) == 1


async def test_slow_claim_makes_the_first_call_wait_for_a_renewal(world: World) -> None:
    """The lease may be as old as the claim's request."""
    batch = world.batch(world.lead(waited_ms=7), start_limit_ms=5_000, renew_ms=4_000)
    world.store.script["claim"].append(lambda: world.after(6, batch))
    world.store.script["renew"].append(lambda: world.after(1, None))
    await world.run(30)
    assert world.store.of("renew")[0].at == 6
    assert world.scorer.calls[0][2] == 7
    assert world.saves[0].timing.first_call_ms == 7 + 1000


@pytest.mark.parametrize("outcome", [LeaseOutcome.LEASE_LOST, LeaseOutcome.GONE])
async def test_lost_lease_drops_its_lead_without_a_write(world: World, outcome: LeaseOutcome) -> None:
    world.scorer.seconds = 60
    lead = world.lead()
    world.hand_out(lead)
    world.store.script["renew"].append(world.replies([lead], outcome))
    async with world.engine() as engine:
        await anyio.sleep(11)
        assert engine.health().in_flight == engine.health().held == 0
        assert world.outcomes == [outcome.value]
        assert "lease.lost" in [line["event"] for line in world.log]
        await anyio.sleep(100)
        assert world.store.of("save") == world.releases == []


async def test_lost_lease_ends_the_wait_for_a_young_lease(world: World) -> None:
    lead = world.lead()
    batch = world.batch(lead, start_limit_ms=5_000, renew_ms=4_000)
    world.store.script["claim"].append(lambda: world.after(6, batch))
    world.store.script["renew"].append(world.replies([lead], LeaseOutcome.LEASE_LOST))
    async with world.engine() as engine:
        await anyio.sleep(7)
        assert world.scorer.calls == []
        assert engine.health().in_flight == 0


async def test_lease_whose_row_is_busy_is_neither_lost_nor_confirmed(world: World) -> None:
    world.scorer.seconds = 14
    lead = world.lead()
    world.hand_out(lead)
    world.store.script["renew"].append(world.replies([lead], LeaseOutcome.BUSY))
    await world.run(30)
    assert [call.at for call in world.store.of("renew")][:2] == [10, 11]
    assert world.outcomes == ["saved"]


async def test_renewal_says_nothing_of_a_lead_that_is_being_saved(world: World) -> None:
    """The save may have come first; its own reply is the last word."""
    world.scorer.seconds = 4.9
    lead = world.lead()
    world.hand_out(lead)
    world.store.script["save"].append(lambda: world.after(5))
    world.store.script["renew"].append(world.replies([lead], LeaseOutcome.LEASE_LOST))
    await world.run(20)
    assert world.store.of("renew")[0].at == 10
    assert world.outcomes == ["saved"]


async def test_a_renewal_that_cannot_be_read_costs_no_other_lead_its_lease(world: World) -> None:
    world.hand_out(world.lead("bad"), *world.leads(3))
    world.scorer.seconds = 100

    def reply() -> object:
        items = world.store.of("renew")[-1].items
        return world.trouble("caller_bug") if any(item.lead_id == "bad" for item in items) else None

    world.store.script["renew"] += [reply] * 20
    await world.run(11)
    renewed = [[item.lead_id for item in call.items] for call in world.store.of("renew")]
    assert renewed[:4] == [["bad", "lead-0", "lead-1", "lead-2"], ["bad", "lead-0"], ["bad"], ["lead-0"]]
    assert ["lead-1", "lead-2"] in renewed


async def test_a_call_is_reported_once_no_lead_of_a_later_claim_is_held(world: World) -> None:
    """Until then the database knows of it, because the process has claimed more."""
    world.hand_out(world.lead("a", reserved_usd=1.0))
    world.scorer.delays = {"a": 9.0}
    async with world.engine() as engine:
        await anyio.sleep(0.2)
        world.hand_out(world.lead("b", unreadable="its bio can't be read", reserved_usd=1.0))
        engine.wake()
        await anyio.sleep(6)
        assert [item.lead_id for call in world.store.of("renew") for item in call.items if item.called] == ["a"]


@pytest.mark.parametrize("code", ["http_403", "not_json"])
async def test_a_lead_whose_text_a_firewall_refuses_costs_none_its_lease(world: World, code: str) -> None:
    """It is renewed without the text."""
    world.hand_out(world.lead("bad"), *world.leads(3))
    world.scorer.delays = {"score": 100}

    def reply() -> object:
        items = world.store.of("renew")[-1].items
        return world.trouble(code=code) if any(item.checkpoint is not None for item in items) else None

    world.store.script["renew"] += [reply] * 50
    world.store.script["save"] += [world.trouble(code=code)] * 50
    await world.run(60)
    calls = world.store.of("renew")
    renewed = [{item.lead_id for item in call.items} for call in calls if not any(i.checkpoint for i in call.items)]
    assert len(renewed) >= 2
    assert all(len(names) == 4 for names in renewed)


async def test_an_outage_of_what_is_on_the_way_costs_few_renewals(world: World) -> None:
    world.hand_out(*world.leads(40))
    world.scorer.seconds = 100
    world.store.script["renew"] += [world.trouble(code="http_403")] * 5000
    await world.run(30, slots=40)
    assert len(world.store.of("renew")) <= 12 * 5
