"""Checks that a message contains no foreign link, address or key, and nothing unfinished.

Links, e-mail addresses, telephone numbers and keys are allowed only if they appear in the `prompts` row. Those in the
lead's data are refused, because anyone may have written them. So is a new page on a site that the row names, because
the model made it up. One exception: the lead's companies may be mentioned by name even if it looks like a host, such as
monday.com.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message
from leadhook.gemini.links import (
    addresses_in,
    digits_of,
    hosts_in,
    is_given,
    links_in,
    telephones_in,
    undisguised,
    without_links,
)
from leadhook.gemini.rendering import render
from leadhook.gemini.sanitize import ENTITY, repair_encoding, says_nothing
from leadhook.gemini.words import WORDS

FOREIGN_LINK: Final = "message_foreign_link"
FOREIGN_ADDRESS: Final = "message_foreign_address"
FOREIGN_TELEPHONE: Final = "message_foreign_telephone"
FOREIGN_KEY: Final = "message_foreign_key"
MARKUP: Final = "message_markup"
PLACEHOLDER: Final = "message_placeholder"
ESCAPES: Final = "message_escapes"

REASONS: Final = {
    FOREIGN_LINK: "it contains a link or site name that is not in the company's data",
    FOREIGN_ADDRESS: "it contains an e-mail address that is not in the company's data",
    FOREIGN_TELEPHONE: "it contains a telephone number that is not in the company's data",
    FOREIGN_KEY: "it contains what looks like a key or password",
    MARKUP: "it contains markup but must be plain text",
    PLACEHOLDER: "it contains a placeholder such as [Name] or {name}: write the value, or leave it out",
    ESCAPES: r"it contains escapes such as \n or &amp;, or broken characters: write the characters themselves",
}
"""The reason for each code. It is shown to people and sent to the model when the message is requested again."""

_KEY: Final = re.compile(
    r"(?:sk|pk|rk|sb_secret|sb_publishable|ghp|gho|github_pat|xox[abp]|whsec|aiza|akia|ya29)[-_.]?[\w-]{12,}"
    r"|eyj[\w-]{10,}\.[\w-]+|(?<![\w+/-])(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])[\w+/-]{32,}"
)
_SHORTEST_KEY: Final = 14
_MARKUP: Final = re.compile(r"</?[a-z][^<>\n]{0,300}>|<!--|<script|!?\[[^\]\n]{0,200}\]\([^)\n]*\)", re.IGNORECASE)
_LONGEST_NAME: Final = 60
"""Of a piece of a lead's data that may be a company's name."""

_WORDS: Final = WORDS["placeholders"]
_HTML_TAGS: Final = frozenset(_WORDS["html_tags"])
_OWN: Final = frozenset(_WORDS["own"])
_PHRASES: Final = frozenset(_WORDS["phrases"]) | _OWN

_LETTERS: Final = "a-zA-Z\u00c0-\u024f\u0370-\u052f"
_OPEN: Final = "(<\\[\u00ab\u3008\u300a\u300c\u300e\u3010\uff08\uff3b"
_CLOSE: Final = ")>\\]\u00bb\u3009\u300b\u300d\u300f\u3011\uff09\uff3d"
_LETTERS_FAR: Final = "[^\\x00-\u052f\u2000-\u206f]"
"""Of scripts without capitals."""
_INNER: Final = r"[^\[\]\n\uff3d]{0,60}"
_PLACEHOLDER: Final = re.compile(
    r"\{[^{}\n]{0,60}\}"  # {name}, {{name}}, ${name}
    rf"|[\[\uff3b](?!sic\])(?=[^\[\]\n]{{3}}){_INNER}?[{_LETTERS}]{{2}}{_INNER}[\]\uff3d](?!\()"  # [Name]
    rf"|(?<=[^\n])[\[\uff3b]{_INNER}?{_LETTERS_FAR}{{2}}{_INNER}[\]\uff3d]"  # [日期] in a line
    r"|(?<!\w)%{1,2}[a-zA-Z][a-zA-Z_ .]{1,40}%{1,2}(?!\w)|(?<!\S)%[sd](?!\w)"  # %NAME%, %s
    r"|\*\|\w+\|\*|(?<!\w)#{1,2}[A-Z_]{3,30}#{1,2}|_{3,}|\b__\w+__\b"
    r"|(?i:\$(?:first|last|full|company|lead|contact|user|name)\w*)"
    r"|(?<![A-Za-z_])(?:[A-Z]{2,30}_(?:NAME|COMPANY)|[a-z]{2,30}_(?:name|company)|(?:FIRST|LAST|F|L)NAME)\b"
    r"|\bXX+\s?%|[$\u20ac\u00a3]X+\b|\bXXX+\b|\bTBD\b|(?i:lorem ipsum)|\bN/A\b"
    r"|\b(?:at|from|with|for|chez|en) (?:undefined|null|NaN|None)(?=[,.!?;\n]|$)"
)
_PLACEHOLDER_SIGN: Final = re.compile(
    r"[\[\uff3b{]|%[a-zA-Z%]|\*\||#[A-Z_#]|_[_nN]|\$[a-zA-Z]|[$\u20ac\u00a3]X|XX"
    r"|NAME|TBD|N/A|NaN|None|null|undefined|(?i:lorem)"
)
"""Something of each placeholder above; looking for it first is ten times faster."""
_TAG: Final = re.compile(rf"(?<!\w)<{{1,2}}([{_LETTERS}][^\s<>/]{{0,60}})[^<>\n]{{0,60}}>{{1,2}}")
_IN_BRACKETS: Final = re.compile(rf"[{_OPEN}]\s*([^{_OPEN}{_CLOSE}\n]{{1,40}}?)\s*[{_CLOSE}]")
_IN_STARS: Final = re.compile(r"(?<![\w*~^@$])([*~^@$]{1,2})([^\s*~^@$][^*~^@$\n]{0,38}?)\1(?![\w*~^@$])")
_GREETING: Final = re.compile(
    rf"^[^\w\n]*(?:{'|'.join(_WORDS['greetings'])})[ \t]+([^,!.\n]{{1,30}}?)[ \t]*(?:[,!.]|$)",
    re.IGNORECASE | re.MULTILINE,
)

_ESCAPE: Final = re.compile(
    r"\\(?:[nrtbf\"'/\\]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2})|(?<=[A-Za-z])u00[0-9a-fA-F]{2}"
    r"|(?:%[0-9A-F]{2}){2}|(?<=[a-z,.])%20(?=[A-Za-z])|(?:=[0-9A-F]{2}){2}"
)
_ESCAPE_SIGN: Final = re.compile(r"[\\%=]|u00")
_BARE_ENTITY: Final = re.compile(r"&(?:nbsp|amp|quot|apos|lt|gt)(?![a-z])")


@dataclass(frozen=True, slots=True)
class Given:
    """What a `prompts` row allows in messages."""

    plain: str
    digits: str
    links: frozenset[str]
    addresses: frozenset[str]
    has_markup: bool


def check_message(message: Message, prompts: Prompts, lead: Lead) -> str | None:
    """Return the code of the first violation, or None if the message may be used."""
    text = f"{message.subject}\n{message.message}"
    plain = undisguised(text)
    rest = without_links(plain)
    # Broken characters are looked for in the text as it is, because NFKC takes them apart.
    raw_rest = rest if plain == text else without_links(text)
    leftover = next(_leftovers(text, raw_rest, prompts, lead), None)
    return leftover or next(_foreign(plain, rest, prompts, lead), None)


def _leftovers(text: str, rest: str, prompts: Prompts, lead: Lead) -> Iterator[str]:
    text = unicodedata.normalize("NFKC", text)
    placeholders = set(_placeholders_in(text))
    if placeholders:
        # The message prompt does not count: it may show a placeholder that the model has to fill in.
        facts = unicodedata.normalize("NFKC", f"{render(lead).text}\n{prompts.wildnet_data}")
        facts = re.sub(r"^\w+: ", "", facts, flags=re.MULTILINE)
        if not all(found in facts for found in placeholders):
            yield PLACEHOLDER
    if _has_escapes(rest):
        yield ESCAPES
    is_marked_up, has_unread = _MARKUP.search(text) is not None, _has_entities(rest)
    if (is_marked_up or has_unread) and not _given(prompts).has_markup:
        yield MARKUP if is_marked_up else ESCAPES


def _foreign(plain: str, rest: str, prompts: Prompts, lead: Lead) -> Iterator[str]:
    addresses, keys, links = addresses_in(plain), set(_keys(rest.lower())), list(links_in(plain))
    telephones = telephones_in(rest)
    if not (addresses or keys or links or telephones):
        return
    given = _given(prompts)
    if addresses - given.addresses:
        yield FOREIGN_ADDRESS
    if not all(is_given(digits, given.digits) for digits in telephones):
        yield FOREIGN_TELEPHONE
    if any(key not in given.plain for key in keys):
        yield FOREIGN_KEY
    unknown = [link for link in links if link.target not in given.links]
    names = _company_names(lead) if unknown else set()
    if any(not link.is_name or link.target not in names for link in unknown):
        yield FOREIGN_LINK


@lru_cache(maxsize=64)
def _given(prompts: Prompts) -> Given:
    text = "\n".join(filter(None, (prompts.wildnet_data, prompts.message_prompt, prompts.scoring_criteria_and_icp)))
    plain = undisguised(text)
    return Given(
        plain=plain.lower(),
        digits=digits_of(plain),
        links=frozenset(link.target for link in links_in(plain)) | hosts_in(plain),
        addresses=frozenset(addresses_in(plain)),
        has_markup=_MARKUP.search(text) is not None,
    )


def _company_names(lead: Lead) -> set[str]:
    """Return site names that the lead's data uses as company names rather than as links."""
    names = hosts_in(undisguised(lead.company_name or ""))
    career = render(Lead(lead_id="", title=lead.title, experience=lead.experience, skills=lead.skills)).text
    for piece in re.split(r"[\n|;,]|: | - ", career):
        links = links_in(undisguised(piece)) if len(piece) <= _LONGEST_NAME else ()
        names |= {
            link.target for link in links if link.is_name and (link.is_capitalised or link.target == piece.strip())
        }
    return names


