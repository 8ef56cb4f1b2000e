"""`leadhook local demo` and `up`, whole: from an empty directory to the table, and gone afterwards."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import poll
from tests.support.clusters import open_directory
from tests.support.processes import START_S, Process, environment

from leadhook.local import demo
from leadhook.local.processes import ENDINGS

READY = re.compile(r"(\S+)/local\.json")
START = Callable[..., Process]
"""Starts a command of `leadhook local`, with no terminal and none of the caller's settings; executed: as users do."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[START]:
    """It ends with the test."""
    started: list[Process] = []

    def start(*words: str, executed: bool = False) -> Process:
        command = ["leadhook" if executed else "tests.support.forked_stack", "local", *words]
        started.append(Process(command, log=tmp_path / "said.log", env=environment(), executed=executed))
        return started[-1]

    yield start
    for process in started:
        process.end()


def read_until(process: Process, said: re.Pattern[str]) -> re.Match[str]:
    poll(lambda: said.search(process.output()) is not None or not process.running, process.output, START_S)
    found = said.search(process.output())
    assert found, process.output()
    return found


def stack_of(started: Process) -> tuple[Path, dict[str, int]]:
    """The demo's directory, and its processes by name, once its stack is ready."""
    directory = Path(read_until(started, READY)[1])
    return directory, json.loads((directory / "local.json").read_text())["pids"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_answers_every_sample_lead_by_webhook(start: START) -> None:
    """Exit 0, all 24 in the table, and neither process nor directory left."""
    started = start("demo", executed=True)
    directory, pids = stack_of(started)
    code = started.wait(START_S)
    output = started.output()
    assert code == 0, output
    assert "STAND-IN" in output
    assert "24 of 24" in output
    assert "counted by the stand-in" in output
    assert len(re.findall(r"^\S.* (?:yes|no) +(?:\d[\d,]* +){4}\d[\d,]*", output, re.MULTILINE)) == 24
    assert re.search(r"first 3 leads: \d+, \d+, \d+ ms", output)
    assert output.count("\nReason: ") == 3
    assert re.search(
        r"Carla Jansen, score 18\n.*Flags: gives orders, asks for score, .*no message was written", output, re.DOTALL
    )
    assert re.search(r"^Inês Duarte: commit → first call \d+ ms", output, re.MULTILINE)
    assert "What to do next" in output
    assert not directory.exists()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory, and whatever is kept in it, until the test has ended."""
    with open_directory("up-") as directory:
        yield directory


def test_up_shows_the_demo_and_then_each_lead_that_a_person_inserts_as_it_says(start: START, state: Path) -> None:
    """Its own lines, run by a shell, bring a lead whose answer is the next line; no secret is on screen."""
    up = start("up", "--state-dir", str(state))
    said = read_until(up, re.compile(r"\A.*New answers:\n", re.DOTALL))[0]
    facts = json.loads((state / "local.json").read_text())
    lines = said.partition("from another terminal")[2].partition("\n")[2].partition("\n\n")[0]
    env = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["/bin/sh", "-c", lines], env=env, capture_output=True, text=True, check=False)
    read_until(up, re.compile(r"New answers:\n\d\d:\d\d:\d\d  score +\d+  Eva Brandt  by webhook: .*\n"))
    up.signal(signal.SIGINT)
    assert up.wait() == 0, up.output()
    assert "24 of 24" in said
    assert all(str(facts[name]) in said for name in ("service_url", "supabase_url"))
    assert re.search(rf"Console +{facts['service_url']}/console/sign-in\?code=\S+\n", said)
    assert done.returncode == 0, done.stderr
    assert "mine-1" in done.stdout
    secrets = ("secret_key", "service_role_key", "anon_key", "admin_token", "webhook_secret", "database_url")
    assert [name for name in secrets if str(facts[name]) in up.output()] == []


def test_an_interrupted_demo_stops_everything(start: START) -> None:
    """Ctrl-C in the middle: 130, and neither process nor directory left."""
    started = start("demo")
    directory, pids = stack_of(started)
    assert {"postgres", "service"} <= pids.keys()
    assert all(is_alive(pid) for pid in pids.values())
    started.signal(signal.SIGINT)
    assert started.wait() == 130, started.output()
    assert "Traceback" not in started.output()
    assert not directory.exists()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


def test_signals_do_not_keep_an_ended_demo_from_removing_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C again while it removes what it made: nothing is left, and later signals have their usual effect."""

    def killed(number: int, _frame: object) -> None:
        raise InterruptedError(number)

    def remove(directory: Path, *, ignore_errors: bool) -> None:
        for number in ENDINGS:
            os.kill(os.getpid(), number)
        really_remove(directory, ignore_errors=ignore_errors)

    really_remove = shutil.rmtree
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "_demo_in", lambda *_: demo.INTERRUPTED)
    monkeypatch.setattr(shutil, "rmtree", remove)
    before = {number: signal.signal(number, killed) for number in ENDINGS}
    try:
        assert demo.demo(print) == demo.INTERRUPTED
        assert {signal.getsignal(number) for number in ENDINGS} == {killed}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert list(tmp_path.iterdir()) == []
