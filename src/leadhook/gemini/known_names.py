"""Decides whether a name stands in a message's sources.

Names are compared as they are, with the endings of inflected languages, and across scripts by sound. A place may have
another name in each language.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache, cached_property, lru_cache
from typing import Final

from anyascii import anyascii

from leadhook.gemini.words import FACTS, fold, fold_word, place_starts, places, sound

NO_CAPITALS: Final = "\u0590-\u08ff\u0900-\u0dff\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
HAN: Final = "\u3400-\u9fff"
WORD: Final = re.compile(rf"[^\W\d_{NO_CAPITALS}][^\W_{NO_CAPITALS}]*(?:['\u2019.&-](?=[^\W_])[^\W_{NO_CAPITALS}]+)*")
GENERIC: Final = frozenset(FACTS["names"]["generic"])
"""Words of scripts without capitals that look like a name where they stand."""

_LETTERS: Final = re.compile(r"[^\W\d_]+")
_SHORT_RUN: Final = re.compile(f"(?<![{HAN}\uac00-\ud7af])[{HAN}\uac00-\ud7af]{{2,4}}(?![{HAN}\uac00-\ud7af])")
_RUN: Final = re.compile(f"[{NO_CAPITALS}]+")
_NEAR: Final = 0.75
_ONSETS: Final = "aeiouyhj"


class Names:
    """The words of a source, ready for a search of names."""

    def __init__(self, text: str) -> None:
        self.text = fold(text).replace("'", " ")
        self.padded = f" {self.text} "
        self.words = frozenset(self.text.split())
        self._raw = text

    @cached_property
    def starts(self) -> dict[str, list[str]]:
        """The words by their first three letters."""
        found: dict[str, list[str]] = {}
        for word in self.words:
            if len(word) > 3:
                found.setdefault(word[:3], []).append(word)
        return found

    @cached_property
    def latin_sounds(self) -> frozenset[str]:
        """How the Latin words with a capital sound."""
        return _sounds(word for word in _LETTERS.findall(self._raw) if word[0].isupper() and _is_latin(word))

    @cached_property
    def other_sounds(self) -> frozenset[str]:
        """How the words in other scripts sound."""
        return _sounds(word for word in _LETTERS.findall(self._raw) if not _is_latin(word))

    @cached_property
    def arabic_sounds(self) -> frozenset[str]:
        """How Arabic words sound without the vowel that they may begin with, which Arabic does not write."""
        words = re.findall("[\u0620-\u06ff]+", self._raw)
        heard = [sound(word).lstrip(_ONSETS).replace("f", "") for word in words]
        heard += [sound(word[2:]).lstrip(_ONSETS).replace("f", "") for word in words if word.startswith("ال")]
        return frozenset(word for word in heard if len(word) > 1)

    @cached_property
    def romanized(self) -> str:
        """Chinese, Japanese and Korean in Latin letters, because they have no blanks between words."""
        runs = re.findall("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+", self._raw)
        return " ".join(map(_romanized, runs))

    @cached_property
    def family_names(self) -> frozenset[str]:
        """How the first syllable of short Korean and Chinese words sounds, as of 김민준."""
        return frozenset(sound(run[0]) for run in _SHORT_RUN.findall(self._raw))

    @cached_property
    def places(self) -> frozenset[str]:
        """The places that are named."""
        return frozenset(place for _, found in places_in(self._raw) for place in found)


def _sounds(words: Iterable[str]) -> frozenset[str]:
    return frozenset(heard for word in words if len(heard := sound(word)) > 1)


def places_in(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the known places in a text, with their possible meanings."""
    named = places()
    words = list(WORD.finditer(text))
    for at, word in enumerate(words):
        start = word.start()
        if text[start].islower():
            start += word[0].find("'") + 1
        if not text[start].isupper() or not _may_begin_place(text[start : word.end()]):
            continue
        for last in reversed(words[at : at + 3]):
            span = text[start : last.end()]
            if len(span) <= 40 and (ids := _place(fold_word(span).removesuffix("'s"), named)):
                yield span, ids
                break
    for run in () if text.isascii() else _RUN.findall(text):
        yield from _places_in_run(run, named)


@lru_cache(maxsize=4096)
def _may_begin_place(word: str) -> bool:
    folded = fold(word).removesuffix("'s")
    first = folded.replace("'", " ").split()[0]
    return "\u0400" <= folded[:1] < "\u0530" or first in places() or first in place_starts()


def _place(name: str, named: dict[str, frozenset[str]]) -> frozenset[str] | None:
    """Look a name up, also with the endings of Slavic languages."""
    if name in named:
        return named[name]
    if " " in name or len(name) < 4 or not re.search("[\u0400-\u04ff]", name):
        return None
    stems = (
        name[:cut] + end
        for cut in (len(name), len(name) - 1, len(name) - 2)
        for end in ("", "а", "я", "ь", "ія", "ия", "й")
    )
    return next((named[stem] for stem in stems if stem in named), None)


