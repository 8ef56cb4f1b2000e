"""The visible rules by which the stand-in scores a lead; the package's docstring tells them in words."""

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

CONTACT_FROM: Final = 50

_OUTSIDERS: Final = re.compile(
    r"(?i)\b(student|intern|trainee|apprentice|recruiter|retired|unemployed|job ?seeker|open to work|looking)\b"
)
_RANKS: Final = (
    (40, re.compile(r"(?i)\b(chief|c[etoidf]o|(co-?)?founder|owner|president|vp|svp|managing director|partner)\b")),
    (34, re.compile(r"(?i)\b(head|director)\b")),
    (24, re.compile(r"(?i)\b(manager|lead|principal|architect)\b")),
    (14, re.compile(r"(?i)\b(senior|staff)\b")),
)
_ANY_TITLE: Final = 8
_FIT_EACH, _FIT_MOST = 6, 48
_OUTSIDER_MOST, _UNKNOWN_MOST = 25, 20
_SPREAD: Final = 9
_FACTS: Final = ("name", "title", "company_name", "experience", "bio")
_FIT_FIELDS: Final = ("title", "company_name", "location", "experience", "skills", "bio")
_FIT_CHARS: Final = 600

_WORD: Final = re.compile(r"[^\W\d_]{5,}")
_EVERYDAY: Final = frozenset(Path(__file__).with_name("everyday_words.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score and what it is made of."""

    score: int
    seniority: int
    shared_words: tuple[str, ...]
    fit: int
    facts: int
    spread: int


def judge(lead: dict[str, str], system: str) -> Judgement:
    """Score a lead against the words of the system instruction; deterministic."""
    seniority = _seniority(lead.get("title", ""))
    shared = _shared_words(lead, system)
    fit = min(_FIT_EACH * len(shared), _FIT_MOST)
    facts = sum(field in lead for field in _FACTS)
    spread = zlib.crc32(f"{lead.get('name')}|{lead.get('lead_id')}".encode(errors="replace")) % _SPREAD
    score = min(seniority + fit + facts + spread, _most(lead))
    return Judgement(score, seniority, shared, fit, facts, spread)


def _seniority(title: str) -> int:
    if not title or _OUTSIDERS.search(title):
        return 0
    return next((points for points, rank in _RANKS if rank.search(title)), _ANY_TITLE)


def _most(lead: dict[str, str]) -> int:
    if _OUTSIDERS.search(lead.get("title", "")):
        return _OUTSIDER_MOST
    return 100 if lead.keys() & {"title", "company_name", "experience"} else _UNKNOWN_MOST


def _shared_words(lead: dict[str, str], system: str) -> tuple[str, ...]:
    own = _words(" ".join(lead.get(field, "")[:_FIT_CHARS] for field in _FIT_FIELDS))
    return tuple(sorted(own & _criteria_words(system)))


@lru_cache(maxsize=64)
def _criteria_words(system: str) -> frozenset[str]:
    return _words(system) - _EVERYDAY


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))
