"""The pages for engineers name what the code has: functions, tables, columns, classes and settings."""

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md", "SECURITY.md")


@cache
def words_of_the_code() -> set[str]:
    """Every word of source, SQL, tests and project files."""
    files = [file for folder in ("src", "migrations", "tests") for file in (ROOT / folder).rglob("*.*")]
    texts = [file.read_text() for file in files if file.suffix in {".py", ".sql"} and file != Path(__file__)]
    texts += [(ROOT / name).read_text() for name in ("pyproject.toml", "webhooks.sql", ".env.example")]
    return set(re.findall(r"\w+", "\n".join(texts)))


def names(page: str) -> set[str]:
    """Code spans that are one name: with a dot, an underscore, or a capital within."""
    spans = re.findall(r"`([A-Za-z]\w*(?:\.\w+)*)`", (ROOT / page).read_text())
    return {span for span in spans if re.search(r"[._]|[a-z][A-Z]", span)}


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_a_page_is_in_the_code(page: str) -> None:
    assert len(names(page)) > 5
    assert {name for name in names(page) if not set(name.split(".")) <= words_of_the_code()} == set()
