"""Rows that can't be read, are too big or too slow: they stop no other lead."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.conftest import LONG, poll
from tests.faults.conftest import Arena

MOST_WAIT_MS = 2000 if LONG else 20_000
"""Strict on a machine that does nothing else."""
UNREADABLE = {
    "json": ["[" * 300 + "]" * 300, "[" * 1200 + "]" * 1200, '{"a":' * 5000 + "1" + "}" * 5000],
    "jsonb": ['{"salary": ' + "9" * 100_000 + "}"],
}
"""300 to 5,000 levels, and a number of 100,000 digits."""
CLEANED = {
    "NUL": '["be\\u0000fore"]',
    "half a pair": '["be\\ud83dfore"]',
    "1e400": '{"salary": 1e400}',
}


@contextmanager
def experience_of_type(arena: Arena, kind: str) -> Iterator[None]:
    """The application's column is of another type for a while."""
    alter = "alter table public.lead_details alter column experience type"
    arena.project.run(f"{alter} {kind} using experience::text::{kind}")
    try:
        yield
    finally:
        arena.project.run("update public.lead_details set experience = null")
        arena.project.run(f"{alter} text using experience::text")


def bring_with(arena: Arena, count: int, **columns: object) -> list[str]:
    """Leads of one transaction; the first of them has these columns too."""
    project = arena.project
    with project.transaction():
        leads = project.bring(count)
        for column, value in columns.items():
            project.run(f"update public.lead_details set {column} = %s where lead_id = %s", value, leads[0])  # noqa: S608 - names of ours
    return leads


def test_row_that_cannot_be_read_is_set_aside_and_its_neighbours_are_answered(arena: Arena) -> None:
    project = arena.project
    service = arena.serve(webhooks=True).wait_until_up()
    end = "select state, error_code, reason from leadhook.jobs where lead_id = %s"
    for kind, rows in UNREADABLE.items():
        with experience_of_type(arena, kind):
            for row in rows:
                bad, *good = bring_with(arena, 16, experience=row)
                arena.wait_for_answers([*good, *project.bring(1)])
                poll(lambda lead=bad: project.run(end, lead)[0][0] == "dead", service.tail)  # type: ignore[misc]  # the type of a default
                [(_, code, reason)] = project.run(end, bad)
                assert (code, "experience" in reason) == ("evaluation_failed", True), (kind, len(row))
                cost = "select coalesce(max(cost_usd), 0) from leadhook.attempts where lead_id = %s"
                assert project.value(cost, bad) == 0
            arena.wait_for_rest()
    assert service.running


def test_row_with_what_no_text_holds_is_answered(arena: Arena) -> None:
    with experience_of_type(arena, "json"):
        arena.serve(webhooks=True)
        arena.wait_until_done([lead for row in CLEANED.values() for lead in bring_with(arena, 4, experience=row)])


@pytest.mark.parametrize(
    ("count", "megabytes", "kind"),
    [
        (4, 25, "jsonb"),
        pytest.param(16, 6, "text", marks=pytest.mark.long),
        pytest.param(4, 25, "text", marks=pytest.mark.long),
        pytest.param(16, 6, "jsonb", marks=pytest.mark.long),
    ],
)
def test_big_rows_do_not_delay_another_users_lead(arena: Arena, count: int, megabytes: int, kind: str) -> None:
    """100 MB in one claim: the lead that comes right behind them starts within two seconds."""
    project = arena.project
    with experience_of_type(arena, kind):
        service = arena.serve(webhooks=True).wait_until_up()
        column = "bio" if kind == "text" else "experience"
        # Random, so that nothing compresses it away.
        text = secrets.token_hex(megabytes * 2**19)
        value = "%s" if kind == "text" else "jsonb_build_array(%s::text)"
        project.run("alter table public.lead_details disable trigger user")
        with project.transaction():
            big = project.bring(count)
            project.run(f"update public.lead_details set {column} = {value}", text)  # noqa: S608 - ours
        project.run("alter table public.lead_details enable trigger user")
        (control,) = project.bring(1)
        arena.wait_for_answers([control])
        started = "select min(first_call_ms) from leadhook.attempts where lead_id = %s"
        assert project.value(started, control) < MOST_WAIT_MS, service.tail()
        arena.wait_until_done(big)


def test_row_that_takes_too_long_is_found_and_set_aside(arena: Arena) -> None:
    """Reading it outlasts every claim, whatever its size; the others wait no longer than until it is found."""
    project = arena.project
    with project.transaction():
        project.run("create type public.pace as enum ('quick', 'slow')")
        project.run(
            "create function public.pace_to_json(value public.pace) returns json language plpgsql volatile as $$ begin"
            " perform pg_sleep(case when value = 'slow' then 60 else 0 end); return to_json(value::text); end $$"
        )
        project.run("create cast (public.pace as json) with function public.pace_to_json(public.pace)")
    with experience_of_type(arena, "public.pace"):
        slow, *others = bring_with(arena, 2, experience="slow")
        others += project.bring(1)
        service = arena.serve(MAX_CONCURRENCY="2")
        arena.wait_for_answers(others)
        end = "select state, error_code, reason from leadhook.jobs where lead_id = %s"
        poll(lambda: project.run(end, slow)[0][0] == "dead", service.tail)
        assert project.run(end, slow)[0][1] == "evaluation_failed"
        assert service.running
    project.run("drop type public.pace cascade")
