"""Google's answer around the stand-in's text, and every way in which a model's answer can be no good."""

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from leadhook.local.gemini import tokens, writing
from leadhook.local.gemini.judging import CONTACT_FROM, judge
from leadhook.local.gemini.reading import Reading
from leadhook.local.gemini.refusals import Reply
from leadhook.local.gemini.tokens import Tokens

if TYPE_CHECKING:
    from leadhook.local.gemini.orders import Do

Manner = Literal[
    "malformed",
    "truncated",
    "truncated_but_stop",
    "fenced",
    "out_of_range",
    "missing_field",
    "too_long",
    "empty",
    "no_parts",
    "no_candidates",
    "nothing",
    "blocked_prompt",
    "blocked_safety",
    "blocked_recitation",
    "thinking_only",
    "thought_parts",
    "non_json_200",
    "nul",
    "surrogate",
    "html_in_message",
]

_NO_TEXT: Final[dict[str, str]] = {
    "empty": "STOP",
    "no_parts": "STOP",
    "blocked_safety": "SAFETY",
    "blocked_recitation": "RECITATION",
    "thinking_only": "MAX_TOKENS",
}
_SIGNATURE: Final = "c3RhbmQtaW4="
_HTML: Final = b"<html><body>This is not the JSON that you are looking for.</body></html>"


def answer(reading: Reading, model: str, cached: int, do: "Do") -> tuple[Reply, Tokens]:
    """Answer a request as ordered; properly where nothing is."""
    manner = do.answer
    used = Tokens(prompt=tokens.count(reading.system) + tokens.count(reading.text), cached=cached)
    if manner == "non_json_200":
        return Reply(200, _HTML, "text/html; charset=UTF-8"), used
    if manner == "nothing":
        return Reply(200, b"{}"), used
    if manner == "no_candidates":
        return _reply({"candidates": []}, model, used), used
    if manner == "blocked_prompt" or do.block is not None:
        feedback = {"blockReason": do.block or "PROHIBITED_CONTENT"}
        return _reply({"promptFeedback": feedback}, model, used), used
    thoughts = tokens.thinking(reading)
    if manner in _NO_TEXT:
        used = replace(used, thinking=max(thoughts, 1) if manner == "thinking_only" else thoughts)
        text = "" if manner == "empty" else None
        return _reply({"candidates": [_candidate(text, _NO_TEXT[manner])]}, model, used), used
    said, finish = _say(reading, manner) if do.text is None else (do.text, "STOP")
    finish = do.finish or finish
    if reading.max_output_tokens is not None and thoughts + tokens.count(said) > reading.max_output_tokens:
        said, finish = said[: max(reading.max_output_tokens - thoughts, 0) * 4], "MAX_TOKENS"
        thoughts = min(thoughts, reading.max_output_tokens)
    used = replace(used, output=tokens.count(said), thinking=thoughts)
    signed = model.startswith("gemini-3") and thoughts > 0
    candidate = _candidate(said or None, finish, signed=signed, thinks=manner == "thought_parts")
    return _reply({"candidates": [candidate]}, model, used), used


def _say(reading: Reading, manner: Manner | None) -> tuple[str, str]:  # noqa: C901 - a table, one case a manner
    if reading.step == "text":
        return "This is the Gemini stand-in. Ask with a response schema for a score or a message.", "STOP"
    fields = _score(reading) if reading.step == "score" else _message(reading)
    prose = "RESPONSE" if reading.step == "score" else "MESSAGE"
    match manner:
        case "malformed":
            return "I would say this lead is quite promising, perhaps a 70 or so.", "STOP"
        case "truncated" | "truncated_but_stop":
            whole = json.dumps(fields, ensure_ascii=False)
            return whole[: len(whole) * 2 // 3], "MAX_TOKENS" if manner == "truncated" else "STOP"
        case "fenced":
            return f"```json\n{json.dumps(fields, indent=2)}\n```", "STOP"
        case "out_of_range":
            fields |= {"SCORE": 140} if reading.step == "score" else {"SUBJECT": "", "MESSAGE": ""}
        case "too_long":
            fields[prose] *= 13
        case "missing_field":
            fields.popitem()
        case "nul":
            fields[prose] = f"\x00{fields[prose]}\x00"
        case "surrogate":
            fields[prose] = f"{fields[prose]} \ud800"
        case "html_in_message":
            fields[prose] = f"<p>{fields[prose]}</p><script>alert(1)</script>"
        case _:
            pass
    return json.dumps(fields, ensure_ascii=manner == "surrogate"), "STOP"


def _score(reading: Reading) -> dict[str, Any]:
    judgement = judge(reading.lead, reading.system)
    criteria = {
        "MATCHED": [f"shares the word {word}" for word in judgement.shared_words[:6]],
        "MISSED": [
            f"{field} is not given" for field in ("title", "company_name", "experience") if field not in reading.lead
        ],
    }
    return {name: value for name, value in criteria.items() if name in reading.required} | {
        "SCORE": judgement.score,
        "RESPONSE": writing.reasoning(reading.lead, judgement),
        "SHOULD_CONTACT": int(judgement.score >= CONTACT_FROM),
    }


def _message(reading: Reading) -> dict[str, Any]:
    return {"SUBJECT": writing.subject(reading.lead), "MESSAGE": writing.message(reading.lead)}


def _candidate(text: str | None, finish: str, *, signed: bool = False, thinks: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"}
    thoughts = [{"text": "Let me weigh this lead.", "thought": True}] if thinks else []
    if text is not None:
        content["parts"] = [*thoughts, {"text": text} | ({"thoughtSignature": _SIGNATURE} if signed else {})]
    return {"content": content, "finishReason": finish, "index": 0}


def _reply(start: dict[str, Any], model: str, used: Tokens) -> Reply:
    usage: dict[str, Any] = {"promptTokenCount": used.prompt}
    if used.output:
        usage["candidatesTokenCount"] = used.output
    usage["totalTokenCount"] = used.total
    if used.cached:
        usage["cachedContentTokenCount"] = used.cached
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": used.cached}]
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": used.prompt}]
    if used.thinking:
        usage["thoughtsTokenCount"] = used.thinking
    rest = {"usageMetadata": usage, "modelVersion": model, "responseId": secrets.token_urlsafe(16)}
    return Reply(200, json.dumps(start | rest).encode())
