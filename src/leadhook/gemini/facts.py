"""Checks that every fact in a message has a source: a field of the lead, the company's data or the message prompt.

Code decides, not a model. Each number, amount, percentage, quotation and name must stand in a source, words that claim
acquaintance need a source that mentions it, and nothing of the prompt may leak. The model's own list of claims is kept
where it is right: it can prove a translated name. A wrong or missing list does no harm.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from typing import Final

from leadhook.domain.lead import Prompts
from leadhook.domain.results import Claim, Message
from leadhook.gemini.known_names import Names
from leadhook.gemini.names import unknown_names
from leadhook.gemini.numbers import ANY, Number, digits_in, languages_of, numbers_in
from leadhook.gemini.prompts import TEMPLATES
from leadhook.gemini.rendering import FIELDS
from leadhook.gemini.wordings import Wordings
from leadhook.gemini.words import FACTS, fold

NUMBER: Final = "message_unproven_number"
NAME: Final = "message_unproven_name"
QUOTATION: Final = "message_unproven_quotation"
ACQUAINTANCE: Final = "message_unproven_acquaintance"
LEAK: Final = "message_prompt_leak"
LENGTH: Final = "message_length"

REASONS: Final = {
    NUMBER: "it states a number, date or amount that neither the lead's data nor the company's data has",
    NAME: "it names a person, company or place that neither the lead's data nor the company's data has",
    QUOTATION: "it quotes words that are not in the lead's data",
    ACQUAINTANCE: "it claims a meeting or another acquaintance that no source mentions",
    LEAK: "it repeats or mentions its instructions",
    LENGTH: "it has far more or fewer words than asked for",
}
"""The reason for each code, without words of the message. The repair call gets those, too."""

COMPANY_DATA: Final = "company data"
MESSAGE_PROMPT: Final = "message prompt"

_FIELD: Final = re.compile(rf"(?m)^({'|'.join(FIELDS)}): ")
_SENTENCE_ENDS: Final = re.compile(r"[.!?](?=\s+[^\sa-z\u00e0-\u00ff\u0430-\u044f]|\s*$)|[\n\u3002\uff01\uff1f\u061f]")
_QUOTED: Final = re.compile('["\u201c\u201e\u00ab]([^"\u201c\u201d\u201e\u00ab\u00bb\n]{1,160})["\u201d\u201c\u00bb]')
_YEARS: Final = re.compile(r"\b((?:19|20)\d\d)\b")
_SPAN: Final = re.compile(r"\b((?:19|20)\d\d)\s?(?:-|\u2013|to|bis|\u0434\u043e|\u81f3)\s?((?:19|20)\d\d)\b")
_FIELD_NAME: Final = re.compile(
    r"\b(?:company_name|wildnet_data|message_prompt|scoring_criteria_and_icp|linkedin_url|profile_url|company_page_url"
    r"|lead_id)\b|={2,} ?lead"
)
_WORDS_ASKED: Final = re.compile(
    r"(?:(\d{2,4})\s?(?:-|\u2013|to|and|bis|\u00e0|a|\u0434\u043e)\s?)?(\d{2,4})[\s-](?:words?|w\u00f6rter|worte|mots|palabras|parole|palavras|s\u0142\u00f3w|woorden|kelime|\u0441\u043b\u043e\u0432)",
    re.IGNORECASE,
)
_HAN_OR_KANA: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

_ORDERS: Final = frozenset(FACTS["leak"]["orders"])
_TIMES: Final = frozenset(FACTS["units"]["times"])
_YEAR_WORDS: Final = tuple(FACTS["units"]["years"])
_LONGEST_OFFER: Final = 60
_SMALL: Final = 3
_FEWEST_WORDS, _MOST_WORDS = 5, 260
"""Of a message whose prompt asks for no number of words; the template asks for 50 to 70."""
_RUN: Final = 6
"""Words in a row that show where a text comes from."""
_CLAIM_WORDS: Final = 12


@dataclass(frozen=True, slots=True)
class Unproven:
    """One claim without a source: its code and the words of the message."""

    code: str
    words: str


class Source:
    """One text that a message may take facts from."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.names = Names(text)
        self.lowered = text.lower()

    def has(self, number: Number) -> bool:
        """Whether it states this number, in digits or in words, as the same kind of number."""
        return _has_number(self._in_digits, number) or _has_number(self._numbers, number)

    @cached_property
    def _in_digits(self) -> dict[float, set[str]]:
        return _kinds(digits_in(self.text))

    @cached_property
    def _numbers(self) -> dict[float, set[str]]:
        """All numbers in it, and the differences between two years."""
        numbers = _kinds(numbers_in(self.text, languages_of(self.text) | {ANY}))
        for first, last in _SPAN.findall(self.text):
            numbers.setdefault(float(int(last) - int(first)), set()).add("")
        return numbers


