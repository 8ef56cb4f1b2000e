"""A real process that a test may hurt."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.conftest import poll

START_S = 120


def ask(url: str, *, method: str = "GET", body: object = None, token: str | None = None) -> Any:
    """A JSON request; refusals of the service come back as their JSON, too."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(url, data=data, method=method, headers=headers)  # noqa: S310 - ours
    try:
        with urlopen(request, timeout=10) as reply:  # noqa: S310 - ours
            return json.loads(reply.read() or b"null")
    except HTTPError as refusal:
        with refusal:
            return json.loads(refusal.read())


class Process:
    """A Python program with a log file."""

    def __init__(
        self, arguments: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=os.environ | (env or {}),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(timeout_s)

    def tail(self) -> str:
        """The end of its log, for the words of a failure."""
        return f"{self.log}:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])


class Service(Process):
    """`leadhook serve`."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        super().__init__(["leadhook", "serve"], log=log, env=env)
        self.url = f"http://127.0.0.1:{env['PORT']}"

    def wait_until_up(self) -> "Service":
        """Until it claims leads."""
        poll(lambda: bool(self.events("service.started")) or not self.running, self.tail, START_S)
        assert self.running, self.tail()
        return self

    @property
    def worker_like(self) -> str:
        """Its name in the database, as a pattern of LIKE."""
        return f"%/{self.pid}/%"

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        lines = (line for line in self.log.read_text(errors="replace").splitlines() if f'"{name}"' in line)
        found = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [event for event in found if event["event"] == name]

    def ready(self) -> dict[str, Any]:
        """What /ready says."""
        answer: dict[str, Any] = ask(f"{self.url}/ready")
        return answer
