"""A service whose engine does what its first argument says; run as its own process by the tests of its end."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadhook.app import server_config
from leadhook.lifecycle import logging_to_the_end, running
from leadhook.observability import logs
from leadhook.settings import load_settings
from leadhook.web.request_log import WebhookSum


class Engine:
    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.stopped = anyio.Event()

    async def run(self) -> None:
        if self.manner == "breaks":
            await anyio.sleep(0.2)
            raise RuntimeError("broken")
        await self.stopped.wait()

    async def stop(self, drain_s: float) -> None:
        print(f'{{"event": "engine.stop", "drain_s": {drain_s}}}', flush=True)  # noqa: T201 - read by the test that started it
        if self.manner == "hangs":
            await anyio.sleep_forever()
        self.stopped.set()


def main(manner: str, drain_s: float) -> None:
    """Serve on a free port, which is printed."""
    logs.configure(load_settings({"SUPABASE_URL": "http://x", "SUPABASE_SECRET_KEY": "visibly-fake"}))
    engine = Engine(manner)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with logging_to_the_end(WebhookSum()), running(engine, drain_s=drain_s, give_back_s=0.3):
            yield

    async def slow(_request: Request) -> Response:
        print('{"event": "request.open"}', flush=True)  # noqa: T201 - read by the test that started it
        await anyio.sleep_forever()
        return JSONResponse({})

    app = Starlette(routes=[Route("/slow", slow)], lifespan=lifespan)
    config = server_config(app)
    config.port = 0
    with config.bind_socket() as listener:
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
