"""Runs a complete install: migrations, optional lock-down of tables, triggers, and holding the backlog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from leadhook.command_error import CommandError
from leadhook.domain.phrases import amount
from leadhook.install.connection import connect, fetch_one, say
from leadhook.install.files import Migration, Step
from leadhook.install.first_round import is_first_round_over, sweep_first_round
from leadhook.install.migrate import migrate
from leadhook.install.patience import TWO_MINUTES, Change, Patience, Tell
from leadhook.install.plan import Door, find_open_doors
from leadhook.install.sql import question
from leadhook.install.webhooks import install_webhooks

_HELD = b"select count(*) as held from leadhook.jobs as j where j.state = 'held'"
_LAST_WORDS = (
    "a predecessor that still polls would pay for the same leads, so stop it before the service starts "
    "(docs/takeover.md); `leadhook backlog status` shows whether something else still marks leads as sent"
)


@dataclass(frozen=True)
class Order:
    """What to install.

    Attributes:
        url: where the database sends webhooks.
        backlog: what to do with leads that are already eligible.
        lock_down: enable row level security on tables open to outside roles.
    """

    url: str
    backlog: Literal["hold", "run"] = "hold"
    lock_down: bool = False


async def install(
    database_url: str,
    order: Order,
    migrations: Sequence[Migration],
    steps: Sequence[Step],
    tell: Tell,
    patience: Patience = TWO_MINUTES,
) -> str:
    """Install everything. Each part can be repeated, and so can the whole.

    Returns:
        The secret that signs webhooks, `whsec_…`.

    Raises:
        CommandError: a step failed; completed steps are kept, and running it again continues from there.
    """
    await migrate(database_url, migrations, tell, patience)
    async with connect(database_url) as connection:
        change = Change(connection, database_url, patience, tell)
        if order.lock_down:
            for door in await find_open_doors(connection):
                await _close(change, door)
        await connection.execute(question("choose_backlog"), {"backlog": order.backlog})
        secret = await install_webhooks(database_url, order.url, migrations, steps, tell, patience)
        await _hold_backlog(change, order)
    tell(_LAST_WORDS)
    return secret


async def _close(change: Change, door: Door) -> None:
    async def close() -> None:
        await change.connection.execute(door.statement.encode())

    try:
        await change.make(door.statement, close)
    except psycopg.Error as error:
        raise CommandError(f"{door.statement}: {say(error)} (run it again)") from error
    change.tell(f"closed: {door.statement}")


async def _hold_backlog(change: Change, order: Order) -> None:
    if await is_first_round_over(change.connection):
        held = (await fetch_one(change.connection, _HELD))["held"]
        if order.backlog == "run" and held:
            change.tell(
                f"--backlog run has no effect: the first sweep round was already over, and {amount(held, 'lead')} "
                f"{'is' if held == 1 else 'are'} held. `leadhook backlog release --dry-run` shows their cost, "
                "`leadhook backlog release` has them processed"
            )
        else:
            rest = "; `leadhook backlog status` shows them" if held else ""
            words = (
                f"the first sweep round was already over; {amount(held, 'lead')} {'is' if held == 1 else 'are'} held"
            )
            change.tell(f"{words}{rest}")
    elif order.backlog == "run":
        change.tell("the backlog is not held: the service processes it when it starts")
    else:
        await sweep_first_round(change)
