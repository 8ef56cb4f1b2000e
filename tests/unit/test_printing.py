"""Lines of the commands: whole for programs, broken between words for people."""

import io
import os
import subprocess
import sys

import pytest

from leadhook.cli.printing import print_line

LINE = "  - public.prompts: user_id uuid, tag text\nhttps://leads.example.com/webhooks/leads?a=much-too-long-for-it"


def test_a_program_gets_each_line_as_it_is() -> None:
    """`grep` finds what was said."""
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


@pytest.mark.parametrize(
    ("redirection", "environment"),
    [
        (">&-", {}),
        ("2>&- >&-", {}),
        ("| true", {}),
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
        "    [printing.print_line('\\u738b said') for _ in range(20_000)]\n"
        "    line(open_console(), '\\u738b said')\n"
        "cli.app, sys.argv = say, ['leadhook', 'status']\n"
        "cli.main()"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, script],
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert "cat" not in redirection or " said" in done.stdout.splitlines()[-1]
