"""THIS IS A STAND-IN FOR GEMINI. It is not Google, no model runs here, nothing is billed.

It speaks the wire format of `POST /v1beta/models/{model}:generateContent` and answers by the rules below; the same
request gets the same answer. Every response carries the header `X-Stand-In`.

Run it: `python -m leadhook.local.gemini_standin --port 8300`. GEMINI_STANDIN_LATENCY_MS, such as `800` or `300-900`,
delays each answer.

A response schema with the property SCORE asks for a score, one with SUBJECT for a message, anything else for text.
About four characters count as a token. maxOutputTokens cuts the answer. A missing key gets 403, a key that contains
`placeholder` or `invalid` 400 API_KEY_INVALID, a model whose name does not begin with `gemini-` 404.

The score is the sum, between 0 and 100, of
  seniority  chief, founder, owner, VP … 40, head, director 34, manager, lead, principal, architect 24, senior 14,
             any other title 8, none 0
  fit        6 for each word of the system instruction (5 letters or more; ranks and everyday words aside) that is also
             in the lead's title, company, location, experience, skills or the start of its bio; at most 48
  facts      1 for each of name, title, company_name, experience, bio that is filled
  spread     0 to 8, computed from the lead's name and id
A student, intern, recruiter, job seeker or retired lead gets at most 25; one without title, company and experience at
most 20. What a lead says about its own score changes nothing. SHOULD_CONTACT is 1 from 50 up. The message
states nothing but the lead's first name and company, and its claims say where those stand.

GET /usage   {"calls": …, "by_model": {…}, "tokens": {…}}: all calls since the start
GET /health  {"ok": true}
"""

import argparse
import asyncio
import json
import os
import random
import re
import secrets
import socket
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import uvloop
from aiohttp import web

Latency = tuple[float, float]
"""From and to, in milliseconds."""
Step = Literal["score", "message", "text"]

KEY_HEADER: Final = "x-goog-api-key"
GENERATE: Final = "/v1beta/models/{model}:generateContent"
_PAYLOAD_LIMIT: Final = 20 * 1024 * 1024
_NEVER_VALID: Final = ("placeholder", "invalid")
_THOUGHTS: Final = {"minimal": 0, "low": 40, "medium": 120, "high": 300}

_CONTACT_FROM: Final = 50
_FIELD: Final = re.compile(
    r"""(?im)^[ \t"'*>-]{0,20}(lead_id|tag|name|title|location|company_name|experience|skills|bio|profile_url"""
    r"""|linkedin_url|company_page_url)["'*]{0,3}[ \t]*[:=]"""
)
_MISSING: Final = {"", "-", "null", "none", "n/a", "unknown"}
_FENCE: Final = re.compile(r"(?m)^[ \t]*(```|===|---|<)")
_VALUE_LIMIT, _FIT_LIMIT = 2_000, 600
_OUTSIDERS: Final = re.compile(
    r"(?i)\b(student|intern|trainee|apprentice|recruiter|retired|unemployed|job ?seeker|open to work|looking)\b"
)
_RANKS: Final = (
    (40, re.compile(r"(?i)\b(chief|c[etoidf]o|(co-?)?founder|owner|president|vp|svp|managing director|partner)\b")),
    (34, re.compile(r"(?i)\b(head|director)\b")),
    (24, re.compile(r"(?i)\b(manager|lead|principal|architect)\b")),
    (14, re.compile(r"(?i)\b(senior|staff)\b")),
    (8, re.compile(".")),
)
_FIT_FIELDS: Final = ("title", "company_name", "location", "experience", "skills", "bio")
_LONG_WORD: Final = re.compile(r"[^\W\d_]{5,}")
_EVERYDAY: Final = frozenset(Path(__file__).with_name("everyday_words.txt").read_text(encoding="utf-8").split())
_WORD_LIMIT: Final = 30


class BadRequest(Exception):  # noqa: N818 - it is Google's word
    """Google answers such a request with 400 INVALID_ARGUMENT and this text."""


