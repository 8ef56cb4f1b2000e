"""No call begins that could cost more than was reserved, and every outcome reports what was spent."""

from datetime import UTC, date, datetime
from unittest.mock import Mock

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import Usage
from leadhook.domain.spend import CallLimits, Price, Tariff

TARIFF = Tariff(
    (Price(input=10_000, cached=1_000, output=100_000),),
    CallLimits(calls=2, fixed_tokens=50, extra_tokens=10, output_tokens=10, lead_bytes=100, prompts_bytes=0),
)
"""A token of input costs a cent, one of output ten."""


def test_cost_is_what_google_bills() -> None:
    """Cached input at its own price; thoughts are part of the output."""
    usage = Usage(calls=2, input_tokens=1_000, cached_tokens=400, output_tokens=100, thinking_tokens=60)
    assert Price(input=0.30, cached=0.03, output=2.50).cost(usage) == pytest.approx(0.000442)


def test_terms_are_the_most_that_a_lead_can_cost(world: World) -> None:
    terms = TARIFF.terms()
    assert terms.lead_usd == pytest.approx(2 * (2 * 0.5 + 0.1 + 1))
    assert terms.byte_usd == pytest.approx(2 * 2 * 0.01)
    lead = world.lead().lead
    size = len(lead.model_dump_json(exclude_none=True))
    step = TARIFF.max_step_cost(lead, world.lead().prompts)
    assert step == pytest.approx((terms.lead_usd + terms.byte_usd * size) / 2)
    large = TARIFF.max_step_cost(lead.model_copy(update={"bio": "é" * 9_000}), world.lead().prompts)
    assert large == pytest.approx((terms.lead_usd + terms.byte_usd * 100) / 2)


async def test_a_lead_is_reserved_at_the_price_of_the_day_of_its_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price doubles at midnight while the service runs; a lead that is claimed before may be called after it."""
    old, new = (Price.model_validate({"input": n, "cached": n, "output": 10 * n}) for n in (10_000, 20_000))
    last = date(2026, 12, 31)
    tariff = Tariff(
        (old.model_copy(update={"until": last}), new.model_copy(update={"first_day": date(2027, 1, 1)})), TARIFF.limits
    )
    clock = Mock(wraps=datetime)
    monkeypatch.setattr("leadhook.domain.spend.datetime", clock)
    clock.now.return_value = datetime(2026, 12, 30, 12, tzinfo=UTC)
    async with world.engine(tariff=tariff) as engine:
        await anyio.sleep(1)
        for day in (datetime(2026, 12, 31, 12, tzinfo=UTC), datetime(2027, 1, 1, 0, 1, tzinfo=UTC)):
            clock.now.return_value = day
            engine.wake()
            await anyio.sleep(5)
    claims = world.store.of("claim")
    assert claims[0].terms == Tariff((old,), TARIFF.limits).terms()
    assert claims[-1].terms == Tariff((new,), TARIFF.limits).terms()
    assert {call.terms.lead_usd for call in claims if 1 < call.at < 5} == {claims[-1].terms.lead_usd}


async def test_claims_name_the_terms_and_results_their_cost(world: World) -> None:
    world.hand_out(world.lead(reserved_usd=20))
    await world.run(3, tariff=TARIFF)
    assert world.store.of("claim")[0].terms == TARIFF.terms()
    assert world.saves[0].cost_usd == pytest.approx(2)
    assert world.finished[0]["cost_usd"] == pytest.approx(2)


async def test_no_call_begins_that_could_exceed_what_was_reserved(world: World) -> None:
    step = TARIFF.max_step_cost(world.lead().lead, world.lead().prompts)
    world.hand_out(world.lead(reserved_usd=step + 0.9))
    await world.run(3, tariff=TARIFF)
    assert world.scorer.steps == ["score"]
    release = world.releases[0]
    assert (release.outcome, release.error_code) == ("retry", "reservation_used_up")
    assert release.cost_usd == pytest.approx(1)
    assert release.checkpoint is not None


async def test_call_that_timed_out_counts_at_the_highest_cost(world: World) -> None:
    """Google may bill it all the same."""
    world.hand_out(world.lead(reserved_usd=20))
    timeout = Failure(FailureClass.TRANSIENT, "model_timeout", "late", usage=Usage(calls=1, unmetered=1))
    world.scorer.script = {"a": [timeout]}
    await world.run(3, tariff=TARIFF)
    release = world.releases[0]
    assert release.cost_usd == TARIFF.max_step_cost(world.lead().lead, world.lead().prompts)


async def test_without_a_price_nothing_is_reckoned(world: World) -> None:
    world.hand_out(world.lead())
    await world.run(3)
    assert world.store.of("claim")[0].terms is None
    assert world.saves[0].cost_usd is None


async def test_budget_without_a_price_is_reported_until_it_is_over(world: World) -> None:
    world.hand_out(blocked_by="unpriced")
    async with world.engine() as engine:
        await anyio.sleep(1)
        health = engine.health()
        assert (health.fault_code, health.claiming) == ("model_unpriced", False)
        assert "fake-model" in (health.fault or "")
        world.hand_out(blocked_by="unpriced")
        engine.wake()
        await anyio.sleep(1)
        assert len([line for line in world.log if line["event"] == "claim.failed"]) == 1
        engine.wake()
        await anyio.sleep(1)
        assert engine.health().claiming