def _kinds(numbers: list[Number]) -> dict[float, set[str]]:
    kinds: dict[float, set[str]] = {}
    for number in numbers:
        for value in number.values:
            kinds.setdefault(value, set()).add(number.kind)
    return kinds


def check_facts(message: Message, prompts: Prompts, rendered: str) -> tuple[Unproven | None, tuple[Claim, ...]]:
    """Return the first fact without a source, if there is one, and those of the message's claims that are right.

    Args:
        message: with the model's claims.
        prompts: the company's data and the message prompt.
        rendered: the lead as the model saw it.
    """
    sources = (Source("lead", rendered), *_prompts_sources(prompts))
    text = f"{message.subject}\n{message.message}"
    proven = tuple(_located(message.claims, text, rendered, prompts)) if message.claims else ()
    return next(_unproven(message, text, proven, sources, prompts), None), proven


def _unproven(
    message: Message, text: str, proven: tuple[Claim, ...], sources: tuple[Source, ...], prompts: Prompts
) -> Iterator[Unproven]:
    lowered = text.lower().replace("\u2019", "'")
    languages = languages_of(message.message) | ({"zh"} if _HAN_OR_KANA.search(message.message) else set())
    wordings, said = Wordings(lowered, languages), [source.lowered for source in sources]
    yield from (Unproven(LEAK, words) for words in wordings.about_itself(said, said[1:]))
    yield from (Unproven(LEAK, words) for words in _leaked(message, lowered, prompts))
    yield from (Unproven(ACQUAINTANCE, words) for words in wordings.of_acquaintance(said))
    yield from (Unproven(NUMBER, words) for words in _unknown_numbers(text, languages, sources))
    allowed = Names(" ".join(claim.words for claim in proven if _may_translate(claim)))
    names = (*(source.names for source in sources), allowed)
    yield from (Unproven(NAME, name) for name in unknown_names(message.subject, message.message, names, languages))
    yield from (Unproven(QUOTATION, words) for words in _unknown_quotations(message.message, proven, sources))
    fewest, most = _length_asked(prompts.message_prompt or "")
    if not fewest <= (length := _count_words(message.message)) <= most:
        yield Unproven(LENGTH, f"{length} words")


@lru_cache(maxsize=64)
def _prompts_sources(prompts: Prompts) -> tuple[Source, ...]:
    given = ((COMPANY_DATA, prompts.wildnet_data), (MESSAGE_PROMPT, prompts.message_prompt))
    return tuple(Source(name, text) for name, text in given if text)


def _located(claims: tuple[Claim, ...], text: str, rendered: str, prompts: Prompts) -> Iterator[Claim]:
    """Yield the claims whose words stand in the message and whose quote stands in a source, with that source."""
    parts = _FIELD.split(rendered)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    texts |= {COMPANY_DATA: prompts.wildnet_data or "", MESSAGE_PROMPT: prompts.message_prompt or ""}
    written = fold(text)
    for claim in claims:
        words, quote = fold(claim.words), fold(claim.quote)
        if words and quote and words in written:
            named = [claim.source] if claim.source in texts else []
            holding = (name for name in (*named, *texts) if quote in fold(texts[name]))
            if (name := next(holding, None)) is not None:
                yield claim.model_copy(update={"source": name})


def _may_translate(claim: Claim) -> bool:
    """Report whether a quote may be the words in another script; a name in the same script can be compared."""
    return len(claim.words.split()) <= _CLAIM_WORDS and claim.words.isascii() != claim.quote.isascii()


