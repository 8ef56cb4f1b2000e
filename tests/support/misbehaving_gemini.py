"""The Gemini stand-in that also misbehaves on order: `python -m tests.support.misbehaving_gemini --port N`.

PUT /orders replaces all rules (`tests/support/orders.py` has the list), GET shows them with how many calls each
matched, DELETE cancels them. GET /bodies/{n} is the request's body of call n.
"""

import asyncio
import json
import socket
import struct
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError
from tests.support.orders import Do, Drip, Manner, Orders
from tests.support.refusals import HTML, refusal

from leadhook.local.gemini_rules import Question
from leadhook.local.gemini_standin import (
    GeminiStandIn,
    Latency,
    ModelCall,
    Tokens,
    WireReply,
    generated,
    key_of,
    new_app,
    respond,
    run,
    tokens_in,
    wait,
)

_NO_TEXT: Final = {
    "empty": "STOP",
    "no_parts": "STOP",
    "blocked_safety": "SAFETY",
    "blocked_recitation": "RECITATION",
    "thinking_only": "MAX_TOKENS",
}


class MisbehavingGemini:
    """The shipped stand-in, whose answers are changed, delayed or cut as ordered."""

    def __init__(self, latency_ms: Latency = 0) -> None:
        self._proper = GeminiStandIn()
        self._latency_ms = latency_ms
        self._orders = Orders()
        self._bodies: dict[int, bytes] = {}

    def app(self) -> web.Application:
        """The server."""
        app = new_app()
        app.router.add_post("/v1beta/models/{model}:generateContent", self._generate)
        app.router.add_get("/orders", self._list_orders)
        app.router.add_put("/orders", self._take_orders)
        app.router.add_delete("/orders", self._cancel_orders)
        app.router.add_get("/bodies/{n:[0-9]+}", self._show_body)
        app.add_routes(self._proper.other_routes())
        return app

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        key, body = key_of(request), await request.read()
        call = self._proper.calls.begin(key, request.match_info["model"])
        self._bodies[call.n] = body
        try:
            reply, question = self._proper.reply(call, key, body)
            do = self._orders.decide(key, call.key, question) if question else Do()
            reply = misbehave(call, reply, question, do) if question else reply
            await wait(self._latency_ms if do.latency_ms is None else do.latency_ms, started)
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
            self._proper.calls.end(call)

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


def misbehave(call: ModelCall, proper: WireReply, question: Question, do: Do) -> WireReply:
    """The reply as ordered; `call` gets the usage that goes with it."""
    if do.error is not None:
        call.tokens = Tokens()
        return refusal(do.error.status, do.error.reason, model=call.model, retry_s=do.error.retry_s)
    if do.raw is not None:
        call.tokens = Tokens()
        return WireReply(do.raw.status, do.raw.body.encode(errors="surrogatepass"), do.raw.content_type)
    if do.answer is None and do.text is None and do.finish is None and do.block is None:
        return proper
    [candidate] = json.loads(proper.body)["candidates"]
    text = candidate["content"]["parts"][0]["text"] if do.text is None else do.text
    if do.answer is None and do.block is None:
        return _said(call, text, do.finish or candidate["finishReason"])
    return _no_good(call, text, question, do)


def _no_good(call: ModelCall, text: str, question: Question, do: Do) -> WireReply:
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


def _without_candidate(call: ModelCall, do: Do) -> WireReply:
    if do.answer == "non_json_200":
        return WireReply(200, HTML, "text/html; charset=UTF-8")
    if do.answer == "nothing":
        return WireReply(200, b"{}")
    if do.answer == "no_candidates":
        return generated(call, {"candidates": []})
    return generated(call, {"promptFeedback": {"blockReason": do.block or "PROHIBITED_CONTENT"}})


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
            fields.popitem()
        case "nul":
            fields[prose] = f"\x00{fields[prose]}\x00"
        case "surrogate":
            fields[prose] = f"{fields[prose]} \ud800"
        case _:
            fields[prose] = f"<p>{fields[prose]}</p><script>alert(1)</script>"
    return json.dumps(fields, ensure_ascii=manner == "surrogate")


def _said(call: ModelCall, text: str, finish: str) -> WireReply:
    call.tokens = replace(call.tokens, output=tokens_in(text))
    return _with_candidate(call, {"role": "model"} | ({"parts": [{"text": text}]} if text else {}), finish)


def _with_candidate(call: ModelCall, content: dict[str, Any], finish: str) -> WireReply:
    return generated(call, {"candidates": [{"content": content, "finishReason": finish, "index": 0}]})


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


async def _send(request: web.Request, reply: WireReply, do: Do) -> web.StreamResponse:
    broken_off = do.cut or do.stall
    if broken_off is None and do.drip is None:
        return respond(reply)
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
    response.content_length = len(reply.body)
    await response.prepare(request)
    if broken_off is None:
        await _write(response, reply.body, do.drip)
        await response.write_eof()
        return response
    await _write(response, b"" if broken_off == "after_headers" else reply.body[: len(reply.body) // 2], do.drip)
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
