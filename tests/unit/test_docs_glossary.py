"""docs/glossary.md is short, and each word has one entry and one sentence."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MOST: Final = 25
ENTRIES: Final = re.findall(
    r"^\| \*\*([^|]+)\*\* \| ([^|]+) \|", (ROOT / "docs/glossary.md").read_text(), flags=re.MULTILINE
)


def test_the_glossary_is_short_and_has_each_word_once() -> None:
    """A word has one meaning."""
    words = [word.strip() for entry, _ in ENTRIES for word in entry.split(",")]
    assert 15 < len(ENTRIES) <= MOST
    assert len(words) == len(set(words))


def test_each_word_is_explained_in_one_sentence() -> None:
    """It begins with a capital and ends with the only full stop."""
    wrong = [word for word, text in ENTRIES if not re.fullmatch(r"[A-Z`][^.]*(?:\.\w[^.]*)*\.", text.strip())]
    assert wrong == []


def test_the_readme_links_the_glossary_before_it_uses_its_words() -> None:
    """In the part that everybody reads first, above the first table."""
    readme = (ROOT / "README.md").read_text()
    assert "(docs/glossary.md)" in readme.partition("\n## See it work\n")[0]