def _unknown_numbers(text: str, languages: frozenset[str], sources: tuple[Source, ...]) -> Iterator[str]:
    ends = [found.end() for found in _SENTENCE_ENDS.finditer(text)]
    for number in numbers_in(text, languages):
        after = bisect_left(ends, number.end)
        sentence = text[ends[after - 1] if after else 0 : ends[after] if after < len(ends) else len(text)]
        # The lead comes last, because its numbers are not read yet.
        if _is_harmless(number, sentence) or any(source.has(number) for source in reversed(sources)):
            continue
        if not _is_age(number, sources):
            yield number.words


def _has_number(numbers: dict[float, set[str]], number: Number) -> bool:
    for value in number.values:
        kinds = numbers.get(value)
        if kinds and (
            number.kind == "" or number.kind in kinds or (number.kind == "money" and value >= 1000 and "" in kinds)
        ):
            return True
    return False


def _is_harmless(number: Number, sentence: str) -> bool:
    """Report numbers that state nothing: one, the minutes of a call that is offered, 24/7."""
    lowest = min(number.values)
    if number.kind:
        return False
    if lowest <= 1 or re.search(r"\b24/7\b", sentence):
        return True
    is_question = re.search("[?\uff1f\u061f]", sentence) is not None
    is_offer = is_question or "か。" in sentence
    return is_offer and lowest <= _LONGEST_OFFER and (number.unit in _TIMES or (number.is_spelled and lowest <= _SMALL))


def _is_age(number: Number, sources: tuple[Source, ...]) -> bool:
    """Report "for eight years" where a source says since when."""
    if not number.unit.startswith(_YEAR_WORDS) or number.kind:
        return False
    this_year = datetime.now(UTC).year
    years = {this_year - int(year) for source in sources for year in _YEARS.findall(_SPAN.sub("", source.text))}
    return any(value in years or value + 1 in years for value in number.values)


def _leaked(message: Message, lowered: str, prompts: Prompts) -> Iterator[str]:
    """Yield names of fields, headings, and words of the template or of an order in the message prompt."""
    if "_" in lowered or "==" in lowered:
        yield from _FIELD_NAME.findall(lowered)
    if ":" in lowered or "\uff1a" in lowered:
        yield from _headings().findall(message.message.lower())
    runs = list(_runs_of(message.message))
    for known in (_template_runs(), _orders(prompts.message_prompt or "")):
        yield from (" ".join(run) for run in runs if run in known)


@cache
def _headings() -> re.Pattern[str]:
    words = "|".join(map(re.escape, FACTS["leak"]["headings"]))
    return re.compile(rf"(?m)(?:^|[.!?\u3002\uff01\uff1f])\W{{0,4}}(?:{words}) ?[:\uff1a]")


def _runs_of(text: str) -> Iterator[tuple[str, ...]]:
    words = fold(text).split()
    return zip(*(words[at:] for at in range(_RUN)), strict=False)


@cache
def _template_runs() -> frozenset[tuple[str, ...]]:
    return frozenset(_runs_of(re.sub(r"\{\w+\}", "", TEMPLATES["message"])))


@lru_cache(maxsize=64)
def _orders(message_prompt: str) -> frozenset[tuple[str, ...]]:
    return frozenset(run for run in _runs_of(message_prompt) if not _ORDERS.isdisjoint(run))


def _unknown_quotations(text: str, proven: tuple[Claim, ...], sources: tuple[Source, ...]) -> Iterator[str]:
    """Yield quotations of four words or more in a language of the lead's data, most of whose words stand nowhere."""
    for quoted in _QUOTED.findall(text):
        words = [word for word in fold(quoted).split() if len(word) > 3]
        if len(words) < 4 or any(fold(claim.words) in fold(quoted) for claim in proven):
            continue
        known = sum(any(word in source.names.words for source in sources) for word in words)
        is_comparable = any(languages_of(quoted) & languages_of(source.text) for source in sources[:1])
        if known * 2 < len(words) and is_comparable:
            yield quoted


@lru_cache(maxsize=64)
def _length_asked(message_prompt: str) -> tuple[float, float]:
    asked = _WORDS_ASKED.findall(message_prompt)
    if not asked:
        return _FEWEST_WORDS, _MOST_WORDS
    return min(_FEWEST_WORDS, min(float(low or high) for low, high in asked) / 2), max(
        float(high) for _, high in asked
    ) * 2


def _count_words(text: str) -> int:
    """Count words; two characters of Chinese or Japanese are about one."""
    text, characters = _HAN_OR_KANA.subn(" ", text)
    return characters // 2 + len(text.split())
