"""Finds what a reader could follow or dial in a text: links, site names, e-mail addresses and telephone numbers.

A site name without scheme, `www.` or path is found if it ends in a public suffix and is not written like words. Degrees
(B.Tech), file names (notes.md), tools (ASP.NET), abbreviations (Pvt.Ltd, z.B.in) and a missing blank after a full stop
(pumps.In 2024) are words.

Telephone numbers are not amounts, dates, years or standards. Without a plus sign, a leading zero or a word such as
"phone" before it, a number counts only if its groups are those of a telephone number (555-123-4567, 98765 43210,
138 1234 5678) or if it is ten or more digits in a row.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from publicsuffixlist import PublicSuffixList

from leadhook.gemini.words import WORDS

_WORDS: Final = {kind: frozenset(words) for kind, words in WORDS["links"].items()}

_WITHOUT_BLANKS: Final = "\u0590-\u06ff\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SCRIPTS_MEET: Final = re.compile(f"(?<=[{_WITHOUT_BLANKS}])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[{_WITHOUT_BLANKS}])")
_REST: Final = r"[^\s<>\"]"
_LINK: Final = re.compile(
    rf"[a-z][a-z0-9+.-]{{1,20}}:/{{2,}}{_REST}+|\b(?:(?:javascript|vbscript|mailto|sips?|xmpp|tg|viber|facetime|magnet|intent|webcal):|(?:tel|sms|smsto|callto|skype|whatsapp):(?!\+?\d)|file:/|data:\w+/|www\.){_REST}+"
    rf"|(?<![^\W_])(?<![@.-])(?P<host>(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.)+[^\W\d_](?:[\w-]{{0,61}}[^\W_])?)(?![^\W_])(?!-)"
    rf"(?P<path>(?::\d+)?(?:[/?#]{_REST}*)?)"
    rf"|(?<![\w.])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d{{2,5}}\b|/(?!\d)){_REST}*",
    re.IGNORECASE,
)
_LINK_SIGN: Final = re.compile(r"[.:]\S")
_SPELLED_DOT: Final = re.compile(
    rf"(?<![\w-])(?P<site>\w[\w-]*)(?:\s+(?P<dot>{'|'.join(_WORDS['dots'])})\s+|\s\.\s)(?P<end>{'|'.join(_WORDS['spelled_endings'])})(?![\w-])"
    rf"(?!\s+(?:{'|'.join(_WORDS['after_dot_com'])}))",
    re.IGNORECASE,
)
"""evil dot com, evil punto com, evil . com, but not "the dot com boom"."""
_SPELLED_SIGN: Final = re.compile(rf"\s(?:{'|'.join(_WORDS['dots'])}|\.)\s", re.IGNORECASE)
_DISGUISE_SIGN: Final = re.compile(r"[\[({\u2024\u3002\uff0e\uff61\uff20]")
"""Looking for it first is ten times faster."""
_DISGUISED_DOT: Final = re.compile(
    r"\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|(?<=[a-zA-Z0-9])[\u2024\u3002\uff0e\uff61](?=[a-z]))\s?", re.IGNORECASE
)
_DISGUISED_AT: Final = re.compile(r"\s?(?:\[at\]|\(at\)|\{at\}|\uff20)\s?", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_GOES_ON: Final = re.compile(r"[,;:]?[ \t\u00a0]+\w")
_COUNTRY: Final = 2
_MOST_LABELS: Final = 12
"""Letters of a country's ending."""
_MAY_HOLD_ONE: Final = re.compile(r"\d(?:[^\w\n]{0,3}\d){4}")
_DATE: Final = re.compile(r"(?<!\d)(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2})(?![\d-])")
_CANDIDATE: Final = re.compile(
    rf"(?P<label>(?:{'|'.join(WORDS['telephones']['labels'])})[.:\s]{{0,3}}(?:(?:at|on|is|no|unter|al)\b[.\s]{{0,2}})?)?"
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
_SHORTEST, _LONGEST = 5, 15
"""Digits; the longest by E.164."""
_ENDS: Final = ".,;:!?)]}>'\"\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}…*_"


@dataclass(frozen=True, slots=True)
class Link:
    """One link.

    Attributes:
        target: lower case, without what does not change where it leads.
        is_name: written as a site's name alone, without scheme, `www.` or path.
        is_capitalised: as a company writes its name.
    """

    target: str
    is_name: bool = False
    is_capitalised: bool = False


def undisguised(text: str) -> str:
    """Undo common disguises of letters, dots and at signs, and separate scripts that are written without blanks."""
    if not text.isascii():
        text = _SCRIPTS_MEET.sub(" ", unicodedata.normalize("NFKC", text))
    if _SPELLED_SIGN.search(text):
        text = _SPELLED_DOT.sub(_with_dot, text)
    return _DISGUISED_AT.sub("@", _DISGUISED_DOT.sub(".", text)) if _DISGUISE_SIGN.search(text) else text


def _with_dot(found: re.Match[str]) -> str:
    is_words = (
        found["site"].lower() in _WORDS["before_dot_com"]
        or f"{found['dot']} {found['end']}".lower() in _WORDS["no_dots"]
    )
    return found[0] if is_words else f"{found['site']}.{found['end']}"


def addresses_in(plain: str) -> set[str]:
    """Return the e-mail addresses in an undisguised text."""
    return {found.lower() for found in _ADDRESS.findall(plain)} if "@" in plain else set()


def links_in(plain: str) -> Iterator[Link]:
    """Yield the links in an undisguised text; those of e-mail addresses are none."""
    if not _LINK_SIGN.search(plain):
        return
    plain = _ADDRESS.sub(" ", plain) if "@" in plain else plain
    for found in _LINK.finditer(plain):
        path = (found["path"] or "").rstrip(_ENDS).removesuffix("/")
        if not found["host"]:
            yield Link(_bare(found[0]))
        elif host := _site(found["host"], path, goes_on=_GOES_ON.match(plain, found.end()) is not None):
            yield Link(_bare(host + path), is_name=not path, is_capitalised=host[0].isupper())


def without_links(plain: str) -> str:
    """Return the text with each link replaced by a blank."""
    return _LINK.sub(" ", plain) if _LINK_SIGN.search(plain) else plain


def hosts_in(plain: str) -> set[str]:
    """Return the hosts of all links and e-mail addresses in an undisguised text."""
    links = {re.split(r"[/?#:]", link.target, maxsplit=1)[0] for link in links_in(plain)}
    return links | {address.rpartition("@")[2] for address in addresses_in(plain)}


def _bare(link: str) -> str:
    link = link.lower().replace("hxxp", "http").rstrip(_ENDS)
    return link.removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")


def _site(written: str, path: str, *, goes_on: bool) -> str | None:
    """Return the host in this dotted word, which may go on with the next sentence, or None if all of it is words."""
    labels = written.split(".")
    while len(labels) > 1:
        # A long row of letters and dots must not cost the square of its length.
        some = labels[-_MOST_LABELS:]
        if not _are_words(some, path, goes_on=goes_on) and _is_public(".".join(some).lower()):
            return ".".join(labels)
        if not labels[-1][0].isupper():
            return None
        labels.pop()
        goes_on = True
    return None


def _are_words(labels: list[str], path: str, *, goes_on: bool) -> bool:
    """Report words, given the labels of a possible host, what follows it, and whether a sentence goes on after it."""
    *left, last = (label.lower() for label in labels)
    is_followed = path != "" and not path[1:2].isupper()
    if is_followed and labels[0].islower():
        return False
    if _are_abbreviations(left, last) or f"{left[-1]}.{last}" in _WORDS["tools"]:
        return True
    if path:
        return False
    if last in _WORDS["files"] or (last in _WORDS["sources"] and left[-1] in _WORDS["source_names"]):
        return True
    if last in _WORDS["never_words"]:
        return False
    is_country = len(last) == _COUNTRY
    begins_sentence = goes_on and (not is_country or last in _WORDS["first_words"])
    is_two_words = begins_sentence and labels[-1][0].isupper() and not "".join(labels).isupper()
    return is_two_words or (len(left) == 1 and left[0].isdigit())


def _are_abbreviations(left: list[str], last: str) -> bool:
    """Report degrees, initials and legal forms: B.Tech, Ph.D.in, S.A.de, Pvt.Ltd."""
    if len(left) == 1 and len(left[0]) == 1:
        return left[0] in "bmd" and last in _WORDS["degrees"]
    before = ["", *left]
    return all(
        len(label) == 1 or label in _WORDS["abbreviations"] or (len(previous) == 1 and label in _WORDS["degrees"])
        for previous, label in zip(before, left, strict=False)
    )


def _is_public(host: str) -> bool:
    return host.rpartition(".")[2].startswith("xn--") or _suffixes().privatesuffix(host) is not None


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=True, accept_encoded_idn=False)


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
    if not _SHORTEST <= len(digits) <= _LONGEST:
        return False
    if label:
        return True
    if number.lstrip("(").startswith(("+", "0")):
        is_amount = _THOUSANDS.fullmatch(number) is not None and len(digits) < _NATIONAL
        return len(digits) >= _LONG_ENOUGH and not is_amount
    return _GROUPS.fullmatch(number) is not None or (len(digits) >= _IN_A_ROW and number.isdecimal())
