"""`leadhook local …`, whose programs in Python are forks of it, and whose cluster is a copy: each costs much CPU.

tests/stack/test_local_up.py and test_demo.py start the stack as a user does.
"""

import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.support import forked
from tests.support.clusters import copy_cluster

from leadhook import cli
from leadhook.local import stack
from leadhook.local.binaries import Binaries
from leadhook.local.postgres import SUPERUSER
from leadhook.local.processes import ENDINGS, server_account

PYTHON = [sys.executable, "-m"]
STDOUT, STDERR = 1, 2


class Forking(subprocess.Popen[Any]):
    """Runs `python -m …` where another would execute it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
        **others: Any,
    ) -> None:
        def run() -> NoReturn:
            if preexec_fn is not None:
                preexec_fn()
            become(command[len(PYTHON) :], dict(os.environ if env is None else env))

        in_python = command[: len(PYTHON)] == PYTHON
        super().__init__(command, env=env, preexec_fn=run if in_python else preexec_fn, **others)


def become(arguments: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Run this program in the place of the parent's, which hears that it was executed as its files are closed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in Path("/proc/self/fd").iterdir():
        if int(file.name) > STDERR:
            os.dup2(nothing, int(file.name))
    for number in (*ENDINGS, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (STDOUT, STDERR))
    warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
    code: object = 0
    try:
        forked.use_environment(env)
        forked.run(arguments)
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 - as Python does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def create_cluster(binaries: Binaries, data: Path, password: str) -> None:
    """Copy one, and give its superuser this password."""
    copy_cluster(binaries, data)
    account = server_account()
    subprocess.run(
        [str(binaries.postgres), "--single", "-D", str(data), "postgres"],
        input=f"alter role {SUPERUSER} password '{password}'\n".encode(),
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
        capture_output=True,
        check=True,
    )


if __name__ == "__main__":
    stack.create_cluster = create_cluster  # type: ignore[attr-defined]  # where it is called
    subprocess.Popen = Forking  # type: ignore[assignment,misc]  # it has what the supervisor uses of one
    cli.main()
