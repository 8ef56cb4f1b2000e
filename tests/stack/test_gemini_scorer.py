"""The score over real HTTP: the real LangChain client against the stand-in that speaks Gemini's wire format."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.conftest import PATIENCE_S
from tests.stack.google import KEY, LEAD, PROMPTS, Google, standing_in

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini import GeminiScorer, limits, open_scorer
from leadhook.gemini.client import GeminiClient
from leadhook.gemini.guardrails import REASONS

INJECTIONS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "unit" / "injections.json").read_text(encoding="utf-8")
)
LINK = {"SUBJECT": "An offer for you, Jane Doe", "MESSAGE": "Hello Jane, see https://evil.example.com/x for more."}


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """A stand-in on its own port."""
    async with standing_in() as google:
        yield google


@pytest.fixture
async def scorer(google: Google) -> AsyncIterator[GeminiScorer]:
    """The scorer, pointed at it."""
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=google.url) as scorer:
        yield scorer


def shortened(scorer: GeminiScorer, call_limit_s: float) -> GeminiScorer:
    """The same with another limit."""
    return GeminiScorer(GeminiClient(scorer._client._chat, call_limit_s=call_limit_s))


async def wait_until_closed(google: Google, most: int = 0) -> None:
    """Until the stand-in has no more open connections than that."""
    with anyio.fail_after(PATIENCE_S):
        while google.connections > most:  # noqa: ASYNC110 - the server's sockets raise no event here
            await anyio.sleep(0.01)


async def test_a_lead_is_scored_and_written_to(scorer: GeminiScorer, google: Google) -> None:
    """Two calls with the lead's own key, whose cost is known."""
    score, first = await scorer.score(LEAD, PROMPTS, KEY)
    message, second = await scorer.write(LEAD, PROMPTS, KEY)

    assert 0 <= score.score <= 100
    assert score.matched
    assert score.flags == ()
    assert message.subject
    assert message.message
    assert (first + second).calls == 2
    assert (first + second).input_tokens > 0
    assert len({call["key"] for call in await google.calls()}) == 1
    assert [call["status"] for call in await google.calls()] == [200, 200]


async def test_everything_before_the_lead_is_identical_for_fifty_leads(scorer: GeminiScorer, google: Google) -> None:
    """System instruction and settings repeat to the byte; the lead stands last, alone, and hostile ones among them."""
    names = [*INJECTIONS][:44]
    leads = [Lead.model_validate({"lead_id": name, "name": "Jo", **INJECTIONS[name]}) for name in names]
    leads += [LEAD.model_copy(update={"name": f"Max {n}"}) for n in range(50 - len(leads))]
    async with anyio.create_task_group() as group:
        for lead in leads:
            group.start_soon(scorer.score, lead, PROMPTS, KEY)
            group.start_soon(scorer.write, lead, PROMPTS, KEY)

    bodies = await google.bodies()
    calls = await google.calls()
    assert len(bodies) == 100
    for step in ("score", "message"):
        asked = [body for body, call in zip(bodies, calls, strict=True) if call["step"] == step]
        assert len(asked) == 50
        assert len({json.dumps([body["systemInstruction"], body["generationConfig"]]) for body in asked}) == 1
        assert all(list(body)[-1] != "contents" or len(body["contents"]) == 1 for body in asked)
        texts = [part["text"] for body in asked for content in body["contents"] for part in content["parts"]]
        assert len(set(texts)) == 50
        assert all(text.startswith("=== lead ") and len(text) <= limits.LEAD_CHARACTERS for text in texts)


async def test_flags_of_a_hostile_lead_are_on_its_score(scorer: GeminiScorer) -> None:
    """Codes alone."""
    score, _ = await scorer.score(LEAD.model_copy(update={"bio": INJECTIONS["en-ignore"]["bio"]}), PROMPTS, KEY)

    assert score.flags == ("gives_orders", "asks_for_score")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("malformed", "not complete JSON"),
        ("truncated_but_stop", "not complete JSON"),
        ("out_of_range", "SCORE"),
        ("missing_field", "SHOULD_CONTACT: Field required"),
        ("too_long", "RESPONSE: must have at most 4000 characters"),
    ],
)
async def test_an_unusable_answer_is_repaired_once(
    scorer: GeminiScorer, google: Google, answer: str, fault: str
) -> None:
    """The second call shows the answer and says what was wrong; both are paid for."""
    await google.order(answer=answer, first=1)

    score, usage = await scorer.score(LEAD, PROMPTS, KEY)

    assert score.response
    assert usage.calls == 2
    first, second = await google.bodies()
    assert first["systemInstruction"] == second["systemInstruction"]
    assert first["generationConfig"] == second["generationConfig"]
    assert [content["role"] for content in second["contents"]] == ["user", "model", "user"]
    assert fault in second["contents"][-1]["parts"][0]["text"]


@pytest.mark.parametrize("answer", ["truncated", "thinking_only"])
async def test_an_answer_that_lacked_room_gets_more(scorer: GeminiScorer, google: Google, answer: str) -> None:
    """The same question again; a word about it would not help."""
    await google.order(answer=answer, first=1)

    _, usage = await scorer.write(LEAD, PROMPTS, KEY)

    first, second = await google.bodies()
    assert usage.calls == 2
    assert first["contents"] == second["contents"]
    assert first["generationConfig"]["maxOutputTokens"] == limits.OUTPUT_TOKENS_FIRST
    assert second["generationConfig"]["maxOutputTokens"] == limits.OUTPUT_TOKENS_MORE_ROOM
    assert first["generationConfig"]["thinkingConfig"] == {"thinking_level": "LOW"}


