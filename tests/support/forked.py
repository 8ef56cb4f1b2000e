"""Starts programs as forks of one that has imported them: importing the service costs two seconds of CPU.

It imports nothing of ours, as each of these programs imports it.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

CONTEXT: Final = multiprocessing.get_context("forkserver")
OURS: Final = ("app", "cli.service", "gemini", "local.demo", "store.transport")
THEIRS: Final = ("aiohttp.web", "anyio._backends._asyncio", "h2.connection", "httpcore", "uvicorn.loops.uvloop")
CONTEXT.set_forkserver_preload([*THEIRS, *(f"leadhook.{name}" for name in OURS)])


def start(
    arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None, errors: Path | None = None
) -> "ForkServerProcess":
    """Run `python -m <arguments>` in a separate process with this environment.

    It writes into this log; what it writes to stderr goes there too, unless there is a file for that.
    """
    return _start(run, arguments, (log, errors or log), env, cwd)


def execute(arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None) -> "ForkServerProcess":
    """Do the same without what was imported: the command line and the first environment are the program's own."""
    return _start(_execute, arguments, (log, log), env, cwd)


def _start(
    target: Callable[[Sequence[str]], None],
    arguments: Sequence[str],
    files: tuple[Path, Path],
    env: Mapping[str, str],
    cwd: Path | None,
) -> "ForkServerProcess":
    for file in files:
        file.touch()  # for those who read it at once
    process = CONTEXT.Process(target=_prepared, args=(target, list(arguments), files, dict(env), cwd), daemon=True)
    process.start()
    return process


def _prepared(
    target: Callable[[Sequence[str]], None],
    arguments: list[str],
    files: tuple[Path, Path],
    env: dict[str, str],
    cwd: Path | None,
) -> None:
    for stream, file in enumerate(files, 1):
        output = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(output, stream)
        os.close(output)
    use_environment(env)
    if cwd:
        os.chdir(cwd)
        sys.path.insert(0, str(cwd))
    target(arguments)


def use_environment(env: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)


def _execute(arguments: Sequence[str]) -> None:
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - a program of ours


def run(arguments: Sequence[str]) -> None:
    """Be `python -m <arguments>` from here on."""
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        # A fork leaves without this.
        atexit._run_exitfuncs()
