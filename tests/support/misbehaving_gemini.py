"""A Gemini stand-in that misbehaves on request: `python -m tests.support.misbehaving_gemini --port N`.

Without orders it answers as the shipped one. A system instruction of 4,096 tokens or more that the same key sent
before is reported as cached.

PUT /orders      replaces all rules (`tests/support/orders.py` has the list), GET shows them with how many calls each
                 matched, DELETE cancels them
GET /calls       ?since=N: the calls after call N, oldest first; a call in progress has no status yet, `gone` means that
                 the caller disconnected, `key` is 16 hex digits of its SHA-256; DELETE forgets them, numbers go on
GET /bodies/{n}  the request's body of call n
GET /checks      the fingerprint of the key of each request for the model's description, oldest first
GET /usage       as the shipped one, of the calls that have ended
"""

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError
from tests.support.orders import Do, Drip, Manner, Orders, fingerprint
from tests.support.refusals import HTML, refusal

from leadhook.local.gemini_standin import (
    GENERATE,
    KEY_HEADER,
    BadRequest,
    Latency,
    Question,
    Step,
    Tokens,
    answer_within_limit,
    google_error,
    in_envelope,
    new_app,
    parse,
    refuse,
    run,
    tokens_in,
    wait,
)

_CACHED_FROM: Final = 4_096
"""Google caches a prefix from this many tokens on (models 3.x)."""
_NO_TEXT: Final = {
    "empty": "STOP",
    "no_parts": "STOP",
    "blocked_safety": "SAFETY",
    "blocked_recitation": "RECITATION",
    "thinking_only": "MAX_TOKENS",
}


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


