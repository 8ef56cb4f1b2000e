"""THIS IS A STAND-IN FOR GEMINI. It is not Google, no model runs here, nothing is billed.

It speaks the wire format of `POST /v1beta/models/{model}:generateContent` and answers by the visible rules of
gemini_rules.py; the same request gets the same answer. Every response carries the header `X-Stand-In`.

Run it: `python -m leadhook.local.gemini_standin --port 8300 [--latency-ms 800 | --latency-ms 300-900]`
(GEMINI_STANDIN_LATENCY_MS does the same; the default is 0).

A response schema with the property SCORE asks for a score, one with SUBJECT for a message, anything else for text.
About four characters count as a token. A system instruction of 4,096 tokens or more that the same key sent before is
reported as cached. maxOutputTokens cuts the answer. A missing key gets 403, a key that contains `placeholder` or
`invalid` 400 API_KEY_INVALID, a model whose name does not begin with `gemini-` 404.

GET /calls?since=N   {"sum": {…}, "calls": […]}: the calls after call N (the last 20,000); a call in progress has no
                     status yet; `gone` means that the caller disconnected; `key` is 16 hex digits of its SHA-256
DELETE /calls        forget them; numbers go on
GET /health          {"ok": true}
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import secrets
import signal
import sys
import time
import zlib
from collections import Counter, OrderedDict, deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import uvloop
from aiohttp import web

from leadhook.local.gemini_rules import BadRequest, Question, Step, answer, parse

Latency = float | tuple[float, float]

_PAYLOAD_LIMIT: Final = 20 * 1024 * 1024
_NEVER_VALID: Final = ("placeholder", "invalid")
_CALLS_KEPT: Final = 20_000
_PREFIXES_KEPT: Final = 1_000
_CACHED_FROM: Final = 4_096
"""Google caches a prefix from this many tokens on (models 3.x)."""
_THOUGHTS: Final = {"minimal": 0, "low": 40, "medium": 120, "high": 300}
_THOUGHTS_SPREAD: Final = 20


@dataclass(frozen=True, slots=True)
class WireReply:
    """The HTTP response of one call."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage of one call; `prompt` includes `cached`, `output` does not include `thinking`."""

    prompt: int = 0
    cached: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def total(self) -> int:
        """All tokens that Google would bill."""
        return self.prompt + self.output + self.thinking

    def counted(self) -> dict[str, int]:
        """Each kind and the total."""
        return asdict(self) | {"total": self.total}


@dataclass(slots=True)
class ModelCall:
    """One request. `time` is Unix time in ms, `key` a fingerprint; `status` is None until it is answered."""

    n: int
    time: float
    key: str
    model: str
    step: Step | None = None
    lead_id: str | None = None
    name: str | None = None
    status: int | None = None
    duration_ms: float | None = None
    tokens: Tokens = field(default_factory=Tokens)
    gone: bool = False

    def listed(self) -> dict[str, Any]:
        """The call as JSON."""
        return asdict(self) | {"tokens": self.tokens.counted()}


class CallLog:
    """The calls that came in, newest last, and the sums of those that have ended."""

    def __init__(self) -> None:
        self._n = 0
        self.forget()

    def forget(self) -> None:
        """Drop calls and sums; numbering goes on."""
        self._calls: deque[ModelCall] = deque(maxlen=_CALLS_KEPT)
        self._forgotten_to = self._n
        self._ended = self._gone = 0
        self._by_model: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def begin(self, key: str, model: str) -> ModelCall:
        """Record a call that came in now."""
        self._n += 1
        fingerprint = hashlib.sha256(key.strip().encode(errors="replace")).hexdigest()[:16]
        call = ModelCall(self._n, time.time() * 1000, fingerprint, model)
        self._calls.append(call)
        return call

    def end(self, call: ModelCall) -> None:
        """Add a call that has ended to the sums."""
        call.duration_ms = round(time.time() * 1000 - call.time, 1)
        if call.n > self._forgotten_to:
            self._ended += 1
            self._gone += call.gone
            self._by_model[call.model] += 1
            self._tokens.update(call.tokens.counted())

    def since(self, n: int) -> dict[str, Any]:
        """The sums, and the calls after call `n`."""
        total = {"calls": self._ended, "gone": self._gone, "by_model": self._by_model, "tokens": self._tokens}
        return {"sum": total, "calls": [call.listed() for call in self._calls if call.n > n]}


