"""The Gemini stand-in in this process, and its desk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from tests.support.misbehaving_gemini import MisbehavingGemini

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts

SECRET = "visibly-fake-key"
KEY = ApiKey.model_validate({"fingerprint": "f", "api_key": SECRET})
LEAD = Lead(lead_id="lead-1", tag="t", name="Jane Doe", title="CTO", company_name="Acme Pumps", bio="Twenty years.")
PROMPTS = Prompts(wildnet_data="Pumps.", scoring_criteria_and_icp="CTO of pump makers", message_prompt="Be brief.")


@dataclass(frozen=True)
class Google:
    """The stand-in's desk."""

    url: str
    http: aiohttp.ClientSession
    runner: web.AppRunner

    async def order(self, **do: Any) -> None:
        """Make every call misbehave; `first=n` only the first n, `step=s` only those of that step."""
        match = {name: do.pop(name) for name in ("first", "step") if name in do}
        await self.orders({"match": match, "do": do})

    async def orders(self, *rules: dict[str, Any]) -> None:
        """Replace all rules."""
        async with self.http.put(f"{self.url}/orders", json=rules) as reply:
            assert reply.status == 200, await reply.text()

    async def calls(self) -> list[dict[str, Any]]:
        """The calls that arrived, oldest first."""
        async with self.http.get(f"{self.url}/calls") as reply:
            calls: list[dict[str, Any]] = await reply.json()
        return calls

    async def forget(self) -> None:
        """Empty the list of calls."""
        async with self.http.delete(f"{self.url}/calls"):
            pass

    async def body(self, number: int) -> dict[str, Any]:
        """What one call brought."""
        async with self.http.get(f"{self.url}/bodies/{number}") as reply:
            body: dict[str, Any] = await reply.json()
        return body

    async def bodies(self) -> list[dict[str, Any]]:
        """What each call brought, oldest first."""
        return [await self.body(call["n"]) for call in await self.calls()]

    @property
    def connections(self) -> int:
        """How many are open, the desk's own aside."""
        server = self.runner.server
        assert server is not None
        assert self.http.connector is not None
        return len(server.connections) - sum(len(idle) for idle in self.http.connector._conns.values())


@asynccontextmanager
async def standing_in() -> AsyncIterator[Google]:
    """A stand-in on its own port."""
    runner = web.AppRunner(MisbehavingGemini().app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Google(f"http://127.0.0.1:{runner.addresses[0][1]}", http, runner)
    await runner.cleanup()
