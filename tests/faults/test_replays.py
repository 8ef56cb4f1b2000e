"""Replays of many leads on the whole product: counted before, followed, and without delaying other leads."""

import statistics
import subprocess
import time
from typing import Any

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.support.application import Group
from tests.support.processes import Service, ask, run_leadhook
from tests.support.project import Project

ANSWERS = "select string_agg(r::text, chr(10) order by r.lead_id) from public.llm_response as r"


def request(arena: Arena, service: Service, path: str, method: str = "GET", body: object = None) -> Any:
    return ask(f"{service.url}{path}", method=method, body=body, token=arena.project.facts["admin_token"])


def command(arena: Arena, *arguments: str) -> subprocess.CompletedProcess[str]:
    facts = arena.project.facts
    settings = {"SUPABASE_URL": facts["supabase_url"], "SUPABASE_SECRET_KEY": facts["secret_key"], "COLUMNS": "200"}
    return run_leadhook("replay", *arguments, settings=settings)


def tokens(calls: list[dict[str, Any]]) -> dict[str, int]:
    """What the stand-in counted."""
    return {
        "calls": len(calls),
        "input_tokens": sum(call["tokens"]["prompt"] for call in calls),
        "output_tokens": sum(call["tokens"]["output"] + call["tokens"]["thinking"] for call in calls),
    }


def test_a_replay_is_what_was_forecast(arena: Arena) -> None:
    project, many = arena.project, 200 if arena.long else 80
    service = arena.serve(webhooks=True).wait_until_up()
    group = project.new_group()
    leads = project.bring(many, group)
    arena.wait_until_done(leads, 240)
    arena.wait_for_answers(project.bring(3))  # of another user: not asked for
    arena.wait_for_rest()

    order = {"filter": {"user_id": str(group[0]), "tag": group[1], "state": "done"}}
    counted = request(arena, service, "/replay", "POST", {**order, "dry_run": True})
    assert (counted["count"], counted["complete"], len(counted["sample"])) == (many, True, 10)

    since = project.model.newest()
    begun = request(arena, service, "/replay", "POST", order)
    done = command(arena, "follow", str(begun["replay_id"]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"replay {begun['replay_id']} finished: {many} leads ({many} done)" in done.stdout
    counts = tokens(project.model.calls(since))
    print(f"forecast {counted['forecast']}, counted {counts}")  # noqa: T201 - the figures
    for name, count in counts.items():
        assert abs(counted["forecast"][name] - count) <= 0.25 * count, name


def first_calls(project: Project, group: Group, count: int, gap_s: float) -> list[float]:
    """Let so many leads become eligible one by one; milliseconds from each commit to its first model call."""
    committed = {}
    for _ in range(count):
        [lead] = project.bring(1, group)
        committed[lead] = time.time()
        time.sleep(gap_s)
    poll(lambda: len(project.answered(list(committed))) == count, lambda: "fresh leads wait")
    first: dict[str, float] = {}
    for call in project.model.calls():
        if call["name"] in committed:
            first.setdefault(call["name"], (call["time"] / 1000 - committed[call["name"]]) * 1000)
    return sorted(first.values())


def quantiles(waits: list[float]) -> str:
    return f"p50 {statistics.median(waits):.0f} ms, p95 {waits[int(len(waits) * 0.95) - 1]:.0f} ms, n {len(waits)}"


def test_fresh_leads_go_before_a_large_replay(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=400)
    service = arena.serve(webhooks=True).wait_until_up()
    count, fresh, gap_s = (5000, 80, 1.3) if arena.long else (1000, 5, 0.6)
    group, fresh_group = project.new_group(), project.new_group()
    ids = [f"old-{n:05}" for n in range(count)]
    project.run(
        "insert into public.lead_details (lead_id, name, title, sent_to_llm)"
        " select i, i, 'Student', true from unnest(%s::text[]) as i",
        ids,
    )
    project.run(
        "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
        " select i, %s, %s, true from unnest(%s::text[]) as i",
        *group,
        ids,
    )
    arena.wait_for_rest()
    idle = first_calls(project, fresh_group, fresh, gap_s)

    begun = request(arena, service, "/replay", "POST", {"filter": {"tag": group[1]}})
    busy = first_calls(project, fresh_group, fresh, gap_s)
    status = request(arena, service, f"/replays/{begun['replay_id']}?limit=1")
    print(f"idle: {quantiles(idle)}; beside a replay of {count}: {quantiles(busy)}; replay: {status['progress']}")  # noqa: T201 - a figure for people
    assert status["progress"]["total"] == count
    assert status["progress"]["waiting"] > 0, "the replay was over too soon to show anything"
    assert status["progress"]["done"] > 0
    if arena.long:
        assert busy[int(len(busy) * 0.95) - 1] <= 250

    stopped = command(arena, "stop", str(begun["replay_id"]))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    arena.wait_for_rest()
    status = request(arena, service, f"/replays/{begun['replay_id']}?limit=1")
    assert (status["state"], status["progress"]["waiting"], status["progress"]["leased"]) == ("stopped", 0, 0)
    assert status["progress"]["done"] + status["progress"]["stopped"] == count
    states = dict(project.run("select state, count(*) from leadhook.jobs where lead_id like 'old-%%' group by state"))
    assert states == {"done": status["progress"]["done"], "waiting": status["progress"]["stopped"]}
    assert project.value("select count(*) from public.lead_details where sent_to_llm is not true") == 0


@pytest.mark.parametrize("arguments", [("--tag", "x", "--yes"), ("follow", "1"), ("stop", "1")])
def test_a_project_that_is_not_there_is_reported(arguments: tuple[str, ...]) -> None:
    settings = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SECRET_KEY": "visibly-fake-key"}
    done = run_leadhook("replay", *arguments, settings=settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("leadhook: no connection to SUPABASE_URL (")
    assert done.stderr.count("\n") == 1
