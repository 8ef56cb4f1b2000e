"""Run the Gemini stand-in: `python -m leadhook.local.gemini --port N`."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable

from aiohttp import web

from leadhook.local.gemini.delivery import Latency
from leadhook.local.gemini.server import StandIn

_BACKLOG = 1024
_KEEPALIVE_S = 600


def main() -> None:
    """Read the arguments and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m leadhook.local.gemini", description="A stand-in for Gemini.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line says which")
    parser.add_argument(
        "--latency-ms",
        type=_latency,
        default=os.environ.get("GEMINI_STANDIN_LATENCY_MS", "0"),
        help="of every answer: a number, or a range such as 300-900",
    )
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(arguments.host, arguments.port, arguments.latency_ms))


async def _serve(host: str, port: int, latency_ms: Latency) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        StandIn(latency_ms).app(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        bound = runner.addresses[0][1]
        sys.stdout.write(
            f"GEMINI STAND-IN, NOT GOOGLE: answers by simple rules on http://{host}:{bound} (GET / tells)\n"
        )
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _latency(text: str) -> Latency:
    low, dash, high = text.partition("-")
    latency: Latency = (float(low), float(high)) if dash else float(low)
    return latency


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
