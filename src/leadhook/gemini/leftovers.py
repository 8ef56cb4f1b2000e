"""Finds what a model left behind in a message: placeholders not filled in, and characters not decoded."""

import html
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Final

from leadhook.gemini.sanitize import ENTITY, repair_encoding, says_nothing

_WORDS: Final[dict[str, list[str]]] = tomllib.loads(
    (resources.files(__package__) / "words.toml").read_text(encoding="utf-8")
)["placeholders"]
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


def placeholders_in(text: str) -> Iterator[str]:
    """Yield placeholders such as [Name], {{name}} or <company>. Tags of HTML are none."""
    if _PLACEHOLDER_SIGN.search(text):
        yield from (found[0] for found in _PLACEHOLDER.finditer(text))
    yield from (found[0] for found in _TAG.finditer(text) if found[1].lower() not in _HTML_TAGS)
    yield from (found[0] for found in _IN_BRACKETS.finditer(text) if _is_phrase(found[1]))
    yield from (found[0] for found in _IN_STARS.finditer(text) if _is_phrase(found[2]))
    yield from (line for line in text.splitlines() if _words(line) in _OWN)
    yield from (found[0] for found in _GREETING.finditer(text) if _is_nobody(found[1]))


def has_escapes(text: str) -> bool:
    r"""Report escapes such as \n or \u00fc as letters, and text in the wrong encoding."""
    is_escaped = _ESCAPE_SIGN.search(text) is not None and _ESCAPE.search(text) is not None
    return is_escaped or repair_encoding(text) != text


def has_entities(text: str) -> bool:
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
