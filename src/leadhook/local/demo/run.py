"""`leadhook local demo`: the demo on a stack in a temporary directory, which is gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from leadhook.command_error import CommandError
from leadhook.local.binaries import refuse_unsupported
from leadhook.local.demo.play import console_of, play
from leadhook.local.postgres import data_directory
from leadhook.local.stack import Options
from leadhook.local.supervisor import Stopped
from leadhook.local.up import running

INTERRUPTED: Final = 130
_TAIL_LINES: Final = 20
_SETTINGS: Final = {"SWEEP_INTERVAL_SEC": "3600", "GEMINI_STANDIN_LATENCY_MS": "300-900"}
"""What the demo wants unless the environment says otherwise: no sweep may help, and a model takes its time."""
_NEXT: Final = """
What to do next (leadhook is .venv/bin/leadhook)
  make up                  the same on data that is kept: insert leads of your own
  leadhook install --plan  what leadhook would add to your Supabase project, which
                           DATABASE_URL names; it changes nothing
  leadhook --help          all commands; README.md, "Quick start", has the steps"""


def run(say: Callable[[str], None]) -> int:
    """Start a stack, play the demo on it, stop it and remove it.

    Returns the exit code: 0 when every lead was answered and found by its webhook, 1 when not or when something
    failed, 130 when interrupted. After a failure the directory stays, for its logs.

    Raises:
        CommandError: the local stack can't run on this machine.
    """
    refuse_unsupported()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    directory = Path(tempfile.mkdtemp(prefix="leadhook-demo-"))
    # Postgres may have to run as another user, who must get through here; what is secret has its own mode.
    directory.chmod(0o711)
    code = 1
    try:
        code = _run_in(directory, say)
    finally:
        if code != 1:
            shutil.rmtree(data_directory(directory), ignore_errors=True)
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _run_in(directory: Path, say: Callable[[str], None]) -> int:
    console = console_of()
    try:
        with running(Options(directory), say) as (stack, facts):
            say(f"ready       {stack.state.facts_file} has addresses and keys")
            found = play(facts, console, stack.supervisor.check)
            if found:
                log = directory / "service.log"
                say(f"\nThe service's log is {log}; its end:\n{_tail(log)}")
            else:
                say(_NEXT)
            say("")
    except Stopped:
        say("interrupted; everything is stopped")
        return INTERRUPTED
    except (CommandError, psycopg.Error) as error:
        say(f"The demo failed: {error}\nThe logs are in {directory}.")
        return 1
    return 1 if found else 0


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
