"""The process: how it starts, what it says when it can't, and that it always ends in time."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., "Process"]
FAKE = str(Path(__file__).parent / "fake_service.py")
SERVE = [sys.executable, "-m", "leadhook", "serve"]
UVICORN = [sys.executable, "-m", "uvicorn", "leadhook.app:app", "--port", "0"]
ENV = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SECRET_KEY": "visibly-fake-supabase-key",
    "ADMIN_TOKENS": "visibly-fake-admin-token",
    "PORT": "0",
    "DRAIN_SEC": "1",
}


class Process:
    """A service in a process of its own, and its log."""

    def __init__(self, command: list[str], env: dict[str, str], directory: Path) -> None:
        self._out, self._err = directory / "out", directory / "err"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, env={**kept, **env}, stdout=out, stderr=err, cwd=directory)

    @property
    def out(self) -> str:
        """All of stdout so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """All of stderr so far."""
        return self._err.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event so far."""
        complete = self.out.rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, complete) if line["event"].startswith(event)]

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first log line of an event."""
        deadline = time.monotonic() + 60
        while not (found := self.lines(event)):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"no {event}: {self.out}{self.err}"
            time.sleep(0.02)
        return found[0]

    def address(self) -> str:
        """Where it listens."""
        for event in ("service.listening", "Uvicorn running on"):
            if found := self.lines(event):
                port = found[0].get("port") or re.findall(r":(\d+)", found[0]["event"])[0]
                return f"http://127.0.0.1:{port}"
        raise AssertionError(self.out)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, within_s: float) -> int:
        """Its exit code; negative for the signal that it died of."""
        return self.process.wait(within_s)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes, and ends them whatever happens."""
    started: list[Process] = []

    def start(command: list[str], **env: str) -> Process:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Process(command, env, directory))
        return started[-1]

    yield start
    for process in started:
        process.process.kill()
        process.process.wait()


def get(url: str) -> tuple[int, Any]:
    """Status and JSON."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own address
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("command", [SERVE, UVICORN], ids=["leadhook serve", "uvicorn"])
def test_the_service_starts_without_a_database_says_so_and_ends(start: Start, command: list[str]) -> None:
    """Alive, not ready, in words; SIGTERM ends it with 143; its log is JSON and holds no secret."""
    service = start(command, **ENV)
    service.wait_for("Application startup complete")
    service.wait_for("claim.failed")
    if command is UVICORN:
        service.wait_for("Uvicorn running on")
    url = service.address()

    assert get(f"{url}/health") == (200, {"ok": True})
    status, answer = get(f"{url}/ready")
    assert status == 503
    assert answer["reasons"][0].startswith("No connection to SUPABASE_URL")
    assert get(f"{url}/replay")[0] == 405

    service.signal()
    assert service.end(within_s=10) == -signal.SIGTERM
    assert service.err == ""
    for event in ("service.started", "service.warned", "service.stopping", "service.stopped", "http.request"):
        assert service.lines(event)
    assert "visibly-fake" not in service.out


@pytest.mark.parametrize("command", [SERVE, UVICORN], ids=["leadhook serve", "uvicorn"])
def test_wrong_settings_are_all_told_and_the_exit_code_is_2(start: Start, command: list[str]) -> None:
    """Before anything is started, and without repeating a value."""
    service = start(command, PORT="visibly-fake", ADMIN_TOKENS="visibly-fake")

    assert service.end(within_s=60) == 2
    for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "PORT", "ADMIN_TOKENS"):
        assert name in service.err
    assert "Traceback" not in service.err
    assert "visibly-fake" not in service.err + service.out


def test_an_occupied_port_is_told_before_any_lead_is_claimed(start: Start) -> None:
    """Exit code 1, and which port."""
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        service = start(SERVE, **{**ENV, "PORT": str(port)})

        assert service.end(within_s=60) == 1
    assert f"can't listen on 127.0.0.1, port {port}" in service.err
    assert "service.started" not in service.out


def fake(start: Start, manner: str, drain_s: float) -> Process:
    """A service with an engine of that manner, listening."""
    service = start([sys.executable, FAKE, manner, str(drain_s)])
    service.wait_for("Application startup complete")
    return service


def test_the_drain_begins_with_the_signal_not_with_the_last_answer(start: Start) -> None:
    """A request that never ends holds the server for 3 s, and must not hold the engine."""
    service = fake(start, "obeys", 20)
    with socket.create_connection(("127.0.0.1", int(service.address().rpartition(":")[2]))) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        service.wait_for("request.open")
        service.signal()
        service.wait_for("service.stopped")

        assert not service.lines("Waiting for application shutdown")
        assert service.lines("engine.stop")[0]["drain_s"] == 20
        assert service.end(within_s=10) == -signal.SIGTERM


def test_an_engine_that_does_not_stop_is_let_go(start: Start) -> None:
    """DRAIN_SEC and a little, then it ends."""
    service = fake(start, "hangs", 0.2)
    service.signal()

    assert service.end(within_s=10) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(start: Start, number: signal.Signals) -> None:
    """Whoever insists need not wait for the drain; the echo of the first one does not count."""
    service = fake(start, "hangs", 100)
    service.signal()
    service.wait_for("engine.stop")
    service.signal(number)
    time.sleep(0.7)
    assert service.process.poll() is None
    service.signal(number)

    assert service.end(within_s=3) == -number


def test_ctrl_c_drains_too(start: Start) -> None:
    """SIGINT is as good as SIGTERM."""
    service = fake(start, "obeys", 20)
    service.signal(signal.SIGINT)
    service.wait_for("service.stopped")

    assert service.end(within_s=10) != 0


def test_a_broken_engine_ends_the_process(start: Start) -> None:
    """Nobody may be told 202 by a service that does nothing; its supervisor starts it anew."""
    service = start([sys.executable, FAKE, "breaks", "1"])

    assert service.end(within_s=60) == 1
    assert service.lines("service.failed")[0]["exception"][0]["exc_type"] == "RuntimeError"
