"""All that Google, a proxy or the network can answer, through the real client: what it is called and whose fault.

The rows are the tables of what the client was measured to do; each is produced on the wire by the stand-in.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.stack.google import KEY, LEAD, PROMPTS, SECRET, Google, standing_in

from leadhook.domain.failure import Failure
from leadhook.domain.job import ApiKey
from leadhook.gemini import GeminiScorer, open_scorer
from leadhook.gemini.failures import LONGEST_REST_S, _until_midnight_pacific
from leadhook.local.processes import free_port

pytestmark = pytest.mark.filterwarnings("ignore:.* is not a valid:UserWarning")

Parked = Callable[[float | None], bool]

NOT_NAMED: Parked = lambda park_s: park_s is None  # noqa: E731 - reads as a word in the table
UNTIL_MIDNIGHT: Parked = lambda park_s: park_s is not None and 0 < park_s <= 25 * 3600  # noqa: E731 - a case of the table


def after(seconds: float) -> Parked:
    """The key rests for so long."""
    return lambda park_s: park_s == seconds


def raw(body: object, status: int = 200, content_type: str = "application/json") -> dict[str, Any]:
    """An order for these bytes."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"raw": {"status": status, "body": text, "content_type": content_type}}


def quota(*details: object) -> dict[str, Any]:
    """A 429 with these details."""
    error = {"code": 429, "message": "Jane Doe is over her quota", "status": "RESOURCE_EXHAUSTED"}
    return raw({"error": error | {"details": [*details]}}, 429)


def error(status: int, reason: str | None = None, **more: object) -> dict[str, Any]:
    """One of Google's errors."""
    return {"error": {"status": status, "reason": reason, **more}}


def envelope(status: int, name: str, message: str, *details: object, http: int | None = None) -> dict[str, Any]:
    """Google's envelope in other words."""
    return raw({"error": {"code": status, "message": message, "status": name, "details": [*details]}}, http or status)


def info(reason: str, **metadata: str) -> dict[str, Any]:
    """A detail that names a reason."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}


def violation(value: str) -> dict[str, Any]:
    """A detail that names a quota and its limit."""
    quota = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": value}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]}


OTHERS_WORDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "HTML": lambda status: raw("<html>403 Forbidden: API key not valid</html>", status, "text/html"),
    "HTML as JSON": lambda status: raw("<html>limit: 0</html>", status),
    "other JSON": lambda status: raw({"message": "API key not valid", "status": status}, status),
    "half an envelope": lambda status: raw({"error": {"code": status, "message": "API key not valid"}}, status),
    "envelope of another maker": lambda status: raw(
        {"error": {"code": status, "message": "API key not valid", "status": "Forbidden"}}, status
    ),
    "envelope with a code in words": lambda status: raw(
        {"error": {"code": str(status), "message": "API key not valid", "status": "PERMISSION_DENIED"}}, status
    ),
    "envelope with a list as status": lambda status: raw(
        {"error": {"code": status, "message": "API key not valid", "status": ["PERMISSION_DENIED"]}}, status
    ),
    "error in words": lambda status: raw({"error": "API_KEY_INVALID"}, status),
    "list": lambda status: raw([], status),
    "empty": lambda status: raw("", status),
}


def retry_in(delay: object) -> dict[str, Any]:
    """A detail that names a delay."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def candidate(finish: str | None, *parts: object) -> dict[str, Any]:
    """An answer that the stand-in would not think of."""
    return raw({"candidates": [{"content": {"role": "model", "parts": [*parts]}, "finishReason": finish}]})


@dataclass(frozen=True)
class Case:
    """What is answered, and what is to become of it."""

    do: dict[str, Any]
    kind: str
    code: str
    calls: int = 1
    parked: Parked = NOT_NAMED
    """What the failure says of the key's rest; it counts for kind `key` only."""


LONG = {"MATCHED": [], "MISSED": [], "RESPONSE": "x" * 5_000, "SCORE": 1, "SHOULD_CONTACT": 0, "SUBJECT": "Hi"}
LONG |= {"MESSAGE": "y" * 5_000}

