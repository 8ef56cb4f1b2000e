"""A child process of the stack: its log file, its end, and that it never outlives us."""

import ctypes
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from leadhook.local.account import Account

TAIL_LINES = 15
PR_SET_PDEATHSIG = 1


class Child:
    """One running program."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        grace_s: float = 10,
        cwd: Path | None = None,
    ) -> None:
        """Start it, in a process group of its own so that Ctrl-C reaches the supervisor alone.

        Args:
            name: what to call it on screen.
            command: program and arguments; never a secret among them.
            log: where its output is appended.
            env: its environment; ours when None.
            account: who it runs as; ourselves when None.
            stop_signal: what asks it to end.
            orphan_signal: what the kernel sends it when we die without a word (Linux).
            grace_s: seconds from stop_signal to SIGKILL.
            cwd: its working directory.
        """
        account = account or Account()
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        self.grace_s = grace_s
        with _open_log(log) as output, warnings.catch_warnings():
            # Python 3.12 and newer warn of preexec_fn beside threads; ours takes no lock.
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
        """Its process id."""
        return self.process.pid

    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self.process.poll()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def ask_to_stop(self) -> None:
        """Send its stop signal, and return at once."""
        self.process.send_signal(self._stop_signal)

    def stop(self) -> None:
        """Ask it to end, wait for its grace, then end it."""
        self.ask_to_stop()
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()


def _open_log(log: Path) -> IO[bytes]:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(handle, "ab")


def _die_with(parent: int, orphan_signal: signal.Signals) -> Callable[[], None] | None:
    # Runs between fork and exec, after the change of user, which would clear the setting.
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
