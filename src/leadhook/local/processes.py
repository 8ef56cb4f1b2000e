"""The processes of a stack: how a child starts, is awaited and ends, and that none outlives its supervisor."""

import ctypes
import functools
import http.client
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

from leadhook.command_error import CommandError

TAIL_LINES = 15
PR_SET_PDEATHSIG = 1
POLL_S = 0.05
FREE_PORTS = range(10_000, 32_000)
"""Below those of outgoing connections, one of which could take a port before its server starts."""
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Account:
    """The user that a child process runs as; None means ours."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> list[int] | None:
        return None if self.uid is None else []

    def own(self, path: Path) -> None:
        """Give this path to the account and close it to everyone else."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Return whether the account can enter this directory; tried, because modes, ACLs and mounts all matter."""
        command = ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]
        done = subprocess.run(
            command, cwd="/", user=self.uid, group=self.gid, extra_groups=self.groups, capture_output=True, check=False
        )
        return done.returncode == 0


@functools.cache
def server_account() -> Account:
    """Return the account for Postgres, which refuses root: `nobody` if we are root, else ours."""
    if os.geteuid() != 0:
        return Account()
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


class Child:
    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        kill_signal: signal.Signals = signal.SIGKILL,
        orphan_signal: signal.Signals = signal.SIGKILL,
        grace_s: float = 10,
        cwd: Path | None = None,
    ) -> None:
        """Start it, in its own process group so that Ctrl-C reaches only the supervisor.

        Args:
            command: program and arguments; no secrets.
            orphan_signal: sent by the kernel if we are killed (Linux).
            grace_s: seconds from stop_signal to kill_signal, and from that to SIGKILL.
        """
        account = account or Account()
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        self._kill_signal = kill_signal
        self.grace_s = grace_s
        with _open_log(log) as output, warnings.catch_warnings():
            # Python 3.12 and newer warn about preexec_fn in a process with threads; ours takes no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=account.uid,
                group=account.gid,
                extra_groups=account.groups,
                process_group=0,
                preexec_fn=_die_with(os.getpid(), orphan_signal),  # noqa: PLW1509 - no other call sets it on all Pythons
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def returncode(self) -> int | None:
        return self.process.poll()

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def kill(self) -> None:
        """End it at once: with its kill signal, or with SIGKILL if it is still running after grace_s."""
        self.process.send_signal(self._kill_signal)
        if not self._ends_in_time():
            self.process.kill()
            self.process.wait()

    def ask_to_stop(self) -> None:
        self.process.send_signal(self._stop_signal)

    def stop(self) -> None:
        """Send its stop signal, and kill it if it is still running after grace_s."""
        self.ask_to_stop()
        if not self._ends_in_time():
            self.kill()

    def _ends_in_time(self) -> bool:
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def _open_log(log: Path) -> IO[bytes]:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(handle, "ab")


def _die_with(parent: int, orphan_signal: signal.Signals) -> Callable[[], None]:
    # Runs between fork and exec, after the change of user, which would clear the setting.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore the signals that stop a stack while the block runs."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Stopped(Exception):  # noqa: N818 - it is no error
    """A signal asked the stack to stop."""


class Supervisor:
    """The child processes and the signals that stop them. Use it in the main thread.

    The first SIGINT, SIGTERM or SIGHUP stops everything in order; a second one kills immediately.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.children: list[Child] = []
        self._say = say
        self._asked = 0
        # Its `put` is safe in a signal handler, and a signal wakes its `get`; an Event guarantees neither.
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in (*ENDINGS, signal.SIGCHLD):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started with nohup
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # the handlers are ours

    @property
    def pids(self) -> dict[str, int]:
        return {child.name: child.pid for child in self.children} | {"supervisor": os.getpid()}

    def add(self, child: Child) -> Child:
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
    code = child.returncode()
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited by itself with code {code}"


def last_words(child: Child) -> str:
    return f"the end of {child.log}:\n{child.tail()}"


def free_port(preferred: int | None = None) -> int:
    """Return a port on 127.0.0.1 that is free now: the preferred one if possible, else one of FREE_PORTS."""
    while preferred is None or not is_free(preferred):
        preferred = secrets.choice(FREE_PORTS)
    return preferred


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes] | None:
    """Ask a server on this machine, past any proxy; return its response and body, or None if there is none in 5 s."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def answers(port: int, path: str, status: HTTPStatus = HTTPStatus.OK) -> Callable[[], bool]:
    """Return a check that `GET path` on this port of 127.0.0.1 answers with this status."""
    return lambda: (answer := ask(f"http://127.0.0.1:{port}", path)) is not None and answer[0].status == status