CASES = {
    # The key.
    "400 API_KEY_INVALID": Case(error(400, "API_KEY_INVALID"), "key", "key_invalid"),
    "400 no key": Case(envelope(400, "INVALID_ARGUMENT", "API Key not found. Pass one."), "key", "key_invalid"),
    "400 API_KEY_EXPIRED": Case(error(400, "API_KEY_EXPIRED"), "key", "key_invalid"),
    "401": Case(error(401), "key", "key_forbidden"),
    "403": Case(error(403), "key", "key_forbidden"),
    "403 leaked": Case(error(403, "API_KEY_LEAKED"), "key", "key_leaked"),
    "403 service disabled": Case(error(403, "SERVICE_DISABLED"), "key", "key_service_disabled"),
    "429 minute quota": Case(error(429, "MINUTE_QUOTA", retry_s=7), "key", "key_minute_quota", parked=after(7)),
    "429 minute quota, no delay": Case(
        error(429, "MINUTE_QUOTA", retry_s=None), "key", "key_minute_quota", parked=NOT_NAMED
    ),
    "429 delay, no quota": Case(error(429, "RETRY_ONLY", retry_s=3.5), "key", "key_minute_quota", parked=after(3.5)),
    "429 day quota": Case(error(429, "DAY_QUOTA", retry_s=7), "key", "key_day_quota", parked=after(7)),
    "429 day quota, long delay": Case(
        error(429, "DAY_QUOTA", retry_s=50_000), "key", "key_day_quota", parked=UNTIL_MIDNIGHT
    ),
    "429 limit 0": Case(quota(violation("0")), "key", "key_quota_zero", parked=NOT_NAMED),
    "429 limit 0 in ErrorInfo": Case(
        quota(info("RATE_LIMIT_EXCEEDED", quota_limit_value="0")), "key", "key_quota_zero", parked=NOT_NAMED
    ),
    "429 limit 0 in words": Case(
        envelope(429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: x, limit: 0, model: y"),
        "key",
        "key_quota_zero",
        parked=NOT_NAMED,
    ),
    "429 credits": Case(
        envelope(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
        "key",
        "key_billing",
        parked=NOT_NAMED,
    ),
    "403 billing": Case(envelope(403, "PERMISSION_DENIED", "x", info("BILLING_DISABLED")), "key", "key_billing"),
    "400 billing": Case(envelope(400, "FAILED_PRECONDITION", "Please enable billing."), "key", "key_billing"),
    "402": Case(envelope(402, "PERMISSION_DENIED", "x"), "key", "key_billing"),
    "403 suspended": Case(envelope(403, "PERMISSION_DENIED", "x", info("CONSUMER_SUSPENDED")), "key", "key_suspended"),
    **{
        f"403 {reason}": Case(envelope(403, "PERMISSION_DENIED", "x", info(reason)), "key", "key_restricted")
        for reason in (
            "API_KEY_HTTP_REFERRER_BLOCKED",
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_SERVICE_BLOCKED",
            "API_KEY_ANDROID_APP_BLOCKED",
            "API_KEY_IOS_APP_BLOCKED",
        )
    },
    "429 day quota, no delay": Case(
        error(429, "DAY_QUOTA", retry_s=None), "key", "key_day_quota", parked=UNTIL_MIDNIGHT
    ),
    "429 without details": Case(error(429), "key", "key_exhausted", parked=NOT_NAMED),
    "429 delay for ever": Case(quota(retry_in("1e999s")), "key", "key_exhausted", parked=NOT_NAMED),
    "429 delay of a century": Case(quota(retry_in("3e9s")), "key", "key_minute_quota", parked=after(LONGEST_REST_S)),
    "429 delay below zero": Case(quota(retry_in("-5s")), "key", "key_exhausted", parked=NOT_NAMED),
    "429 delay in no words": Case(quota(retry_in({"seconds": 5})), "key", "key_exhausted", parked=NOT_NAMED),
    "429 delay in words": Case(
        envelope(429, "RESOURCE_EXHAUSTED", "Quota exceeded for Jane Doe.\nPlease retry in 36.5s."),
        "key",
        "key_minute_quota",
        parked=after(36.5),
    ),
    **{
        f"429 delay in words: {words}": Case(
            envelope(429, "RESOURCE_EXHAUSTED", f"Quota exceeded.\nPlease retry in {words}."),
            "key",
            "key_minute_quota",
            parked=after(seconds),
        )
        for words, seconds in (("340.5ms", 0.3405), ("2m3.5s", 123.5), ("16h6m17.9s", 57977.9), ("999h0m0s", 86_400))
    },
    **{
        f"429 delay that no number holds: {words[-9:]}": Case(
            envelope(429, "RESOURCE_EXHAUSTED", f"Quota exceeded.\nPlease retry in {words}."),
            "key",
            "key_exhausted",
            parked=NOT_NAMED,
        )
        for words in ("9" * 400 + "h1m2s", "9" * 5_000 + "m2s", "9" * 400 + "s", "1.2.3s")
    },
    "429 in another language": Case(
        envelope(429, "RESOURCE_EXHAUSTED", "Das Kontingent wurde überschritten. limit: 0, model: x", violation("500")),
        "key",
        "key_quota_zero",
    ),
    "429 day quota among others": Case(
        quota(
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "RequestsPerMinute-FreeTier"}, {"quotaId": "RequestsPerDay-FreeTier"}],
            },
            retry_in("36s"),
        ),
        "key",
        "key_day_quota",
        parked=after(36),
    ),
    "400 API_KEY_INVALID in another language": Case(
        envelope(400, "INVALID_ARGUMENT", "API-Schlüssel ungültig.", info("API_KEY_INVALID")), "key", "key_invalid"
    ),
    "403 disabled in another language": Case(
        envelope(403, "PERMISSION_DENIED", "L'API n'est pas activée.", info("SERVICE_DISABLED")),
        "key",
        "key_service_disabled",
    ),
    "500 around a quota": Case(
        envelope(429, "RESOURCE_EXHAUSTED", "x", retry_in("7s"), http=500), "key", "key_minute_quota", parked=after(7)
    ),
    "200 with the code of gRPC": Case(
        envelope(8, "RESOURCE_EXHAUSTED", "x", retry_in("7s"), http=200), "key", "key_minute_quota", parked=after(7)
    ),
    "401 with a code of 0": Case(envelope(0, "UNAUTHENTICATED", "x", http=401), "key", "key_forbidden"),
    "429 strange details": Case(
        quota("x", {"@type": "a.QuotaFailure", "violations": ["x", 7]}), "key", "key_exhausted", parked=NOT_NAMED
    ),
    # No one, for now.
    "503 with the code of gRPC": Case(envelope(14, "UNAVAILABLE", "x", http=503), "transient", "model_unavailable"),
    "200 with an unknown error": Case(envelope(2, "UNKNOWN", "x", http=200), "transient", "model_unavailable"),
    **{
        f"redirected {status}": Case(raw("", status), "transient", "model_path_failed")
        for status in (301, 302, 307, 308)
    },
    "408": Case(error(408), "transient", "model_unavailable"),
    "409": Case(error(409), "transient", "model_unavailable"),
    "499": Case(error(499), "transient", "model_unavailable"),
    "500": Case(error(500), "transient", "model_unavailable"),
    "503": Case(error(503), "transient", "model_unavailable"),
    "504": Case(error(504), "transient", "model_unavailable"),
    # The path: not Google's envelope, whatever the status.
    **{
        f"{status} {name}": Case(do(status), "transient", "model_path_failed")
        for status in (400, 401, 403, 404, 405, 407, 413, 429, 500, 502, 503, 504)
        for name, do in OTHERS_WORDS.items()
    },
    "200 HTML": Case({"answer": "non_json_200"}, "transient", "model_path_failed"),
    "200 empty": Case(raw(""), "transient", "model_path_failed"),
    "200 half of it": Case(raw('{"candidates": [{"content"'), "transient", "model_path_failed"),
    "200 list": Case(raw([]), "transient", "model_path_failed"),
    "200 string": Case(raw('"Jane Doe"'), "transient", "model_path_failed"),
    "200 null": Case(raw("null"), "transient", "model_path_failed"),
    "200 deeply nested": Case(raw("[" * 100_000), "transient", "model_path_failed"),
    "200 candidates of a strange kind": Case(raw({"candidates": "Jane Doe"}), "transient", "model_path_failed"),
    "200 {}": Case({"answer": "nothing"}, "transient", "model_path_failed"),
    # An error inside a reply of 200 is read like any other.
    "200 an error": Case(envelope(503, "UNAVAILABLE", "Jane Doe", http=200), "transient", "model_unavailable"),
    "200 an error of the key": Case(envelope(403, "PERMISSION_DENIED", "Jane Doe", http=200), "key", "key_forbidden"),
    "a list of one error": Case(
        raw([{"error": {"code": 503, "message": "Jane Doe", "status": "UNAVAILABLE"}}], 503),
        "transient",
        "model_unavailable",
    ),
    "reset before the headers": Case({"reset": True}, "transient", "model_connection_lost"),
    "closed before the headers": Case({"close": True}, "transient", "model_connection_lost"),
    "cut after the headers": Case({"cut": "after_headers"}, "transient", "model_connection_lost"),
    "cut in the body": Case({"cut": "in_body"}, "transient", "model_connection_lost"),
    "cut in a dripping body": Case(
        {"cut": True, "drip": {"bytes": 200, "every_ms": 1}}, "transient", "model_connection_lost"
    ),
    "200 no candidates": Case({"answer": "no_candidates"}, "transient", "answer_missing"),
    "empty": Case({"answer": "empty"}, "transient", "answer_empty"),
    "no parts": Case({"answer": "no_parts"}, "transient", "answer_empty"),
    "blanks": Case({"text": " \n"}, "transient", "answer_empty"),
    "thoughts alone, though it stopped": Case(
        candidate("STOP", {"text": "Jane Doe", "thought": True}), "transient", "answer_empty"
    ),
    **{
        f"finish {reason}": Case({"text": "Jane", "finish": reason}, "transient", "answer_unfinished")
        for reason in ("OTHER", "MALFORMED_FUNCTION_CALL", "TIRED_OF_LEADS", "Jane Doe was SAFETY")
    },
    "finish missing": Case(candidate(None, {"text": "{}"}), "transient", "answer_unfinished"),
    # The lead, or what was said of it.
    "400": Case(error(400), "refused", "model_refused_request"),
    "400 with the word token": Case(
        envelope(400, "INVALID_ARGUMENT", "Jane Doe has a bad token"), "refused", "model_refused_request"
    ),
    **{
        f"400 that quotes a lead: {words}": Case(
            envelope(400, "INVALID_ARGUMENT", f"Invalid value at 'contents[0]', \"{words}\""),
            "refused",
            "model_refused_request",
        )
        for words in (
            "my account was suspended",
            "a leaked memo",
            "billing account manager",
            "buys credits",
            "API key not valid",
        )
    },
    "405": Case(envelope(405, "UNIMPLEMENTED", "Jane Doe"), "refused", "model_refused_request"),
    "400 too many tokens": Case(error(400, "CONTEXT_OVERFLOW"), "refused", "prompt_too_long"),
    "413": Case(error(413), "refused", "prompt_too_long"),
    "prompt blocked": Case({"answer": "blocked_prompt"}, "content", "prompt_blocked", 2),
    **{
        f"prompt blocked {reason}": Case({"block": reason}, "content", "prompt_blocked", 2)
        for reason in ("SAFETY", "OTHER", "BLOCKLIST", "IMAGE_SAFETY", "REASON_TO_COME")
    },
    "blocked SAFETY": Case({"answer": "blocked_safety"}, "content", "answer_blocked", 2),
    "blocked RECITATION": Case({"answer": "blocked_recitation"}, "content", "answer_blocked", 2),
    **{
        f"blocked {reason} with text": Case({"text": "Jane", "finish": reason}, "content", "answer_blocked", 2)
        for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE")
    },
    "cut off": Case({"answer": "truncated"}, "content", "answer_cut_off", 2),
    "brackets without end": Case({"text": "[" * 4_000, "finish": "MAX_TOKENS"}, "content", "answer_cut_off", 2),
    "digits without end": Case({"text": "9" * 5_000, "finish": "MAX_TOKENS"}, "content", "answer_cut_off", 2),
    "objects without end": Case({"text": '{"SCORE":' * 1_000, "finish": "MAX_TOKENS"}, "content", "answer_cut_off", 2),
    "all thoughts": Case({"answer": "thinking_only"}, "content", "answer_all_thoughts", 2),
    "cut off, though it stopped": Case({"answer": "truncated_but_stop"}, "content", "answer_not_json", 2),
    "prose": Case({"answer": "malformed"}, "content", "answer_not_json", 2),
    "out of range": Case({"answer": "out_of_range"}, "content", "answer_wrong_shape", 2),
    "missing field": Case({"answer": "missing_field"}, "content", "answer_wrong_shape", 2),
    "list": Case({"text": '["Jane Doe"]'}, "content", "answer_wrong_shape", 2),
    "too long": Case({"text": json.dumps(LONG)}, "content", "answer_too_long", 2),
    # The installation.
    "404": Case(error(404), "configuration", "model_unknown"),
    "404 retired": Case(
        envelope(404, "NOT_FOUND", "This model is no longer available to new users."), "configuration", "model_unknown"
    ),
    "400 region": Case(error(400, "FAILED_PRECONDITION"), "configuration", "model_region"),
    "400 precondition": Case(envelope(400, "FAILED_PRECONDITION", "Jane Doe"), "configuration", "model_precondition"),
    "400 other family": Case(
        envelope(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma"),
        "configuration",
        "model_settings_refused",
    ),
    "400 display name": Case(
        envelope(400, "INVALID_ARGUMENT", "GenerateContentRequest.model: unexpected model name format"),
        "configuration",
        "model_settings_refused",
    ),
    "400 settings": Case(error(400, "SETTINGS"), "configuration", "model_settings_refused"),
    "410": Case(envelope(410, "NOT_FOUND", "The model was shut down."), "configuration", "model_unknown"),
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for the module's stand-in and scorer."""
    return "asyncio"


@pytest.fixture(scope="module")
async def stand_in() -> AsyncIterator[Google]:
    """One for all cases."""
    async with standing_in() as google:
        yield google


@pytest.fixture
async def google(stand_in: Google) -> Google:
    """It remembers no call."""
    await stand_in.forget()
    return stand_in


@pytest.fixture(scope="module")
async def scorer(stand_in: Google) -> AsyncIterator[GeminiScorer]:
    """One scorer for all cases: a failed call must leave nothing behind that the next one feels."""
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=stand_in.url) as scorer:
        yield scorer


