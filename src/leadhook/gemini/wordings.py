"""Sentences that claim an acquaintance, or speak of how the message was made: by lists of wordings, and by their build.

`facts.toml` has the wordings. `sentences.toml` has patterns for what such sentences have in common (who, what kind of
contact or work, and when), which also find wordings that no list has.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib import resources
from typing import Any, Final

from leadhook.gemini.words import FACTS, Finder

_LEAK: Final[dict[str, Any]] = FACTS["leak"]
_SENTENCES: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    (resources.files(__package__) / "sentences.toml").read_text(encoding="utf-8")
)
_WISHES: Final[dict[str, str]] = _SENTENCES.pop("wishes")
_PRIVATE: Final = "private"
"""Of this, not even a question or a wish may speak."""
_QUESTION: Final = re.compile("[^.!\n\u3002\uff01]*[?\uff1f\u061f]")
_ENDS: Final = re.compile("[.!?\n\u3002\uff01\uff1f\u061f]")


class _Listed:
    """Phrases, which begin where a word does, and patterns, which are tried only where one of their hints stands."""

    def __init__(self, words: dict[str, list[str]]) -> None:
        self.ranks = {phrase.partition("…")[0]: rank for rank, phrase in enumerate(words["phrases"])}
        self._ends = {first: end for phrase in words["phrases"] for first, gap, end in [phrase.partition("…")] if gap}
        self.hints = [frozenset(hints.split("|")) for hints in words["hints"]]
        self._patterns = words["patterns"]

    def found_in(self, text: str, places: dict[str, list[int]]) -> Iterator[tuple[int, str]]:
        """Yield the place and the words of each."""
        for phrase in sorted(places.keys() & self.ranks.keys(), key=self.ranks.__getitem__):
            if phrase in self._ends:
                gap = "[^\uff0c\u3002\uff01\uff1f,.!?\n]{1,12}"
                if found := re.search(f"{phrase}{gap}{self._ends[phrase]}", text):
                    yield found.start(), found[0]
            elif (at := next(_word_begins(text, phrase, places[phrase]), None)) is not None:
                yield at, phrase
        for hints, pattern in zip(self.hints, self._patterns, strict=True):
            if not hints.isdisjoint(places):
                yield from ((found.start(), found[0]) for found in re.finditer(pattern, text))


def _word_begins(text: str, phrase: str, places: list[int]) -> Iterator[int]:
    return (at for at in places if phrase[0] > "\u0600" or not text[at - 1 : at].isalpha())


_ACQUAINTANCE: Final = [(_Listed(words), words["sources"]) for words in FACTS["acquaintance"].values()]
_ITSELF: Final = _Listed(_LEAK)
_TOPICS: Final = _Listed(_LEAK["topics"])
_FINDER: Final = Finder(
    word
    for listed in (_ITSELF, _TOPICS, *(listed for listed, _ in _ACQUAINTANCE))
    for word in (*listed.ranks, *(hint for hints in listed.hints for hint in hints))
)


class Wordings:
    """The wordings of a message.

    Args:
        text: the message, in lower case.
        languages: those that it may be in.
    """

    def __init__(self, text: str, languages: frozenset[str]) -> None:
        self._text = text
        self._languages = languages
        self._places = _FINDER.places(text)

    def of_acquaintance(self, sources: Iterable[str]) -> Iterator[str]:
        """Yield words that claim acquaintance and of which no source speaks. Questions and wishes claim nothing.

        Args:
            sources: their texts, in lower case.
        """
        for listed, sourced in _ACQUAINTANCE:
            for at, found in listed.found_in(self._text, self._places):
                if not self._is_open(at, at + len(found)) and not _is_sourced(sourced, sources):
                    yield found
        for kind, words in _SENTENCES.items():
            if kind == "leak":
                continue
            for match in self._built(kind):
                is_claim = kind == _PRIVATE or not self._is_open(*match.span())
                if is_claim and not _is_sourced(words["sources"], sources):
                    yield match[0]

    def about_itself(self, sources: Iterable[str], given: Iterable[str]) -> Iterator[str]:
        """Yield words by which the message speaks of scores, of instructions or of how it was made.

        Args:
            sources: all of them, in lower case: a lead may work on scores and models.
            given: those of the sender, in lower case.
        """
        found = (words for _, words in _ITSELF.found_in(self._text, self._places))
        built = (match[0] for match in self._built("leak"))
        topics = (words for _, words in _TOPICS.found_in(self._text, self._places))
        yield from (words for words in found if not any(words in text for text in given))
        yield from (words for words in topics if not any(words in text for text in sources))
        yield from (words for words in built if not any(words in text for text in given))

    def _built(self, kind: str) -> Iterator[re.Match[str]]:
        for language in self._spoken:
            if language in _SENTENCES[kind]:
                yield from _sentence(kind, language).finditer(self._text)

    @cached_property
    def _spoken(self) -> list[str]:
        """The languages of which some pattern fits. Hardly ever one does, and looking for any is five times faster."""
        return [language for language in sorted(self._languages) if _any_sentence(language).search(self._text)]

    def _is_open(self, start: int, end: int) -> bool:
        """Whether the sentence of these words is a question or a wish."""
        text = self._text
        if _QUESTION.match(text, end):
            return True
        begin = max((match.end() for match in _ENDS.finditer(text, 0, start)), default=0)
        stop = _ENDS.search(text, end)
        sentence = text[begin : stop.start() if stop else len(text)]
        return any(re.search(_WISHES[language], sentence) for language in self._languages & _WISHES.keys())


@cache
def _sentence(kind: str, language: str) -> re.Pattern[str]:
    return _compiled(_SENTENCES[kind][language], language)


@cache
def _any_sentence(language: str) -> re.Pattern[str]:
    """Return one pattern of all kinds, in groups by their first letter, because `re` skips those of other letters."""
    by_letter: dict[str, list[str]] = {}
    for words in _SENTENCES.values():
        for pattern in words.get(language, ()):
            for choice in _beginnings(pattern):
                is_letter = choice[:1].isalpha() and choice[1:2] not in {"?", "*", "+", "{"}
                letter = choice[0] if is_letter else ""
                by_letter.setdefault(letter, []).append(choice[len(letter) :])
    return _compiled([f"{letter}(?:{'|'.join(choices)})" for letter, choices in by_letter.items()], language)


def _compiled(patterns: list[str], language: str) -> re.Pattern[str]:
    begin = "" if language == "zh" else r"(?<!\w)"
    return re.compile(f"{begin}(?:{'|'.join(patterns)})")


def _beginnings(pattern: str) -> list[str]:
    """Return patterns that together fit what this one does, with the choices that it begins with written out."""
    choices = _choices(pattern)
    if len(choices) > 1:
        return [one for choice in choices for one in _beginnings(choice)]
    if not pattern.startswith("(?:"):
        return [pattern]
    end = _closing(pattern)
    inner, rest = _choices(pattern[3:end]), pattern[end + 1 :]
    if rest[:1] in {"{", "*", "+"}:
        return [pattern]
    is_optional = rest.startswith("?")
    rest = rest.removeprefix("?")
    return [one for choice in ([*inner, ""] if is_optional else inner) for one in _beginnings(choice + rest)]


def _choices(pattern: str) -> list[str]:
    ends = [at for at, sign, depth in _depths(pattern) if sign == "|" and depth == 0]
    return [pattern[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)]


def _closing(pattern: str) -> int:
    return next(at for at, sign, depth in _depths(pattern) if sign == ")" and depth == 0)


def _depths(pattern: str) -> Iterator[tuple[int, str, int]]:
    """Yield each sign that is not escaped, and how many brackets are open after it."""
    depth = 0
    for found in re.finditer(r"(?<!\\)[()|]", pattern):
        depth += (found[0] == "(") - (found[0] == ")")
        yield found.start(), found[0], depth


def _is_sourced(words: list[str], sources: Iterable[str]) -> bool:
    return any(word in text for word in words for text in sources)
