"""Lines of the commands: whole for programs, broken between words for people."""

import io

import pytest

from leadhook.printing import tell

LINE = "  - public.prompts: user_id uuid, tag text\nhttps://leads.example.com/webhooks/leads?a=much-too-long-for-it"


def test_a_program_gets_each_line_as_it_is() -> None:
    """`grep` finds what was said."""
    file = io.StringIO()
    tell(LINE, file=file)
    assert file.getvalue() == f"{LINE}\n"


def test_a_terminal_gets_no_broken_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on stands below its own beginning; an address stays one that can be copied."""
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "24")
    tell(LINE, file=file)
    assert file.getvalue().splitlines() == [
        "  - public.prompts:",
        "    user_id uuid, tag",
        "    text",
        "https://leads.example.com/webhooks/leads?a=much-too-long-for-it",
    ]
