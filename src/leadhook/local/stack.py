"""The state of a starting stack, and how its steps and child processes are started."""

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
    """The service's port; any free one if None."""
    sample: bool = True
    webhooks: bool = True
    """Run pg_net's worker; without it all webhooks are lost."""
    service: bool = True
    bare: bool = False
    """Leave the database without leadhook."""

    @property
    def plays(self) -> bool:
        """Whether to play the demo on an empty database."""
        return self.sample and self.webhooks and self.service


@dataclass
class Stack:
    """A stack that is being started step by step."""

    options: Options
    state: State
    keys: Keys
    supervisor: Supervisor
    say: Callable[[str], None]
    ports: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print one line of progress after the block."""
        started = time.monotonic()
        yield
        where = f"127.0.0.1:{self.ports[name]}" if name in self.ports else ""
        self.say(f"{name:<11} ready {where:<16} {time.monotonic() - started:.1f} s")

    def python(self, name: str, *arguments: str, env: dict[str, str] | None = None, grace_s: float = 10) -> Child:
        """Start one of our Python modules as a child."""
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
    """Return the requested port, else the last one if it is free, else any free port."""
    asked = stack.options.port
    if asked is None:
        return stack.state.port("service")
    if not is_free(asked):
        raise CommandError(f"port {asked} is in use: choose another --port")
    return asked


def leadhook(stack: Stack, database: Database, *arguments: str) -> str:
    """Run a leadhook command as a user would; return its standard output."""
    command = [sys.executable, "-m", "leadhook", *arguments]
    return stack.supervisor.run(command, os.environ | {"DATABASE_URL": database.conninfo})
