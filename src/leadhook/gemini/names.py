"""Finds names of people, companies and places in a message that stand in none of its sources.

A capital makes a name where it does not begin a sentence. German, which writes all nouns with capitals, and scripts
without capitals are read by position: after a greeting, before a legal form, after "bei". Names of countries and large
cities are known in many languages.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from leadhook.gemini.known_names import GENERIC, HAN, NO_CAPITALS, WORD, Names, places_in, stands
from leadhook.gemini.words import FACTS, everyday

_SHORTEST_END: Final = 5
_EVERYDAY: Final = everyday()
_CAPITALS: Final = (
    _EVERYDAY["languages"]
    | _EVERYDAY["currencies"]
    | {word for kind in ("words", "holidays", "nationalities", "titles") for word in FACTS["capitals"][kind]}
)
_LEGAL_FORMS: Final = frozenset(FACTS["capitals"]["legal_forms"])
_ASIDES: Final = frozenset(FACTS["names"]["asides"])
_PERSONS: Final = frozenset(FACTS["capitals"]["persons"])
_BEFORE_NAMES: Final = frozenset(FACTS["german"]["before_names"])
_NOUNS: Final = frozenset(FACTS["german"]["nouns"])
_NOUN_ENDS: Final = (*FACTS["german"]["noun_ends"], *(noun for noun in _NOUNS if len(noun) >= _SHORTEST_END))
_HOME: Final[dict[str, list[str]]] = FACTS["names"]["home"]

_SENTENCE_BEGINS: Final = re.compile(
    r"(?:^|[\n.!?:…\u3002\uff01\uff1f\uff1a])[\s\"'(\u201c\u201e\u00ab\u00bf\u00a1•*\u2013\u2014-]*$"
)
_ABBREVIATED: Final = re.compile(
    r"(?<!['\u2019])\b(?:[^\W\d_]|Dr|Mr|Mrs|Ms|St|Prof|Sr|Sra|Ing|Dott|resp|bzw|vs|Co|No|Nr)\.\s*$"
)
_ELIDED: Final = re.compile(r"[^\W\d_]{1,4}['\u2019](?=[^\W\d_])")
_QUOTE_BEGINS: Final = re.compile('["\u201c\u201e\u00ab\u2018(]$')
_GREETING: Final = re.compile(
    rf"(?im)^\W{{0,4}}(?:{'|'.join(FACTS['capitals']['greetings'])})[ \t]+"
    r"([^\n,!:;.?]{1,60}(?:\.[^\n,!:;?]{1,40})?)[,!:;\uff0c]"
)
_VOCATIVE: Final = re.compile(r",\s+((?:[^\W\d_][\w'\u2019-]*\s?){1,3})[.!?:](?=\s|$)")
_SHOUTED: Final = re.compile(r"(?:\b[A-Z]{2,}\b[ ,!']*){3,}")
_ASKED: Final = re.compile(r"\bP\.?S\.?:? ([^\W\d_]+),|(?:^|[.!?\n][ \n]{0,4})([^\W\d_]+),[^.!?\n]*\?")

_SCRIPTS_WITHOUT: Final = re.compile(f"[{NO_CAPITALS}]")


def _patterns(kind: str) -> tuple[re.Pattern[str], ...]:
    names = FACTS["names"]
    filled = (
        pattern.replace("<han>", f"[{HAN}]")
        .replace("<han-range>", HAN)
        .replace("<surname>", f"[{names['chinese_surnames']}]")
        for pattern in names["patterns"][kind]
    )
    return tuple(map(re.compile, filled))


_COMPANIES: Final = _patterns("companies")
_EMPLOYERS: Final = _patterns("employers")
_PEOPLE: Final = _patterns("people")
_TRANSCRIBED: Final = re.compile(f"[{FACTS['names']['chinese_transcription']}]{{4,}}")
_NO_NAMES: Final = tuple(GENERIC)
_CHINESE_GENERIC: Final = re.compile("|".join(FACTS["names"]["chinese_generic"]))
_CHINESE_COMPANIES: Final = re.compile(f"(?:{'|'.join(FACTS['names']['chinese_companies'])})+")
_MONTHS: Final = _EVERYDAY["calendar"].union(FACTS["capitals"]["months"])


def unknown_names(subject: str, text: str, sources: Iterable[Names], languages: frozenset[str]) -> Iterator[str]:
    """Yield the names in a message that no source has."""
    known = tuple(sources)
    is_german = "de" in languages
    text = _SHOUTED.sub(lambda found: found[0].lower(), text)
    words, title = list(_capitals(text)), list(_capitals(subject))
    found = {*_people(text, words, is_german=is_german), *_before_legal_forms(words), *_without_capitals(text)}
    found.update(_german(words) if is_german else _names(words))
    if not is_german and not _is_title_case(subject):
        found.update(_names(title))
    yield from sorted(name for name in found if not stands(name, known))
    places = (*places_in(subject), *places_in(text))
    for name, ids in ((name, ids) for name, ids in places if not _is_ordinary(name)):  # Easter is an island, too
        is_home = any(not ids.isdisjoint(_HOME.get(language, ())) for language in languages)
        if not is_home and not stands(name, known) and all(ids.isdisjoint(source.places) for source in known):
            yield name


class _Word:
    """A word of a message that is in a script with capitals."""

    __slots__ = ("before", "end", "is_capital", "start", "text", "word")

    def __init__(self, found: re.Match[str], text: str, before: "_Word | None" = None) -> None:
        self.word, self.text, self.before = found[0], text, before
        self.start, self.end = found.span()
        if "'" in self.word or "\u2019" in self.word or self.word[-1] in ".&":
            if self.word[0].islower() and (elided := _ELIDED.match(self.word)):  # d'Helsinki
                self.start += elided.end()
            self.word = text[self.start : self.end].removesuffix("'s").removesuffix("\u2019s").rstrip(".&")
        self.is_capital = self.word[:1].isupper()

    @property
    def follows(self) -> bool:
        """Whether only a blank or an "and" sign stands between the word before and this one."""
        return self.before is not None and self.text[self.before.end : self.start] in {" ", " & ", " + ", "\u00a0"}

    @property
    def begins(self) -> bool:
        """Whether it begins a sentence. A name in quotation marks does not, a quoted sentence does."""
        left = self.text[max(0, self.start - 12) : self.start]
        if _QUOTE_BEGINS.search(left) and not _is_short_quote(self.text, self.end):
            return True
        return not left.endswith(("«", "„", "“")) and _begins_sentence(self.text, self.start)


def _begins_sentence(text: str, start: int) -> bool:
    left = text[max(0, start - 12) : start]
    if start == 0 or not left.strip():
        return True
    found = _SENTENCE_BEGINS.search(left)
    # An abbreviation (Dr., z. B.) or an initial ends no sentence.
    return found is not None and not _ABBREVIATED.search(left)


def _is_short_quote(text: str, end: int) -> bool:
    found = re.search('["\u201d\u00bb\u201c\u2019)]', text[end : end + 40])
    return found is not None and text[end : end + found.start()].count(" ") < 2


def _capitals(text: str) -> Iterator[_Word]:
    """Yield the words with a capital, each with the word before it."""
    before = None
    for found in WORD.finditer(text):
        if not found[0].islower() or "'" in found[0] or "\u2019" in found[0]:
            word = _Word(found, text, before and _Word(before, text))
            if word.is_capital:
                yield word
        before = found


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")


@lru_cache(maxsize=4096)
def _is_ordinary(word: str) -> bool:
    plain = _plain(word)
    return (
        len(plain) < 2
        or plain in _CAPITALS
        or plain in _MONTHS
        or plain in _LEGAL_FORMS
        or (_is_plural_abbreviation(word) and plain[:-1] in _CAPITALS)
        or all(part in _CAPITALS for part in re.split("[-.&']", plain))
    )


def _is_title(word: str) -> bool:
    return _is_ordinary(word) and _plain(word) not in _MONTHS


def _names(words: list[_Word]) -> Iterator[str]:
    for word in words:
        if not _is_ordinary(word.word) and (not word.word[1:].islower() or not word.begins):
            yield word.word


def _german(words: list[_Word]) -> Iterator[str]:
    for word in words:
        if _is_ordinary(word.word) or word.begins:
            continue
        before = word.before if word.follows else None
        if before and before.is_capital and not before.begins and not _is_ordinary(before.word):
            yield from (part for part in (before.word, word.word) if not _is_noun(part))
        elif (before and _plain(before.word) in _BEFORE_NAMES and not _is_noun(word.word)) or _is_camel_case(word.word):
            yield word.word


def _is_camel_case(word: str) -> bool:
    return any(char.isupper() for char in word[1:]) and "-" not in word and not _is_plural_abbreviation(word)


def _is_plural_abbreviation(word: str) -> bool:
    return word[:-1].isupper() and word.endswith("s")


def _is_noun(word: str) -> bool:
    return any(part in _NOUNS or part.endswith(_NOUN_ENDS) for part in _plain(word).split("-"))


def _before_legal_forms(words: list[_Word]) -> Iterator[str]:
    for word in words:
        is_form = word.word.lower().rstrip(".") in _LEGAL_FORMS
        is_written_so = is_form and (word.word.isupper() or word.word in {"GmbH", "Ltd", "Inc", "Oy"})
        before = word.before if is_written_so and word.follows else None
        if before and before.is_capital and not _is_ordinary(before.word):
            yield before.word


def _people(text: str, words: list[_Word], *, is_german: bool) -> Iterator[str]:
    for greeted in _GREETING.findall(text):
        yield from (word.word for word in _capitals(greeted) if not _is_title(word.word))
    for word in words:
        if (
            word.before is not None
            and word.follows
            and _plain(word.before.word) in _PERSONS
            and not _is_title(word.word)
        ):
            yield word.word
    yield from (
        name
        for found in _ASKED.finditer(text)
        if (name := found[1] or found[2])[0].isupper() and name.lower() not in _ASIDES
    )
    for called in _VOCATIVE.findall(text):
        parts = called.split()
        if all(part[0].isupper() for part in parts) and not (is_german and _is_noun(parts[-1])):
            yield from (part for part in parts if not _is_title(part))


def _is_title_case(text: str) -> bool:
    words: list[str] = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 3]
    capitals = sum(word[0].isupper() for word in words)
    return capitals * 5 >= len(words) * 3


def _without_capitals(text: str) -> Iterator[str]:
    if not _SCRIPTS_WITHOUT.search(text):
        return
    for pattern in _COMPANIES:
        yield from (name + kind for name, kind in pattern.findall(text) if not _CHINESE_COMPANIES.fullmatch(name))
    for pattern in _EMPLOYERS:
        yield from (name for name in pattern.findall(text) if not _CHINESE_GENERIC.search(name) and name not in GENERIC)
    for pattern in _PEOPLE:
        for found in pattern.findall(text):
            parts = found.split() if found[0] < "\u0e00" else [found.strip()]
            yield from (part for part in parts if not part.endswith(_NO_NAMES) and not _CHINESE_GENERIC.search(part))
    yield from _TRANSCRIBED.findall(text)
