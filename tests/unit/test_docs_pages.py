"""The pages name what the code has, and the glossary is short."""

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from leadhook.install.tables import COLUMNS

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


TABLES: Final = (ROOT / "docs/tables.md").read_text()


@pytest.mark.parametrize("table", COLUMNS)
def test_the_page_has_each_column_that_the_installer_checks(table: str) -> None:
    """Name, type and use, in the section of its table, and no other column."""
    section = TABLES.partition(f"## `{table}`\n")[2].partition("\n## ")[0]
    documented = [line for line in section.splitlines() if line.startswith("| `")]
    assert documented == [
        f"| `{column.name}` | `{column.type}`{', no other' if column.is_fixed else ''} | {column.use} |"
        for column in COLUMNS[table]
    ]


MOST: Final = 25
ENTRIES: Final = re.findall(
    r"^\| <a id=\"([\w-]+)\"></a>\*\*([^|]+)\*\* \| ([^|]+) \|",
    (ROOT / "docs/glossary.md").read_text(),
    flags=re.MULTILINE,
)
"""The anchor, the word and the meaning of each row."""
EVERYDAY: Final = {"run", "source", "result", "group"}
"""Words that the README also uses with their everyday meaning."""


def test_the_glossary_is_short_and_has_each_word_once() -> None:
    words = [word.strip() for _, entry, _ in ENTRIES for word in entry.split(",")]
    assert 15 < len(ENTRIES) <= MOST
    assert len(words) == len(set(words))


def test_each_word_is_explained_in_one_sentence() -> None:
    wrong = [word for _, word, text in ENTRIES if not re.fullmatch(r"[A-Z`][^.]*(?:\.\w[^.]*)*\.", text.strip())]
    assert wrong == []


def test_the_anchor_of_a_row_is_its_first_word() -> None:
    """So that pages can link to a word."""
    wrong = [anchor for anchor, entry, _ in ENTRIES if anchor != entry.partition(",")[0].replace(" ", "-")]
    assert wrong == []


@pytest.mark.parametrize(("anchor", "word"), [(anchor, entry) for anchor, entry, _ in ENTRIES])
def test_the_readme_links_a_word_where_it_first_uses_it(anchor: str, word: str) -> None:
    """Code, headings and everyday words excepted."""
    readme = re.sub(
        r"^```.*?^```$|^#.*?$|`[^`]*`", "", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    readme = re.sub(r"\[[^\]]*\]\((?!docs/glossary\.md#)[^)]*\)", "", readme)
    use = rf"\b{word}(?:s|d|ed|ing)?\b"
    link = rf"\[[^\]]*{use}[^\]]*\]\(docs/glossary\.md#{anchor}\)"
    first = re.search(link if word in EVERYDAY else f"{link}|{use}", readme, re.IGNORECASE)
    assert first is None or first[0].startswith("["), readme[max(0, first.start() - 60) : first.end() + 60]
