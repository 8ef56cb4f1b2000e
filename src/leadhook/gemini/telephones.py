"""Finds telephone numbers in a text: numbers that a reader could dial, not amounts, dates, years or standards.

Without a plus sign, a leading zero or a word such as "phone" before it, a number counts only if its groups are those of
a telephone number (555-123-4567, 98765 43210, 138 1234 5678) or if it is ten or more digits in a row.
"""

import re
import tomllib
from importlib import resources
from typing import Final

LONGEST: Final = 15
"""Digits, by E.164."""
_MAY_HOLD_ONE: Final = re.compile(r"\d(?:[^\w\n]{0,3}\d){4}")
_DATE: Final = re.compile(r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2})(?![\d-])")
_LABELS: Final[list[str]] = tomllib.loads((resources.files(__package__) / "words.toml").read_text(encoding="utf-8"))[
    "telephones"
]["labels"]
_CANDIDATE: Final = re.compile(
    rf"(?P<label>(?:{'|'.join(_LABELS)})[.:\s]{{0,3}}(?:(?:at|on|is|no|unter|al)\b[.\s]{{0,2}})?)?"
    r"(?P<number>(?<![\w.,/])\+?\(?\d(?:[ \u00a0./()\u2010-\u2013-]{0,3}\d)*)(?![\w%\u20ac$\u00a3])",
    re.IGNORECASE,
)
_THOUSANDS: Final = re.compile(r"\+?\d{1,3}(?:[ .\u00a0]\d{3})+")
_GROUPS: Final = re.compile(
    r"\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}|\d{5}[ -]\d{5}|\d{3}[ -]\d{4}[ -]\d{4}|8[ -]?\(?\d{3}\)?[ -]\d{3}([ -]\d\d){2}"
)
_LONG_ENOUGH: Final = 7
_COUNTRY_CODE: Final = 3
_NATIONAL: Final = 9
_IN_A_ROW: Final = 10
_SHORTEST: Final = 5


def telephones_in(text: str) -> set[str]:
    """Return the digits of each telephone number."""
    if not _MAY_HOLD_ONE.search(text):
        return set()
    found = _CANDIDATE.finditer(_DATE.sub(" ; ", text))
    return {digits_of(match["number"]) for match in found if _is_telephone(match["number"], match["label"])}


def digits_of(text: str) -> str:
    """Return the digits in a text, of whatever script, as 0 to 9."""
    return "".join(str(int(character)) for character in text if character.isdecimal())


def is_given(digits: str, given_digits: str) -> bool:
    """Return whether a number is among these digits, with or without its country code."""
    return digits[-max(_LONG_ENOUGH, len(digits) - _COUNTRY_CODE) :] in given_digits


def _is_telephone(number: str, label: str | None) -> bool:
    digits = digits_of(number)
    if not _SHORTEST <= len(digits) <= LONGEST:
        return False
    if label:
        return True
    if number.lstrip("(").startswith(("+", "0")):
        is_amount = _THOUSANDS.fullmatch(number) is not None and len(digits) < _NATIONAL
        return len(digits) >= _LONG_ENOUGH and not is_amount
    return _GROUPS.fullmatch(number) is not None or (len(digits) >= _IN_A_ROW and number.isdecimal())