class GeminiStandIn:
    """Answers model calls, and shows which calls came in."""

    def __init__(self, latency_ms: Latency = 0) -> None:
        self._latency_ms = latency_ms
        self._prefixes: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.calls = CallLog()

    def app(self) -> web.Application:
        """The server."""
        app = new_app()
        app.router.add_get("/", self.guide)
        app.router.add_post("/v1beta/models/{model}:generateContent", self.generate)
        app.add_routes(self.other_routes())
        return app

    def other_routes(self) -> list[web.RouteDef]:
        """All routes but the guide and the model call."""
        return [
            web.get("/v1beta/models/{model}", self.describe),
            web.get("/health", self.health),
            web.get("/calls", self.list_calls),
            web.delete("/calls", self.forget_calls),
        ]

    async def generate(self, request: web.Request) -> web.Response:
        """`models.generateContent`."""
        started = asyncio.get_running_loop().time()
        key, body = key_of(request), await request.read()
        call = self.calls.begin(key, request.match_info["model"])
        try:
            reply, _ = self.reply(call, key, body)
            await wait(self._latency_ms, started)
            call.status = reply.status
            return respond(reply)
        except asyncio.CancelledError:
            call.gone = True
            raise
        finally:
            self.calls.end(call)

    def reply(self, call: ModelCall, key: str, body: bytes) -> tuple[WireReply, Question | None]:
        """The answer to a call, and the question if there is one to answer."""
        if refused := _refused(key, call.model):
            return refused, None
        try:
            question = parse(body)
        except BadRequest as error:
            return google_error(400, "INVALID_ARGUMENT", str(error)), None
        call.step, call.lead_id, call.name = question.step, question.lead.get("lead_id"), question.lead.get("name")
        text, finish, call.tokens = _limited(question, self._cached(call.key, question.system))
        content = {"role": "model", "parts": [{"text": text}] if text else []}
        return generated(call, {"candidates": [{"content": content, "finishReason": finish, "index": 0}]}), question

    def _cached(self, key: str, system: str) -> int:
        """How many tokens of this prompt were seen before with this key; they are remembered."""
        length = tokens_in(system)
        if length < _CACHED_FROM:
            return 0
        prefix = key, hashlib.sha256(system.encode(errors="replace")).hexdigest()
        known = prefix in self._prefixes
        self._prefixes[prefix] = None
        self._prefixes.move_to_end(prefix)
        if len(self._prefixes) > _PREFIXES_KEPT:
            self._prefixes.popitem(last=False)
        return length if known else 0

    async def describe(self, request: web.Request) -> web.Response:
        """`models.get`: the model exists, if the key may be used."""
        model = request.match_info["model"]
        name = json.dumps({"name": f"models/{model}"}).encode()
        return respond(_refused(key_of(request), model) or WireReply(200, name))

    async def guide(self, _request: web.Request) -> web.Response:
        """This module's docstring."""
        return web.Response(text=__doc__)

    async def health(self, _request: web.Request) -> web.Response:
        """Alive."""
        return web.json_response({"ok": True, "stand_in": True})

    async def list_calls(self, request: web.Request) -> web.Response:
        """The sums, and the calls after `since`."""
        since = request.query.get("since", "0")
        if not since.isdecimal():
            return web.json_response({"error": "`since` is the number of a call"}, status=400)
        return web.json_response(self.calls.since(int(since)))

    async def forget_calls(self, _request: web.Request) -> web.Response:
        """Forget the calls."""
        self.calls.forget()
        return web.json_response(self.calls.since(0))


def new_app() -> web.Application:
    """A server whose every response says that it is a stand-in."""

    async def mark(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Stand-In"] = "leadhook's Gemini stand-in; this is not Google"

    app = web.Application(client_max_size=_PAYLOAD_LIMIT)
    app.on_response_prepare.append(mark)
    return app


def key_of(request: web.Request) -> str:
    """The key that came with a request."""
    return request.headers.get("x-goog-api-key", "")


def respond(reply: WireReply) -> web.Response:
    """Send a reply as it is."""
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type})


