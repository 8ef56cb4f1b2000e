"""Several instances on one backlog."""

import pytest
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_calls_of_one


@pytest.mark.parametrize("instances", [2, pytest.param(4, marks=pytest.mark.long)])
def test_several_instances_make_exactly_the_calls_of_one(arena: Arena, instances: int) -> None:
    """A backlog of 200, slow enough that every instance takes part in the work."""
    project = arena.project
    project.model.behave(latency_ms=1200)
    leads = project.bring(200 if arena.long else 50)
    for service in [arena.serve(MAX_CONCURRENCY="8") for _ in range(instances)]:
        service.wait_until_up()
    arena.wait_until_done(leads, 240)

    assert_all_done(project, leads)
    assert_calls_of_one(project, leads)
    workers = project.value("select count(distinct worker) from leadhook.attempts")
    assert workers == instances
