"""Takes out of a text what no reader sees: characters that hide words from people and show them to a model.

Two joiners stay where they join, between letters beyond ASCII: Persian, Hindi and emoji need them.
"""

import re
from typing import Final

_UNSEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls; line ends and tabs aside
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"  # soft hyphen, fillers, a mark of direction
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero width, marks and overrides of direction
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"  # variation selectors, byte order marks, annotations
    "\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # halves of pairs, tags (ASCII in disguise)
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


def clean(text: str) -> str:
    """The text without what no reader sees."""
    return _HIDDEN.sub("", text) if _ANY.search(text) else text


def hides_something(text: str) -> bool:
    """Whether characters in the text hide something, rather than being what web pages are full of."""
    return _ANY.search(text) is not None and _SUSPICIOUS.search(text) is not None


def unfenced(text: str) -> str:
    """The text without three equals signs in a row, or what looks like them: our fences begin with them."""
    return _FENCE_MARKS.sub("==", text) if "===" in text or not text.isascii() else text
