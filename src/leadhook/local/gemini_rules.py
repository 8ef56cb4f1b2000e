"""The visible rules by which the Gemini stand-in answers: what a request asks for, a lead's score, and the texts.

The score is the sum, between 0 and 100, of
  seniority  chief, founder, owner, VP … 40, head, director 34, manager, lead, principal, architect 24, senior 14,
             any other title 8, none 0
  fit        6 for each word of the system instruction (5 letters or more; ranks and everyday words aside) that is also
             in the lead's title, company, location, experience, skills or the start of its bio; at most 48
  facts      1 for each of name, title, company_name, experience, bio that is filled
  spread     0 to 8, computed from the lead's name and id
A student, intern, recruiter, job seeker or retired lead gets at most 25; one without title, company and experience at
most 20. What a lead says about its own score changes nothing. SHOULD_CONTACT is 1 from 50 up.
"""

import json
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

Step = Literal["score", "message", "text"]

_CONTACT_FROM: Final = 50
_FIELD: Final = re.compile(
    r"""(?im)^[ \t"'*>-]{0,20}(lead_id|tag|name|title|location|company_name|experience|skills|bio|profile_url"""
    r"""|linkedin_url|company_page_url)["'*]{0,3}[ \t]*[:=]"""
)
_MISSING: Final = {"", "-", "null", "none", "n/a", "unknown"}
_FENCE: Final = re.compile(r"(?m)^[ \t]*(```|===|---|<)")
_VALUE_LIMIT: Final = 2_000

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
_LONG_WORD: Final = re.compile(r"[^\W\d_]{5,}")
_EVERYDAY: Final = frozenset(Path(__file__).with_name("everyday_words.txt").read_text(encoding="utf-8").split())
_WORD_LIMIT: Final = 30


class BadRequest(Exception):  # noqa: N818 - it is Google's word
    """Google answers such a request with 400 INVALID_ARGUMENT and this text."""


@dataclass(frozen=True, slots=True)
class Question:
    """A generateContent request, parsed."""

    step: Step
    required: tuple[str, ...]
    system: str
    text: str
    lead: dict[str, str]
    max_output_tokens: int | None
    thinking: str | int | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """A score and its parts."""

    score: int
    seniority: int
    shared_words: tuple[str, ...]
    fit: int
    facts: int
    spread: int


def parse(body: bytes) -> Question:
    """Parse a request's body.

    Raises:
        BadRequest: the real service would refuse it.
    """
    try:
        request = json.loads(body)
        if not isinstance(request, dict):
            raise BadRequest("Invalid JSON payload received. Unknown name.")
        return _question(request)
    except ValueError as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from None
    except (AttributeError, TypeError):
        raise BadRequest("Invalid value at a field of the request.") from None


def _question(request: dict[str, Any]) -> Question:
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified\n")
    if contents[-1].get("role") == "model":
        raise BadRequest("Please ensure that multiturn requests end with a user turn.")
    config = request.get("generationConfig") or {}
    text = "\n".join(_text(content) for content in contents if content.get("role", "user") == "user")
    schema = config.get("responseJsonSchema") or config.get("responseSchema") or {}
    properties = schema.get("properties") or {}
    return Question(
        step="score" if "SCORE" in properties else "message" if "SUBJECT" in properties else "text",
        required=tuple(properties),
        system=_text(request.get("systemInstruction") or {}),
        text=text,
        lead=lead_of(text),
        max_output_tokens=config.get("maxOutputTokens"),
        thinking=_thinking(config.get("thinkingConfig") or {}),
    )


def _text(content: dict[str, Any]) -> str:
    return "\n".join(part.get("text", "") for part in content.get("parts") or ())


def _thinking(config: dict[str, Any]) -> str | int | None:
    level = config.get("thinking_level") or config.get("thinkingLevel")
    return level.lower() if isinstance(level, str) else config.get("thinkingBudget")


def lead_of(text: str) -> dict[str, str]:
    """Find the lead's fields in lines `name: value`. A value ends at the next field or fence; the first one counts."""
    marks = list(_FIELD.finditer(text))
    edges = [*(mark.start() for mark in marks), len(text)]
    found: dict[str, str] = {}
    for mark, end in zip(marks, edges[1:], strict=True):
        value = _bare(text[mark.end() : min(end, mark.end() + _VALUE_LIMIT)])
        if value.lower() not in _MISSING:
            found.setdefault(mark[1].lower(), value)
    return found


