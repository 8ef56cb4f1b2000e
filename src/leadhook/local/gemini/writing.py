"""The stand-in's texts: a reasoning of 50-100 words, a subject of 5-7, a message of 50-70."""

import re
from typing import Final

from leadhook.local.gemini.judging import CONTACT_FROM, Judgement

_WORD_LIMIT: Final = 30
_SPOKEN: Final = re.compile(r"\w")


def reasoning(lead: dict[str, str], judgement: Judgement) -> str:
    """Say in 50 to 100 words how the score came about."""
    shared = ", ".join(judgement.shared_words[:6]) or "none"
    verdict = "is worth a message" if judgement.score >= CONTACT_FROM else "does not meet the criteria well enough"
    return (
        f"By the visible rules of this stand-in, {_some(lead.get('name'), 3, 'this lead')} scores {judgement.score} "
        f"and {verdict}. The title gives {judgement.seniority} points. Words that the criteria and the profile share "
        f"give {judgement.fit} points: {shared}. Filled fields give {judgement.facts}. A spread computed from the "
        f"name gives {judgement.spread}, so that a list of similar leads shows different figures. Students, "
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
    words = [word[:_WORD_LIMIT].strip(",.;:") for word in (text or "").split() if _SPOKEN.search(word)]
    return " ".join(words[:most]) or otherwise