class MisbehavingGemini:
    """The shipped stand-in's answers, changed, delayed or cut as ordered, and a list of all calls."""

    def __init__(self, latency_ms: Latency = (0, 0)) -> None:
        self._latency_ms = latency_ms
        self._orders = Orders()
        self._calls: list[ModelCall] = []
        self._count = 0
        self._bodies: dict[int, bytes] = {}
        self._prefixes: set[tuple[str, str]] = set()
        self._checks: list[str] = []

    def app(self) -> web.Application:
        return new_app(
            web.post(GENERATE, self._generate),
            web.get("/v1beta/models/{model}", self._describe),
            web.get("/checks", self._list_checks),
            web.get("/orders", self._list_orders),
            web.put("/orders", self._take_orders),
            web.delete("/orders", self._cancel_orders),
            web.get("/calls", self._list_calls),
            web.delete("/calls", self._forget_calls),
            web.get("/bodies/{n:[0-9]+}", self._show_body),
            web.get("/usage", self._usage),
        )

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        key, body = request.headers.get(KEY_HEADER, ""), await request.read()
        self._count += 1
        call = ModelCall(self._count, time.time() * 1000, fingerprint(key), request.match_info["model"])
        self._calls.append(call)
        self._bodies[call.n] = body
        try:
            reply, do = self._answer(call, key, body)
            await wait(self._latency_of(do), started)
            if do.hang:
                await _hang()
            if do.reset or do.close:
                return _drop(request, reset=bool(do.reset))
            call.status = reply.status
            return await _send(request, reply, do)
        except (asyncio.CancelledError, ConnectionError):
            call.gone = True
            raise
        finally:
            call.duration_ms = round(time.time() * 1000 - call.time, 1)

    def _answer(self, call: ModelCall, key: str, body: bytes) -> tuple[web.Response, Do]:
        if refused := refuse(key, call.model):
            return refused, Do()
        try:
            question = parse(body)
        except BadRequest as error:
            return google_error(400, "INVALID_ARGUMENT", str(error)), Do()
        call.step, call.lead_id, call.name = question.step, question.lead.get("lead_id"), question.lead.get("name")
        text, finish, tokens = answer_within_limit(question)
        call.tokens = replace(tokens, cached=self._cached(call.key, question.system))
        do = self._orders.decide(key, call.key, question.step, question.text)
        return misbehave(call, question, text, finish, do), do

    def _latency_of(self, do: Do) -> Latency:
        if isinstance(do.latency_ms, float):
            return do.latency_ms, do.latency_ms
        return self._latency_ms if do.latency_ms is None else do.latency_ms

    def _cached(self, key: str, system: str) -> int:
        """Return how many tokens of this prompt the key sent before, and remember them."""
        if tokens_in(system) < _CACHED_FROM:
            return 0
        known = (key, system) in self._prefixes
        self._prefixes.add((key, system))
        return tokens_in(system) if known else 0

    async def _list_calls(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        return web.json_response([asdict(call) for call in self._calls if call.n > since])

    async def _forget_calls(self, _request: web.Request) -> web.Response:
        self._calls.clear()
        self._bodies.clear()
        return web.json_response([])

    async def _usage(self, _request: web.Request) -> web.Response:
        ended = [call for call in self._calls if call.duration_ms is not None]
        tokens: Counter[str] = Counter()
        for call in ended:
            tokens.update(asdict(call.tokens))
        by_model = Counter(call.model for call in ended)
        return web.json_response({"calls": len(ended), "by_model": by_model, "tokens": tokens})

    async def _describe(self, request: web.Request) -> web.Response:
        key, model = request.headers.get(KEY_HEADER, ""), request.match_info["model"]
        self._checks.append(fingerprint(key))
        do = self._orders.decide(key, fingerprint(key), "check")
        await wait(self._latency_of(do), asyncio.get_running_loop().time())
        if do.hang:
            await _hang()
        if do.reset or do.close:
            return _drop(request, reset=bool(do.reset))
        if do.error is not None or do.raw is not None:
            return _refused(do, model)
        return refuse(key, model) or web.json_response({"name": f"models/{model}"})

    async def _list_checks(self, _request: web.Request) -> web.Response:
        return web.json_response(self._checks)

    async def _list_orders(self, _request: web.Request) -> web.Response:
        return web.json_response(self._orders.listed())

    async def _take_orders(self, request: web.Request) -> web.Response:
        try:
            self._orders.replace(await request.read())
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            return web.json_response({"error": "no such order", "faults": faults}, status=400)
        return web.json_response(self._orders.listed())

    async def _cancel_orders(self, _request: web.Request) -> web.Response:
        self._orders.cancel()
        return web.json_response([])

    async def _show_body(self, request: web.Request) -> web.Response:
        return web.json_response(json.loads(self._bodies[int(request.match_info["n"])]))


def misbehave(call: ModelCall, question: Question, text: str, finish: str, do: Do) -> web.Response:
    """Answer as ordered; `call` gets the usage that goes with it."""
    if do.error is not None or do.raw is not None:
        call.tokens = Tokens()
        return _refused(do, call.model)
    if do.answer is not None or do.block is not None:
        return _no_good(call, text if do.text is None else do.text, question, do)
    return _said(call, text if do.text is None else do.text, do.finish or finish)


def _refused(do: Do, model: str) -> web.Response:
    if do.error is not None:
        return refusal(do.error.status, do.error.reason, model=model, retry_s=do.error.retry_s)
    assert do.raw is not None
    body = do.raw.body.encode(errors="surrogatepass")
    return web.Response(status=do.raw.status, body=body, headers={"Content-Type": do.raw.content_type})


def _no_good(call: ModelCall, text: str, question: Question, do: Do) -> web.Response:
    if do.answer in {"non_json_200", "nothing", "no_candidates", "blocked_prompt"} or do.block is not None:
        call.tokens = Tokens(prompt=call.tokens.prompt, cached=call.tokens.cached)
        return _without_candidate(call, do)
    if do.answer in _NO_TEXT:
        thinking = max(call.tokens.thinking, 1) if do.answer == "thinking_only" else call.tokens.thinking
        call.tokens = replace(call.tokens, output=0, thinking=thinking)
        parts: dict[str, Any] = {"parts": [{"text": ""}]} if do.answer == "empty" else {}
        return _with_candidate(call, {"role": "model"} | parts, _NO_TEXT[str(do.answer)])
    if do.answer == "thought_parts":
        thought = {"text": "Let me weigh this lead.", "thought": True}
        return _with_candidate(call, {"role": "model", "parts": [thought, {"text": text}]}, do.finish or "STOP")
    if do.answer == "truncated":
        return _said(call, text[: len(text) * 2 // 3], "MAX_TOKENS")
    return _said(call, text if question.step == "text" else _spoilt(text, question, do.answer), do.finish or "STOP")


def _without_candidate(call: ModelCall, do: Do) -> web.Response:
    if do.answer == "non_json_200":
        return web.Response(body=HTML, headers={"Content-Type": "text/html; charset=UTF-8"})
    if do.answer == "nothing":
        return web.json_response({})
    if do.answer == "no_candidates":
        return in_envelope(call.model, call.tokens, {"candidates": []})
    return in_envelope(call.model, call.tokens, {"promptFeedback": {"blockReason": do.block or "PROHIBITED_CONTENT"}})


def _spoilt(text: str, question: Question, manner: Manner | None) -> str:
    fields: dict[str, Any] = json.loads(text)
    prose = "RESPONSE" if question.step == "score" else "MESSAGE"
    match manner:
        case "malformed":
            return "I would say this lead is quite promising, perhaps a 70 or so."
        case "truncated_but_stop":
            return text[: len(text) * 2 // 3]
        case "fenced":
            return f"```json\n{json.dumps(fields, indent=2)}\n```"
        case "out_of_range":
            fields |= {"SCORE": 140} if question.step == "score" else {"SUBJECT": "", "MESSAGE": ""}
        case "too_long":
            fields[prose] *= 13
        case "missing_field":
            fields.pop("SHOULD_CONTACT" if question.step == "score" else "MESSAGE")
        case "nul":
            fields[prose] = f"\x00{fields[prose]}\x00"
        case "surrogate":
            fields[prose] = f"{fields[prose]} \ud800"
        case _:
            fields[prose] = f"<p>{fields[prose]}</p><script>alert(1)</script>"
    return json.dumps(fields, ensure_ascii=manner == "surrogate")


def _said(call: ModelCall, text: str, finish: str) -> web.Response:
    call.tokens = replace(call.tokens, output=tokens_in(text))
    return _with_candidate(call, {"role": "model"} | ({"parts": [{"text": text}]} if text else {}), finish)


def _with_candidate(call: ModelCall, content: dict[str, Any], finish: str) -> web.Response:
    return in_envelope(
        call.model, call.tokens, {"candidates": [{"content": content, "finishReason": finish, "index": 0}]}
    )


async def _hang() -> None:
    """Wait until the caller gives up."""
    await asyncio.get_running_loop().create_future()


def _drop(request: web.Request, *, reset: bool) -> web.Response:
    """Close the connection, with a TCP reset or without; what is returned is never sent."""
    if request.transport is not None and reset:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    elif request.transport is not None:
        request.transport.close()
    return web.Response()


async def _send(request: web.Request, reply: web.Response, do: Do) -> web.StreamResponse:
    broken_off = do.cut or do.stall
    if broken_off is None and do.drip is None:
        return reply
    body = reply.body
    assert isinstance(body, bytes)
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.headers["Content-Type"]})
    response.content_length = len(body)
    await response.prepare(request)
    if broken_off is None:
        await _write(response, body, do.drip)
        await response.write_eof()
        return response
    await _write(response, b"" if broken_off == "after_headers" else body[: len(body) // 2], do.drip)
    if do.stall:
        await _hang()
    if request.transport is not None:
        request.transport.close()
    return response


async def _write(response: web.StreamResponse, body: bytes, drip: Drip | None) -> None:
    if drip is None:
        await response.write(body)
        return
    for start in range(0, len(body), drip.bytes):
        await response.write(body[start : start + drip.bytes])
        await asyncio.sleep(drip.every_ms / 1000)


if __name__ == "__main__":
    run(lambda latency_ms: MisbehavingGemini(latency_ms).app())
