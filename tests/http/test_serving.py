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
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PATIENCE_S
from tests.log_service import LogService, listening

from leadhook.settings import GRACEFUL_HTTP_SEC

Start = Callable[..., "Process"]
FAKE = str(Path(__file__).parent / "fake_service.py")
SERVE = [sys.executable, "-m", "leadhook", "serve"]
UVICORN = [sys.executable, "-m", "uvicorn", "leadhook.app:app", "--port", "0"]
OF_BOTH_COMMANDS = pytest.mark.parametrize("command", [SERVE, UVICORN], ids=["leadhook serve", "uvicorn"])
ODD_NETWORK = {
    "ALL_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "localhost, fd00:b5::/64,[::1],10.0.0.0/8 ::::,*.test",
    "SSLKEYLOGFILE": "/nonexistent/keys",
}
"""Addresses of IPv6, networks and nonsense, which stop some HTTP libraries, and a key log that cannot be written."""
ENV = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SECRET_KEY": "visibly-fake-supabase-key",
    "ADMIN_TOKENS": "visibly-fake-admin-token",
    "PORT": "0",
    "DRAIN_SEC": "1",
}


class Process:
    def __init__(self, command: list[str], env: dict[str, str], directory: Path) -> None:
        self._out, self._err = directory / "out", directory / "err"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, env={**kept, **env}, stdout=out, stderr=err, cwd=directory)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event so far."""
        complete = self.out.rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, complete) if line["event"].startswith(event)]

    def wait_for(self, event: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.lines(event)):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"no {event}: {self.out}{self.err}"
            time.sleep(0.02)
        return found[0]

    def address(self) -> str:
        for event in ("service.listening", "Uvicorn running on"):
            if found := self.lines(event):
                port = found[0].get("port") or re.findall(r":(\d+)", found[0]["event"])[0]
                return f"http://127.0.0.1:{port}"
        raise AssertionError(self.out)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code; negative for the signal that it died of."""
        return self.process.wait(within_s)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes, and ends them whatever happens."""
    started: list[Process] = []

    def start(command: list[str], **env: str) -> Process:
        directory = tmp_path / str(len(started))
        directory.mkdir(exist_ok=True)
        started.append(Process(command, env, directory))
        return started[-1]

    yield start
    for process in started:
        process.process.kill()
        process.process.wait()


@pytest.fixture
def endless_import(tmp_path: Path) -> dict[str, str]:
    """For a service that is not to come further than to its port: the import of Gemini's client takes ten minutes."""
    directory = tmp_path / "endless"
    directory.mkdir()
    (directory / "langchain_google_genai.py").write_text("import time\ntime.sleep(600)")
    return {"PYTHONPATH": str(directory)}


def get(url: str | urllib.request.Request, timeout_s: float = PATIENCE_S) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - our own address
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("command", "network"), [(SERVE, {}), (UVICORN, ODD_NETWORK)], ids=["leadhook serve", "uvicorn, odd network"]
)
def test_the_service_starts_without_a_database_says_so_and_ends(
    start: Start, command: list[str], network: dict[str, str]
) -> None:
    service = start(command, **ENV, **network)
    service.wait_for("Application startup complete")
    service.wait_for("claim.failed")
    if command is UVICORN:
        service.wait_for("Uvicorn running on")
    url = service.address()

    assert get(f"{url}/health") == (200, {"ok": True})
    status, answer = get(f"{url}/ready")
    assert (status, answer["reasons"]) == (503, ["settings", "unreachable"])
    assert answer["next_step"]
    assert get(f"{url}/replay")[0] == 405

    service.signal()
    assert service.end() == -signal.SIGTERM
    assert service.err == ""
    unbounded = [line for line in service.lines("service.warned") if "slow clients" in line["warning"]]
    assert bool(unbounded) == (command is UVICORN)
    for event in ("service.started", "service.warned", "service.stopping", "service.stopped", "http.request"):
        assert service.lines(event)
    assert "visibly-fake" not in service.out


@pytest.mark.parametrize("given", ["environment", ".env"])
def test_the_service_does_not_keep_the_owners_connection_string(
    start: Start, given: str, tmp_path: Path, endless_import: dict[str, str]
) -> None:
    """Not even where /proc shows the environment that a process was started with."""
    url = "postgresql://postgres:visibly-fake-password@127.0.0.1:9/postgres"
    if given == ".env":
        (tmp_path / "0").mkdir()
        (tmp_path / "0" / ".env").write_text(f"DATABASE_URL={url}\n")
    service = start(SERVE, **ENV, **endless_import, **({"DATABASE_URL": url} if given == "environment" else {}))
    service.wait_for("Application startup complete")
    environment = Path(f"/proc/{service.process.pid}/environ").read_bytes()
    assert b"SUPABASE_URL" in environment
    assert b"visibly-fake-password" not in environment
    service.signal()
    assert service.end() == -signal.SIGTERM


@OF_BOTH_COMMANDS
def test_all_wrong_settings_are_named_without_a_value_and_the_exit_code_is_2(start: Start, command: list[str]) -> None:
    wrong = {
        "PORT": "hunter2",
        "ADMIN_TOKENS": "hunter2",
        "ALL_PROXY": "socks5://user:hunter2@127.0.0.1:1080",
        "https_proxy": "ftp://hunter2",
        "SSL_CERT_FILE": "/nonexistent/hunter2",
    }
    service = start(command, **wrong)

    assert service.end() == 2
    missing = {"SUPABASE_URL", "SUPABASE_SECRET_KEY"}
    assert [name for name in missing | wrong.keys() if f"\n  {name}" not in service.err] == []
    assert "Traceback" not in service.err
    assert "hunter2" not in service.err + service.out