def _keys(plain: str) -> Iterator[str]:
    for word in plain.split():
        if len(word) >= _SHORTEST_KEY and (found := _KEY.search(word)):
            yield found[0]


def _placeholders_in(text: str) -> Iterator[str]:
    """Yield placeholders such as [Name], {{name}} or <company>. Tags of HTML are none."""
    if _PLACEHOLDER_SIGN.search(text):
        yield from (found[0] for found in _PLACEHOLDER.finditer(text))
    yield from (found[0] for found in _TAG.finditer(text) if found[1].lower() not in _HTML_TAGS)
    yield from (found[0] for found in _IN_BRACKETS.finditer(text) if _is_phrase(found[1]))
    yield from (found[0] for found in _IN_STARS.finditer(text) if _is_phrase(found[2]))
    yield from (line for line in text.splitlines() if _words(line) in _OWN)
    yield from (found[0] for found in _GREETING.finditer(text) if _is_nobody(found[1]))


def _has_escapes(text: str) -> bool:
    r"""Report escapes such as \n or \u00fc as letters, and text in the wrong encoding."""
    is_escaped = _ESCAPE_SIGN.search(text) is not None and _ESCAPE.search(text) is not None
    return is_escaped or repair_encoding(text) != text


def _has_entities(text: str) -> bool:
    """Report HTML's entities, such as &amp;."""
    return "&" in text and (
        _BARE_ENTITY.search(text) is not None or any(html.unescape(found) != found for found in ENTITY.findall(text))
    )


def _words(text: str) -> str:
    return text.replace("_", " ").replace("\u2019", "'").strip(" \t.,:!-").casefold()


def _is_phrase(text: str) -> bool:
    words = _words(text)
    return words in _PHRASES or words.startswith("insert ")


def _is_nobody(name: str) -> bool:
    return _is_phrase(name) or says_nothing(name)
