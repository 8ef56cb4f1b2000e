"""A line of a command's output: broken between words on a terminal, and whole for a program that reads it."""

import os
import shutil
import sys
import textwrap
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from leadhook.terminal import printable


def make_writable() -> None:
    """Let whatever a command says be printed: where an output is closed, in any encoding, at any width.

    A sign that the encoding does not have is shown as its escape, e.g. under LC_ALL=en_US.ISO-8859-1.
    """
    if sys.stdout is None or sys.stderr is None:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="backslashreplace")
    if not os.environ.get("COLUMNS", "").strip("0"):
        # Rich would obey COLUMNS=0 and print nothing.
        os.environ.pop("COLUMNS", None)


def print_line(line: str, file: TextIO | None = None) -> None:
    """Print it at once; what a wrapped line goes on with is indented below its own beginning."""
    file = file or sys.stdout
    parts = map(printable, line.split("\n"))
    print("\n".join(map(_wrap, parts) if file.isatty() else parts), file=file, flush=True)


def _wrap(line: str) -> str:
    return "\n".join(
        textwrap.wrap(
            line,
            width=max(shutil.get_terminal_size().columns, 20),
            subsequent_indent=" " * (len(line) - len(line.lstrip(" -"))),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
