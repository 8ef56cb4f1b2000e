"""Postgres dies under load."""

import os
import signal

import psycopg
import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_only_lost_leases_cost_twice
from tests.support.project import SHORT_LEASES

BACKENDS = "select pid from pg_stat_activity where usename = 'authenticator' and backend_type = 'client backend'"


def test_a_backend_killed_loses_the_queue_of_webhooks_but_no_lead(arena: Arena) -> None:
    """After kill -9 of a backend, Postgres ends all connections and forgets the webhooks that were waiting."""
    project = arena.project
    project.reset(**SHORT_LEASES)
    project.model.behave(latency_ms=600)
    leads = project.bring(60)
    service = arena.serve(webhooks=True, MAX_CONCURRENCY="8", SWEEP_INTERVAL_SEC="5").wait_until_up()
    for _ in range(5 if arena.long else 1):
        poll(lambda: len(project.held_by(service.worker_like)) >= 4, service.tail)
        leads += project.bring(20)
        poll(lambda: bool(project.run(BACKENDS)), lambda: "PostgREST does not come back")
        (pid,) = arena.chance.choice(project.run(BACKENDS))
        os.kill(pid, signal.SIGKILL)
        poll(lambda: not answers(arena), service.tail)
        poll(lambda: answers(arena), service.tail)
    arena.wait_until_done(leads)

    assert_all_done(project, leads)
    assert_only_lost_leases_cost_twice(project)


@pytest.mark.long
def test_a_restart_of_the_database_under_load_doubles_nothing(arena: Arena) -> None:
    """Postgres, PostgREST and the gateway are away for seconds, with the default lease times."""
    project = arena.project
    project.model.behave(latency_ms=600)
    leads = project.bring(120)
    services = [arena.serve(MAX_CONCURRENCY="8", SWEEP_INTERVAL_SEC="30") for _ in range(2)]
    for service in services:
        service.wait_until_up()
    poll(lambda: len(project.answered(leads)) >= 10, services[0].tail)
    project.stop()
    project.start()
    arena.wait_until_done(leads, 180)

    assert_all_done(project, leads)
    assert_only_lost_leases_cost_twice(project)


def answers(arena: Arena) -> bool:
    try:
        return bool(arena.project.value("select true"))
    except psycopg.OperationalError:
        return False
