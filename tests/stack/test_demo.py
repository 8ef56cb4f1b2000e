"""`leadhook local demo`, whole: from an empty directory to the table, and gone afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import PATIENCE_S
from tests.support.processes import environment

COMMAND = (sys.executable, "-m", "leadhook", "local", "demo")


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """The running demo, with no terminal and none of the caller's settings."""
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def read_until_ready(demo: subprocess.Popen[str]) -> tuple[str, Path, dict[str, int]]:
    """What the demo says until its stack is ready, its directory, and its processes by name."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if found := re.search(r"(\S+)/local\.json", line):
            directory = Path(found[1])
            return said, directory, json.loads((directory / "local.json").read_text())["pids"]
    raise AssertionError(said)


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_answers_every_sample_lead_by_webhook(demo: subprocess.Popen[str]) -> None:
    """Exit 0, all 24 in the table, and neither process nor directory left."""
    said, directory, pids = read_until_ready(demo)
    output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said + output
    assert "STAND-IN" in said
    assert "24 of 24" in output
    assert "the stand-in's own count comes to the same" in output
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


def test_up_shows_the_demo_and_then_each_lead_that_a_person_inserts_as_it_says(tmp_path: Path) -> None:
    """Its own lines, run by a shell, bring a lead whose answer is the next line; no secret is on screen."""
    state = tmp_path / "stack"
    env = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [*COMMAND[:-1], "up", "--state-dir", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        assert process.stdout is not None
        try:
            said = ""
            for line in process.stdout:
                said += line
                if line.endswith("New answers:\n"):
                    break
            facts = json.loads((state / "local.json").read_text())
            lines = said.partition("from another terminal")[2].partition("\n")[2].partition("\n\n")[0]
            done = subprocess.run(["/bin/sh", "-c", lines], env=env, capture_output=True, text=True, check=False)
            answer = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        finally:
            if process.poll() is None:
                process.terminate()
        assert process.wait(PATIENCE_S) == 0, rest
    assert "24 of 24" in said
    assert all(str(facts[name]) in said for name in ("service_url", "supabase_url"))
    assert re.search(rf"Console +{facts['service_url']}/console/sign-in\?code=\S+\n", said)
    assert done.returncode == 0, done.stderr
    assert "mine-1" in done.stdout
    assert re.search(r"^\d\d:\d\d:\d\d  score +\d+  Eva Brandt  by webhook: ", answer)
    secrets = ("secret_key", "service_role_key", "anon_key", "admin_token", "webhook_secret", "database_url")
    assert [name for name in secrets if str(facts[name]) in said + answer + rest] == []


def test_an_interrupted_demo_stops_everything(demo: subprocess.Popen[str]) -> None:
    """Ctrl-C in the middle: 130, and neither process nor directory left."""
    said, directory, pids = read_until_ready(demo)
    assert {"postgres", "service"} <= pids.keys()
    assert all(is_alive(pid) for pid in pids.values())
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, said + rest
    assert "Traceback" not in rest
    assert not directory.exists()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []
