"""The demo from the first insert to the last line, on a stack that runs."""

import io
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import psycopg
from rich.console import Console

from leadhook.local.demo.progress import LOOK_EACH_S, watch
from leadhook.local.demo.report import faults, show_answers, show_last, show_summary, show_table
from leadhook.local.demo.results import DemoResults
from leadhook.local.demo.standin import calls_counted
from leadhook.local.sample import insert_one_more, insert_sample

DEADLINE_S: Final = 120
QUIET_S: Final = 4.0
"""After a burst, pg_net's worker looks for requests only once a second, until it finds none and its flag was not set
meanwhile. A webhook then waits for up to a second: it did 2.5 s after the sample's leads, and no longer after 3.5 s."""
_PLAIN_WIDTH: Final = 120

Check = Callable[[], None]
"""Raises when the stack has died, or was asked to stop."""


def console_of() -> Console:
    """The terminal; where there is none, as wide as the table wants to be."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)


def play(facts: dict[str, object], console: Console, check: Check) -> list[str]:
    """Bring in the sample, watch it being answered, show what came of it, then one more lead alone.

    Args:
        facts: of the stack, as in local.json.
        console: where to show it.
        check: called several times a second.

    Returns:
        What is not as promised, in sentences that were shown.
    """
    database_url, gemini_url = str(facts["database_url"]), str(facts["gemini_url"])
    quiet = partial(_keep_quiet, check)
    counted_before = calls_counted(gemini_url)
    console.print(
        '\nLeads and their details are inserted. Then a user presses "run", which inserts'
        "\nthe prompts row: its commit makes the leads eligible, and its webhook wakes the\nservice.\n"
    )
    sample = insert_sample(database_url, pause=quiet)
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = watch(DemoResults(connection, sample), check, console, DEADLINE_S)
        counted = calls_counted(gemini_url)
        show_table(rows, console)
        show_summary(rows, None if counted is None or counted_before is None else counted - counted_before, console)
        show_answers(rows, console)
        found = faults(rows)
        if not found:
            console.print("\nOne more lead, alone, after a quiet moment, with keys that have been tried:")
            quiet()
            one_more = insert_one_more(database_url)
            last = watch(DemoResults(connection, one_more), check, console, DEADLINE_S)
            show_last(last, console)
            found = faults(last)
    for fault in found:
        console.print(fault, soft_wrap=True)
    return found


def _keep_quiet(check: Check) -> None:
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        check()
        time.sleep(LOOK_EACH_S)
