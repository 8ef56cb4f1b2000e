"""Every `leadhook …` that a page, a message or a comment asks a reader to run exists, with its options."""

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import cyclopts
import pytest
from rich.console import Console
from tests.commands import command_paths
from tests.docs_blocks import ROOT, blocks, pages

from leadhook.cli import app

_SPAN: Final = re.compile(r"`([^`]+)`")
_COMMAND: Final = re.compile(r"(?:^|(?<=[\s/(=\"']))leadhook +(?!leadhook\b)(?=[a-z])(?P<words>.*)")
_END: Final = re.compile(r" {2,}|\t| ?&&| ?\|\s| #|[;)`]")
"""Where a command line ends: a column of remarks, another command, a comment."""
_PLACEHOLDER: Final = re.compile(r"[\[\]<>{}$…]|\b[A-Z_]{2,}\b")
"""Marks words that stand for something else; such a line is only looked through for its command and options."""


class Quoted(NamedTuple):
    place: str
    words: str


def in_page(page: Path) -> Iterator[Quoted]:
    """Code spans, which may be broken over two lines, and every line of every block."""
    text = page.read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    texts = [" ".join(span.split()) for span in _SPAN.findall(prose)]
    texts += [line for language, block in blocks(text) if language != "sql" for line in block.splitlines()]
    for found in texts:
        yield from _commands(page, found)


def in_source(file: Path) -> Iterator[Quoted]:
    """Code spans of messages, docstrings and comments; a string that is continued on the next line is joined."""
    text = re.sub(r"[\"']\s*\n\s*f?[\"']|\n\s*(?:#|--)?\s*", " ", file.read_text())
    for span in _SPAN.findall(text):
        if span.startswith("leadhook "):
            yield from _commands(file, " ".join(span.split()))


def _commands(file: Path, text: str) -> Iterator[Quoted]:
    for words in command_lines(text):
        yield Quoted(file.relative_to(ROOT).as_posix(), words)


def command_lines(text: str) -> Iterator[str]:
    """Yield the words after `leadhook` of each command line in a text."""
    for command in _COMMAND.finditer(text):
        yield _END.split(command["words"], maxsplit=1)[0].strip()


PAGES: Final = sorted({quoted for page in pages() for quoted in in_page(page)})
SOURCES: Final = sorted(
    {
        quoted
        for folder, ending in (("src", "py"), ("src", "sql"), ("migrations", "sql"))
        for file in (ROOT / folder).rglob(f"*.{ending}")
        for quoted in in_source(file)
    }
)


def check(words: str) -> None:
    """The command exists, and each of its options; without placeholders the whole line is one that it takes.

    Raises:
        AssertionError, cyclopts.CycloptsError: it does not.
    """
    # Brackets mark what may be left out; a brace that follows a word begins what an f-string adds to it.
    given = shlex.split(re.sub(r"[\[\]]|(?<=\w)(?=\{)|(?<!\S)…", " ", words))
    chain, apps, rest = app.parse_commands(given)
    assert chain, f"there is no command {given[0]!r}"
    command = apps[-1]
    takes_more = command.default_command is not None
    assert takes_more or not rest or rest[0].startswith("-"), f"`leadhook {' '.join(chain)}` has no {rest[0]!r}"
    known = {"--help", "-h", "--version"}
    if takes_more:
        known |= {name for argument in command.assemble_argument_collection() for name in argument.names}
    options = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert options <= known, f"`leadhook {' '.join(chain)}` has no {' '.join(sorted(options - known))}"
    if takes_more and not _PLACEHOLDER.search(words) and not options & {"--help", "-h"}:
        _parse(given)


def _parse(given: list[str]) -> None:
    try:
        app.parse_args(given, exit_on_error=False, print_error=False)
    except cyclopts.MissingArgumentError:
        # A mention of the command in a sentence, without what must follow it.
        return


def test_commands_are_found_in_pages_and_sources() -> None:
    """Or the tests below would say nothing."""
    assert {"README.md", "docs/takeover.md", "docs/deploy.md"} <= {quoted.place for quoted in PAGES}
    assert len(SOURCES) > 10


@pytest.mark.parametrize("quoted", PAGES, ids=lambda quoted: f"{quoted.place}: {quoted.words}")
def test_every_command_of_the_documentation_exists(quoted: Quoted) -> None:
    check(quoted.words)


@pytest.mark.parametrize("quoted", SOURCES, ids=lambda quoted: f"{Path(quoted.place).name}: {quoted.words}")
def test_every_command_of_a_message_exists(quoted: Quoted) -> None:
    check(quoted.words)


def help_text(path: str) -> str:
    """Return what `leadhook COMMAND --help` prints on a wide terminal."""
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    app.help_print(path, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("path", sorted(command_paths(app)))
def test_the_help_of_a_command_has_one_example_that_the_parser_accepts(path: str) -> None:
    """The example calls this very command, with all that it requires."""
    (example,) = re.findall(r"^For example: (.*)$", help_text(path), re.MULTILINE)
    (words,) = command_lines(example)
    given = shlex.split(words)
    chain, _, _ = app.parse_commands(given)
    assert " ".join(chain) == path
    app.parse_args(given, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("path", sorted(command_paths(app)))
def test_the_help_of_a_command_begins_with_its_docstring(path: str) -> None:
    """It is written in one place, and its first line is the entry in the list of commands."""
    command = app
    for name in path.split():
        command = command[name]
    summary = (command.default_command.__doc__ or "").partition("\n")[0]
    assert summary.endswith(".")
    assert [line.strip() for line in help_text(path).splitlines() if line][1] == summary


@pytest.mark.parametrize(
    "words",
    [
        "serv",
        "backlog relase",
        "status --nope",
        "backlog release [--nope] [--limit N]",
        "migrate again",
        "budget set a",
        "uninstall --reason 'b'",
    ],
)
def test_a_command_that_does_not_exist_is_found(words: str) -> None:
    with pytest.raises((AssertionError, cyclopts.CycloptsError)):
        check(words)
