"""A stack while it starts: what is known of it so far, and how a step or a child is started."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from leadhook.command_error import CommandError
from leadhook.local.child import Child
from leadhook.local.database import Database
from leadhook.local.keys import Keys
from leadhook.local.ports import is_free
from leadhook.local.state import State
from leadhook.local.supervisor import Supervisor


@dataclass(frozen=True)
class Options:
    """What to start."""

    state_dir: Path
    port: int | None = None
    """Of the service; one of its own choice when None."""
    sample: bool = True
    rings: bool = True
    """Whether the worker of pg_net runs; without it every ring is lost."""
    service: bool = True
    bare: bool = False
    """Whether the database is left without anything of leadhook."""

    @property
    def plays(self) -> bool:
        """Whether an empty database gets the sample as in the demo: watched, and found by its webhooks."""
        return self.sample and self.rings and self.service


@dataclass
class Stack:
    """What is being started, step by step."""

    options: Options
    state: State
    keys: Keys
    supervisor: Supervisor
    say: Callable[[str], None]
    ports: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One line of progress when the block is done."""
        started = time.monotonic()
        yield
        where = f"127.0.0.1:{self.ports[name]}" if name in self.ports else ""
        self.say(f"{name:<11} ready {where:<16} {time.monotonic() - started:.1f} s")

    def python(self, name: str, *arguments: str, env: dict[str, str] | None = None, grace_s: float = 10) -> Child:
        """Start a Python module of ours as a child."""
        return self.supervisor.add(
            Child(
                name,
                [sys.executable, "-m", *arguments],
                log=self.state.log(name),
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
                grace_s=grace_s,
            )
        )


def service_port(stack: Stack) -> int:
    """The port that was asked for, else the one of the last time where nobody took it, else any."""
    asked = stack.options.port
    if asked is None:
        return stack.state.port("service")
    if not is_free(asked):
        raise CommandError(f"port {asked} is taken: name another --port")
    return asked


def leadhook(stack: Stack, database: Database, *arguments: str) -> str:
    """Run a command of the program that a user would run; returns its standard output."""
    command = [sys.executable, "-m", "leadhook", *arguments]
    return stack.supervisor.run(command, os.environ | {"DATABASE_URL": database.conninfo})
