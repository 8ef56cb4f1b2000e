"""`leadhook local demo`: two dozen sample leads, from the database's change to the saved answer, then a table."""

import io
import os
import signal
import sys
from functools import partial
from types import FrameType

import psycopg
from rich.console import Console

from leadhook.local.demo.progress import watch
from leadhook.local.demo.report import faults, show_summary, show_table
from leadhook.local.demo.results import Results
from leadhook.local.demo.stack import DemoStack, Facts
from leadhook.local.demo.standin import calls_counted
from leadhook.local.failure import LocalStackError
from leadhook.local.sample import insert_sample

DEADLINE_S = 120
INTERRUPTED = 130
PRESSES_RUN_AFTER_S = 2.5
"""Longer than pg_net's pause of a second between batches, so that the prompts row's own ring is what is measured."""
_PLAIN_WIDTH = 150


def run() -> int:
    """Start a stack in a temporary directory, bring in the sample, watch it being answered, stop.

    Returns the exit code: 0 when every lead was answered and found by its ring, 1 when not or when something
    failed, 130 when interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)
    former = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with DemoStack(partial(console.print, soft_wrap=True)) as stack:
            succeeded = _play(stack, stack.wait_until_ready(), console)
            if succeeded:
                stack.forget()
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped")
        return INTERRUPTED
    except (LocalStackError, psycopg.Error) as error:
        console.print(f"the demo failed: {error}")
        return 1
    else:
        return 0 if succeeded else 1
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _play(stack: DemoStack, facts: Facts, console: Console) -> bool:
    counted_before = calls_counted(facts.gemini_url)
    console.print(
        '\nLeads and their details arrive. Then somebody presses "run", which saves the prompts row: its commit'
    )
    console.print("makes the leads eligible, and its ring tells the service.\n")
    sample = insert_sample(facts.database_url, pause_s=PRESSES_RUN_AFTER_S)
    with psycopg.connect(facts.database_url, autocommit=True) as connection:
        rows = watch(Results(connection, sample), stack, console, DEADLINE_S)
    show_table(rows, console)
    counted = calls_counted(facts.gemini_url)
    show_summary(rows, None if counted is None or counted_before is None else counted - counted_before, console)
    found = faults(rows)
    for fault in found:
        console.print(fault)
    if found:
        console.print(f"\nThe service's log is {stack.service_log}; its end:\n{stack.service_tail()}", soft_wrap=True)
    return not found


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
