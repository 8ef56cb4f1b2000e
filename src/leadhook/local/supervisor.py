"""Supervises the child processes of a stack: they start in order, stop in reverse order, and none is left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Self

from leadhook.command_error import CommandError
from leadhook.local.child import Child

POLL_S = 0.05
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818 - it is no error
    """A signal asked the stack to stop."""


class Supervisor:
    """The child processes and the signals that stop them. Use it in the main thread.

    The first SIGINT, SIGTERM or SIGHUP stops everything in order; a second one kills immediately.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        """Create a supervisor without children.

        Args:
            say: prints a line of progress.
        """
        self.children: list[Child] = []
        self._say = say
        self._asked = 0
        # Its `put` is safe in a signal handler, and a signal wakes its `get`; an Event guarantees neither.
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Take over the signals."""
        for number in (*ENDINGS, signal.SIGCHLD):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started with nohup
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every child and restore the signal handlers."""
        self.stop_all()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # the handlers are ours

    @property
    def pids(self) -> dict[str, int]:
        """The process of each child by name, and our own."""
        return {child.name: child.pid for child in self.children} | {"supervisor": os.getpid()}

    def add(self, child: Child) -> Child:
        """Watch over a child that has been started."""
        self.children.append(child)
        return child

    def wait_for(self, child: Child, ready: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until a child is ready.

        Raises:
            Stopped: a stop was requested.
            CommandError: a child died, or this one took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise CommandError(f"{child.name} was not ready within {timeout_s:.0f} s; {last_words(child)}")
            time.sleep(POLL_S)

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> str:
        """Run a program to its end; returns its standard output.

        Raises:
            Stopped: a stop was requested.
            CommandError: a child died, or the program failed.
        """
        with subprocess.Popen(
            command, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        ) as process:
            while True:
                try:
                    output, errors = process.communicate(timeout=POLL_S)
                except subprocess.TimeoutExpired:
                    try:
                        self.check()
                    except BaseException:
                        process.kill()
                        raise
                else:
                    break
        if process.returncode != 0:
            raise CommandError(
                f"`{' '.join(command)}` exited with code {process.returncode}:\n{(errors or output).strip()}"
            )
        return output

    def watch(self) -> None:
        """Sleep until a stop is requested.

        Raises:
            CommandError: a child died.
        """
        while not self._asked:
            self._check_children()
            self._signals.get()

    def stop_all(self) -> None:
        """Stop the children in reverse order of start."""
        while self.children:
            child = self.children.pop()
            if child.returncode() is None:
                self._say(f"stopping {child.name}")
                self._stop(child)

    def _stop(self, child: Child) -> None:
        child.ask_to_stop()
        deadline = time.monotonic() + child.grace_s
        while child.returncode() is None:
            if self._asked > 1 or time.monotonic() > deadline:
                self._say(f"killing {child.name}")
                child.kill()
                child.process.wait()
            time.sleep(POLL_S / 5)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in ENDINGS:
            self._asked += 1
        self._signals.put(number)

    def check(self) -> None:
        """Return immediately unless there is a problem.

        Raises:
            Stopped: a stop was requested.
            CommandError: a child died.
        """
        if self._asked:
            raise Stopped
        self._check_children()

    def _check_children(self) -> None:
        for child in self.children:
            if child.returncode() is not None:
                raise CommandError(f"{child.name} {ending(child)}; {last_words(child)}")


def ending(child: Child) -> str:
    """Describe how a child ended."""
    code = child.returncode()
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited by itself with code {code}"


def last_words(child: Child) -> str:
    """Return the end of a child's log with a heading."""
    return f"the end of {child.log}:\n{child.tail()}"