def _bare(value: str) -> str:
    bare = _FENCE.split(value, maxsplit=1)[0].strip().removesuffix(",")
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"
    return bare[1:-1] if quoted else bare


def assess(lead: dict[str, str], system: str) -> Assessment:
    """Score a lead against the words of the system instruction; deterministic."""
    outsider = _OUTSIDERS.search(lead.get("title", ""))
    seniority = 0 if outsider else _seniority(lead.get("title", ""))
    shared = _shared_words(lead, system)
    fit = min(_FIT_EACH * len(shared), _FIT_MOST)
    facts = sum(field in lead for field in _FACTS)
    spread = zlib.crc32(f"{lead.get('name')}|{lead.get('lead_id')}".encode(errors="replace")) % _SPREAD
    known = lead.keys() & {"title", "company_name", "experience"}
    most = _OUTSIDER_MOST if outsider else 100 if known else _UNKNOWN_MOST
    return Assessment(min(seniority + fit + facts + spread, most), seniority, shared, fit, facts, spread)


def _seniority(title: str) -> int:
    if not title:
        return 0
    return next((points for points, rank in _RANKS if rank.search(title)), _ANY_TITLE)


def _shared_words(lead: dict[str, str], system: str) -> tuple[str, ...]:
    own = _words(" ".join(lead.get(field, "")[:_FIT_CHARS] for field in _FIT_FIELDS))
    return tuple(sorted(own & _criteria_words(system)))


@lru_cache(maxsize=64)
def _criteria_words(system: str) -> frozenset[str]:
    return _words(system) - _EVERYDAY


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _LONG_WORD.findall(text))


def answer(question: Question) -> str:
    """The text of the model's answer: JSON for a score or a message."""
    if question.step == "text":
        return "This is the Gemini stand-in. Ask with a response schema for a score or a message."
    fields = _score(question) if question.step == "score" else _message(question.lead)
    return json.dumps(fields, ensure_ascii=False)


def _score(question: Question) -> dict[str, Any]:
    assessment, lead = assess(question.lead, question.system), question.lead
    criteria = {
        "MATCHED": [f"shares the word {word}" for word in assessment.shared_words[:6]],
        "MISSED": [f"{field} is not given" for field in ("title", "company_name", "experience") if field not in lead],
    }
    return {name: value for name, value in criteria.items() if name in question.required} | {
        "SCORE": assessment.score,
        "RESPONSE": reasoning(lead, assessment),
        "SHOULD_CONTACT": int(assessment.score >= _CONTACT_FROM),
    }


def _message(lead: dict[str, str]) -> dict[str, Any]:
    return {"SUBJECT": subject(lead), "MESSAGE": message(lead)}


def reasoning(lead: dict[str, str], assessment: Assessment) -> str:
    """Explain the score in 50 to 100 words."""
    shared = ", ".join(assessment.shared_words[:6]) or "none"
    result = "is worth a message" if assessment.score >= _CONTACT_FROM else "does not meet the criteria well enough"
    return (
        f"By the visible rules of this stand-in, {_some(lead.get('name'), 3, 'this lead')} scores {assessment.score} "
        f"and {result}. The title gives {assessment.seniority} points. Words that the criteria and the profile share "
        f"give {assessment.fit} points: {shared}. Filled fields give {assessment.facts}. A spread computed from the "
        f"name gives {assessment.spread}, so that a list of similar leads shows different figures. Students, "
        "recruiters, job seekers and empty profiles are held down whatever else they say."
    )


def subject(lead: dict[str, str]) -> str:
    """Five to seven words with the lead's company and first name."""
    return f"An idea for {_some(lead.get('company_name'), 2, 'your team')}, {_some(lead.get('name'), 1, 'today')}"


def message(lead: dict[str, str]) -> str:
    """Fifty to seventy words with the lead's first name and company."""
    company = _some(lead.get("company_name"), 3, "your company")
    return (
        f"Hello {_some(lead.get('name'), 1, 'there')}, your work at {company} made me write. We help teams like yours "
        "to take the slow, manual steps out of their daily planning, and most of them see the difference within the "
        "first three months. Would a call of fifteen minutes next week be useful, or is there someone else at "
        f"{company} whom I should ask instead?"
    )


def _some(text: str | None, most: int, otherwise: str) -> str:
    words = [word[:_WORD_LIMIT].strip(",.;:") for word in (text or "").split() if re.search(r"\w", word)]
    return " ".join(words[:most]) or otherwise