async def wait(latency_ms: Latency, since: float) -> None:
    """Sleep until the latency has passed since the loop's time `since`."""
    wanted = random.uniform(*latency_ms) if isinstance(latency_ms, tuple) else latency_ms  # noqa: S311 - a die
    await asyncio.sleep(max(0, since + wanted / 1000 - asyncio.get_running_loop().time()))


def _refused(key: str, model: str) -> WireReply | None:
    if not key:
        text = "Method doesn't allow unregistered callers. Please use API Key to call this API."
        return google_error(403, "PERMISSION_DENIED", text)
    if any(word in key.lower() for word in _NEVER_VALID):
        why = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        return google_error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [why])
    return None if model.startswith("gemini-") else unknown_model(model)


def unknown_model(model: str) -> WireReply:
    """No such model."""
    text = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
    return google_error(404, "NOT_FOUND", text)


def google_error(status: int, name: str, text: str, details: list[dict[str, Any]] | None = None) -> WireReply:
    """Google's envelope around an error."""
    content = {"code": status, "message": text, "status": name} | ({"details": details} if details else {})
    return WireReply(status, json.dumps({"error": content}, indent=2).encode())


def tokens_in(text: str) -> int:
    """About four characters are a token."""
    return -(-len(text) // 4)


def _limited(question: Question, cached: int) -> tuple[str, str, Tokens]:
    """The answer's text within maxOutputTokens, which thoughts count towards; finish reason; usage."""
    used = Tokens(prompt=tokens_in(question.system) + tokens_in(question.text), cached=cached)
    text, finish, thoughts = answer(question), "STOP", _thoughts(question)
    limit = question.max_output_tokens
    if limit is not None and thoughts + tokens_in(text) > limit:
        text, finish, thoughts = text[: max(limit - thoughts, 0) * 4], "MAX_TOKENS", min(thoughts, limit)
    return text, finish, replace(used, output=tokens_in(text), thinking=thoughts)


def _thoughts(question: Question) -> int:
    """A small number that depends on the level or budget asked for and, a little, on the lead."""
    wanted = _THOUGHTS.get(question.thinking, 40) if isinstance(question.thinking, str) else question.thinking
    most = 40 if wanted is None or wanted < 0 else min(wanted, 300)
    spread = zlib.crc32(question.lead.get("name", "").encode(errors="replace")) % _THOUGHTS_SPREAD
    return min(max(most - _THOUGHTS_SPREAD, 0) + spread, most)


def generated(call: ModelCall, content: dict[str, Any]) -> WireReply:
    """Google's envelope around an answer, with the call's usage."""
    used = call.tokens
    usage: dict[str, Any] = {"promptTokenCount": used.prompt, "totalTokenCount": used.total}
    parts = {
        "candidatesTokenCount": used.output,
        "cachedContentTokenCount": used.cached,
        "thoughtsTokenCount": used.thinking,
    }
    usage |= {name: count for name, count in parts.items() if count}
    rest = {"usageMetadata": usage, "modelVersion": call.model, "responseId": secrets.token_urlsafe(16)}
    return WireReply(200, json.dumps(content | rest).encode())


def run(app_of_latency: Any = None) -> None:
    """Read the arguments and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="A stand-in for Gemini.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line says which")
    parser.add_argument(
        "--latency-ms",
        type=_latency,
        default=os.environ.get("GEMINI_STANDIN_LATENCY_MS", "0"),
        help="of every answer: a number, or a range such as 300-900",
    )
    arguments = parser.parse_args()
    app = app_of_latency(arguments.latency_ms) if app_of_latency else GeminiStandIn(arguments.latency_ms).app()
    uvloop.run(_serve(app, arguments.port))


def _latency(text: str) -> Latency:
    low, dash, high = text.partition("-")
    return (float(low), float(high)) if dash else float(low)


async def _serve(app: web.Application, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, keepalive_timeout=600, shutdown_timeout=0.5)
    await runner.setup()
    async with contextlib.AsyncExitStack() as exits:
        exits.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        sys.stdout.write(f"GEMINI STAND-IN, NOT GOOGLE: answers by simple rules on {url} (GET / explains)\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    run()
