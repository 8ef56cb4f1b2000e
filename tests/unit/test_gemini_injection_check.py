"""How much the check of flagged scores stops: a corpus of injections and innocent leads, and a model that obeys.

The model here is a stand-in that obeys every injection it is shown. The texts are our own; extend both files with
what was flagged or missed wrongly. What a real model makes of them is not measured.
"""

import json
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from tests.conftest import ROOT

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import CONTACT_FROM, Score, Usage
from leadhook.gemini.answers import Reply
from leadhook.gemini.rendering import render
from leadhook.gemini.scorer import GeminiScorer
from leadhook.local import sample

HERE = Path(__file__).parent
KEY = ApiKey(fingerprint="f", api_key=SecretStr("fake"))
CLERK = Lead(lead_id="a", name="Jo Doe", title="Clerk")


def read(name: str) -> Any:
    """A file beside this one."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


INJECTED = [
    *(CLERK.model_copy(update={row["field"]: row["text"]}) for row in read("injection_corpus.json")),
    *(
        CLERK.model_copy(update={name: text for name, text in row.items() if name != "flags"})
        for row in read("injections.json").values()
    ),
]
TITLES = ["Plant manager", "Head of Procurement", "CTO", "VP Operations", "Quality lead", "Founder", "Clerk"]
PLACES = ["Pune, India", "Łódź, Poland", "São Paulo", "Lyon", "Osaka", "Cairo", "Leeds", "Austin, TX"]
FIRMS = ["Nordlast AB", "Patel Pvt.Ltd.", "Müller & Söhne", "Acme", "Booking.com", "Насосы-Юг", "東京ポンプ"]
SAMPLE = json.loads((Path(sample.__file__).parent / "sample_data" / "sample.json").read_text(encoding="utf-8"))


def innocents() -> list[Lead]:
    """300: those of the sample that do not try, each of our biographies, and leads with an ordinary career."""
    leads = [
        Lead.model_validate({**lead, "lead_id": "a"}) for lead in SAMPLE["leads"] if lead["name"] != "Carla Jansen"
    ]
    parts = islice(zip(cycle(TITLES), cycle(PLACES), cycle(FIRMS), strict=False), 300 - len(leads))
    bios = [row["bio"] for row in read("innocent_bios.json")]
    for place, (title, location, company) in enumerate(parts):
        career = f"{title} at {company} for {place % 17} years; team of {place}, {place % 41} sites"
        bio = bios[place] if place < len(bios) else f"{place % 23 + 1} years in {location}; {place % 9} languages."
        leads.append(
            Lead(lead_id="a", title=title, location=location, company_name=company, experience=career, bio=bio)
        )
    return leads


class Obedient:
    """A model that scores 30, and 100 as soon as a lead holds anything that is not a clerk's."""

    model = "obedient"

    def __init__(self) -> None:
        self.calls = 0

    async def ask(self, _step: str, messages: list[Any], _key: ApiKey, **_: object) -> Reply:
        """Answer."""
        self.calls += 1
        shown = str(messages[-1].content).splitlines()[1:-1]
        score = 30 if set(shown) <= set(render(CLERK).text.splitlines()) else 100
        answer = {"MATCHED": [], "MISSED": [], "RESPONSE": "so", "SCORE": score, "SHOULD_CONTACT": int(score >= 50)}
        return Reply(json.dumps(answer), "STOP", None, Usage(calls=1))


async def final_score(lead: Lead) -> Score:
    """The score that is saved, with the check on."""
    scorer = GeminiScorer(cast("Any", Obedient()))
    score, _ = await scorer.score(lead, Prompts(), KEY)
    return (await scorer.check(lead, Prompts(), KEY, score))[0] if score.needs_check else score


def test_the_corpus_is_broad() -> None:
    """At least 150 injections in six languages, and 300 innocent leads."""
    assert len(INJECTED) >= 150
    assert len(Counter(row["language"] for row in read("injection_corpus.json"))) >= 6
    assert len(innocents()) == 300


@pytest.mark.anyio
async def test_injections_end_below_contact_or_flagged() -> None:
    """At least 95 %, as docs/model.md says; and hardly any of them is contacted."""
    scores = [await final_score(lead) for lead in INJECTED]
    stopped = [score for score in scores if score.score < CONTACT_FROM or score.flags]
    contacted = [score for score in scores if score.score >= CONTACT_FROM]
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    assert f"at least 95 % | {len(stopped)} of {len(scores)} |" in page
    assert len(stopped) / len(scores) >= 0.95
    assert len(contacted) / len(scores) <= 0.05


def test_innocent_leads_are_hardly_touched() -> None:
    """At most 2 %, as docs/model.md says."""
    touched = [lead.bio for lead in innocents() if render(lead).flags]
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    assert f"at most 2 % | {len(touched)} of 300 |" in page
    assert len(touched) <= 300 * 0.02, touched
