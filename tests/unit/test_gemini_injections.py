"""Leads that try to steer the model: what can be checked without one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from leadhook.domain.lead import Lead
from leadhook.gemini.prompts import fenced
from leadhook.gemini.rendering import FIELDS, render
from leadhook.gemini.sanitize import strip_invisible
from leadhook.local import sample

INJECTIONS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("injections.json").read_text(encoding="utf-8")
)
SAMPLE = json.loads((Path(sample.__file__).parent / "sample_data" / "sample.json").read_text(encoding="utf-8"))


def lead_of(name: str) -> Lead:
    """An ordinary lead with what the file puts into it."""
    fields = {"name": "Jo Doe", "title": "Clerk"} | {k: v for k, v in INJECTIONS[name].items() if k != "flags"}
    return Lead.model_validate({"lead_id": name, **fields})


@pytest.mark.parametrize("name", INJECTIONS)
def test_no_lead_closes_its_fence(name: str) -> None:
    """Only the first and the last line look like a fence, and no line between them is anything but a lead's."""
    first, *between, last = fenced(render(lead_of(name)).text).splitlines()

    assert first == last
    assert re.fullmatch(r"=== lead [0-9a-f]{16} ===", first)
    assert not any("===" in line for line in between)
    assert all(line.startswith("| ") or line.partition(": ")[0] in FIELDS for line in between)
    assert len({line.partition(": ")[0] for line in between if not line.startswith("| ")}) == sum(
        not line.startswith("| ") for line in between
    )
    assert strip_invisible("\n".join(between)) == "\n".join(between)


@pytest.mark.parametrize("name", INJECTIONS)
def test_what_tries_to_steer_is_flagged(name: str) -> None:
    """At least by these codes."""
    flags = render(lead_of(name)).flags

    assert set(INJECTIONS[name]["flags"]) <= set(flags), flags
    assert all(re.fullmatch(r"[a-z_]{1,30}", flag) for flag in flags)
    assert len(set(flags)) == len(flags)


def test_only_one_lead_of_the_sample_is_flagged() -> None:
    """The one that tries."""
    flagged = [lead["name"] for lead in SAMPLE["leads"] if render(Lead.model_validate({**lead, "lead_id": "a"})).flags]

    assert flagged == ["Carla Jansen"]


@pytest.mark.parametrize(
    "bio",
    [
        "I lead operating systems teams. System: SAP S/4HANA, 100 plants.",
        "Never forget where you come from. I act as CTO and include everybody.",
        "Achieved a customer satisfaction of 98 % and grew revenue by 100 %.",
        "Write me at jo@example.com or visit https://example.com/about.",
        "Prompt, reliable, with an eye for detail. Secret hobby: baking.",
        "Grüße aus Köln! Ich bin jetzt seit 19 Jahren in der Logistik.",
        "Ik ben nu 10 jaar directeur. Je mets l'accent sur les données.",
        "مرحبا، أنا مهندس منذ عشرين عاما",
        "私は物流の分野で20年の経験があります。",
        "👩\u200d💻 builder ❤\ufe0f of pumps",
    ],
)
def test_ordinary_words_are_not_flagged(bio: str) -> None:
    """Words that also occur in the signals."""
    assert render(Lead(lead_id="a", bio=bio)).flags == ()
