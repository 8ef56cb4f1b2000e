"""`python -m bench`: measures, shows tables, and keeps the figures in bench/results/<name>.json."""

import json
import signal
import sys
import time
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, Literal, get_args

from bench.console import say
from bench.machine import Machine, busy_share
from bench.page import renew
from bench.report import keep, show
from bench.stack import BrokenRunError, Stack, running_stack
from cyclopts import App, Parameter

from leadhook.command_error import CommandError

Name = Literal[
    "latency",
    "throughput",
    "queues",
    "instances",
    "memory",
    "idle",
    "triggers",
    "neighbours",
    "calls",
    "console_pages",
    "score",
    "webhooks",
]
NAMES: Final[tuple[Name, ...]] = get_args(Name)
STACKED: Final = frozenset({"latency", "throughput", "idle", "queues", "instances", "memory"})
"""These work on a whole stack, and share one, emptied before each; the others follow when it is gone."""
INTERRUPTED: Final = 130
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = App(
    name="python -m bench",
    help="Measures leadhook on a whole local stack, beside a floor, a ceiling or a baseline of the same run.",
    help_epilogue="The code is 0 unless a run broke: a target that is missed is told in the table and in the JSON "
    "(`met`). Ctrl-C leaves nothing behind. What each figure means: docs/performance.md.",
    version_flags=(),
    result_action="return_int_as_exit_code_else_zero",
    suppress_keyboard_interrupt=False,
)


@app.default
def main(
    *names: Annotated[
        Name,
        Parameter(
            help="latency: commit to first model call (4 min). throughput: a backlog's rate, requests, CPU and memory "
            "(2 min). queues: the same leads on procrastinate and pgqueuer (7 min). instances: 1, 2 and 4 of them "
            "(2 min). memory: over 20,000 leads (2 min). idle: requests while nothing happens (3 min). triggers: what "
            "the application's own writes cost (1 min). neighbours: what they cost other sessions (1 min). calls: what "
            "each call costs in SQL (2 min). console_pages: what each page of the console costs the database (2 min). "
            "score: CPU of a model call beside a bare client's (1 min). webhooks: CPU of a webhook beside a bare "
            "endpoint's (1 min). All of them, one by one, when none is named (26 min)."
        ),
    ],
    short: Annotated[
        bool, Parameter(negative="", help="Seconds instead of minutes: shows that it works, its figures mean nothing.")
    ] = False,
    page: Annotated[
        bool,
        Parameter(negative="", help="Renew what was measured in docs/performance.md, and the README's table."),
    ] = False,
) -> int:
    """Measure one after the other; two at once would measure each other."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        chosen = names or NAMES
        stacked = [name for name in chosen if name in STACKED]
        with running_stack(say) if stacked else nullcontext() as stack:
            files = {name: _run(name, stack, short=short) for name in stacked}
        files |= {name: _run(name, None, short=short) for name in chosen if name not in STACKED}
        if page:
            renew({name: json.loads(file.read_text()) for name, file in files.items()})
    except KeyboardInterrupt:
        say("interrupted; everything is stopped and removed")
        return INTERRUPTED
    except (BrokenRunError, CommandError) as error:
        say(f"the run broke: {error}")
        return 1
    return 0


def _run(name: Name, stack: Stack | None, *, short: bool) -> Path:
    say(f"\n{name}")
    started_at, busy_before = time.monotonic(), busy_share()
    module = import_module(f"bench.{name}")
    if stack is None:
        measurement = module.measure(short=short)
    else:
        measurement = module.measure_on(stack, module.SHORT if short else module.Plan())
    machine = Machine(busy_before, busy_share())
    file = keep(name, measurement, machine, short=short, seconds=time.monotonic() - started_at)
    show(measurement, machine)
    say(f"kept in {file}")
    return file


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # What is left to do takes seconds; a second signal may not stop it in the middle.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(app())