def assert_says_nothing(failure: Failure) -> None:
    """No lead, no key and nothing of what the server said stands in what is logged and stored."""
    text = f"{failure!r} {failure.reason} {failure.__cause__!r} {failure.__suppress_context__}"

    assert len(failure.reason) > 10
    for personal in ("Jane", "Acme", "Twenty years", SECRET, "stand-in"):
        assert personal not in text


@pytest.mark.parametrize("step", ["score", "message"])
@pytest.mark.parametrize("name", CASES)
async def test_every_answer_has_its_code_and_its_class(
    scorer: GeminiScorer, google: Google, name: str, step: str
) -> None:
    """And its number of calls, and what it says of the key."""
    case = CASES[name]
    await google.order(**case.do)

    with pytest.raises(Failure) as caught:
        await (scorer.score if step == "score" else scorer.write)(LEAD, PROMPTS, KEY)

    failure = caught.value
    assert (failure.kind.value, failure.code) == (case.kind, case.code)
    assert case.parked(failure.park_s), failure.park_s
    assert failure.usage.calls == case.calls == len(await google.calls())
    assert_says_nothing(failure)


def whole(**fields: object) -> dict[str, Any]:
    """A whole answer to either step, with these fields beside it."""
    said = {"MATCHED": [], "MISSED": [], "RESPONSE": "Plans pumps.", "SCORE": 81, "SHOULD_CONTACT": 1}
    said |= {"SUBJECT": "Hello", "MESSAGE": "Hello Jane, may I write to you?"}
    content = {"role": "model", "parts": [{"text": json.dumps(said)}]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}], **fields}


