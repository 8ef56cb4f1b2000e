"""Prints a line of a command's output: wrapped between words on a terminal, unchanged for a program."""

import os
import shutil
import sys
import textwrap
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from leadhook.terminal import printable


def make_writable() -> None:
    """Make printing succeed with closed outputs, in any encoding and at any width.

    A character that the encoding lacks, e.g. under LC_ALL=en_US.ISO-8859-1, is shown as its escape.
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
    """Print at once; the rest of a wrapped line is indented like its beginning."""
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
