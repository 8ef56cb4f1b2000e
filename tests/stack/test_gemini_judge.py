"""The judgement over real HTTP: the real LangChain client against the stand-in that speaks Gemini's wire format."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini import GeminiJudge, open_judge
from leadhook.gemini.client import GeminiClient
from leadhook.local.gemini.server import StandIn

KEY = ApiKey.model_validate({"fingerprint": "f", "api_key": "visibly-fake-key"})
LEAD = Lead(lead_id="lead-1", tag="t", name="Jane Doe", title="CTO", company_name="Acme Pumps", bio="Twenty years.")
PROMPTS = Prompts(wildnet_data="Pumps.", scoring_criteria_and_icp="CTO of pump makers", message_prompt="Be brief.")


@dataclass(frozen=True)
class Google:
    """The stand-in's desk."""

    url: str
    http: aiohttp.ClientSession

    async def order(self, **do: Any) -> None:
        """Make every call misbehave; `first=n` only the first n."""
        match = {"first": do.pop("first")} if "first" in do else {}
        async with self.http.put(f"{self.url}/orders", json=[{"match": match, "do": do}]) as reply:
            assert reply.status == 200, await reply.text()

    async def calls(self) -> list[dict[str, Any]]:
        """The calls that arrived, oldest first."""
        async with self.http.get(f"{self.url}/calls") as reply:
            calls: list[dict[str, Any]] = (await reply.json())["calls"]
        return calls

    async def body(self, number: int) -> dict[str, Any]:
        """What one call brought."""
        async with self.http.get(f"{self.url}/calls/{number}") as reply:
            body: dict[str, Any] = (await reply.json())["body"]
        return body


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """A stand-in on a port of its own."""
    runner = web.AppRunner(StandIn().app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Google(f"http://127.0.0.1:{runner.addresses[0][1]}", http)
    await runner.cleanup()


@pytest.fixture
async def judge(google: Google) -> AsyncIterator[GeminiJudge]:
    """The judge, pointed at it."""
    async with open_judge(model="gemini-3.5-flash-lite", base_url=google.url) as judge:
        yield judge


async def test_a_lead_is_scored_and_written_to(judge: GeminiJudge, google: Google) -> None:
    """Two calls with the lead's own key, whose cost is known."""
    score, first = await judge.score(LEAD, PROMPTS, KEY)
    message, second = await judge.write(LEAD, PROMPTS, KEY)

    assert 0 <= score.score <= 100
    assert message.subject
    assert message.message
    assert (first + second).calls == 2
    assert (first + second).input_tokens > 0
    assert len({call["key"] for call in await google.calls()}) == 1
    assert [call["status"] for call in await google.calls()] == [200, 200]


async def test_everything_before_the_lead_is_identical_from_lead_to_lead(judge: GeminiJudge, google: Google) -> None:
    """The system instruction and the settings repeat to the byte; the lead stands last."""
    await judge.score(LEAD, PROMPTS, KEY)
    await judge.score(LEAD.model_copy(update={"name": "Max"}), PROMPTS, KEY)

    first, second = [await google.body(call["n"]) for call in await google.calls()]
    assert first["systemInstruction"] == second["systemInstruction"]
    assert first["generationConfig"] == second["generationConfig"]
    assert "Jane Doe" in first["contents"][-1]["parts"][-1]["text"]
    assert len(first["contents"]) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "malformed",
        "truncated",
        "truncated_but_stop",
        "fenced",
        "out_of_range",
        "missing_field",
        "empty",
        "thinking_only",
    ],
)
async def test_an_unusable_answer_is_asked_for_once_more(judge: GeminiJudge, google: Google, answer: str) -> None:
    """The second, good answer counts, and both are paid for."""
    await google.order(answer=answer, first=1)

    score, usage = await judge.score(LEAD, PROMPTS, KEY)

    assert score.response
    assert usage.calls == 2


async def test_two_unusable_answers_are_the_leads_end(judge: GeminiJudge, google: Google) -> None:
    """One repair, no loop; the reason quotes nothing of the answer."""
    await google.order(answer="truncated")

    with pytest.raises(Failure) as caught:
        await judge.write(LEAD, PROMPTS, KEY)

    assert (caught.value.kind, caught.value.code) == (FailureClass.CONTENT, "answer_unusable")
    assert caught.value.usage.calls == 2
    assert "Jane" not in caught.value.reason


