"""Run the worker: `python -m leadhook.local.pgnet`, with DATABASE_URL naming the database, as superuser."""

import argparse
import asyncio
import logging
import os
import signal

import uvloop

from leadhook.local.pgnet.worker import PAUSE_S, working


async def serve(conninfo: str, pause_s: float) -> None:
    """Work until SIGTERM."""
    async with working(conninfo, pause_s=pause_s) as task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait({task})


def main() -> None:
    """Serve as a process of its own."""
    parser = argparse.ArgumentParser(description="a stand-in for pg_net's worker, for local development only")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds after each batch")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    uvloop.run(serve(os.environ["DATABASE_URL"], arguments.pause))


if __name__ == "__main__":
    main()