@dataclass(frozen=True, slots=True)
class Question:
    step: Step
    required: tuple[str, ...]
    system: str
    text: str
    lead: dict[str, str]
    max_output_tokens: int | None
    thinking: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Assessment:
    score: int
    shared_words: tuple[str, ...]
    points: dict[str, int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage of one call; `prompt` includes `cached`, `output` does not include `thinking`."""

    prompt: int = 0
    cached: int = 0
    output: int = 0
    thinking: int = 0


class GeminiStandIn:
    """Answers model calls and adds up what they would be billed for."""

    def __init__(self, latency_ms: Latency = (0, 0)) -> None:
        self._latency_ms = latency_ms
        self._by_model: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def app(self) -> web.Application:
        return new_app(web.post(GENERATE, self._generate), web.get("/usage", self._usage))

    async def _generate(self, request: web.Request) -> web.Response:
        started = asyncio.get_running_loop().time()
        model = request.match_info["model"]
        reply, tokens = answer_call(request.headers.get(KEY_HEADER, ""), model, await request.read())
        self._by_model[model] += 1
        self._tokens.update(asdict(tokens))
        await wait(self._latency_ms, started)
        return reply

    async def _usage(self, _request: web.Request) -> web.Response:
        return web.json_response({"calls": self._by_model.total(), "by_model": self._by_model, "tokens": self._tokens})


def answer_call(key: str, model: str, body: bytes) -> tuple[web.Response, Tokens]:
    if refused := refuse(key, model):
        return refused, Tokens()
    try:
        question = parse(body)
    except BadRequest as error:
        return google_error(400, "INVALID_ARGUMENT", str(error)), Tokens()
    text, finish, tokens = answer_within_limit(question)
    content = {"role": "model", "parts": [{"text": text}] if text else []}
    candidate = {"content": content, "finishReason": finish, "index": 0}
    return in_envelope(model, tokens, {"candidates": [candidate]}), tokens


def parse(body: bytes) -> Question:
    """Parse a request's body, or raise BadRequest as the real service would refuse it."""
    try:
        return _question(json.loads(body))
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from None


def _question(request: dict[str, Any]) -> Question:
    contents = request["contents"]
    if contents[-1].get("role") == "model":
        raise BadRequest("Please ensure that multiturn requests end with a user turn.")
    text = "\n".join(_text(content) for content in contents if content.get("role", "user") == "user")
    config = request.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema") or {}
    required = tuple(schema.get("properties") or ())
    return Question(
        step="score" if "SCORE" in required else "message" if "SUBJECT" in required else "text",
        required=required,
        system=_text(request.get("systemInstruction") or {}),
        text=text,
        lead=lead_of(text),
        max_output_tokens=config.get("maxOutputTokens"),
        thinking=config.get("thinkingConfig") or {},
    )


def _text(content: dict[str, Any]) -> str:
    return "\n".join(part.get("text", "") for part in content.get("parts") or ())


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
    title = lead.get("title", "")
    outsider = _OUTSIDERS.search(title)
    seniority = 0 if outsider else next((points for points, rank in _RANKS if rank.search(title)), 0)
    profile = " ".join(lead.get(field, "")[:_FIT_LIMIT] for field in _FIT_FIELDS)
    shared = tuple(sorted(_words(profile) & _words(system) - _EVERYDAY))
    points = {
        "seniority": seniority,
        "fit": min(6 * len(shared), 48),
        "facts": sum(field in lead for field in ("name", "title", "company_name", "experience", "bio")),
        "spread": zlib.crc32(f"{lead.get('name')}|{lead.get('lead_id')}".encode(errors="replace")) % 9,
    }
    known = lead.keys() & {"title", "company_name", "experience"}
    most = 25 if outsider else 100 if known else 20
    return Assessment(min(sum(points.values()), most), shared, points)


@lru_cache(maxsize=64)
def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _LONG_WORD.findall(text))


def answer(question: Question) -> str:
    """The text of the model's answer: JSON for a score or a message."""
    if question.step == "text":
        return "This is the Gemini stand-in. Ask with a response schema for a score or a message."
    lead = question.lead
    if question.step == "score":
        return json.dumps(_score(question), ensure_ascii=False)
    fields = {"SUBJECT": subject(lead), "MESSAGE": message(lead), "CLAIMS": claims(lead)}
    return json.dumps({name: fields[name] for name in question.required if name in fields}, ensure_ascii=False)


def _score(question: Question) -> dict[str, Any]:
    lead = question.lead
    assessment = assess(lead, question.system)
    criteria = {
        "MATCHED": [f"shares the word {word}" for word in assessment.shared_words[:6]],
        "MISSED": [f"{field} is not given" for field in ("title", "company_name", "experience") if field not in lead],
    }
    return {name: value for name, value in criteria.items() if name in question.required} | {
        "SCORE": assessment.score,
        "RESPONSE": reasoning(lead, assessment),
        "SHOULD_CONTACT": int(assessment.score >= _CONTACT_FROM),
    }


def reasoning(lead: dict[str, str], assessment: Assessment) -> str:
    shared = ", ".join(assessment.shared_words[:6]) or "none"
    result = "is worth a message" if assessment.score >= _CONTACT_FROM else "does not meet the criteria well enough"
    points = assessment.points
    return (
        f"By the visible rules of this stand-in, {_some(lead.get('name'), 3, 'this lead')} scores {assessment.score} "
        f"and {result}. The title gives {points['seniority']} points. Words that the criteria and the profile share "
        f"give {points['fit']} points: {shared}. Filled fields give {points['facts']}. A spread computed from the "
        f"name gives {points['spread']}, so that a list of similar leads shows different figures. Students, "
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
        "to take the slow, manual steps out of their daily planning, and most of them see the difference soon after "
        "the start. Would a call of fifteen minutes next week be useful, or is there someone else at "
        f"{company} whom I should ask instead?"
    )