@pytest.mark.parametrize("answer", ["nul", "surrogate"])
async def test_text_that_postgres_cannot_store_is_cleaned(judge: GeminiJudge, google: Google, answer: str) -> None:
    """A NUL or half a surrogate pair in an answer costs no lead."""
    await google.order(answer=answer)

    message, usage = await judge.write(LEAD, PROMPTS, KEY)

    (message.subject + message.message).encode()
    assert "\0" not in message.subject + message.message
    assert usage.calls == 1


@pytest.mark.parametrize(
    ("do", "kind", "code"),
    [
        ({"error": {"status": 400, "reason": "API_KEY_INVALID"}}, "key", "key_invalid"),
        ({"error": {"status": 400, "reason": "API_KEY_EXPIRED"}}, "key", "key_invalid"),
        ({"error": 401}, "key", "key_forbidden"),
        ({"error": 403}, "key", "key_forbidden"),
        ({"error": {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 7}}, "key", "key_minute_quota"),
        ({"error": {"status": 429, "reason": "DAY_QUOTA"}}, "key", "key_day_quota"),
        ({"error": 429}, "transient", "model_overloaded"),
        ({"error": 404}, "configuration", "model_unknown"),
        ({"error": {"status": 400, "reason": "FAILED_PRECONDITION"}}, "configuration", "model_precondition"),
        ({"error": {"status": 400, "reason": "CONTEXT_OVERFLOW"}}, "content", "prompt_too_long"),
        ({"error": 400}, "content", "model_refused_request"),
        ({"error": 500}, "transient", "model_unavailable"),
        ({"error": 502}, "transient", "model_unavailable"),
        ({"error": 503}, "transient", "model_unavailable"),
        ({"error": 504}, "transient", "model_unavailable"),
        ({"answer": "blocked_prompt"}, "content", "prompt_blocked"),
        ({"answer": "blocked_safety"}, "content", "answer_blocked"),
        ({"answer": "blocked_recitation"}, "content", "answer_blocked"),
        ({"answer": "non_json_200"}, "transient", "model_unreachable"),
        ({"reset": True}, "transient", "model_unreachable"),
        ({"cut": True}, "transient", "model_unreachable"),
    ],
)
async def test_what_goes_wrong_is_named_and_blamed(
    judge: GeminiJudge, google: Google, do: dict[str, Any], kind: str, code: str
) -> None:
    """Each thing that Google or the network can do has its class and its code, and is called once."""
    await google.order(**do)

    with pytest.raises(Failure) as caught:
        await judge.score(LEAD, PROMPTS, KEY)

    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert caught.value.usage.calls == 1
    assert len(await google.calls()) == 1
    assert "visibly-fake-key" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("garbage", ["two\nlines", "ключ", "x" * 501, "\N{ZERO WIDTH SPACE}"])
async def test_key_that_no_header_can_carry_is_blamed_for_itself(
    judge: GeminiJudge, google: Google, garbage: str
) -> None:
    """What somebody pasted into gemini_api is no fault of a lead; nothing is sent."""
    with pytest.raises(Failure) as caught:
        await judge.score(LEAD, PROMPTS, ApiKey.model_validate({"fingerprint": "f", "api_key": garbage}))

    assert (caught.value.kind, caught.value.code, caught.value.park_s) == (FailureClass.KEY, "key_malformed", None)
    assert garbage not in caught.value.reason
    assert await google.calls() == []


async def test_a_minute_quota_parks_the_key_for_as_long_as_google_says(judge: GeminiJudge, google: Google) -> None:
    """RetryInfo's delay; a day quota lasts until midnight Pacific."""
    await google.order(error={"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 7})
    with pytest.raises(Failure) as minute:
        await judge.score(LEAD, PROMPTS, KEY)
    await google.order(error={"status": 429, "reason": "DAY_QUOTA"})
    with pytest.raises(Failure) as day:
        await judge.score(LEAD, PROMPTS, KEY)

    assert minute.value.park_s == pytest.approx(7, abs=1)
    assert day.value.park_s is not None
    assert 0 < day.value.park_s <= 25 * 3600


@pytest.mark.parametrize("do", [{"hang": True}, {"drip": {"bytes": 1, "every_ms": 50}}])
async def test_no_call_outlives_its_limit(judge: GeminiJudge, google: Google, do: dict[str, Any]) -> None:
    """A call that hangs, and one that drips, both end at the limit."""
    await google.order(**do)
    short = GeminiJudge(GeminiClient(judge._client._chat, call_limit_s=0.3))

    with pytest.raises(Failure) as caught:
        await short.score(LEAD, PROMPTS, KEY)

    assert (caught.value.kind, caught.value.code) == (FailureClass.TRANSIENT, "model_timeout")
