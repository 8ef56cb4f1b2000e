"""Runs the first round of the sweep during install, so that the backlog is held before the service starts."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any

from leadhook.command_error import CommandError
from leadhook.install.connection import Connection, fetch_one
from leadhook.install.patience import Change
from leadhook.install.sql import question

_IS_INSTALLED = b"select to_regclass('leadhook.controls') is not null as there"
_TELL_EACH_S = 2.0
_PAUSE_S = 0.02
_BUSY_PAUSE_S = 0.2
_GIVE_UP_S = 600


@dataclass
class _Count:
    looked_at: int = 0
    held: int = 0
    made_ready: int = 0

    def __str__(self) -> str:
        return f"{self.looked_at} rows checked, {self.held} leads held, {self.made_ready} made ready"


async def is_first_round_over(connection: Connection) -> bool:
    """Return whether the first round is over; False if leadhook is not installed."""
    if not (await fetch_one(connection, _IS_INSTALLED))["there"]:
        return False
    return bool((await fetch_one(connection, question("first_round")))["finished"])


async def sweep_first_round(change: Change) -> None:
    """Sweep until the round is over, here or in another process.

    Raises:
        CommandError: another process has been sweeping for ten minutes without finishing.
    """
    started = told_at = moved_at = monotonic()
    count = _Count()
    while not await is_first_round_over(change.connection):
        busy = await _sweep_slice(change, count)
        now = monotonic()
        moved_at = moved_at if busy else now
        if now - moved_at > _GIVE_UP_S:
            raise CommandError(
                f"the first sweep round: another process has been working on it for {_GIVE_UP_S} s; run it again"
            )
        if now - told_at >= _TELL_EACH_S:
            told_at = now
            change.tell(f"first sweep round: {count}")
        await asyncio.sleep(_BUSY_PAUSE_S if busy else _PAUSE_S)
    change.tell(f"first sweep round: {count}, in {monotonic() - started:.1f} s")


async def _sweep_slice(change: Change, count: _Count) -> bool:
    """Sweep one slice; return whether another process is sweeping instead."""
    reply: dict[str, Any] = {}

    async def sweep() -> None:
        reply.update((await fetch_one(change.connection, question("sweep")))["reply"])

    await change.make("the first sweep round", sweep)
    count.looked_at += reply["looked_at"]
    count.held += reply["held"]
    count.made_ready += reply["made_ready"]
    return bool(reply["busy"])
