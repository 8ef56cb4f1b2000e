"""Detects text in a lead that looks like an attempt to manipulate the model.

The signals are words in about fifteen languages, with false negatives and occasional false positives, so a signal alone
decides nothing: a high score of such a lead is checked by a second one without its free text.
"""

import re
import unicodedata
from bisect import bisect_left
from typing import Final

from leadhook.gemini.words import Finder, load

REACH: Final = 60
"""Maximum distance, in characters, between a word and one of its `near` words."""
LONGEST_WORD: Final = 100
"""A longer run of characters without a space that is not a URL counts as encoded text."""

_MOST_PLACES: Final = 20
_LONG_WORD: Final = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
_SIGNALS: Final[dict[str, list[dict[str, list[str]]]]] = load("injection_signals.toml")
_FINDER: Final = Finder(
    word for signals in _SIGNALS.values() for signal in signals for words in signal.values() for word in words
)


def find_signals(rendered: str) -> tuple[str, ...]:
    """Return the codes of the signals found in a rendered lead, each once."""
    plain = (rendered if rendered.isascii() else unicodedata.normalize("NFKC", rendered)).casefold()
    plain = plain.replace("\n| ", "\n")
    if "  " in plain:
        plain = "\n".join(" ".join(line.split()) for line in plain.split("\n"))
    places = _FINDER.places(plain)
    codes = tuple(
        code
        for code, signals in _SIGNALS.items()
        if any(_occurs(places, signal["words"], signal.get("near")) for signal in signals)
    )
    return (*codes, "encoded_text") if "encoded_text" not in codes and _is_encoded(plain) else codes


def _occurs(places: dict[str, list[int]], words: list[str], near: list[str] | None) -> bool:
    found = [word for word in words if word in places]
    if near is None or not found:
        return bool(found)
    others = [other for other in near if other in places]
    return any(
        _has_between(places[other], place - REACH, place + len(word) + REACH - len(other))
        for other in others
        for word in found
        for place in places[word][:_MOST_PLACES]
    )


def _has_between(places: list[int], first: int, last: int) -> bool:
    after = bisect_left(places, first)
    return after < len(places) and places[after] <= last


def _is_encoded(plain: str) -> bool:
    return any(word.isascii() and "://" not in word for word in _LONG_WORD.findall(plain))
