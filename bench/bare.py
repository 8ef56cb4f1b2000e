"""The bare chain, a floor for latency: webhook, claim and model request with the least code that does them.

No signature is checked, nothing is logged, no lease is kept, nothing is saved: what is left is the way through pg_net,
the gateway, PostgREST and Postgres. Run by the measurements, with SUPABASE_URL, SUPABASE_SECRET_KEY, GEMINI_BASE_URL
and PORT.
"""

import asyncio
import os
import uuid
from contextlib import suppress
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

MODEL = "/v1beta/models/gemini-3.5-flash-lite:generateContent"


class Chain:
    """One HTTP session for everything."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._claim_url = f"{os.environ['SUPABASE_URL']}/rest/v1/rpc/leadhook_claim"
        self._headers = {"apikey": os.environ["SUPABASE_SECRET_KEY"]}
        self._model_url = os.environ["GEMINI_BASE_URL"] + MODEL
        self._tasks: set[asyncio.Task[None]] = set()

    async def webhook(self, request: web.Request) -> web.Response:
        """Start to work, and answer."""
        await request.read()
        task = asyncio.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(status=202)

    async def _work(self) -> None:
        claim = {"p_token": str(uuid.uuid4()), "p_worker": "bare", "p_limit": 16, "p_low_priority_limit": 12}
        async with self._session.post(self._claim_url, json=claim, headers=self._headers) as reply:
            batch: dict[str, Any] = await reply.json()
        for lead in batch["leads"]:
            key = {"x-goog-api-key": batch["keys"][0]["api_key"]}
            async with self._session.post(self._model_url, json=_question(batch, lead), headers=key) as reply:
                await reply.read()


def _question(batch: dict[str, Any], lead: dict[str, Any]) -> dict[str, Any]:
    prompts = batch["prompts"][str(lead["prompts_ref"])]
    text = "\n".join(f"{name}: {value}" for name, value in lead["lead"].items() if value)
    system = "\n".join(str(value) for value in prompts.values())
    return {
        "systemInstruction": {"parts": [{"text": system}]},
        "contents": [{"role": "user", "parts": [{"text": text}]}],
    }


async def serve() -> None:
    """Until killed."""
    async with aiohttp.ClientSession() as session:
        app = web.Application()
        app.add_routes([web.get("/health", _health), web.post("/", Chain(session).webhook)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
        await asyncio.Event().wait()


async def _health(_request: web.Request) -> web.Response:
    return web.Response()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(serve())