def _places_in_run(run: str, named: dict[str, frozenset[str]]) -> Iterator[tuple[str, frozenset[str]]]:
    has_blanks = "\u0590" <= run[0] < "\u1000"
    if has_blanks:
        prefixed = (run, *(run[len(prefix) :] for prefix in ("ال", "ب", "و", "ل", "في") if run.startswith(prefix)))
        yield from ((run, named[fold(name)]) for name in prefixed if fold(name) in named and name not in GENERIC)
        return
    at = 0
    while at < len(run) - 1:
        for length in (7, 6, 5, 4, 3, 2):
            part = run[at : at + length]
            if (
                len(part) == length
                and part in named
                and part not in GENERIC
                and (length > 2 or (part[0] > "\u3400" and part[0] < "\ua000"))
            ):
                yield part, named[part]
                at += length - 1
                break
        at += 1


def stands(name: str, sources: tuple[Names, ...]) -> bool:
    """Report whether a name stands in a source: as it is, with another ending, or in another script."""
    folded = fold_word(name).removesuffix("'s").replace("'", " ").strip()
    parts = folded.split()
    return (
        not folded
        or any(_is_written_in(folded, source) for source in sources)
        or any(_stands_in(folded, source) for source in sources)
        or (len(parts) > 1 and all(any(_stands_in(part, source) for source in sources) for part in parts))
        or _is_known_place(name, sources)
    )


def _is_known_place(name: str, sources: tuple[Names, ...]) -> bool:
    ids = _place(fold_word(name), places())
    if ids is None and len(heard := sound(name)) > 2:  # w Wiedniu
        return any(
            heard == sound(other)
            for source in sources
            for place in source.places
            for other in _by_place()[place]
            if other[:1] == fold_word(name)[:1]
        )
    return ids is not None and any(not ids.isdisjoint(source.places) for source in sources)


@cache
def _by_place() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, ids in places().items():
        for place in ids:
            found.setdefault(place, []).append(name)
    return found


def _is_written_in(name: str, source: Names) -> bool:
    return name in source.words or f" {name} " in source.padded or (name[0] > "\u0e00" and name in source.text)


def _stands_in(name: str, source: Names) -> bool:
    if _is_written_in(name, source):
        return True
    if any(_is_inflected(name, other) for other in source.starts.get(name[:3], ())):
        return True
    plain = _romanized(name)
    if _is_latin(name):
        return _sounds_the_same(name, source.latin_sounds, source.other_sounds) or _is_transcribed(plain, source)
    if "\u3400" <= name[0] < "\ua000" and len(name) < 4:  # too short to compare by its sound
        return plain in source.words
    return _sounds_the_same(name, source.other_sounds, source.latin_sounds)


def _sounds_the_same(name: str, same_script: frozenset[str], other_script: frozenset[str]) -> bool:
    heard = sound(name)
    return (len(heard) > 2 and heard in same_script) or any(_sound_alike(heard, other) for other in other_script)


def _is_transcribed(plain: str, source: Names) -> bool:
    """Report a Latin spelling of a Chinese, Japanese, Korean or Arabic name."""
    if len(plain) < 2:
        return False
    if plain in source.romanized or sound(plain) in source.family_names:
        return True
    if any(_begins_alike(plain, run) for run in source.romanized.split()):
        return True
    heard = sound(plain).lstrip(_ONSETS).replace("f", "")
    return any(_sound_alike(heard, other) for other in source.arabic_sounds)


@lru_cache(maxsize=4096)
def _romanized(name: str) -> str:
    return re.sub("[^a-z]", "", anyascii(name).lower())


def _is_latin(word: str) -> bool:
    return word[:1] < "\u0250"


def _begins_alike(name: str, run: str) -> bool:
    return len(name) > 4 and name[:2] == run[:2] and SequenceMatcher(None, name, run[: len(name)]).ratio() > 0.8


def _sound_alike(heard: str, other: str) -> bool:
    if heard[:1] != other[:1] or min(len(heard), len(other)) < 3 or abs(len(heard) - len(other)) > 1:
        return len(heard) > 1 and heard == other
    return SequenceMatcher(None, heard, other).ratio() >= _NEAR


def _is_inflected(word: str, other: str) -> bool:
    shorter, longer = sorted((len(word), len(other)))
    common = next((at for at, (one, two) in enumerate(zip(word, other, strict=False)) if one != two), shorter)
    is_ending = common == len(other) and longer - common <= 4  # Győrben
    return common >= 4 and (is_ending or (common * 5 >= longer * 3 and common >= shorter - 3))
