"""Lines of the commands: whole for programs, broken between words for people."""

import io
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console
from tests.conftest import PATIENCE_S

from leadhook.cli.output import entry, line, open_console, paragraph, table
from leadhook.cli.printing import print_line

LINE = "  - public.prompts: user_id uuid, tag text\nhttps://leads.example.com/webhooks/leads?a=much-too-long-for-it"


def test_a_program_gets_each_line_as_it_is() -> None:
    file = io.StringIO()
    print_line(LINE, file=file)
    assert file.getvalue() == f"{LINE}\n"


def test_a_terminal_gets_no_broken_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on stands below its own beginning; an address stays one that can be copied."""
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "24")
    print_line(LINE, file=file)
    assert file.getvalue().splitlines() == [
        "  - public.prompts:",
        "    user_id uuid, tag",
        "    text",
        "https://leads.example.com/webhooks/leads?a=much-too-long-for-it",
    ]


HOSTILE = {
    "escape sequences": ("\x1b]0;owned\x07\x1b[31mA", r"\x1b]0;owned\x07\x1b[31mA"),
    "one-byte controls": ("\x9b31mA\r\x08\x7f", r"\x9b31mA\r\x08\x7f"),
    "direction": ("\u202eA\u2066\u200f", r"\u202eA\u2066\u200f"),
    "invisible": ("A\ufeff\u200b\U000e0041", r"A\ufeff\u200b\U000e0041"),
    "line ends of others": ("A\u2028B\x85C\x0bD", r"A\u2028B\x85C\x0bD"),
    "letters of every script": ("Jos\u00e9 \u738b \u05d0 \U0001f600", "Jos\u00e9 \u738b \u05d0 \U0001f600"),
}


@pytest.mark.parametrize(("given", "shown"), HOSTILE.values(), ids=list(HOSTILE))
def test_nothing_that_is_printed_reaches_the_terminal_as_a_command(
    given: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whichever of our functions: ids come from the application's users, error messages from anyone."""
    print_line(f"lead {given}")
    line(open_console(), given)
    entry(open_console(), "name", given)
    table(open_console(), ["column"], [[given]])
    paragraph(open_console(), f"{given}\nmore")
    printed = capsys.readouterr().out
    assert printed.count(shown) >= 3
    assert not {sign for sign in printed if not sign.isprintable()} - {"\n"}


@pytest.mark.parametrize(
    ("redirection", "environment"),
    [
        (">&-", {}),
        ("2>&- >&-", {}),
        ("| true", {}),
        ("> /dev/full", {}),
        ("| cat", {"PYTHONIOENCODING": "ascii"}),
        ("| cat", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("| cat", {"COLUMNS": "0"}),
    ],
)
def test_no_output_makes_a_traceback(redirection: str, environment: dict[str, str]) -> None:
    """Closed, broken off, in an encoding without the sign, or without any width."""
    script = (
        "import sys\n"
        "from leadhook import cli\n"
        "from leadhook.cli import printing\n"
        "from leadhook.cli.output import line, open_console\n"
        "def say(words):\n"
        "    [printing.print_line('\\u738b said') for _ in range(10_000)]\n"
        "    line(open_console(), '\\u738b said')\n"
        "cli.app, sys.argv = say, ['leadhook', 'status']\n"
        "cli.main()"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, script],
        env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.stderr == ("leadhook: No space left on device\n" if "full" in redirection else "")
    assert "cat" not in redirection or " said" in done.stdout.splitlines()[-1]


UUID_ID = "5f0c2d4e-9a31-4a5b-8c7d-0123456789ab"


def test_a_table_for_a_program_has_each_row_in_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table(open_console(), ["lead", "reason"], [[UUID_ID, "word " * 40]])
    assert [line for line in capsys.readouterr().out.splitlines() if UUID_ID in line and "word " * 39 in line]


def test_a_narrow_terminal_folds_ids_and_cuts_none() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=24, color_system=None)
    table(console, ["lead"], [[UUID_ID]])
    entry(console, "", UUID_ID)
    assert re.sub("[^0-9a-f-]", "", output.getvalue()).count(UUID_ID) == 2
