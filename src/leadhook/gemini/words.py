"""The word lists of the checks on messages, and words in the form in which they are compared."""

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from ahocorasick import Automaton
from anyascii import anyascii


def load(name: str) -> Any:
    """Return the content of one of this package's word lists."""
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return tomllib.loads(text) if name.endswith(".toml") else json.loads(text)


FACTS: Final[dict[str, Any]] = load("facts.toml")
WORDS: Final[dict[str, dict[str, list[str]]]] = load("words.toml")

_WORD: Final = re.compile(r"[\w']+")
_ACCENTS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u093c\u094d\u3099\u309a]"
)
_SOUNDS: Final = (
    *(("tsch", "c"), ("sch", "s"), ("sh", "s"), ("ch", "k"), ("kh", "k"), ("ph", "f"), ("th", "t"), ("ck", "k")),
    *(("ce", "se"), ("ci", "si"), ("x", "ks"), ("q", "k"), ("c", "k"), ("g", "k"), ("v", "f"), ("w", "f")),
    *(("z", "s"), ("d", "t"), ("b", "p")),
)
"""Spellings and the sound they stand for, in the order in which they are replaced."""


def fold(text: str) -> str:
    """Return a text in small letters, without accents and punctuation, one blank between words."""
    if text.isascii():
        return " ".join(_WORD.findall(text.lower().replace("_", " ")))
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
        text = text.replace("ł", "l").replace("ø", "o").replace("\u0131", "i")
    return " ".join(_WORD.findall(text.replace("_", " ")))


class Finder:
    """Finds any number of words in one pass over a text; searching for one word at a time is ten times slower."""

    def __init__(self, words: Iterable[str]) -> None:
        self._automaton = Automaton()
        for word in words:
            self._automaton.add_word(word, word)
        self._automaton.make_automaton()

    def places(self, text: str) -> dict[str, list[int]]:
        """Return the words that stand in a text, each with the places where it begins, in order."""
        places: dict[str, list[int]] = {}
        for end, word in self._automaton.iter(text) if len(self._automaton) else ():
            places.setdefault(word, []).append(end - len(word) + 1)
        return places


fold_word: Final = lru_cache(maxsize=4096)(fold)
"""`fold` for words and short phrases, which are compared again and again."""


@lru_cache(maxsize=4096)
def sound(word: str) -> str:
    """Return the consonants of a word, written in Latin letters, so that spellings of one name come out alike."""
    plain = re.sub("[^a-z]", "", anyascii(word).lower())
    for written, heard in _SOUNDS:
        plain = plain.replace(written, heard)
    return re.sub(r"(.)\1+", r"\1", plain[:1] + re.sub("[aeiouyhj]", "", plain[1:]))


@cache
def places() -> dict[str, frozenset[str]]:
    """Return the names of countries and large cities in many languages, folded, each with the places that it may mean.

    The file has them folded, from Unicode's CLDR (territories and time zones) and a list of other large cities.
    """
    named: dict[str, frozenset[str]] = {}
    for place, names in load("places.json").items():
        alone = frozenset([place])  # one set for all names of a place: most mean no other
        for name in names:
            named[name] = named[name] | alone if name in named else alone
    return named


@cache
def everyday() -> dict[str, frozenset[str]]:
    """Return the words for languages, days and months, and currencies that may have a capital and are no names.

    The file is made from Unicode's CLDR, in ten languages.
    """
    return {kind: frozenset(words) for kind, words in load("everyday.json").items()}


@cache
def place_starts() -> frozenset[str]:
    """Return the first words of the names that have several; looking for them first is much faster."""
    return frozenset(name.partition(" ")[0] for name in places() if " " in name)
