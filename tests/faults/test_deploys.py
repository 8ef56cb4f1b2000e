"""A process ends while another one comes up, as in a deploy."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_calls_of_one
from tests.support.processes import Service

KILL_TIMEOUT_S = 60
ROOT = Path(__file__).parents[2]


def test_sigterm_under_load_repeats_no_call_and_loses_no_lead(arena: Arena) -> None:
    restart_under_load(arena, 20 if arena.long else 1, [{}])


@pytest.mark.long
def test_old_and_new_versions_take_turns_on_the_new_schema(arena: Arena, tmp_path: Path) -> None:
    """The old one is the last commit before the migrations changed; what one has bought the other writes."""
    older = {"PYTHONPATH": str(carry_out(last_commit_before_the_newest_migration(), tmp_path) / "src")}
    asked = [sys.executable, "-c", "import leadhook; print(leadhook.__file__)"]
    place = subprocess.run(asked, env=os.environ | older, check=True, capture_output=True, text=True).stdout
    assert place.startswith(str(tmp_path)), "the older one would not be what runs"
    restart_under_load(arena, 20, [older, {}])


def restart_under_load(arena: Arena, times: int, versions: list[dict[str, Any]]) -> None:
    """End the process in the middle of its work while the next one, of the next version, comes up."""
    project = arena.project
    project.model.behave(latency_ms=800)
    few = 40 if arena.long else 16
    leads = project.bring(few)
    service = arena.serve(MAX_CONCURRENCY="8", SWEEP_INTERVAL_SEC="2", **versions[0]).wait_until_up()
    slowest = 0.0
    for turn in range(1, times + 1):
        leads += project.bring(max(0, few - project.states().get("ready", 0)))
        wait_until_busy(arena, service)
        time.sleep(arena.chance.uniform(0, 1.6))  # the moment is what chance is for
        service.signal(signal.SIGTERM)
        began_at = time.monotonic()
        successor = arena.serve(MAX_CONCURRENCY="8", SWEEP_INTERVAL_SEC="2", **versions[turn % len(versions)])
        service.wait(KILL_TIMEOUT_S)
        slowest = max(slowest, time.monotonic() - began_at)
        assert not project.held_by(service.worker_like), "it left leases behind"
        service = successor.wait_until_up()
    arena.wait_until_done(leads)
    print(f"{len(leads)} leads, the slowest end took {slowest:.1f} s")  # noqa: T201 - a figure for people

    assert slowest < KILL_TIMEOUT_S
    assert project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'") == 0
    assert_all_done(project, leads)
    assert_calls_of_one(project, leads)


def wait_until_busy(arena: Arena, service: Service) -> None:
    poll(lambda: len(arena.project.held_by(service.worker_like)) >= 4, service.tail)


def last_commit_before_the_newest_migration() -> str:
    """Of this repository's history; skipped in a clone without it."""
    return f"{git('log', '-1', '--format=%H', '--', 'migrations').decode().strip()}^"


def carry_out(commit: str, directory: Path) -> Path:
    with tarfile.open(fileobj=BytesIO(git("archive", commit, "src", "migrations", "webhooks.sql"))) as archive:
        archive.extractall(directory, filter="data")
    return directory


def git(*arguments: str) -> bytes:
    program = shutil.which("git")
    assert program is not None
    return subprocess.run([program, *arguments], cwd=ROOT, check=True, capture_output=True).stdout