WRAPPINGS: dict[str, dict[str, Any]] = {
    "null fields": raw(whole(promptFeedback=None, usageMetadata=None, modelVersion=None, responseId=None)),
    "unknown fields": raw(whole(serviceTier="priority", modelStatus={"stage": "STABLE"})),
    **{f"HTTP {status}": raw(whole(), status) for status in (201, 203, 206)},
    "another content type": raw(whole(), content_type="text/plain; charset=iso-8859-1"),
    "fenced": {"answer": "fenced"},
    **{f"finish {reason}": {"finish": reason} for reason in ("MAX_TOKENS", "RECITATION", "SAFETY", "OTHER", "TO_COME")},
}


@pytest.mark.parametrize("name", WRAPPINGS)
async def test_a_whole_answer_counts_whatever_surrounds_it(scorer: GeminiScorer, google: Google, name: str) -> None:
    """One call a step: what was paid and is right is not bought again."""
    await google.order(**WRAPPINGS[name])

    _, scored = await scorer.score(LEAD, PROMPTS, KEY)
    _, written = await scorer.write(LEAD, PROMPTS, KEY)

    assert (scored.calls, written.calls) == (1, 1)


async def test_a_message_that_names_degrees_is_bought_once(scorer: GeminiScorer, google: Google) -> None:
    """B.Tech is no site."""
    text = "Hello Jane, your B.Tech and M.Sc. show in how you plan."
    await google.order(text=json.dumps({"SUBJECT": "Your B.Com", "MESSAGE": text}))

    lead = LEAD.model_copy(update={"bio": "B.Tech, M.Sc., B.Com"})
    message, usage = await scorer.write(lead, PROMPTS, KEY)

    assert (message.message, usage.calls) == (text, 1)


