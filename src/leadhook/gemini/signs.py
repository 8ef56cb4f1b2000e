"""Signs that a lead's text was written for a model and not for people; noted on the verdict, and never a judgement.

They are words in some fifteen languages, so they miss what is said otherwise and catch the innocent now and then. What
keeps a lead from steering its judgement is the fence, the fixed shape of the answer and the look at the message. The
words are looked for one by one: that is a hundred times cheaper than one pattern of them all.
"""

import tomllib
import unicodedata
from collections.abc import Iterator
from importlib import resources
from typing import Final

REACH: Final = 60
"""Characters between a word and one that must stand near it."""
LONGEST_WORD: Final = 100
"""What is longer without a blank, and no address, is something encoded."""

_MOST_PLACES: Final = 20
_SIGNS: Final[dict[str, dict[str, list[str]]]] = tomllib.loads(
    (resources.files(__package__) / "signs.toml").read_text(encoding="utf-8")
)


def find_signs(rendered: str) -> tuple[str, ...]:
    """The codes of the signs in a lead as it is sent, each once."""
    plain = (rendered if rendered.isascii() else unicodedata.normalize("NFKC", rendered)).casefold()
    plain = plain.replace("\n| ", "\n")
    if "  " in plain:
        plain = "\n".join(" ".join(line.split()) for line in plain.split("\n"))
    codes = tuple(code for code, sign in _SIGNS.items() if _stands_in(plain, sign["words"], sign.get("near")))
    return (*codes, "encoded_text") if "encoded_text" not in codes and _is_encoded(plain) else codes


def _stands_in(plain: str, words: list[str], near: list[str] | None) -> bool:
    found = [word for word in words if word in plain]
    if near is None or not found:
        return bool(found)
    return any(
        other in plain[max(place - REACH, 0) : place + len(word) + REACH]
        for word in found
        for place in _places(plain, word)
        for other in near
    )


def _places(plain: str, word: str) -> Iterator[int]:
    place = plain.find(word)
    for _ in range(_MOST_PLACES):
        if place < 0:
            return
        yield place
        place = plain.find(word, place + 1)


def _is_encoded(plain: str) -> bool:
    words = plain.split()
    return max(map(len, words), default=0) > LONGEST_WORD and any(
        len(word) > LONGEST_WORD and word.isascii() and "://" not in word for word in words
    )
