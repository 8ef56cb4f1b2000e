"""docs/glossary.md is short, and each word has one entry and one sentence."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
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
