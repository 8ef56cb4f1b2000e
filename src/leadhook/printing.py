"""A line of a command's output: broken between words on a terminal, and whole for a program that reads it."""

import shutil
import sys
import textwrap
from typing import TextIO


def tell(line: str, file: TextIO | None = None) -> None:
    """Print it at once; what a wrapped line goes on with is indented below its own beginning."""
    file = file or sys.stdout
    if file.isatty():
        line = "\n".join(_wrap(part) for part in line.split("\n"))
    print(line, file=file, flush=True)


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
