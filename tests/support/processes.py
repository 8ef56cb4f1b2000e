"""Real processes that a test starts, awaits and hurts."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.conftest import PATIENCE_S, poll
from tests.support import forked

START_S = 150
NOT_IN_TIME = "Supabase did not answer within"
"""/ready gives it two seconds, which a busy machine may take."""
OF_THE_CALLER = (
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "SWEEP_INTERVAL_SEC",
    "WEBHOOK_STATIC_HEADER",
    "MAX_CONCURRENCY",
    "COLUMNS",
)
"""Settings in the developer's environment that must not change a test."""


def environment(**settings: str) -> dict[str, str]:
    """Return the caller's environment without what would change a test, and with these settings."""
    return {name: value for name, value in os.environ.items() if name not in OF_THE_CALLER} | settings


def run_leadhook(
    *words: str, settings: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would, without a terminal and with no settings but these."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    with tempfile.TemporaryDirectory() as name:
        out, err = (Path(name) / stream for stream in ("stdout", "stderr"))
        process = forked.start(["leadhook", *words], log=out, errors=err, env=kept | dict(settings or {}), cwd=cwd)
        process.join(START_S)
        assert process.exitcode is not None, f"leadhook {' '.join(words)} does not end"
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def ask(url: str, *, method: str = "GET", body: object = None, token: str | None = None) -> Any:
    """Send a JSON request; a refusal is returned as its JSON, too."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(url, data=data, method=method, headers=headers)  # noqa: S310 - ours
    try:
        with urlopen(request, timeout=PATIENCE_S) as reply:  # noqa: S310 - ours
            return json.loads(reply.read() or b"null")
    except HTTPError as refusal:
        with refusal:
            return json.loads(refusal.read())


def events_in(log: str, name: str) -> list[dict[str, Any]]:
    """Return the lines of a service's log with this event; the last may not be whole yet."""
    lines = (line for line in log.splitlines() if f'"{name}"' in line)
    found = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
    return [event for event in found if event["event"] == name]


class Process:
    """A Python program with a log file: a fork of one that has imported the service, unless it is to be executed."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        executed: bool = False,
    ) -> None:
        self.log = log
        start = forked.execute if executed else forked.start
        self._process = start(arguments, log=log, env=os.environ if env is None else env, cwd=cwd)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.exitcode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> int:
        """Ask it to end, as a deploy does, and wait; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = START_S) -> int:
        """Wait until it ends by itself; return its exit code."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, self.tail()
        return self._process.exitcode

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        return f"{self.log}:\n" + "\n".join(self.output().splitlines()[-25:])


class LocalStack(Process):
    """`leadhook local up` on a state directory."""

    program = "tests.support.forked_stack"
    """`leadhook` executes its programs in Python, as users have it."""

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._facts_file = directory / "local.json"
        command = [self.program, "local", "up", f"--state-dir={directory}", *arguments]
        super().__init__(command, log=directory / "up.log", env=environment(**settings))

    def facts(self) -> dict[str, Any]:
        """Return its facts, once all of it answers."""
        poll(lambda: self._facts_file.exists() or not self.running, self.output, START_S)
        assert self.running, self.output()
        facts: dict[str, Any] = json.loads(self._facts_file.read_text())
        return facts

    def stop(self) -> None:
        """End all of it; the data is kept."""
        self.end()


class Service(Process):
    def __init__(self, settings: Mapping[str, str], log: Path, *, executed: bool = False) -> None:
        settings = {"ADMIN_TOKENS": "visibly-fake-admin-token", **settings}
        executed = executed or "PYTHONPATH" in settings  # it is to import something else
        super().__init__(["leadhook", "serve"], log=log, env=environment(**settings), executed=executed)
        self._token = settings["ADMIN_TOKENS"]
        self.url = f"http://127.0.0.1:{settings['PORT']}"

    def wait_until_up(self) -> "Service":
        """Wait until it claims leads."""
        poll(lambda: bool(self.events("service.started")) or not self.running, self.tail, START_S)
        assert self.running, self.tail()
        return self

    @property
    def worker_like(self) -> str:
        """Its name in the database, as a pattern for LIKE."""
        return f"%/{self.pid}/%"

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of its log with this event so far; it is written a little later than the database."""
        return events_in(self.output(), name)

    def ready(self) -> dict[str, Any]:
        """Return what /ready answers to an admin, once the database is quick enough for it."""
        answer: dict[str, Any] = {}

        def is_told() -> bool:
            answer.update(ask(f"{self.url}/ready", token=self._token))
            return NOT_IN_TIME not in str(answer)

        poll(is_told, self.tail)
        return answer