async def test_a_fact_without_a_source_is_repaired_by_its_words(scorer: GeminiScorer, google: Google) -> None:
    """The model reads which words are wrong; the failure that people read does not quote them."""
    text = "Hello Jane, your eighty plants at Acme made me write."
    await google.order(text=json.dumps({"SUBJECT": "Hello Jane", "MESSAGE": text}))

    with pytest.raises(Failure) as caught:
        await scorer.write(LEAD, PROMPTS, KEY)

    *_, repair = await google.bodies()
    assert "eighty" in repair["contents"][-1]["parts"][0]["text"]
    assert (caught.value.code, caught.value.usage.calls) == ("message_unproven_number", 2)
    assert_says_nothing(caught.value)
    assert "eighty" not in caught.value.reason


async def test_claims_are_kept_where_they_are_right_and_cost_nothing_where_not(
    scorer: GeminiScorer, google: Google
) -> None:
    """A quote that stands in the lead's data is kept with its field; one that stands nowhere is dropped."""
    claims = ["Acme | bio | Acme", "plants | experience | eighty plants", "nonsense", 7]
    text = "Hello Jane, your work at Acme made me write."
    await google.order(text=json.dumps({"SUBJECT": "Hello Jane", "MESSAGE": text, "CLAIMS": claims}))

    message, usage = await scorer.write(LEAD, PROMPTS, KEY)

    assert [claim.model_dump() for claim in message.claims] == [
        {"words": "Acme", "source": "company_name", "quote": "Acme"}
    ]
    assert usage.calls == 1


