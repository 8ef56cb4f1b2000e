"""Pages, settings, log events, `--help`, docstrings and comments (SQL too) contain no word of the deny-list below."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from cyclopts import App
from rich.console import Console
from tests.docs_blocks import ROOT, pages
from tests.support.doc_tables import SETTINGS

from leadhook.cli import app
from leadhook.observability.events import Event

DENIED: Final = {
    r"told (of|by)|tells? of|tells?|told|telling|is told|are told": "report, show, say",
    r"nobody|somebody|anybody|everybody": "no one, someone, anyone, everyone",
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again",
    r"in vain": "wasted",
    r"at work": "in progress",
    r"(?<!a policy )of its own": "separate, its",
    r"sa(ys|id) that it": "reports",
    r"rings?|ringing": "webhook",
    r"judg(e|es|ed|ing|ement|ements)|judgments?": "score, check",
    r"touch|touches": "outbox",
    r"drain(s|ed|ing)? (of )?(the )?(outbox|touches|changes)": "apply the outbox",
    r"errands?": "on-demand request",
    r"brakes?": "circuit breaker",
    r"lanes?": "group",
    r"verdicts?": "result",
    r"dossiers?": "lead snapshot",
    r"standing": "diagnosis",
    r"gates?": "admission, pause, budget",
    r"whoever|wherever it stands": "anyone who, if someone",
    r"befalls?|hence|thereby|meanwhile": "happens to, so, in the meantime",
    r"dear(er|est)": "expensive",
    r"no good": "unusable",
    r"shall": "should, must",
    r"spared?": "avoid",
    r"gives? back|given back": "release",
    r"now and then": "occasionally",
}
"""Each pattern, and what to write instead."""

_DENIED: Final = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), instead) for pattern, instead in DENIED.items()]

Line = tuple[str, str]
"""A place, such as a page with its line number, and its text."""


def prose(page: Path) -> Iterator[Line]:
    """Return the lines of a page without code blocks, code spans, link targets and comments.

    Names of tables, JSON keys and commands are written as code and may contain any word.
    """
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", _blank, text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        yield f"{page.name}:{number}", line


def settings() -> Iterator[Line]:
    for row in SETTINGS:
        yield row.name, _without_code(row.meaning)


def events() -> Iterator[Line]:
    for event in Event:
        yield event, _without_code(event.meaning)


def command_help(command: App = app, path: tuple[str, ...] = ()) -> Iterator[Line]:
    """Return the `--help` text of every command, without the names of commands and options."""
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    app.help_print(list(path), console=console)
    assert isinstance(console.file, io.StringIO)
    text = _without_code(console.file.getvalue())
    yield " ".join(("leadhook", *path)), re.sub(r"^Usage:.*$|--[\w-]+|^│ [\w-]+ ", "", text, flags=re.MULTILINE)
    for name in command.resolved_commands():
        if not name.startswith("-"):
            yield from command_help(command[name], (*path, name))


CHECKED: Final = (
    "",
    "cli",
    "doctor",
    "domain",
    "engine",
    "evaluate",
    "gemini",
    "install",
    "local",
    "observability",
    "store",
    "web",
)
"""Packages of `src/leadhook` whose docstrings and comments are checked; an empty name means the modules beside them."""


def remarks(package: str) -> Iterator[Line]:
    folder = ROOT / "src/leadhook" / package
    yield from remarks_in(folder.rglob("*.py") if package else folder.glob("*.py"))


def remarks_in(files: Iterable[Path]) -> Iterator[Line]:
    for file in sorted(files):
        for number, text in (*docstrings(file), *comments(file)):
            yield f"{file.relative_to(ROOT)}:{number}", _without_code(text)


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Return strings that stand alone: docstrings of modules, classes, functions and constants."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def comments(file: Path) -> Iterator[tuple[int, str]]:
    with file.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


_SQL_REMARK: Final = re.compile(r"--.*|comment on \w+ \S+[^;']*is\s+(?:'(?:[^']|'')*'\s*)+")


def sql_remarks() -> Iterator[Line]:
    """Return the comments of all SQL files, and those that they store in the database."""
    for file in (
        ROOT / "webhooks.sql",
        *sorted((ROOT / "migrations").rglob("*.sql")),
        *sorted((ROOT / "src").rglob("*.sql")),
    ):
        text = file.read_text()
        for found in _SQL_REMARK.finditer(text):
            yield f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", _without_code(found[0])


SOURCES: Final[dict[str, Callable[[], Iterator[Line]]]] = {
    **{page.relative_to(ROOT).as_posix(): partial(prose, page) for page in pages()},
    "settings": settings,
    "events": events,
    "help": command_help,
    "sql": sql_remarks,
    **{f"src/leadhook/{package}": partial(remarks, package) for package in CHECKED},
    "tests": lambda: remarks_in((ROOT / "tests").rglob("*.py")),
}


def findings(text: str) -> list[str]:
    """Return each denied word in a text with its replacement."""
    return [f"{found[0]!r}, write: {instead}" for pattern, instead in _DENIED for found in pattern.finditer(text)]


def findings_in(source: str) -> list[str]:
    return [f"{place}: {found}" for place, text in SOURCES[source]() for found in findings(text)]


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_only_plain_words_are_used(source: str) -> None:
    """Code may use any name."""
    assert findings_in(source) == []


def test_findings_reports_denied_words_in_any_case() -> None:
    """Only whole words count."""
    found = ["'Nobody', write: no one, someone, anyone, everyone", "'rings', write: webhook"]
    assert findings("Nobody rings.") == found
    assert findings("The strings are spelling errors about gateways.") == []


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n") + " "


def _without_code(text: str) -> str:
    return re.sub(r"`[^`]*`|\b[A-Z]+(?:_[A-Z]+)+\b", " ", text)
