"""Dollars: a budget is not exceeded, even in races and crashes."""

import json
import time
from pathlib import Path

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_nothing_left
from tests.support.processes import ask
from tests.support.project import SHORT_LEASES, Project

from leadhook.domain.results import Usage
from leadhook.engine.timing import Timing
from leadhook.prices import read_prices

pytestmark = pytest.mark.usefixtures("one_utc_day")
BUDGET_USD = 0.10
SPENT_BEFORE_USD = 0.05
"""In the short form, so that fewer leads are enough to exceed it."""


def billed(project: Project) -> float:
    """What the model says it was asked for, at our prices."""
    tokens = ask(f"{project.model.url}/usage")["tokens"]
    usage = Usage(
        input_tokens=tokens.get("prompt", 0),
        cached_tokens=tokens.get("cached", 0),
        output_tokens=tokens.get("output", 0) + tokens.get("thinking", 0),
    )
    price = read_prices(None).price_of("gemini-3.5-flash-lite")
    assert price is not None
    return price.cost(usage)


def spent_or_reserved(project: Project) -> float:
    """Today, by the rows themselves; a lead in progress counts with what it may cost."""
    usd: float = project.value(
        "select (select coalesce(sum(spent_usd), 0) from leadhook.costs)::float8"
        " + (select coalesce(sum(reserved_usd), 0) from leadhook.jobs where state = 'leased')::float8"
    )
    return usd


def test_budget_is_never_exceeded_by_instances_that_race_for_it(arena: Arena) -> None:
    project = arena.project
    project.run("select public.leadhook_set_budget(null, %s::numeric, 'tester')", BUDGET_USD)
    before = 0.0 if arena.long else SPENT_BEFORE_USD
    project.run(
        "insert into leadhook.costs (day, user_id, spent_usd)"
        " values ((now() at time zone 'UTC')::date, gen_random_uuid(), %s)",
        before,
    )
    project.model.behave(latency_ms=200)
    leads = project.bring(150 if arena.long else 70, title="Chief pumps director")
    proxy = arena.proxy()
    arena.serve(webhooks=True, proxy=proxy)
    for _ in range(3 if arena.long else 1):
        arena.serve(proxy=proxy)
    service = arena.services[0].wait_until_up()
    promised: list[float] = []

    def nothing_goes_on() -> bool:
        promised.append(spent_or_reserved(project))
        return bool(
            project.value(
                "select left_usd < needed_usd and not exists (select from leadhook.jobs where state = 'leased')"
                " from leadhook.budgets_left(clock_timestamp())"
            )
        )

    # Asked twice: budgets_left may see a claim that the rest of its statement does not see yet.
    poll(lambda: nothing_goes_on() and nothing_goes_on(), service.tail)
    newest, claims = project.model.newest(), len(proxy.of("claim"))
    time.sleep(8 if arena.long else 3)  # how long nothing may happen
    assert project.model.newest() == newest
    looks = Timing.awake_s / Timing.look_s[1]  # of each, if its last lead was found just now
    assert len(proxy.of("claim")) - claims <= (1 + looks) * len(arena.services), (
        "claims without a budget are a busy loop"
    )
    spent = before + billed(project)
    waiting = project.states()["ready"]
    print(f"${spent:.4f} of ${BUDGET_USD:.2f} were used by {len(leads) - waiting} leads; {waiting} wait")  # noqa: T201 - a figure for people
    assert 0.6 * BUDGET_USD <= spent <= BUDGET_USD
    assert spent < max(promised) <= BUDGET_USD + 1e-9, "what leads at work may cost counts too"
    assert project.states().keys() == {"ready", "done"}
    assert "is spent" in str(service.ready()["reasons"])

    project.run("select public.leadhook_set_budget(null, 100, 'tester')")
    arena.wait_until_done(leads)
    assert project.run("select distinct outcome from leadhook.attempts") == [("saved",)]
    assert_all_done(project, leads)
    assert project.model.repeated(answered=True) == 0
    assert before + billed(project) > BUDGET_USD, "without a budget all would have been scored at once"
    spent, booked, wasted = project.run(
        "select (select sum(cost_usd) from leadhook.attempts)::float8, sum(spent_usd)::float8, sum(wasted_usd)::float8"
        " from leadhook.costs"
    )[0]
    assert abs(spent - billed(project)) < 1e-6
    assert abs(booked - spent - before) < 1e-9
    assert wasted == 0

    def finished() -> list[float]:
        return [event["cost_usd"] for each in arena.services for event in each.events("lead.finished")]

    poll(lambda: len(finished()) == len(leads), service.tail)
    assert abs(sum(finished()) - spent) < 1e-6


