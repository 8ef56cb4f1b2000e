"""Detects text in a lead that looks like an attempt to manipulate the model.

The signals are words in about fifteen languages, with false negatives and occasional false positives, so a signal alone
decides nothing: a high score of such a lead is checked by a second one without its free text. Searching for one word at
a time is a hundred times faster than one pattern of all words.
"""

import tomllib
import unicodedata
from collections.abc import Iterator
from importlib import resources
from typing import Final

REACH: Final = 60
"""Maximum distance, in characters, between a word and one of its `near` words."""
LONGEST_WORD: Final = 100
"""A longer run of characters without a space that is not a URL counts as encoded text."""

_MOST_PLACES: Final = 20
_SIGNALS: Final[dict[str, list[dict[str, list[str]]]]] = tomllib.loads(
    (resources.files(__package__) / "injection_signals.toml").read_text(encoding="utf-8")
)


def find_signals(rendered: str) -> tuple[str, ...]:
    """Return the codes of the signals found in a rendered lead, each once."""
    plain = (rendered if rendered.isascii() else unicodedata.normalize("NFKC", rendered)).casefold()
    plain = plain.replace("\n| ", "\n")
    if "  " in plain:
        plain = "\n".join(" ".join(line.split()) for line in plain.split("\n"))
    codes = tuple(
        code
        for code, signals in _SIGNALS.items()
        if any(_occurs_in(plain, signal["words"], signal.get("near")) for signal in signals)
    )
    return (*codes, "encoded_text") if "encoded_text" not in codes and _is_encoded(plain) else codes


def _occurs_in(plain: str, words: list[str], near: list[str] | None) -> bool:
    found = [word for word in words if word in plain]
    if near is None or not found:
        return bool(found)
    return any(
        other in plain[max(place - REACH, 0) : place + len(word) + REACH]
        for word in found
        for place in _places(plain, word)
        for other in near
    )


def _places(plain: str, word: str) -> Iterator[int]:
    place = plain.find(word)
    for _ in range(_MOST_PLACES):
        if place < 0:
            return
        yield place
        place = plain.find(word, place + 1)


def _is_encoded(plain: str) -> bool:
    words = plain.split()
    return max(map(len, words), default=0) > LONGEST_WORD and any(
        len(word) > LONGEST_WORD and word.isascii() and "://" not in word for word in words
    )
