"""What is sent to the model."""

import re

import pytest

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini import limits, rendering
from leadhook.gemini import prompts as module
from leadhook.gemini.prompts import (
    TEMPLATES,
    call_parameters,
    fenced,
    input_version,
    prompt_version,
    step_body,
    system_instruction,
)

PROMPTS = Prompts(wildnet_data="We build pumps.", scoring_criteria_and_icp="Plants.", message_prompt="Be brief.")


def test_the_system_instruction_is_the_same_for_every_lead_of_a_prompts_row() -> None:
    """Nothing of a lead and nothing random stands in it, so that Gemini's prefix cache can hit."""
    assert system_instruction("score", PROMPTS) == system_instruction("score", PROMPTS.model_copy())


def test_each_step_gets_its_own_half_of_the_prompts_row() -> None:
    """The criteria belong to the score, the message prompt to the message, the company data to both."""
    score, message = system_instruction("score", PROMPTS), system_instruction("message", PROMPTS)

    assert "We build pumps." in score
    assert "We build pumps." in message
    assert "Plants." in score
    assert "Plants." not in message
    assert "Be brief." in message
    assert "Be brief." not in score


def test_a_placeholder_in_the_users_own_text_is_left_alone() -> None:
    """Braces in company data are text, not a template."""
    text = system_instruction("score", Prompts(wildnet_data="{scoring_criteria_and_icp}", scoring_criteria_and_icp="X"))

    assert "{scoring_criteria_and_icp}" in text


@pytest.mark.parametrize("empty", [None, "", " \n"])
def test_missing_prompts_are_said_to_be_missing(empty: str | None) -> None:
    """Nothing in a prompts column is no reason to fail."""
    assert "(not given)" in system_instruction("message", Prompts(message_prompt=empty, wildnet_data="x"))


def test_prompts_row_beyond_the_bound_is_refused_before_anything_is_bought() -> None:
    """Its leads end with a reason, and a shorter row wakes them."""
    with pytest.raises(Failure) as caught:
        system_instruction("score", Prompts(wildnet_data="x" * (limits.PROMPTS_CHARACTERS + 1)))

    assert (caught.value.kind, caught.value.code) == (FailureClass.CONTENT, "prompts_too_long")
    assert "more than 100000 characters" in caught.value.reason


def test_every_call_carries_a_fence_of_its_own() -> None:
    """A code that no lead can know, as it is new for every call."""
    first, second = fenced("name: Jo"), fenced("name: Jo")
    code = re.match(r"=== lead ([0-9a-f]{16}) ===\n", first)

    assert code is not None
    assert first.endswith(code[0].rstrip())
    assert first.count(code[1]) == 2
    assert first != second


def test_the_input_version_changes_with_what_is_sent_and_nothing_else() -> None:
    """A paid answer may be used again only for the same question; an id and a tag are no part of it."""
    lead = Lead(lead_id="a", tag="t", bio="x")

    assert input_version(lead) == input_version(lead.model_copy(update={"lead_id": "b", "tag": "u"}))
    for field in rendering.FIELDS:
        assert input_version(lead) != input_version(lead.model_copy(update={field: "y"}))


def test_the_prompt_version_changes_with_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates, the prompts row, the model and every parameter."""

    def version(prompts: Prompts = PROMPTS, model: str = "gemini-3.5-flash-lite") -> str:
        prompt_version.cache_clear()
        return prompt_version(prompts, model)

    first = version()
    assert version(PROMPTS.model_copy()) == first
    seen = {first, version(model="gemini-3.8-flash"), version(model="gemini-2.5-flash-lite")}
    seen |= {version(PROMPTS.model_copy(update={name: "x"})) for name in Prompts.model_fields}
    with monkeypatch.context() as patch:
        patch.setitem(TEMPLATES, "message", TEMPLATES["message"] + " ")
        seen.add(version())
    with monkeypatch.context() as patch:
        patch.setattr(module, "_THINKING_LEVEL", "high")
        seen.add(version())
    with monkeypatch.context() as patch:
        patch.setattr(module, "OUTPUT_TOKENS_FIRST", 1)
        seen.add(version())
    with monkeypatch.context() as patch:
        patch.setitem(step_body("score")["generationConfig"]["responseJsonSchema"], "required", [])
        seen.add(version())
    with monkeypatch.context() as patch:
        patch.setitem(rendering.FIELDS, "bio", 1)
        seen.add(version())
    assert len(seen) == 3 + 3 + 5
    assert version() == first


def test_schemas_say_what_is_asked_for_and_nothing_internal() -> None:
    """No docstring, no title, and no keyword that Google's schemas lack; the evidence stands before the score."""
    score, message = (step_body(step)["generationConfig"]["responseJsonSchema"] for step in ("score", "message"))

    assert list(score["properties"]) == ["MATCHED", "MISSED", "RESPONSE", "SCORE", "SHOULD_CONTACT"]
    assert list(message["properties"]) == ["SUBJECT", "MESSAGE", "CLAIMS"]
    assert not re.search(r"title|description|maxLength|minLength|default", f"{score}{message}")


def test_no_call_sends_or_buys_more_than_the_limits_say() -> None:
    """Budgets set aside by them."""
    prompts = Prompts(wildnet_data="x" * limits.PROMPTS_CHARACTERS)
    rooms = {call_parameters(more_room=more)["max_output_tokens"] for more in (False, True)}

    assert max(map(len, TEMPLATES.values())) <= limits.TEMPLATE_CHARACTERS
    assert len(system_instruction("score", prompts)) <= limits.TEMPLATE_CHARACTERS + limits.PROMPTS_CHARACTERS
    assert rooms == {limits.OUTPUT_TOKENS_FIRST, limits.OUTPUT_TOKENS_MORE_ROOM}
