"""Reads the numbers in a text: digits of any script and locale, number words, Chinese numerals.

Two readings of one number may both be right ("1.990" is 1990 or 1.99), so a number has a set of values. No library
reads numbers with their endings (czterech, сорока) or in a text of unknown language, so the words are our own.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final, Literal

from leadhook.gemini.words import FACTS

Kind = Literal["", "percent", "money"]

_DIGITS: Final = re.compile(
    r"\d(?<![A-Za-z\u00c0-\u024f\u0400-\u04ff\d].)(?<!\d[.,].)(?:"
    r"\d{0,2}(?:[ \u00a0\u202f'\u2019\u066c]\d{3})+(?!\d)(?:[.,\u066b]\d+)?"
    r"|\d*(?:[.,\u066b\u066c]\d+)*)"
)
"""What may not stand before is looked at after the first digit: that way, places without one are skipped in C."""
_PLAIN: Final = str.maketrans(
    {"\u066c": ",", "\u066b": ".", " ": "", "\u00a0": "", "\u202f": "", "'": "", "\u2019": ""}
)
_HAN: Final = re.compile(
    "(?<![\u5468\u7b2c\u671f\u62dc\u7d04])(?P<percent>\u767e\u5206\u4e4b)?"
    "(?P<number>[\u96f6\u3007\u4e00\u4e8c\u4e24\u5169\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u4e07\u842c\u4ebf]+)"
)
_HAN_WORDS: Final = frozenset(
    ["\u5341\u5206", "\u5343\u4e07", "\u4e07\u4e00", "\u4e00\u4e00", "\u4e03\u516b", "\u4e09\u56db", "\u4e94\u516d"]
)
_TWO: Final = {"\u4e24": 2, "\u5169": 2}
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019](?=[\u0400-\u04ff])[^\W\d_]+)?")
_NEXT: Final = re.compile(
    r"[\s\u00a0-]*(?:(?:of|de|d'|d\u2019|di)\s*)?([a-z]\u20ac|[^\W\d_]+(?:'[^\W\d_]+)?|[%\u066a\u20ac$\u00a3\u00a5\u20b9\u20bd])"
)
_FILLERS: Final = frozenset({"us", "de", "of"})
_CLOCK: Final = re.compile(r"\d:\d\d")
_BETWEEN: Final = re.compile(r"[^\d.!?,;\n]{1,9}")
_MONEY_BEFORE: Final = re.compile(
    r"(?:[\u20ac$\u00a3\u00a5\u20b9\u20bd\u20a9\u20ba]|\b(?:R\$|Rs|EUR|USD|GBP|CHF|INR))\.?\s?$"
)
_PERCENT_BEFORE: Final = re.compile(r"(?:%|y\u00fczde |\u767e\u5206\u4e4b)$", re.IGNORECASE)
_POINT_GROUPS: Final = frozenset({"de", "es", "it", "pt", "nl", "tr", "da"})
_ATTACHED: Final = frozenset({"k", "m", "b"})
_ABBREVIATIONS: Final = frozenset({"mio", "mrd", "mln", "tsd", "тыс", "млн", "млрд", "tys", "mld"})

_UNITS: Final = {name: [unicodedata.normalize("NFC", word) for word in words] for name, words in FACTS["units"].items()}
_SCALES: Final[dict[str, float]] = {
    word: value
    for name, value in (
        ("thousand", 1e3), ("ten_thousand", 1e4), ("lakh", 1e5), ("million", 1e6), ("crore", 1e7),
        ("hundred_million", 1e8), ("billion", 1e9),
    )
    for word in _UNITS[name]
}  # fmt: skip
_JOINS: Final = frozenset(_UNITS["joins"])
_MONEY: Final = frozenset(_UNITS["money"])
_PERCENT: Final = tuple(_UNITS["percent"])
_SPACELESS: Final = tuple(word for word in (*_SCALES, *_MONEY, *_UNITS["times"], *_UNITS["years"]) if word > "\u0900")
_AMBIGUOUS: Final = frozenset(_UNITS["ambiguous"])
_SHORTEST_COMPOUND: Final = 7
_LONGEST_COMPOUND: Final = 100
_MOST_PARTS: Final = 6
_LINKS: Final = frozenset({"und", "ën", "en"})
"""Of the parts of a compound."""

ANY: Final = "any"
"""For a text in several languages: the number words of all of them, except ambiguous ones."""


@dataclass(slots=True)
class Number:
    """One number: the words it stands in, all readings of it, and the word after it."""

    words: str
    values: set[float]
    kind: Kind
    start: int
    end: int
    unit: str = ""
    is_spelled: bool = False


def numbers_in(text: str, languages: frozenset[str]) -> list[Number]:
    """Return the numbers in a text, in order. Number words are read in these languages."""
    return _in_order(text, [*_digits(text, languages), *_spelled(text, languages), *_han(text)])


def digits_in(text: str) -> list[Number]:
    """Return the numbers that are written in digits, in order and in all readings."""
    return _in_order(text, [*_digits(text, frozenset({ANY}))])


def _in_order(text: str, found: list[Number]) -> list[Number]:
    found.sort(key=lambda number: number.start)
    for number, after in pairwise(found):
        gap = text[number.end : after.start]
        if after.kind and not number.kind and number.end <= after.start and _BETWEEN.fullmatch(gap):
            number.kind = after.kind  # 8 to 12 percent
            number.values |= {value * scale for value in number.values for scale in _scales_of(after)}
    return found


def _scales_of(number: Number) -> set[float]:
    lowest = min(number.values)
    return {value / lowest for value in number.values} if lowest else set()


def _digits(text: str, languages: frozenset[str]) -> Iterator[Number]:
    point = _thousands_mark(languages)
    for found in _DIGITS.finditer(text):
        values = _readings(found[0], point)
        is_clock = text[found.end() : found.end() + 1] == ":" or text[found.start() - 1 : found.start()] == ":"
        if values and not (is_clock and _CLOCK.search(text[max(0, found.start() - 3) : found.end() + 3])):
            yield _with_units(text, found.start(), found.end(), values)


def _thousands_mark(languages: frozenset[str]) -> str:
    """Return what groups thousands in these languages; nothing if they differ or are not known."""
    if languages and languages <= _POINT_GROUPS:
        return "."
    return "" if languages - {"en"} else ","


def _readings(written: str, thousands_mark: str) -> set[float]:
    plain = "".join(
        char if char in ".,'\u2019\u066b\u066c \u00a0\u202f" else str(unicodedata.digit(char)) for char in written
    )
    plain = plain.translate(_PLAIN)
    *whole, last = re.split("[.,]", plain)
    marks = re.findall("[.,]", plain)
    if not whole:
        return {float(last)}
    if len(set(marks)) > 1 and marks[-1] not in marks[:-1]:
        return {float("".join(whole) + "." + last)}
    if len(marks) > 1:
        grouped = all(len(part) in {2, 3} for part in (*whole[1:], last)) and len(whole[0]) <= 3 and len(last) == 3
        return {float("".join((*whole, last)))} if grouped else set()
    decimal = float(f"{whole[0]}.{last}")
    is_thousands = len(last) == 3 and len(whole[0]) <= 3 and whole[0] != "0"
    if not is_thousands:
        return {decimal}
    return {float(whole[0] + last)} if marks[0] == thousands_mark else {decimal, float(whole[0] + last)}


def _with_units(text: str, start: int, end: int, values: set[float], *, is_spelled: bool = False) -> Number:
    """Read the words after a number: a scale (million), then a currency, a percent sign, or what is counted."""
    tail = unicodedata.normalize("NFC", text[end : end + 40]).lower()
    number = Number(text[start:end], values, "", start, end, is_spelled=is_spelled)
    before = text[max(0, start - 5) : start]
    if _PERCENT_BEFORE.search(before):
        number.kind = "percent"
    elif _MONEY_BEFORE.search(before):
        number.kind = "money"
    at = 0
    for step in range(3):
        found = _NEXT.match(tail, at)
        if not found or not _add_unit(number, tail, found, is_first=step == 0):
            break
        at = found.start(1) + len(_word(tail, found))
        at += tail[at : at + 1] == "." and tail[found.start(1) : at] in _ABBREVIATIONS
        number.words = text[start : end + at]
    return number


def _add_unit(number: Number, tail: str, found: re.Match[str], *, is_first: bool) -> bool:
    """Apply a word that follows a number; return whether the next one may still belong to the number."""
    at, word = found.start(1), _word(tail, found)
    if tail.startswith(_PERCENT, at):
        number.kind = "percent"
        number.words += tail[: at + max(len(sign) for sign in _PERCENT if tail.startswith(sign, at))]
        return False
    if is_first and word in _SCALES and (word not in _ATTACHED or at == 0):
        number.values = {value * _SCALES[word] for value in number.values}
        return True
    if word in _MONEY:
        number.kind = "money"
        if word == "m\u20ac":
            number.values = {value * 1e6 for value in number.values}
        return False
    number.unit = number.unit or word
    return word in _FILLERS


def _word(tail: str, found: re.Match[str]) -> str:
    word = found[1]
    if word[0] > "\u0900":
        return next((start for start in _SPACELESS if tail.startswith(start, found.start(1))), word)
    return word


def _spelled(text: str, languages: frozenset[str]) -> Iterator[Number]:
    open_: list[tuple[int, int, list[float]]] = []
    for found in _WORD.finditer(text.lower().replace("quatre-vingt", "quatrevingt ")):
        word = found[0]
        values = _values(word, languages)
        if values:
            if open_ and not _goes_on(text, open_, found.start(), values):
                yield from _closed(text, open_)
                open_ = []
            open_.append((found.start(), found.end(), values))
        elif open_ and word not in _JOINS:
            yield from _closed(text, open_)
            open_ = []
    yield from _closed(text, open_)


def _goes_on(text: str, parts: list[tuple[int, int, list[float]]], start: int, values: list[float]) -> bool:
    gap = text[parts[-1][1] : start]
    return gap == "-" or (len(gap) <= 6 and "," not in gap and _fits(_sum(parts), values))


def _closed(text: str, parts: list[tuple[int, int, list[float]]]) -> Iterator[Number]:
    is_scale_alone = [values for _, _, values in parts] in ([[100]], [[1e3]], [[1e6]])
    if parts and not is_scale_alone and (value := _sum(parts)) > 1:
        yield _with_units(text, parts[0][0], parts[-1][1], {value}, is_spelled=True)


def _sum(parts: list[tuple[int, int, list[float]]]) -> float:
    total = current = 0.0
    for value in (value for _, _, values in parts for value in values):
        if value >= 1000:
            total, current = total + max(current, 1) * value, 0
        elif value == 100 and current:
            current *= value
        else:
            current += value
    return total + current


def _fits(before: float, values: list[float]) -> bool:
    """Report whether number words can go on: twenty three, treinta y uno, خمسة عشر, but not eight twelve."""
    value = values[0]
    if value >= 100:
        return True
    tens = before % 100
    return tens == 0 or (tens >= 20 and tens % 10 == 0 and value < 20) or (tens < 10 and value in range(10, 100, 10))


@lru_cache(maxsize=4096)
def _values(word: str, languages: frozenset[str]) -> list[float]:
    """Return the values of a number word; of a compound such as einundzwanzig, those of its parts."""
    if word[0] == "\u0648" and _value(word, languages) is None:
        word = word[1:]
    value = _value(word, languages)
    if value is None and _SHORTEST_COMPOUND <= len(word) <= _LONGEST_COMPOUND:
        return _parts(word, languages) or []
    return [] if value is None else [value]


def _value(word: str, languages: frozenset[str]) -> float | None:
    known = _number_words().get(word, {})
    own = next((known[language] for language in languages if language in known), None)
    if own is None and ANY in languages and word not in _AMBIGUOUS:
        return next(iter(known.values()), None)
    return own


def _parts(word: str, languages: frozenset[str], most: int = _MOST_PARTS) -> list[float] | None:
    """Return the values of the parts of a compound, the longest first; None if it is none."""
    if not word or not most:
        return None if word else []
    for end in range(len(word), 1, -1):
        value = _value(word[:end], languages)
        if value is None and word[:end] not in _LINKS:
            continue
        if (rest := _parts(word[end:], languages, most - 1)) is not None:
            return rest if value is None else [value, *rest]
    return None


@cache
def _number_words() -> dict[str, dict[str, float]]:
    """Return each number word with its value in each language."""
    known: dict[str, dict[str, float]] = {}
    for language, numbers in FACTS["numbers"].items():
        for value, words in numbers.items():
            for word in words:
                known.setdefault(word, {})[language] = float(value)
    return known


def _han(text: str) -> Iterator[Number]:
    if not re.search("[\u4e00-\u9fff]", text):
        return
    for found in _HAN.finditer(text):
        written = found["number"]
        value = _han_value(written)
        after = text[found.end() : found.end() + 2]
        is_word = (
            ((written + after)[:2] in _HAN_WORDS and after[1:] != "\u949f")
            or written[0] in "\u4e07\u842c\u4ebf"
            or after[:1] in {"\u534a", "\u5b63"}
        )
        if is_word or value <= 2:
            continue
        start, end = found.span("number")
        number = _with_units(text, start, end, {value}, is_spelled=True)
        if number.unit and len(written) == 1 and number.kind == "" and found["percent"] is None and value > 10:
            continue  # 百忙之中
        yield number


def _han_value(written: str) -> float:
    total = section = digit = 0.0
    for char in written:
        value = _TWO.get(char) or unicodedata.numeric(char)
        if value >= 10_000:
            total, section, digit = (total + section + digit) * value, 0, 0
        elif value >= 10:
            section, digit = section + (digit or 1) * value, 0
        else:
            digit = value
    return total + section + digit


def languages_of(text: str) -> frozenset[str]:
    """Return the languages whose function words stand in a text most often."""
    words = Counter(_WORD.findall(text.lower()))
    counts: Counter[str] = Counter()
    known = _function_words()
    for word, count in words.items():
        for language in known.get(word, ()):
            counts[language] += count
    best = max(counts.values(), default=0)
    return frozenset(language for language, count in counts.items() if count * 5 >= best * 4)


@cache
def _function_words() -> dict[str, tuple[str, ...]]:
    languages: dict[str, tuple[str, ...]] = {}
    for language, words in FACTS["function_words"].items():
        for word in words:
            languages[word] = (*languages.get(word, ()), language)
    return languages
