"""Keeps the children of the stack together: they start in order, end in reverse, and none is left behind."""

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
    """Somebody asked us to stop."""


class Supervisor:
    """The children, and the signals that end them. Use it in the main thread.

    The first SIGINT, SIGTERM or SIGHUP stops everything in order; a second one kills at once.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        """Nothing runs yet.

        Args:
            say: gets a line of progress.
        """
        self.children: list[Child] = []
        self._say = say
        self._asked = 0
        # Its put may be called from a signal handler, and its get wakes for one; an Event can't promise either.
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Take over the signals."""
        for number in (*ENDINGS, signal.SIGCHLD):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # somebody said nohup
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every child, and give the signals back."""
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
            Stopped: we were asked to stop meanwhile.
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
            Stopped: we were asked to stop meanwhile.
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
                f"`{' '.join(command)}` ended with code {process.returncode}:\n{(errors or output).strip()}"
            )
        return output

    def watch(self) -> None:
        """Sleep until somebody asks us to stop.

        Raises:
            CommandError: a child died.
        """
        while not self._asked:
            self._check_children()
            self._signals.get()

    def stop_all(self) -> None:
        """Stop the children, the youngest first."""
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
        """Return at once while all is well.

        Raises:
            Stopped: we were asked to stop.
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
    """How a child ended, in words."""
    code = child.returncode()
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended by itself with code {code}"


def last_words(child: Child) -> str:
    """The end of a child's log, introduced."""
    return f"the end of {child.log}:\n{child.tail()}"