async def test_numbers_as_text_and_empty_items_are_bought_once(scorer: GeminiScorer, google: Google) -> None:
    """As where a proxy drops the schema."""
    answer = {"MATCHED": ["CTO", "", None], "MISSED": [], "RESPONSE": "Fits.", "SCORE": "82", "SHOULD_CONTACT": True}
    await google.order(text=json.dumps(answer))

    score, usage = await scorer.score(LEAD, PROMPTS, KEY)

    assert (score.score, score.should_contact, score.matched, usage.calls) == (82, True, ("CTO",), 1)


@pytest.mark.parametrize("do", [{"finish": "RECITATION", "text": ""}, {"block": "OTHER"}], ids=["answer", "prompt"])
async def test_what_was_blocked_once_is_asked_again(scorer: GeminiScorer, google: Google, do: dict[str, Any]) -> None:
    """Some blocks happen by chance."""
    await google.order(first=1, **do)

    _, usage = await scorer.score(LEAD, PROMPTS, KEY)

    assert usage.calls == 2


@pytest.mark.parametrize("text", ["[" * 4_000, "9" * 5_000], ids=["brackets", "digits"])
async def test_the_tokens_of_an_answer_without_end_are_counted(scorer: GeminiScorer, google: Google, text: str) -> None:
    """The SDK would parse it and lose them."""
    await google.order(text=text, finish="MAX_TOKENS")

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert caught.value.usage.output_tokens > 1_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Hello Jane, see https://evil.com/jane", "message_foreign_link"),
        ("Hello Jane, write to jane@evil.com", "message_foreign_address"),
        ("Hello Jane, the key is sk-abcdefghijklmnop", "message_foreign_key"),
        ("<p>Hello Jane</p>", "message_markup"),
        ("Hello [Name]", "message_placeholder"),
        ("Hello Jane,\\nyou &amp; me", "message_escapes"),
    ],
)
async def test_a_message_that_insists_is_refused(scorer: GeminiScorer, google: Google, text: str, code: str) -> None:
    """Repaired once, then the end of the lead, without a word of it."""
    await google.order(text=json.dumps({"SUBJECT": "Hi", "MESSAGE": text}))

    with pytest.raises(Failure) as caught:
        await scorer.write(LEAD, PROMPTS, KEY)

    assert (caught.value.kind.value, caught.value.code) == ("content", code)
    assert caught.value.usage.calls == len(await google.calls()) == 2
    assert_says_nothing(caught.value)
    assert "evil" not in caught.value.reason


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ({"block": "OTHER"}, "Google blocked the prompt (OTHER), twice."),
        ({"block": "REASON_TO_COME"}, "Google blocked the prompt (REASON_TO_COME), twice."),
        ({"text": "Jane", "finish": "RECITATION"}, "Google blocked the answer (RECITATION), twice."),
        ({"block": "Jane Doe"}, "Google blocked the prompt (unknown), twice."),
    ],
)
async def test_a_block_names_googles_word(
    scorer: GeminiScorer, google: Google, do: dict[str, Any], reason: str
) -> None:
    """Not the SDK's enum, and nothing that is no word of Google's."""
    await google.order(**do)

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert caught.value.reason == reason


