"""A whole local Supabase with its stand-ins to measure on; which program works on it, each measurement decides."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM
from typing import Any

import psycopg
from bench.access_log import AccessLog
from bench.leads import Connection
from bench.model import Model

from leadhook.local.processes import Child, answers, free_port
from leadhook.local.state import service_environment

START_S = 400
LOOK_EACH_S = 0.05
NOWHERE = "http://127.0.0.1:9/webhooks/leads"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LEADHOOK_STACK_DIR")
"""What our programs get of the caller's environment: no setting of his may change a figure."""


class BrokenRunError(Exception):
    """The measurement did not get what it needs; says what, in words."""


@dataclass(frozen=True)
class Stack:
    """The running stack."""

    directory: Path
    facts: dict[str, Any]
    connection: Connection
    model: Model
    requests: AccessLog

    @contextmanager
    def service(self, **settings: str) -> Iterator[Child]:
        """`leadhook serve` and its webhooks, until the block ends; its first sweep is over when the block begins."""
        env = service_environment(self.facts) | {"SWEEP_INTERVAL_SEC": "3600"} | settings
        with self._child("service", ["leadhook", "serve"], env) as service:
            wait_until(lambda: "sweep.finished" in service.log.read_text(), "the service's first sweep", service)
            self.send_webhooks_to(self.facts["webhook_url"])
            yield service

    @contextmanager
    def poller(self) -> Iterator[Child]:
        """The poller, until the block ends; no webhook is sent."""
        self.send_webhooks_to(NOWHERE)
        env = {
            "SUPABASE_URL": self.facts["supabase_url"],
            "SUPABASE_SERVICE_ROLE_KEY": self.facts["service_role_key"],
            "GEMINI_BASE_URL": self.facts["gemini_url"],
        }
        with self._child("poller", ["bench.poller"], env) as poller:
            wait_until(lambda: "polling" in poller.log.read_text(), "the poller's first look", poller)
            yield poller

    @contextmanager
    def queue_worker(self, library: str, concurrency: int) -> Iterator[Child]:
        """The handler on one of the two libraries, until the block ends."""
        if find_spec(library) is None:
            raise BrokenRunError(f"{library} is not installed: `make bench` does it, from requirements-bench.lock")
        env = {
            "DATABASE_URL": self.facts["database_url"],
            "GEMINI_BASE_URL": self.facts["gemini_url"],
            "CONCURRENCY": str(concurrency),
        }
        with self._child(library, ["bench.queue_worker", library], env) as worker:
            wait_until(lambda: "ready" in worker.log.read_text(), f"{library}'s worker", worker)
            yield worker

    def bare_calls(self, leads: int, concurrency: int) -> dict[str, float]:
        """What a process of its own needs for the model calls of so many leads alone: see `bench/bare_calls.py`."""
        run = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "bench.bare_calls", str(leads), str(concurrency)],
            env=environment() | {"GEMINI_BASE_URL": self.facts["gemini_url"]},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        if run.returncode:
            raise BrokenRunError(f"the bare model calls broke off:\n{run.stderr}")
        found: dict[str, float] = json.loads(run.stdout)
        return found

    @contextmanager
    def bare_chain(self) -> Iterator[str]:
        """The address of the bare chain's endpoint, until the block ends."""
        port = free_port()
        env = {
            "SUPABASE_URL": self.facts["supabase_url"],
            "SUPABASE_SECRET_KEY": self.facts["secret_key"],
            "GEMINI_BASE_URL": self.facts["gemini_url"],
            "PORT": str(port),
        }
        with self._child("bare", ["bench.bare"], env) as child:
            wait_until(answers(port, "/health"), "the bare chain's endpoint", child)
            yield f"http://127.0.0.1:{port}/"

    def send_webhooks_to(self, url: str) -> None:
        """Send webhooks somewhere else from the next transaction on."""
        self.connection.execute(
            "select vault.update_secret(s.id, %s) from vault.secrets as s where s.name = 'leadhook_webhook_url'", (url,)
        )

    @contextmanager
    def _child(self, name: str, arguments: list[str], env: dict[str, str]) -> Iterator[Child]:
        place = len(list(self.directory.glob(f"bench-{name}-*.log")))
        child = Child(
            name,
            [sys.executable, "-m", *arguments],
            log=self.directory / f"bench-{name}-{place}.log",
            env=environment() | env,
            cwd=Path(__file__).parent.parent,
        )
        try:
            yield child
            if child.returncode() is not None:
                raise BrokenRunError(f"{name} ended in the middle:\n{child.tail()}")
        finally:
            child.stop()


@contextmanager
def running_stack(say: Callable[[str], None]) -> Iterator[Stack]:
    """The stack, until the block ends; then nothing is left of it.

    Raises:
        BrokenRunError: it did not start.
    """
    # Not under /tmp, which may be memory and know no fsync.
    directory = Path(tempfile.mkdtemp(prefix="leadhook-bench-", dir="/var/tmp"))
    # Postgres may have to run as another user, who must get through here; what is secret has its own mode.
    directory.chmod(0o711)
    try:
        with (
            _model(directory) as url,
            _started(directory, url, say) as facts,
            psycopg.connect(facts["database_url"], autocommit=True) as connection,
        ):
            log = AccessLog(directory / "postgrest.log")
            yield Stack(directory, facts, connection, Model(facts["gemini_url"]), log)
    finally:
        shutil.rmtree(directory)


@contextmanager
def _model(directory: Path) -> Iterator[str]:
    port = free_port()
    child = Child(
        "model",
        [sys.executable, "-m", "tests.support.misbehaving_gemini", "--port", str(port)],
        log=directory / "model.log",
        env=environment(),
        cwd=Path(__file__).parent.parent,
    )
    try:
        wait_until(answers(port, "/health"), "the Gemini stand-in", child)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


@contextmanager
def _started(directory: Path, model_url: str, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    say(f"starting Postgres, PostgREST and the stand-ins in {directory}")
    facts_file = directory / "local.json"
    stack = Child(
        "stack",
        [sys.executable, "-m", "leadhook", "local", "up", f"--state-dir={directory}", "--no-sample", "--no-service"],
        log=directory / "up.log",
        env=environment() | {"PGRST_LOG_LEVEL": "info", "GEMINI_BASE_URL": model_url},
        orphan_signal=SIGTERM,
        grace_s=30,
    )
    try:
        wait_until(facts_file.exists, "the local stack", stack)
        yield json.loads(facts_file.read_text())
    finally:
        stack.stop()


def environment() -> dict[str, str]:
    """Of the programs that are started."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def wait_until(
    condition: Callable[[], bool], what: str, child: Child | None = None, timeout_s: float = START_S
) -> None:
    """Look until it holds.

    Raises:
        BrokenRunError: it took too long, or the process that it depends on has ended.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        ended = child is not None and child.returncode() is not None
        if ended or time.monotonic() > deadline:
            end = f" The end of {child.name}'s log:\n{child.tail()}" if child else ""
            raise BrokenRunError(f"{what}: {'it ended' if ended else f'not within {timeout_s:.0f} s'}.{end}")
        time.sleep(LOOK_EACH_S)
