"""Reads text as a person would: without invisible characters, and with broken encodings, HTML and escapes undone.

Invisible characters can hide text from people while the model still reads it. Those that real names need are kept:
joiners between non-ASCII characters (Persian, Hindi, emoji), single variation selectors (Japanese names, Mongolian,
emoji), direction marks around right-to-left text, and the tags of regional flags.
"""

import contextlib
import html
import json
import re
from typing import Final

import ftfy

_UNSEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls, except line ends and tabs
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"  # soft hyphen, fillers, a direction mark
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero width, direction marks and overrides
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"  # variation selectors, byte order marks, annotations
    "\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # lone surrogates, tags (ASCII in disguise)
)
_JOINERS: Final = "\u200c\u200d"

_RTL: Final = "\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_EMBEDDED: Final = "[^\u202a-\u202e\u2066-\u2069\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*"
_PAIR: Final = f"[\u202a\u202b]{_EMBEDDED}\u202c|[\u2066-\u2068]{_EMBEDDED}\u2069"
_NEEDED: Final = (
    "\U0001f3f4[\U000e0061-\U000e007a]{2}[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,3}\U000e007f"  # a flag
    "|(?<=[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\ufe00-\ufe02\U000e0100-\U000e01ef]"
    "|(?<=[\u1820-\u18aa])[\u180b-\u180d]"
    "|(?<=[\u00a9\u00ae\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    f"|(?<=[{_RTL}])[\u061c\u200e\u200f]|[\u061c\u200e\u200f](?=[{_RTL}])"
)

_ANY: Final = re.compile(f"[{_UNSEEN}{_JOINERS}]")
_INVISIBLE: Final = re.compile(
    f"(?P<needed>{_NEEDED})|(?P<pair>{_PAIR})|[{_UNSEEN}]"
    f"|(?<![^\x00-\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f{_JOINERS}{_UNSEEN}])|[{_JOINERS}]{{2,}}"
)
_INNOCENT: Final = re.compile(f"{_NEEDED}|(?P<pair>{_PAIR})")
_SUSPICIOUS: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\u202a-\u202e\u2061-\u2069\ufe00-\ufe0d\U000e0000-\U000e0fff]"
    f"|(?<=[A-Za-z])[\u200b\u2060\ufeff{_JOINERS}]+(?=[A-Za-z])"
)
_NOTHING: Final = frozenset(
    {"n/a", "n\\a", "#n/a", "n.a.", "n.a", "<na>", "null", "(null)", "<null>", "none", "undefined", "?"}
)
_NOTHING_AT_ALL: Final = frozenset({"not available", "not applicable", "not provided", "not specified", "no data"})
_SAYS_SOMETHING: Final = re.compile(r"\s*[^\W_nNuU]")
"""None of the above begins like that."""
_DASHES: Final = re.compile("[-.\u2013\u2014]+")
_NOTHING_EXACTLY: Final = frozenset({"nan", "NaN", "[object Object]"})
"""Nan is a name."""

ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_UNICODE_ESCAPES: Final = re.compile(r"(?:\\{1,2}u[0-9a-fA-F]{4})+")
_CONTROL_ESCAPES: Final = re.compile(r"\\{1,2}([nrt\"'/])")
_CONTROLS: Final = {"n": "\n", "r": " ", "t": " ", '"': '"', "'": "'", "/": "/"}
_WINDOWS_PATH: Final = re.compile(r"\b[A-Za-z]:\\")
_NOT_SHOWN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|head)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_BLOCKS: Final = re.compile(r"</?(?:p|br|div|li|ul|ol|h[1-6]|table|tr|hr|blockquote)\b[^<>]*>", re.IGNORECASE)
_TAGS: Final = re.compile(
    r"</?(?:a|abbr|b|body|code|em|font|html|i|img|mark|pre|s|small|span|strong|sub|sup|td|th|u)\b[^<>]*>", re.IGNORECASE
)
_MOJIBAKE: Final = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"  # read as Windows-1252
    "|[\u0420\u0421][\u0080-\u00bf\u0402-\u040f\u0452-\u045f\u2013-\u203a\u20ac\u2122]"  # read as Windows-1251
)
_LONGEST_READ: Final = 16_000
"""In characters: more than is ever sent of one text."""
_FENCE_MARKS: Final = re.compile("[=\u207c\u208c\u2550\u2a75\u2a76\ufe66\uff1d\U0001f7f0]{3,}")


def strip_invisible(text: str) -> str:
    """Remove invisible characters that no name needs."""
    return _INVISIBLE.sub(_what_is_needed, text) if _ANY.search(text) else text


def _what_is_needed(found: re.Match[str]) -> str:
    if pair := found["pair"]:
        inner = strip_invisible(pair[1:-1])
        return f"{pair[0]}{inner}{pair[-1]}" if re.search(f"[{_RTL}]", inner) else inner
    return found["needed"] or ""


def hides_text(text: str) -> bool:
    """Report characters used to hide text, ignoring invisible ones that are common in names and on web pages."""
    if not _ANY.search(text):
        return False
    rest = _INNOCENT.sub(lambda found: (found["pair"] or "")[1:-1], text)
    return _SUSPICIOUS.search(rest) is not None


def strip_fence_marks(text: str) -> str:
    """Replace runs of three or more equals signs, or lookalikes, because our fences start with them."""
    return _FENCE_MARKS.sub("==", text) if "===" in text or not text.isascii() else text


def says_nothing(text: str) -> bool:
    """Report a value that holds only blanks, dashes or what programs write for a missing value, such as N/A or null."""
    if _SAYS_SOMETHING.match(text):
        return False
    plain = text.strip()
    if plain in _NOTHING_EXACTLY:
        return True
    words = plain.casefold()
    return words in _NOTHING_AT_ALL or all(
        word in _NOTHING or _DASHES.fullmatch(word) for word in words.replace(",", " ").split()
    )


def as_read(text: str) -> str:
    """Return a text as a person would read it: escapes, HTML and broken encodings undone."""
    head, rest = text[:_LONGEST_READ], text[_LONGEST_READ:]
    if "\\" in head:
        head = _unescaped(head)
    if "&" in head or "<" in head:
        head = _without_html(head)
    return repair_encoding(head) + rest


def repair_encoding(text: str) -> str:
    """Undo mojibake: UTF-8 that was decoded as another encoding."""
    if text.isascii() or not _MOJIBAKE.search(text):
        return text
    return ftfy.fix_encoding(text)


def _unescaped(text: str) -> str:
    if text.startswith('"') and text.endswith('"'):
        with contextlib.suppress(ValueError):
            text = str(json.loads(text, strict=False))
    text = _UNICODE_ESCAPES.sub(lambda run: str(json.loads('"' + run[0].replace("\\\\", "\\") + '"')), text)
    return text if _WINDOWS_PATH.search(text) else _CONTROL_ESCAPES.sub(lambda found: _CONTROLS[found[1]], text)


def _without_html(text: str) -> str:
    for _ in range(2):  # &amp;lt; was encoded twice
        text = ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = _BLOCKS.sub("\n", _NOT_SHOWN.sub("", text))
    return _TAGS.sub("", text)
