"""Finds sentences that claim an acquaintance, or mention how the message was made.

`facts.toml` lists wordings. `sentences.toml` has patterns for what such sentences have in common (who, what kind of
contact or work, and when), which also find wordings that are not listed.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from typing import Any, Final

from leadhook.gemini.words import FACTS, Finder, load

_LEAK: Final[dict[str, Any]] = FACTS["leak"]
_SENTENCES: Final[dict[str, dict[str, Any]]] = load("sentences.toml")
_WISHES: Final[dict[str, str]] = _SENTENCES.pop("wishes")
_PRIVATE: Final = "private"
"""The kind that even questions and wishes must not mention."""
_QUESTION: Final = re.compile("[^.!\n\u3002\uff01]*[?\uff1f\u061f]")
_ENDS: Final = re.compile("[.!?\n\u3002\uff01\uff1f\u061f]")
_WORD: Final = re.compile(r"\w+")
_LETTERS: Final = re.compile(r"\w+(?![?*+{])")


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


class _Built:
    """The patterns of one language, by their first word.

    Only those are compiled and tried whose first word, or the letters that it begins with, stand in the text: most
    patterns never are, and compiling all of a language takes 0.1 s and 5 MB.
    """

    def __init__(self, language: str) -> None:
        self._has_blanks = language != "zh"
        self._stems: set[str] = set()
        self._rests: dict[str, list[str]] = {}
        self._kinds: dict[str, dict[str, str]] = {}
        self._any_of: Final = cache(lambda first: re.compile(self._begun(first, "|".join(self._rests[first]))))
        for kind, words in _SENTENCES.items():
            for pattern in words.get(language, ()):
                for choice in _beginnings(pattern):
                    first, is_word = _first_word(choice)
                    self._rests.setdefault(first, []).append(choice[len(first) :])
                    self._kinds.setdefault(first, {})[pattern] = kind
                    if not (is_word and self._has_blanks):
                        self._stems.add(first)

    def found_in(self, text: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the kind and the place of each sentence; of one that fits two patterns, both."""
        words = self._rests.keys() & set(_WORD.findall(text))
        for first in words.union(stem for stem in self._stems if stem in text):
            if self._any_of(first).search(text):
                for pattern, kind in self._kinds[first].items():
                    yield from ((kind, found) for found in re.finditer(self._begun("", pattern), text))

    def _begun(self, first: str, rest: str) -> str:
        # What may not stand before is looked at last: `re` finds a pattern faster that begins with letters.
        return f"{first}(?<!\\w{first})(?:{rest})" if self._has_blanks else f"{first}(?:{rest})"


_built: Final = cache(_Built)


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
            for match in self._built[kind]:
                is_claim = kind == _PRIVATE or not self._is_open(*match.span())
                if is_claim and not _is_sourced(words["sources"], sources):
                    yield match[0]

    def about_itself(self, sources: Iterable[str], given: Iterable[str]) -> Iterator[str]:
        """Yield words that mention scores, instructions or how the message was made.

        Args:
            sources: all of them, in lower case: a lead may work on scores and models.
            given: those of the sender, in lower case.
        """
        found = (words for _, words in _ITSELF.found_in(self._text, self._places))
        built = (match[0] for match in self._built["leak"])
        topics = (words for _, words in _TOPICS.found_in(self._text, self._places))
        yield from (words for words in found if not any(words in text for text in given))
        yield from (words for words in topics if not any(words in text for text in sources))
        yield from (words for words in built if not any(words in text for text in given))

    @cached_property
    def _built(self) -> dict[str, list[re.Match[str]]]:
        """The sentences that fit a pattern, by kind and in order; the longer one first of two that begin alike."""
        found: dict[str, list[re.Match[str]]] = {kind: [] for kind in _SENTENCES}
        for language in self._languages:
            for kind, match in _built(language).found_in(self._text):
                found[kind].append(match)
        for matches in found.values():
            matches.sort(key=lambda match: (match.start(), -match.end()))
        return found

    def _is_open(self, start: int, end: int) -> bool:
        """Whether the sentence of these words is a question or a wish."""
        text = self._text
        if _QUESTION.match(text, end):
            return True
        begin = max((match.end() for match in _ENDS.finditer(text, 0, start)), default=0)
        stop = _ENDS.search(text, end)
        sentence = text[begin : stop.start() if stop else len(text)]
        return any(re.search(_WISHES[language], sentence) for language in self._languages & _WISHES.keys())


def _first_word(pattern: str) -> tuple[str, bool]:
    """Return the letters that a pattern begins with, and whether they are a whole word."""
    letters = _LETTERS.match(pattern)
    first = letters[0] if letters else ""
    return first, pattern.startswith((" ", "\\b"), len(first))


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
    """Yield each bracket or bar that is not escaped, and how many brackets are open after it."""
    depth = 0
    for found in re.finditer(r"(?<!\\)[()|]", pattern):
        depth += (found[0] == "(") - (found[0] == ")")
        yield found.start(), found[0], depth


def _is_sourced(words: list[str], sources: Iterable[str]) -> bool:
    return any(word in text for word in words for text in sources)