def test_an_occupied_port_is_reported_before_any_lead_is_claimed(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        service = start(SERVE, **{**ENV, "PORT": str(port)})

        assert service.end() == 3
    (failed,) = service.lines("start.failed")
    assert (failed["error"], failed["level"]) == ("OSError", "critical")
    (line,) = [line for line in service.err.splitlines() if "can't listen" in line]
    assert f"127.0.0.1, port {port}: address already in use: stop the other process, or " in line
    assert (line.count("127.0.0.1"), "--port" in line) == (1, True)
    assert "service.started" not in service.out


@OF_BOTH_COMMANDS
def test_a_failed_start_leaves_its_kind_and_message_on_every_sink(
    start: Start, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "langchain_google_genai.py").write_text("raise KeyError('no way to http://user:hunter2@proxy.test')")
    with listening(LogService()) as log_service:
        service = start(
            command,
            **ENV,
            PYTHONPATH=str(tmp_path),
            LOG_FILE=str(tmp_path / "operator.log"),
            LOG_SHIP="otlp",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=log_service.url,
        )
        assert service.end() == 3

    (failed,) = service.lines("start.failed")
    assert (failed["level"], failed["error"]) == ("critical", "KeyError")
    assert "no way to http://[hidden]@proxy.test" in failed["reason"]
    assert failed["exception"][0]["exc_type"] == "KeyError"
    assert not service.lines("Traceback")
    assert "start.failed" in log_service.bodies()
    operator = (tmp_path / "operator.log").read_text()
    assert "| ERROR | event=start.failed | error=KeyError | reason=" in operator
    assert "hunter2" not in service.out + service.err + operator + str(log_service.taken)


def test_the_port_answers_while_the_clients_are_imported(start: Start, endless_import: dict[str, str]) -> None:
    service = start(SERVE, **ENV, **endless_import, WEBHOOK_STATIC_HEADER="x-webhook: visibly-fake-secret")
    service.wait_for("Application startup complete")
    url = service.address()

    assert get(f"{url}/health") == (200, {"ok": True})
    assert get(f"{url}/ready")[1]["reasons"] == ["starting"]
    webhook = urllib.request.Request(  # noqa: S310 - our own address
        f"{url}/webhooks/leads",
        json.dumps({"type": "INSERT", "records": ["a"]}).encode(),
        {"content-type": "application/json", "x-webhook": "visibly-fake-secret"},
    )
    assert get(webhook) == (202, {"ok": True})
    waiting = urllib.request.Request(f"{url}/leads/a", headers={"authorization": f"Bearer {ENV['ADMIN_TOKENS']}"})  # noqa: S310 - our own address
    with pytest.raises(TimeoutError):
        get(waiting, timeout_s=0.3)
    assert not service.lines("claim")

    service.signal()
    assert service.end() == -signal.SIGTERM
    assert service.lines("service.stopped")


def fake(start: Start, manner: str, drain_s: float) -> Process:
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
        assert service.end() == -signal.SIGTERM


def test_an_engine_that_does_not_stop_is_let_go(start: Start) -> None:
    service = fake(start, "hangs", 0.2)
    service.signal()

    assert service.end() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(start: Start, number: signal.Signals) -> None:
    """An echo of the first signal does not count."""
    service = fake(start, "hangs", 10 * PATIENCE_S)
    service.signal()
    service.wait_for("engine.stop")
    service.signal(number)
    time.sleep(0.7)
    assert service.process.poll() is None
    service.signal(number)

    assert service.end() == -number


def test_ctrl_c_drains_too(start: Start) -> None:
    service = fake(start, "obeys", 20)
    service.signal(signal.SIGINT)
    service.wait_for("service.stopped")

    assert service.end() != 0


def test_a_broken_engine_ends_the_process(start: Start) -> None:
    """A service that does nothing must not answer 202; its supervisor restarts it."""
    service = start([sys.executable, FAKE, "breaks", "1"])

    assert service.end() == 1
    assert service.lines("service.failed")[0]["exception"][0]["exc_type"] == "RuntimeError"


def test_ten_open_tabs_of_the_console_do_not_delay_the_end(start: Start) -> None:
    """Half of them keep their connection open, and half wait for figures that a silent database does not give."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as tabs:
        service = start(SERVE, **ENV | {"SUPABASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        service.wait_for("service.listening")
        host = service.address().removeprefix("http://")
        connections = [tabs.enter_context(closing(HTTPConnection(host, timeout=PATIENCE_S))) for _ in range(10)]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for connection in connections:
            connection.request("POST", "/console/sign-in", f"token={ENV['ADMIN_TOKENS']}", form)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 303
        cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        for connection in connections[:5]:
            connection.request("GET", "/console/live", headers={"Cookie": cookie, "HX-Request": "true"})
        began = time.monotonic()
        service.signal()

        assert service.end() == -signal.SIGTERM
        assert time.monotonic() - began < float(ENV["DRAIN_SEC"]) + GRACEFUL_HTTP_SEC + 2
