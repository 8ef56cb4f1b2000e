"""One lead that the application refuses, or that takes for ever to write, never stops the others."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.support.project import Project

SQLSTATES = ("42501", "57014", "42P01", "XX000", "0A000", "53100", "40001", "55P03", "P0002", "23514")


@contextmanager
def trigger(project: Project, body: str) -> Iterator[None]:
    """A row trigger of the application on llm_response, while the block runs."""
    project.run(
        f"create function public.theirs() returns trigger language plpgsql as $$ begin {body} return new; end $$"
    )
    project.run(
        "create trigger theirs before insert or update on public.llm_response"
        " for each row execute function public.theirs()"
    )
    try:
        yield
    finally:
        project.run("drop function public.theirs() cascade")


def spoil(project: Project, lead_id: str, name: str) -> None:
    """What the trigger knows it by."""
    project.run("update public.lead_details set name = %s where lead_id = %s", name, lead_id)


def results_not_written(project: Project) -> set[str]:
    """The leads whose answer is kept with us alone."""
    return {row[0] for row in project.run("select lead_id from leadhook.results where not written")}


def refused(project: Project) -> set[str]:
    rows = project.run("select lead_id from leadhook.jobs where state = 'dead' and error_code = 'refused'")
    return {row[0] for row in rows}


def test_one_lead_refused_with_whatever_sqlstate_stops_no_other(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=20)
    cases = {sqlstate: f"raise exception 'locked' using errcode = '{sqlstate}'" for sqlstate in SQLSTATES}
    cases["assert"] = "assert false, 'never'"
    body = " ".join(f"if new.name = 'bad {name}' then {statement}; end if;" for name, statement in cases.items())
    with trigger(project, body):
        service = arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
        bad = {}
        for name in cases:
            with project.transaction():
                leads = project.bring(20)
                bad[name] = leads[17]
                spoil(project, bad[name], f"bad {name}")
            good = [lead for lead in leads if lead != bad[name]]
            arena.wait_for_answers(good)
        dead = set(bad.values()) - {bad["40001"], bad["55P03"]}
        poll(lambda: refused(project) == dead, service.tail)
        assert results_not_written(project) == dead
        assert project.held_by(service.worker_like) == {bad["40001"], bad["55P03"]}, "locks end some day"
    arena.wait_for_answers([bad["40001"], bad["55P03"]])
    assert project.model.repeated() == 0


def test_one_lead_that_cannot_be_written_in_time_stops_no_other(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=20)
    with trigger(project, "if new.name = 'bad' then loop perform pg_sleep(0.1); end loop; end if;"):
        service = arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
        with project.transaction():
            bad, *good = project.bring(20)
            spoil(project, bad, "bad")
        arena.wait_for_answers(good)
        poll(lambda: refused(project) == {bad}, service.tail)
        assert results_not_written(project) == {bad}
        assert project.model.repeated() == 0


def test_one_lead_that_ends_the_databases_process_stops_no_other(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=20)
    project.run(
        "create function public.end_it() returns void security definer language plpgsql as"
        " $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); end $$"
    )
    with trigger(project, "if new.name = 'bad' then perform public.end_it(); end if;"):
        service = arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
        with project.transaction():
            bad, *good = project.bring(20)
            spoil(project, bad, "bad")
        arena.wait_for_answers(good)

        def is_refused() -> bool:
            arena.wait_for_answers(project.bring(1))
            return refused(project) == {bad}

        poll(is_refused, service.tail)
        assert results_not_written(project) == {bad}
        assert project.model.repeated() == 0
    project.run("drop function public.end_it()")


@pytest.mark.parametrize("seconds", [0.4, pytest.param(1.5, marks=pytest.mark.long)])
def test_leads_are_saved_in_smaller_calls_where_each_takes_its_time(arena: Arena, seconds: float) -> None:
    project = arena.project
    project.model.behave(latency_ms=20)
    with trigger(project, f"perform pg_sleep({seconds});"):
        arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
        arena.wait_for_answers(project.bring(20))
    assert project.model.repeated() == 0


@pytest.mark.parametrize(
    ("breaks", "repairs", "leads", "most", "reason"),
    [
        (
            "revoke insert on public.llm_response from service_role",
            "grant insert on public.llm_response to service_role",
            4,
            0,
            "permission",
        ),
        (
            "alter table public.llm_response add column theirs text check (theirs is not null)",
            "alter table public.llm_response drop column theirs",
            14,
            2,
            "refuse every answer",
        ),
    ],
    ids=["a grant that everybody lacks", "a constraint that refuses every answer"],
)
def test_leads_wait_while_no_answer_can_be_written(
    arena: Arena, breaks: str, repairs: str, leads: int, most: int, reason: str
) -> None:
    """/ready says what is wrong, and once it is repaired nothing is bought again.

    A constraint may be about the first two leads that it refuses, if they are saved one by one; the third shows that it
    is about all.
    """
    project = arena.project
    project.model.behave(latency_ms=20)
    project.run(breaks)
    try:
        service = arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
        ids = project.bring(leads)
        poll(lambda: reason in str(service.ready()["reasons"]), service.tail)
        assert len(refused(project)) <= most
    finally:
        project.run(repairs)
    arena.wait_for_answers([lead for lead in ids if lead not in refused(project)])
    assert project.model.repeated() == 0
    assert len(refused(project)) <= most


def test_a_sequence_behind_its_rows_costs_no_answer(arena: Arena) -> None:
    """The next claim puts it right; what was paid for in between is kept, and saved as it is."""
    project = arena.project
    project.model.behave(latency_ms=1500)
    service = arena.serve(webhooks=True, MAX_CONCURRENCY="16").wait_until_up()
    arena.wait_for_answers(project.bring(1))
    project.run(
        "insert into leadhook.attempts (lead_id, run, fence, outcome)"
        " select 'x', 1, g, 'saved' from generate_series(1, 3000) as g"
    )
    first = project.value("select min(id) from leadhook.attempts")
    leads = project.bring(4)
    poll(lambda: project.held_by(service.worker_like) == set(leads), service.tail)
    project.run(f"alter table leadhook.attempts alter column id restart with {first}")
    later = project.bring(4)
    arena.wait_for_answers([*leads, *later])
    assert refused(project) == set()
    assert project.model.repeated() == 0
