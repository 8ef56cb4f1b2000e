"""The demo's own stack: `leadhook local up` as a child, in a temporary directory, stopped and removed in the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from leadhook.local.child import Child
from leadhook.local.failure import LocalStackError
from leadhook.local.postgres import data_directory

_READY_WITHIN_S: Final = 180
_STOP_WITHIN_S: Final = 90
_LOOK_EACH_S: Final = 0.1
_TAIL_LINES: Final = 20
_SETTINGS: Final = {"SWEEP_INTERVAL_SEC": "3600", "GEMINI_STANDIN_LATENCY_MS": "300-900"}
"""What the demo wants unless the environment says otherwise: no sweep may help, and a model takes its time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the demo needs of local.json."""

    database_url: str
    gemini_url: str


class DemoStack:
    """A stack in a directory of its own. Ctrl-C reaches the demo alone, which then stops the stack in order."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Nothing runs yet.

        Args:
            say: gets each line that the stack prints while it starts.
        """
        self._say = say
        self._said = 0
        self._forgotten = False

    def __enter__(self) -> Self:
        """Start it."""
        self._directory = Path(tempfile.mkdtemp(prefix="leadhook-demo-"))
        # Postgres may have to run as another user, who must get through here; what is secret has its own mode.
        self._directory.chmod(0o711)
        command = ["-m", "leadhook", "local", "up", "--state-dir", str(self._directory), "--no-sample"]
        self._child = Child(
            "stack",
            [sys.executable, *command],
            log=self._directory / "stack.log",
            env=_SETTINGS | os.environ | {"PYTHONUNBUFFERED": "1"},
            orphan_signal=signal.SIGTERM,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, and remove its directory unless somebody may want to read the logs."""
        try:
            self._say("stopping")
        finally:
            self._stop()
            if self._forgotten or isinstance(error, KeyboardInterrupt):
                shutil.rmtree(data_directory(self._directory), ignore_errors=True)
                shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def service_log(self) -> Path:
        """The service's log file."""
        return self._directory / "service.log"

    def service_tail(self) -> str:
        """The end of the service's log."""
        if not self.service_log.exists():
            return "(the service never started)"
        return "\n".join(self.service_log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def forget(self) -> None:
        """All went well: nobody will want the logs."""
        self._forgotten = True

    def wait_until_ready(self) -> Facts:
        """Pass on what the stack says until it is ready.

        Raises:
            LocalStackError: it died, or took too long.
        """
        deadline = time.monotonic() + _READY_WITHIN_S
        facts_file = self._directory / "local.json"
        while not facts_file.exists():
            self.check()
            if time.monotonic() > deadline:
                raise LocalStackError(f"the stack was not ready within {_READY_WITHIN_S} s: see {self._directory}")
            time.sleep(_LOOK_EACH_S)
        self.check()
        facts = json.loads(facts_file.read_text())
        return Facts(facts["database_url"], facts["gemini_url"])

    def check(self) -> None:
        """Pass on what the stack says, and notice its death.

        Raises:
            LocalStackError: it has died; its last words were passed on.
        """
        code = self._child.returncode()
        self._pass_on()
        if code is not None:
            raise LocalStackError(f"the stack ended with code {code}; its logs are in {self._directory}")

    def _pass_on(self) -> None:
        lines = self._child.log.read_text(errors="replace").splitlines()
        for line in lines[self._said :]:
            self._say(line)
        self._said = len(lines)

    def _stop(self) -> None:
        self._child.ask_to_stop()
        deadline = time.monotonic() + _STOP_WITHIN_S
        while self._child.returncode() is None:
            try:
                self._child.process.wait(max(deadline - time.monotonic(), 0.1))
            except KeyboardInterrupt:
                # The stack understands a second signal as "kill at once".
                self._child.ask_to_stop()
            except subprocess.TimeoutExpired:
                self._child.kill()
