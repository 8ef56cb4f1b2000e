"""Live progress: a line for each answer, and a bar where there is a terminal."""

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leadhook.local.demo.results import DemoResults, DemoRow

LOOK_EACH_S: Final = 0.2


def watch(results: DemoResults, check: Callable[[], None], console: Console, deadline_s: float) -> list[DemoRow]:
    """Show answers as they arrive, until all are there or the deadline has passed; returns the rows as they stand.

    Args:
        results: the leads.
        check: called between looks; what it raises ends the watch.
        console: where to show them.
        deadline_s: seconds from now.
    """
    columns = (TextColumn("answered"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        rows = results.read()
        bar = progress.add_task("", total=len(rows))
        shown: set[str] = set()
        while True:
            fresh = [row for row in rows if row.answered and row.lead_id not in shown]
            for row in fresh:
                shown.add(row.lead_id)
                line = _line(row, len(shown), len(rows), time.monotonic() - started)
                progress.console.print(line, no_wrap=True, overflow="ellipsis")
            progress.update(bar, completed=len(shown))
            if len(shown) == len(rows) or time.monotonic() - started > deadline_s:
                return rows
            check()
            time.sleep(LOOK_EACH_S)
            rows = results.read()


def _line(row: DemoRow, count: int, total: int, passed_s: float) -> str:
    return f"{passed_s:6.1f} s  {count:2d}/{total}  score {row.score:3d}  {row.label}"