def test_lease_that_dies_costs_what_was_reserved_for_it(arena: Arena) -> None:
    """Once its worker said that a call began: its purchases are unknown, so it counts as wasted."""
    project = arena.project
    project.reset(**SHORT_LEASES)
    project.run("select public.leadhook_set_budget(null, 100, 'tester')")
    project.model.behave(latency_ms=6000)
    leads = project.bring(4, title="Chief pumps director")
    victim = arena.serve(MAX_CONCURRENCY="4").wait_until_up()
    called = "select count(*) from leadhook.jobs where state = 'leased' and called"
    poll(lambda: project.value(called) == len(leads), victim.tail)
    victim.kill()
    reserved = project.value("select sum(reserved_usd)::float8 from leadhook.jobs where state = 'leased'")
    assert reserved > 0
    project.model.behave()
    arena.serve()
    arena.wait_until_done(leads)
    wasted, spent = project.run("select sum(wasted_usd)::float8, sum(spent_usd)::float8 from leadhook.costs")[0]
    saved = project.value("select sum(cost_usd)::float8 from leadhook.attempts where outcome = 'saved'")
    assert abs(wasted - reserved) < 1e-9
    assert abs(spent - saved - wasted) < 1e-9
    assert billed(project) <= spent
    assert project.value("select bool_and(wasted = (outcome = 'lease_expired')) from leadhook.attempts")


def test_budget_without_a_price_burns_no_lead(arena: Arena, tmp_path: Path) -> None:
    project = arena.project
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"read_on": "2026-11-22", "source": "a test", "usd_per_million_tokens": {}}))
    project.run("select public.leadhook_set_budget(null, 100, 'tester')")
    leads = project.bring(5)
    service = arena.serve(webhooks=True, GEMINI_PRICE_FILE=str(prices)).wait_until_up()
    poll(lambda: "price of the model" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    assert project.model.calls() == []
    assert project.states() == {"ready": len(leads)}
    project.run("select public.leadhook_set_budget(null, null, 'tester')")
    arena.wait_for_answers(leads)
    poll(lambda: service.ready()["ready"], lambda: str(service.ready()))
    assert project.value("select bool_and(cost_usd is null) from leadhook.attempts")


def test_pause_holds_leads_back_and_resume_lets_them_go(arena: Arena) -> None:
    project = arena.project
    paused, other = project.new_group(), project.new_group()
    project.run("select public.leadhook_pause(%s::uuid, null, 'tester', 'a test')", paused[0])
    held_back, free = project.bring(5, paused), project.bring(5, other)
    service = arena.serve(webhooks=True).wait_until_up()
    arena.wait_for_answers(free)
    assert project.answered(held_back) == set()
    poll(lambda: "has been paused" in str(service.ready()["warnings"]), lambda: str(service.ready()))
    project.run("select public.leadhook_resume(%s::uuid, null, 'tester')", paused[0])
    arena.wait_for_answers(held_back)
    project.run("select public.leadhook_pause(null, null, 'tester', null)")
    late = project.bring(3, other)
    poll(lambda: "All work has been paused" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    assert project.answered(late) == set()
    project.run("select public.leadhook_resume(null, null, 'tester')")
    arena.wait_until_done(late)
    assert_nothing_left(project)
