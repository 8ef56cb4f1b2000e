"""Removes invisible characters, which can hide text from people while the model still reads it.

Zero-width joiners and non-joiners are kept between non-ASCII characters, because Persian, Hindi and emoji need them.
"""

import re
from typing import Final

_UNSEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls, except line ends and tabs
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"  # soft hyphen, fillers, a direction mark
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero width, direction marks and overrides
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"  # variation selectors, byte order marks, annotations
    "\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # lone surrogates, tags (ASCII in disguise)
)
_JOINERS: Final = "\u200c\u200d"

_ANY: Final = re.compile(f"[{_UNSEEN}{_JOINERS}]")
_HIDDEN: Final = re.compile(
    f"[{_UNSEEN}]+|(?<![^\x00-\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f{_JOINERS}{_UNSEEN}])|[{_JOINERS}]{{2,}}"
)
_SUSPICIOUS: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\u202a-\u202e\u2061-\u2069\ufe00-\ufe0d\U000e0000-\U000e0fff]"
    f"|(?<=[A-Za-z])[\u200b\u2060\ufeff{_JOINERS}]+(?=[A-Za-z])"
)
_FENCE_MARKS: Final = re.compile("[=\u207c\u208c\u2550\u2a75\u2a76\ufe66\uff1d\U0001f7f0]{3,}")


def strip_invisible(text: str) -> str:
    """Remove invisible characters."""
    return _HIDDEN.sub("", text) if _ANY.search(text) else text


def hides_text(text: str) -> bool:
    """Report characters used to hide text, ignoring invisible ones that are common on web pages."""
    return _ANY.search(text) is not None and _SUSPICIOUS.search(text) is not None


def strip_fence_marks(text: str) -> str:
    """Replace runs of three or more equals signs, or lookalikes, because our fences start with them."""
    return _FENCE_MARKS.sub("==", text) if "===" in text or not text.isascii() else text