async def test_a_block_by_chance_is_asked_again(scorer: GeminiScorer, google: Google) -> None:
    """Once blocked, then answered."""
    await google.order(text="Jane", finish="RECITATION", first=1)

    _, usage = await scorer.write(LEAD, PROMPTS, KEY)

    assert usage.calls == 2


@pytest.mark.parametrize(
    "reported",
    [
        {},
        {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0},
        {"promptTokenCount": 900},
        {"candidatesTokenCount": 40},
        {"promptTokenCount": -5, "candidatesTokenCount": 40},
        {"promptTokenCount": 900, "candidatesTokenCount": -40, "thoughtsTokenCount": 80},
        {"promptTokenCount": 900, "candidatesTokenCount": 40, "cachedContentTokenCount": 901},
        {"promptTokenCount": 10**12, "candidatesTokenCount": 40},
        {"promptTokenCount": 900, "candidatesTokenCount": 10**30},
        None,
    ],
)
async def test_token_counts_that_can_not_be_true_are_unknown(
    scorer: GeminiScorer, google: Google, reported: dict[str, int] | None
) -> None:
    """Missing, negative and partial ones: the call is booked at the highest price."""
    said = json.dumps({"SUBJECT": "Hello", "MESSAGE": "Hello Jane, may I write to you?"})
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": said}]}, "finishReason": "STOP"}]}
    await google.order(**raw(answer if reported is None else answer | {"usageMetadata": reported}))

    _, usage = await scorer.write(LEAD, PROMPTS, KEY)

    assert (usage.calls, usage.unmetered, usage.input_tokens, usage.output_tokens) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("do", "unmetered"),
    [
        ({"cut": True}, 1),
        ({"cut": "after_headers"}, 1),
        ({"reset": True}, 0),
        ({"error": 503}, 0),
        ({"error": 429}, 0),
        ({"answer": "non_json_200"}, 0),
        ({"text": "[" * 100_000}, 0),
    ],
)
async def test_failed_calls_that_may_be_billed_are_unmetered(
    scorer: GeminiScorer, google: Google, do: dict[str, Any], unmetered: int
) -> None:
    """A reply that broke off or that the SDK can't parse was perhaps paid for, a refusal never."""
    await google.order(**do)

    with pytest.raises(Failure) as caught:
        await scorer.score(LEAD, PROMPTS, KEY)

    assert caught.value.usage.unmetered == unmetered