@pytest.mark.parametrize("answer", ["empty", "no_parts", "no_candidates"])
async def test_an_empty_answer_leaves_nothing_to_repair(scorer: GeminiScorer, google: Google, answer: str) -> None:
    """It was paid; whether and when it is asked for again is decided from evidence."""
    await google.order(answer=answer, first=1)

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert (caught.value.kind.value, caught.value.paid, caught.value.usage.calls) == ("transient", True, 1)


async def test_a_message_with_a_foreign_link_is_written_again(scorer: GeminiScorer, google: Google) -> None:
    """The model receives the reason; the second message is sent."""
    await google.order(text=json.dumps(LINK), first=1)

    message, usage = await scorer.write(LEAD, PROMPTS, KEY)

    assert "evil" not in message.message
    assert usage.calls == 2
    assert REASONS["message_foreign_link"] in (await google.bodies())[1]["contents"][-1]["parts"][0]["text"]


async def test_a_link_of_the_prompts_row_may_go(scorer: GeminiScorer, google: Google) -> None:
    """The user named it himself."""
    await google.order(text=json.dumps(LINK))
    prompts = PROMPTS.model_copy(update={"message_prompt": "Offer https://evil.example.com/x"})

    message, usage = await scorer.write(LEAD, prompts, KEY)

    assert (message.message, usage.calls) == (LINK["MESSAGE"], 1)


@pytest.mark.parametrize("answer", ["nul", "surrogate"])
async def test_text_that_postgres_cannot_store_is_cleaned(scorer: GeminiScorer, google: Google, answer: str) -> None:
    """A NUL or half a surrogate pair in an answer costs no lead."""
    await google.order(answer=answer)

    message, usage = await scorer.write(LEAD, PROMPTS, KEY)

    (message.subject + message.message).encode()
    assert "\0" not in message.subject + message.message
    assert usage.calls == 1


async def test_thoughts_are_no_part_of_an_answer(scorer: GeminiScorer, google: Google) -> None:
    """They may come as a part of their own."""
    await google.order(answer="thought_parts")

    message, usage = await scorer.write(LEAD, PROMPTS, KEY)

    assert "weigh" not in message.message
    assert usage.calls == 1


async def test_a_second_answer_of_another_fault_is_named_by_its_own(scorer: GeminiScorer, google: Google) -> None:
    """And both are paid for."""
    await google.orders({"match": {"first": 1}, "do": {"answer": "malformed"}}, {"do": {"answer": "blocked_safety"}})

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert (caught.value.code, caught.value.usage.calls) == ("answer_blocked", 2)


@pytest.mark.parametrize("do", [{"text": "", "finish": "TIRED_OF_LEADS"}, {"block": "TIRED_OF_LEADS"}])
async def test_reasons_that_the_sdk_does_not_know_make_no_noise(
    scorer: GeminiScorer, google: Google, do: dict[str, Any]
) -> None:
    """It warns of each; here warnings are errors, elsewhere they would stand between the lines of the log."""
    await google.order(**do)

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert caught.value.code in {"answer_unfinished", "prompt_blocked"}


@pytest.mark.parametrize("garbage", ["two\nlines", "ключ", "x" * 501, "\N{ZERO WIDTH SPACE}"])
async def test_key_that_no_header_can_carry_is_blamed_for_itself(
    scorer: GeminiScorer, google: Google, garbage: str
) -> None:
    """What someone pasted into gemini_api is no fault of a lead; nothing is sent."""
    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, ApiKey.model_validate({"fingerprint": "f", "api_key": garbage}))

    assert (caught.value.kind, caught.value.code, caught.value.park_s) == (FailureClass.KEY, "key_malformed", math.inf)
    assert garbage not in caught.value.reason
    assert await google.calls() == []


async def test_a_prompts_row_that_is_too_long_costs_no_call(scorer: GeminiScorer, google: Google) -> None:
    """Its lead ends with the reason."""
    with pytest.raises(Failure, match="prompts_too_long"):
        await scorer.score(LEAD, Prompts(wildnet_data="x" * 200_000), KEY)

    assert await google.calls() == []


@pytest.mark.parametrize(
    "do",
    [
        {"hang": True},
        {"stall": "after_headers"},
        {"stall": "in_body"},
        {"drip": {"bytes": 1, "every_ms": 50}},
        {"latency_ms": 60_000},
    ],
    ids=["hang", "stall before the body", "stall in the body", "drip", "late"],
)
async def test_no_call_outlives_its_limit(scorer: GeminiScorer, google: Google, do: dict[str, Any]) -> None:
    """Whatever Google does, the call ends at the limit, and its connection with it."""
    await google.order(**do)
    short = shortened(scorer, 0.3)
    began_at = anyio.current_time()

    with pytest.raises(Failure) as caught:
        await short.score(LEAD, PROMPTS, KEY)

    assert (caught.value.kind, caught.value.code) == (FailureClass.TRANSIENT, "model_timeout")
    assert caught.value.usage.calls == 1
    assert anyio.current_time() - began_at < 5
    await wait_until_closed(google)


async def test_cancelled_calls_leave_no_connection_behind(scorer: GeminiScorer, google: Google) -> None:
    """Thirty calls in every state of progress; the next one works."""
    rules = ({"hang": True}, {"stall": "after_headers"}, {"stall": "in_body"})
    await google.orders(*({"match": {"first": 10}, "do": do} for do in rules))
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(scorer.score, LEAD, PROMPTS, KEY)
        with anyio.fail_after(PATIENCE_S):
            while google.connections < 30 or len(await google.calls()) < 30:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()
    await wait_until_closed(google)

    assert all(call["gone"] for call in await google.calls())
    await scorer.score(LEAD, PROMPTS, KEY)
    await wait_until_closed(google, 1)
