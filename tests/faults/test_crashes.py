"""Processes that die without a word, and one that comes back from the dead."""

import signal
import time

import pytest
from tests.conftest import LONG, PATIENCE_S, poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done
from tests.support.processes import Service
from tests.support.project import SHORT_LEASES

SLOTS = 8
LATENCY_S = 0.8
SLACK_S = 4 if LONG else PATIENCE_S
"""A wake of up to 1 s after the lease's end, and a queue of leads; in the short form, a busy machine."""


def test_kill_9_of_one_of_two_costs_a_lease_and_no_answer(arena: Arena) -> None:
    arena.project.reset(**SHORT_LEASES)
    arena.project.model.behave(latency_ms=LATENCY_S * 1000)
    few = 60 if arena.long else 32
    leads = arena.project.bring(few)
    # No webhook comes here: what a new round brings is found by a look every other second.
    services = [arena.serve(MAX_CONCURRENCY=str(SLOTS), SWEEP_INTERVAL_SEC="2") for _ in range(2)]
    for service in services:
        service.wait_until_up()
    for _ in range(20 if arena.long else 1):
        # Enough work that both are in the middle of it, whatever is left of the last round.
        leads += arena.project.bring(max(0, few - arena.project.states().get("ready", 0)))
        victim = arena.chance.choice(services)
        services[services.index(victim)] = arena.serve(MAX_CONCURRENCY=str(SLOTS), SWEEP_INTERVAL_SEC="2")
        kill_while_holding(arena, victim, lease_s=3)
        for service in services:
            service.wait_until_up()
    arena.wait_until_done(leads)
    assert_price_of_crashes(arena, leads)


@pytest.mark.long
def test_kill_9_with_the_default_lease_times(arena: Arena) -> None:
    arena.project.model.behave(latency_ms=LATENCY_S * 1000)
    leads = arena.project.bring(150)
    victim, other = (arena.serve(MAX_CONCURRENCY=str(SLOTS)) for _ in range(2))
    for service in (victim, other):
        service.wait_until_up()
    kill_while_holding(arena, victim, lease_s=30)
    arena.wait_until_done(leads)
    assert_price_of_crashes(arena, leads)


def test_zombie_writes_nothing_and_goes_on_with_new_leads(arena: Arena) -> None:
    project = arena.project
    project.reset(**SHORT_LEASES)
    project.model.order({"match": {"first": SLOTS}, "do": {"latency_ms": 4000, "finish": "STOP"}})
    leads = project.bring(2 * SLOTS)
    zombie = arena.serve(webhooks=True, MAX_CONCURRENCY=str(SLOTS)).wait_until_up()
    poll(lambda: is_in_the_middle_of_calls(arena, zombie), zombie.tail)
    zombie.signal(signal.SIGSTOP)
    other = arena.serve(MAX_CONCURRENCY=str(SLOTS)).wait_until_up()
    arena.wait_for_answers(leads)
    lost = [row[0] for row in project.run("select lead_id from leadhook.attempts where outcome = 'lease_expired'")]
    assert lost, "it held nothing"
    before = project.run("select * from public.llm_response order by lead_id")
    newest = project.model.newest()

    zombie.signal(signal.SIGCONT)
    finished = "lead.finished"
    poll(
        lambda: {e["lead_id"] for e in zombie.events(finished) if e["outcome"] == "lease_lost"} >= set(lost),
        zombie.tail,
    )
    assert project.run("select * from public.llm_response order by lead_id") == before
    assert project.model.newest() == newest, "it must not begin a call for a lead that is no longer its own"
    saved = project.run(
        "select lead_id from leadhook.attempts where outcome = 'saved' and worker like %s", zombie.worker_like
    )
    assert not {row[0] for row in saved} & set(lost)

    other.kill()
    more = project.bring(5)
    arena.wait_until_done(more)
    workers = project.run(
        "select distinct worker like %s from leadhook.attempts where lead_id = any (%s)", zombie.worker_like, more
    )
    assert workers == [(True,)]
    assert_all_done(project, leads + more)
    assert project.model.repeated() <= 2 * len(lost)


def is_in_the_middle_of_calls(arena: Arena, service: Service) -> bool:
    begun = {call["name"] for call in arena.project.model.calls() if call["status"] is None}
    return len(begun) == SLOTS and begun == arena.project.held_by(service.worker_like)


def kill_while_holding(arena: Arena, victim: Service, *, lease_s: float) -> None:
    """Kill it in the middle of its work; what it held is answered within a lease."""
    project = arena.project
    poll(lambda: len(project.held_by(victim.worker_like)) >= SLOTS // 2, victim.tail)
    time.sleep(arena.chance.uniform(0, 2 * LATENCY_S))  # the moment is what chance is for
    victim.kill()
    killed_at = time.monotonic()
    held = sorted(project.held_by(victim.worker_like))
    assert held, "it died with nothing in its hands"
    arena.wait_for_answers(held, lease_s + 2 * LATENCY_S + SLACK_S)
    print(f"it held {len(held)} leads; they were answered {time.monotonic() - killed_at:.1f} s later")  # noqa: T201 - a figure for people


def assert_price_of_crashes(arena: Arena, leads: list[str]) -> None:
    """One answer each; no more calls were repeated than two for each lead that was held by the dead."""
    held = arena.project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'")
    repeated = arena.project.model.repeated()
    print(f"{len(leads)} leads, {held} of them held by the dead, {repeated} calls repeated")  # noqa: T201 - a figure for people
    assert_all_done(arena.project, leads)
    assert repeated <= 2 * held
