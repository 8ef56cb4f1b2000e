"""Prints what commands have to say: text for people, or one JSON object for programs; and asks before costly steps."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from leadhook.command_error import CommandError, MisuseError
from leadhook.terminal import printable

INDENT: Final = 2
_NAME_WIDTH: Final = 8
_UNLIMITED: Final = 100_000


def open_console(*, to_stderr: bool = False) -> Console:
    """Open standard output, or standard error if a program reads the output. Text is never taken for markup."""
    console = Console(highlight=False, markup=False, emoji=False, stderr=to_stderr)
    if not console.is_terminal:
        console.width = _UNLIMITED
    return console


def line(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Print one line, wrapped between words on a terminal only."""
    if console.is_terminal:
        console.print(Padding(Text(printable(text), style=style), (0, 0, 0, indent), expand=False))
    else:
        console.print(Text(" " * indent + printable(text), style=style), soft_wrap=True)


def entry(console: Console, name: str, words: str, *, width: int = _NAME_WIDTH, style: str = "bold") -> None:
    """Print a name and its value in two columns."""
    if console.is_terminal:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=width)
        grid.add_column(overflow="fold")
        grid.add_row(Text(name, style=style), Text(printable(words)))
        console.print(grid)
    else:
        console.print(Text(f"{name:{width}} {printable(words)}"), soft_wrap=True)


def paragraph(console: Console, text: str, style: str = "") -> None:
    """Print indented text; its line breaks are kept."""
    for part in text.splitlines() or [""]:
        line(console, part, style, indent=INDENT)


def table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: folded to the width of a terminal, in full for a program; nothing is cut."""
    grid = Table(*(Column(name, overflow="fold") for name in columns))
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    console.print(grid)


def print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=2)}\n")


def confirm(question: str, remedy: str) -> None:
    """Ask on the terminal; returns when the answer is yes. `remedy` names the option that answers so.

    Raises:
        CommandError: any other answer.
        MisuseError: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise MisuseError(f"nothing was changed: there is no terminal to ask at. {remedy}")
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was changed")