REFUSED_CHECKS: dict[str, dict[str, Any]] = {
    "invalid key": error(400, "API_KEY_INVALID"),
    "restricted key": error(403),
    "unknown model": error(404),
    "over quota": error(429),
    "unavailable": error(503),
    "an error inside 200": envelope(403, "PERMISSION_DENIED", "x", http=200),
    "a portal's page": raw("<html>Sign in</html>", 200, "text/html"),
    "other JSON": raw({"ok": True}),
    "an answer": raw({"candidates": []}),
    "a list": raw([]),
    "empty": raw(""),
    "reset": {"reset": True},
}


@pytest.mark.parametrize("name", REFUSED_CHECKS)
async def test_only_a_description_of_the_model_proves_a_key(scorer: GeminiScorer, google: Google, name: str) -> None:
    """Nothing else does, and nothing raises; no call is made that costs."""
    await google.order(step="check", **REFUSED_CHECKS[name])
    assert not await scorer.check_key(KEY)

    await google.orders()
    assert await scorer.check_key(KEY)
    assert await google.calls() == []


@pytest.mark.parametrize("value", ["visibly-invalid-key", "visibly-fake\nkey", "visibly-fake-key\x80", "x" * 600])
async def test_a_key_that_can_not_be_used_is_not_proven(scorer: GeminiScorer, value: str) -> None:
    """Google refuses it, or no header can carry it."""
    assert not await scorer.check_key(ApiKey.model_validate({"fingerprint": "f", "api_key": value}))


async def test_a_check_ends_in_time(scorer: GeminiScorer, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long Google takes."""
    monkeypatch.setattr("leadhook.gemini.client.CHECK_LIMIT_S", 0.2)
    await google.order(step="check", hang=True)
    assert not await scorer.check_key(KEY)


@pytest.mark.parametrize(
    ("header", "park_s"),
    [("30", 30), ("1.5", 1.5), ("soon", None), ("-5", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", None)]
    + [
        (header, None)
        for header in ("9" * 400, "nan", "Mon, 1 Jan 0001 00:00:00 +2359", "Mon, 99 Jan 99999 0:0:0 GMT", ", ,")
    ],
)
async def test_a_delay_that_a_proxy_names_is_kept(header: str, park_s: float | None) -> None:
    """In seconds; no other word is believed."""
    failure = await failure_of({"Retry-After": header}, 503)
    assert (failure.code, failure.park_s) == ("model_path_failed", park_s)


async def test_a_date_that_a_proxy_names_is_kept() -> None:
    """As browsers and proxies write it."""
    failure = await failure_of(
        {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)}, 503
    )
    assert failure.park_s is not None
    assert 80 < failure.park_s <= 90


async def test_a_redirect_is_not_followed() -> None:
    """The key would go with it, to whom a proxy names."""
    failure = await failure_of({"Location": "/elsewhere"}, 307)
    assert failure.code == "model_path_failed"
    assert failure.usage.calls == 1


async def failure_of(headers: dict[str, str], status: int) -> Failure:
    """How a call fails that is answered with these headers, by a server that takes only one."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers=headers, text="<html>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, open_scorer(model="gemini-x", base_url=str(server.make_url("/"))) as scorer:
        with pytest.raises(Failure) as caught:
            await scorer.score(LEAD, PROMPTS, KEY)
    assert len(asked) == 1
    return caught.value


async def test_a_service_that_is_not_there_is_unreachable() -> None:
    """No one listens."""
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=f"http://127.0.0.1:{free_port()}") as scorer:
        with pytest.raises(Failure) as caught:
            await scorer.score(LEAD, PROMPTS, KEY)

    assert (caught.value.kind.value, caught.value.code) == ("transient", "model_unreachable")
    assert caught.value.usage.calls == 1
    assert_says_nothing(caught.value)


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (datetime(2027, 3, 14, 9, tzinfo=UTC), 22),
        (datetime(2026, 11, 1, 8, tzinfo=UTC), 24),
        (datetime(2026, 7, 1, 8, tzinfo=UTC), 23),
    ],
)
def test_a_day_quota_rests_until_midnight_in_california(
    monkeypatch: pytest.MonkeyPatch, day: datetime, hours: int
) -> None:
    """Also on the days on which its clocks change."""
    clock = Mock(wraps=datetime)
    clock.now.side_effect = day.astimezone
    monkeypatch.setattr("leadhook.gemini.failures.datetime", clock)
    assert _until_midnight_pacific() == hours * 3600
