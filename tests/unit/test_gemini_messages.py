"""True and spoilt messages in several languages and scripts: how many pass, and the cost of a check.

`messages.json` holds both; the spoilt ones have one planted fault each. Add messages that were checked wrongly.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.yardstick import takes_at_most, text_s

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message
from leadhook.gemini.guardrails import ESCAPES, FOREIGN_LINK, PLACEHOLDER, check_message

CORPUS: dict[str, Any] = json.loads(Path(__file__).with_name("messages.json").read_text(encoding="utf-8"))
PROMPTS = Prompts.model_validate(CORPUS["prompts"])
CODES = {"placeholder": PLACEHOLDER, "escape": ESCAPES, "link": FOREIGN_LINK}


def check_true(true: dict[str, Any]) -> str | None:
    """The code for a true message."""
    lead = Lead.model_validate({"lead_id": "a", **true["lead"]})
    return check_message(Message(subject=true["subject"], message=true["message"]), PROMPTS, lead)


def check_planted(planted: dict[str, Any]) -> str | None:
    """The code for a spoilt message."""
    lead = Lead(lead_id="a", name="Jo Doe", title="Plant manager", company_name="Smith & Sons")
    return check_message(Message(subject="Acme Pumps", message=planted["message"]), PROMPTS, lead)


@pytest.mark.parametrize("kind", ["true", "planted"])
def test_the_corpus_is_broad(kind: str) -> None:
    """At least 60 messages of each kind, in six languages and four scripts."""
    messages = CORPUS[kind]

    assert len(messages) >= 60
    assert len({message["language"] for message in messages}) >= 6
    assert len({message["script"] for message in messages}) >= 4


def test_no_true_message_is_refused() -> None:
    """0 %, as docs/model.md says."""
    refused = {true["subject"]: code for true in CORPUS["true"] if (code := check_true(true))}

    assert refused == {}


def test_every_planted_fault_is_caught_by_its_code() -> None:
    """100 % of each kind, as docs/model.md says."""
    missed = [planted for planted in CORPUS["planted"] if check_planted(planted) != CODES[planted["kind"]]]

    assert missed == []
    assert min(Counter(planted["kind"] for planted in CORPUS["planted"]).values()) >= 20


def test_a_check_costs_little_cpu() -> None:
    """A sixth of the words of 18,000 characters, on the mean of the corpus: a fraction of a millisecond."""

    def check_s() -> float:
        began_at = time.process_time()
        for true in CORPUS["true"]:
            check_true(true)
        for planted in CORPUS["planted"]:
            check_planted(planted)
        return (time.process_time() - began_at) / (len(CORPUS["true"]) + len(CORPUS["planted"]))

    assert takes_at_most(0.5, check_s, text_s)
