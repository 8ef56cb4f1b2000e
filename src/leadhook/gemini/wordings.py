"""Sentences that claim an acquaintance, or speak of how the message was made: by lists of wordings, and by their build.

`facts.toml` has the wordings. `sentences.toml` has patterns for what such sentences have in common (who, what kind of
contact or work, and when), which also find wordings that no list has.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, Final

from leadhook.gemini.words import FACTS

ACQUAINTANCE: Final[dict[str, dict[str, list[str]]]] = FACTS["acquaintance"]
LEAK: Final[dict[str, Any]] = FACTS["leak"]

_SENTENCES: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    (resources.files(__package__) / "sentences.toml").read_text(encoding="utf-8")
)
_WISHES: Final[dict[str, str]] = _SENTENCES.pop("wishes")
_QUESTION: Final = re.compile("[^.!\n\u3002\uff01]*[?\uff1f\u061f]")
_ENDS: Final = re.compile("[.!?\n\u3002\uff01\uff1f\u061f]")


def claims_of_acquaintance(text: str, languages: frozenset[str], sources: str) -> Iterator[str]:
    """Yield words that claim acquaintance and of which no source speaks. Questions and wishes claim nothing.

    Args:
        text: the message, in lower case.
        languages: those that it may be in.
        sources: their text, in lower case.
    """
    for words in ACQUAINTANCE.values():
        for at, found in _listed(text, words):
            if not _is_open(text, at, at + len(found), languages) and not _is_sourced(words, sources):
                yield found
    for kind, words in _SENTENCES.items():
        if kind == "leak":
            continue
        for match in _built(text, kind, languages):
            if not _is_open(text, *match.span(), languages) and not _is_sourced(words, sources):
                yield match[0]


def words_about_itself(text: str, languages: frozenset[str], sources: str, given: str) -> Iterator[str]:
    """Yield words by which a message speaks of scores, of instructions or of how it was made.

    Args:
        text: the message, in lower case.
        languages: those that it may be in.
        sources: all of them, in lower case: a lead may work on scores and models.
        given: those of the sender, in lower case.
    """
    yield from (found for _, found in _listed(text, LEAK) if found not in given)
    yield from (found for _, found in _listed(text, LEAK["topics"]) if found not in sources)
    yield from (match[0] for match in _built(text, "leak", languages) if match[0] not in given)


def _listed(text: str, words: dict[str, list[str]]) -> Iterator[tuple[int, str]]:
    """Yield the place and the words of phrases, which begin where a word does, and of patterns."""
    for phrase in words["phrases"]:
        first, gap, last = phrase.partition("…")
        if gap and (found := re.search(f"{first}[^\uff0c\u3002\uff01\uff1f,.!?\n]{{1,12}}{last}", text)):
            yield found.start(), found[0]
        elif phrase in text:
            at = text.index(phrase)
            if phrase[0] > "\u0600" or not text[at - 1 : at].isalpha():
                yield at, phrase
    for hints, pattern in zip(words["hints"], words["patterns"], strict=True):
        if any(hint in text for hint in hints.split("|")):
            yield from ((found.start(), found[0]) for found in re.finditer(pattern, text))


def _built(text: str, kind: str, languages: frozenset[str]) -> Iterator[re.Match[str]]:
    for language in sorted(languages & _SENTENCES[kind].keys()):
        yield from _sentence(kind, language).finditer(text)


@cache
def _sentence(kind: str, language: str) -> re.Pattern[str]:
    begin = "" if language == "zh" else r"(?<!\w)"
    return re.compile(f"{begin}(?:{'|'.join(_SENTENCES[kind][language])})")


def _is_open(text: str, start: int, end: int, languages: frozenset[str]) -> bool:
    """Whether the sentence of these words is a question or a wish."""
    if _QUESTION.match(text, end):
        return True
    begin = max((match.end() for match in _ENDS.finditer(text, 0, start)), default=0)
    stop = _ENDS.search(text, end)
    sentence = text[begin : stop.start() if stop else len(text)]
    return any(re.search(_WISHES[language], sentence) for language in languages & _WISHES.keys())


def _is_sourced(words: dict[str, Any], sources: str) -> bool:
    return any(word in sources for word in words["sources"])
