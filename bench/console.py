"""What is shown while it is measured, apart from the results: those go to standard output."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_console: Final = Console(stderr=True, highlight=False, markup=False)


def say(line: str) -> None:
    """A line of progress."""
    _console.print(line, soft_wrap=True)


def track(items: Iterable[Item], words: str) -> Iterator[Item]:
    """The same items, with a bar on a terminal and one line elsewhere."""
    listed = list(items)
    if not _console.is_terminal:
        say(f"{words} ({len(listed)})")
        yield from listed
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        yield from progress.track(listed, description=words)