def claims(lead: dict[str, str]) -> list[str]:
    name, company = _some(lead.get("name"), 1, ""), _some(lead.get("company_name"), 3, "")
    given = (("name", name), ("company_name", company))
    return [f"{words} | {field} | {words}" for field, words in given if words and "|" not in words]


def _some(text: str | None, most: int, otherwise: str) -> str:
    words = [word[:_WORD_LIMIT].strip(",.;:") for word in (text or "").split() if re.search(r"\w", word)]
    return " ".join(words[:most]) or otherwise


def answer_within_limit(question: Question) -> tuple[str, str, Tokens]:
    """Return the text, cut to maxOutputTokens (which thoughts count towards), the finish reason and the usage."""
    prompt = tokens_in(question.system) + tokens_in(question.text)
    text, finish, thoughts = answer(question), "STOP", _thoughts(question.thinking)
    limit = question.max_output_tokens
    if limit is not None and thoughts + tokens_in(text) > limit:
        text, finish, thoughts = text[: max(limit - thoughts, 0) * 4], "MAX_TOKENS", min(thoughts, limit)
    return text, finish, Tokens(prompt=prompt, output=tokens_in(text), thinking=thoughts)


def tokens_in(text: str) -> int:
    """Estimate: about four characters are a token."""
    return -(-len(text) // 4)


def _thoughts(asked: dict[str, Any]) -> int:
    level = asked.get("thinking_level") or asked.get("thinkingLevel")
    budget = _THOUGHTS.get(str(level).lower()) if level else asked.get("thinkingBudget")
    return 40 if budget is None or budget < 0 else min(int(budget), 300)


def refuse(key: str, model: str) -> web.Response | None:
    if not key:
        text = "Method doesn't allow unregistered callers. Please use API Key to call this API."
        return google_error(403, "PERMISSION_DENIED", text)
    if any(word in key.lower() for word in _NEVER_VALID):
        why = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        return google_error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [why])
    return None if model.startswith("gemini-") else unknown_model(model)


def unknown_model(model: str) -> web.Response:
    text = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
    return google_error(404, "NOT_FOUND", text)


def google_error(status: int, name: str, text: str, details: list[dict[str, Any]] | None = None) -> web.Response:
    content = {"code": status, "message": text, "status": name} | ({"details": details} if details else {})
    return web.json_response({"error": content}, status=status)


def in_envelope(model: str, tokens: Tokens, content: dict[str, Any]) -> web.Response:
    counts = {
        "promptTokenCount": tokens.prompt,
        "cachedContentTokenCount": tokens.cached,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.thinking,
        "totalTokenCount": tokens.prompt + tokens.output + tokens.thinking,
    }
    usage = {name: count for name, count in counts.items() if count}
    rest = {"usageMetadata": usage, "modelVersion": model, "responseId": secrets.token_urlsafe(16)}
    return web.json_response(content | rest)


def new_app(*routes: web.RouteDef) -> web.Application:
    async def mark(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Stand-In"] = "leadhook's Gemini stand-in; this is not Google"

    app = web.Application(client_max_size=_PAYLOAD_LIMIT)
    app.on_response_prepare.append(mark)
    own = [web.get("/", _guide), web.get("/health", _health), web.get("/v1beta/models/{model}", _describe)]
    app.add_routes([*routes, *own])
    return app


async def _guide(_request: web.Request) -> web.Response:
    return web.Response(text=__doc__)


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True, "stand_in": True})


async def _describe(request: web.Request) -> web.Response:
    model = request.match_info["model"]
    key = request.headers.get(KEY_HEADER, "")
    return refuse(key, model) or web.json_response({"name": f"models/{model}"})


async def wait(latency_ms: Latency, since: float) -> None:
    """Sleep until the latency has passed since the loop's time `since`."""
    wanted_s = random.uniform(*latency_ms) / 1000  # noqa: S311 - a die
    await asyncio.sleep(max(0, since + wanted_s - asyncio.get_running_loop().time()))


def run(app_of: Callable[[Latency], web.Application] = lambda latency_ms: GeminiStandIn(latency_ms).app()) -> None:
    """Read arguments and environment, and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="A stand-in for Gemini.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line says which")
    port = parser.parse_args().port
    low, _, high = os.environ.get("GEMINI_STANDIN_LATENCY_MS", "0").partition("-")
    latency_ms = float(low), float(high or low)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        line = f"GEMINI STAND-IN, NOT GOOGLE: answers by simple rules on {url} (GET / explains)"
        web.run_app(
            app_of(latency_ms),
            sock=listener,
            loop=uvloop.new_event_loop(),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=600,
            shutdown_timeout=0.5,
            print=lambda _: print(line, flush=True),  # noqa: T201 - the line that names the port
        )


if __name__ == "__main__":
    run()
