"""The stand-in's HTTP: Google's one endpoint, and the desk where orders are taken and calls are shown."""

import asyncio
import json
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from leadhook.local import gemini
from leadhook.local.gemini import delivery, refusals
from leadhook.local.gemini.answers import answer
from leadhook.local.gemini.calls import Call, Ledger
from leadhook.local.gemini.delivery import Latency
from leadhook.local.gemini.orders import Do, Orders, fingerprint
from leadhook.local.gemini.reading import BadRequest, Reading, read
from leadhook.local.gemini.refusals import Reply
from leadhook.local.gemini.tokens import CONTEXT_LIMIT, PrefixCache, Tokens, count

_PAYLOAD_LIMIT: Final = 20 * 1024 * 1024
_NEVER_VALID: Final = ("placeholder", "invalid")


def _refused(key: str, model: str) -> Reply | None:
    if not key:
        return refusals.no_key()
    if any(word in key.lower() for word in _NEVER_VALID):
        return refusals.refusal(400, "API_KEY_INVALID", model=model, retry_s=0)
    return None


class StandIn:
    """One stand-in with its orders, its ledger and its prefix cache."""

    def __init__(self, latency_ms: Latency = 0) -> None:
        self._latency_ms = latency_ms
        self._orders = Orders()
        self._ledger = Ledger()
        self._prefixes = PrefixCache()

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_PAYLOAD_LIMIT)
        app.on_response_prepare.append(_mark)
        app.add_routes(
            [
                web.post("/v1beta/models/{model}:generateContent", self.generate),
                web.get("/v1beta/models/{model}", self.describe),
                web.get("/", self.guide),
                web.get("/health", self.health),
                web.get("/orders", self.list_orders),
                web.put("/orders", self.take_orders),
                web.delete("/orders", self.cancel_orders),
                web.get("/calls", self.list_calls),
                web.get("/calls/{n:[0-9]+}", self.show_call),
                web.delete("/calls", self.forget_calls),
            ]
        )
        return app

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """`models.generateContent`, properly or as ordered."""
        started = asyncio.get_running_loop().time()
        key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = b""
        call = self._ledger.begin(fingerprint(key), request.match_info["model"], body)
        try:
            do, reply = self._handle(call, key, body)
            call.order = do.model_dump(mode="json", exclude_none=True)
            latency = self._latency_ms if do.latency_ms is None else do.latency_ms
            await delivery.wait(latency, started)
            if do.hang:
                await delivery.hang()
            if do.reset:
                return delivery.reset(request)
            if do.close:
                return delivery.close(request)
            call.status = reply.status
            return await delivery.send(request, reply, do)
        except (asyncio.CancelledError, ConnectionError):
            call.gone = True
            raise
        finally:
            self._ledger.end(call)

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """`models.get`: that the model exists, to whoever has a key."""
        key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
        model = request.match_info["model"]
        reply = _refused(key, model) or (None if model.startswith("gemini-") else refusals.unknown_model(model))
        return await delivery.send(request, reply or Reply(200, json.dumps({"name": f"models/{model}"}).encode()), Do())

    def _handle(self, call: Call, key: str, body: bytes) -> tuple[Do, Reply]:
        if refused := _refused(key, call.model):
            return Do(), refused
        try:
            reading = read(body)
        except BadRequest as error:
            return Do(), refusals.error(400, "INVALID_ARGUMENT", str(error))
        _note(call, reading)
        do = self._orders.decide(key, call.key, reading)
        reply, call.tokens = self._reply(call, reading, do)
        return do, reply

    def _reply(self, call: Call, reading: Reading, do: Do) -> tuple[Reply, Tokens]:
        if do.error is not None:
            refused = refusals.refusal(do.error.status, do.error.reason, model=call.model, retry_s=do.error.retry_s)
            return refused, Tokens()
        if not call.model.startswith("gemini-"):
            return refusals.unknown_model(call.model), Tokens()
        if count(reading.system) + count(reading.text) > CONTEXT_LIMIT:
            return refusals.refusal(400, "CONTEXT_OVERFLOW", model=call.model, retry_s=0), Tokens()
        if do.raw is not None:
            return Reply(do.raw.status, do.raw.body.encode(errors="surrogatepass"), do.raw.content_type), Tokens()
        if do.hang or do.reset or do.close:
            return Reply(200, b""), Tokens()
        cached = self._prefixes.cached(call.key, reading)
        return answer(reading, call.model, cached, do)

    async def guide(self, _request: web.Request) -> web.Response:
        """Say what this is and how to order."""
        return web.Response(text=gemini.__doc__)

    async def health(self, _request: web.Request) -> web.Response:
        """Alive."""
        return web.json_response({"ok": True, "stand_in": True})

    async def list_orders(self, _request: web.Request) -> web.Response:
        """The rules that stand."""
        return web.json_response(self._orders.listed())

    async def take_orders(self, request: web.Request) -> web.Response:
        """Replace the rules, all or nothing."""
        try:
            self._orders.replace(await request.read())
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            return web.json_response({"error": "no such order; GET / has the list", "faults": faults}, status=400)
        return web.json_response(self._orders.listed())

    async def cancel_orders(self, _request: web.Request) -> web.Response:
        """Behave again."""
        self._orders.cancel()
        return web.json_response([])

    async def list_calls(self, request: web.Request) -> web.Response:
        """The sum, and the calls after `since`."""
        since = request.query.get("since", "0")
        if not since.isdecimal():
            return web.json_response({"error": "`since` is the number of a call"}, status=400)
        calls = [call.listed() for call in self._ledger.since(int(since))]
        return web.json_response({"sum": self._ledger.total(), "calls": calls})

    async def show_call(self, request: web.Request) -> web.Response:
        """One call with its body: as JSON, or as text where it is none."""
        found = self._ledger.find(int(request.match_info["n"]))
        if found is None:
            return web.json_response({"error": "no such call, or it was forgotten"}, status=404)
        call, body = found
        return web.json_response(call.listed() | {"body": _shown(body)})

    async def forget_calls(self, _request: web.Request) -> web.Response:
        """Forget the calls."""
        self._ledger.forget()
        return web.json_response({"sum": self._ledger.total(), "calls": []})


def _note(call: Call, reading: Reading) -> None:
    call.step = reading.step
    call.lead_id = reading.lead.get("lead_id")
    call.name = reading.lead.get("name")
    call.turns = reading.turns
    call.system_hash = reading.system_hash
    call.config_hash = reading.config_hash


def _shown(body: bytes | None) -> object:
    if body is None:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


async def _mark(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(delivery.HEADERS)
