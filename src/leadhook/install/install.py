"""The whole way in: migrations, tables closed where wished, the triggers, and the backlog held."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from leadhook.command_error import CommandError
from leadhook.domain.standing.words import amount
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
    "a predecessor that still polls would pay for the same leads: stop it before the service starts "
    "(docs/takeover.md); `leadhook backlog status` tells whether something else still marks leads as sent"
)


@dataclass(frozen=True)
class Order:
    """What was asked for.

    Attributes:
        url: where the database rings.
        backlog: what becomes of leads that are eligible already.
        lock_down: close tables that are open to the outside.
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
    """Does all of it; each part may be repeated, so the whole may.

    Returns:
        The secret of the rings, `whsec_…`.

    Raises:
        CommandError: what could not be done; what was done before it stays, and a repetition goes on from there.
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
                f"--backlog run came too late: the first sweep round was over before, and {amount(held, 'lead')} "
                f"{'is' if held == 1 else 'are'} held. `leadhook backlog release --dry-run` says what they cost, "
                "`leadhook backlog release` has them processed"
            )
        else:
            rest = "; `leadhook backlog status` shows them" if held else ""
            words = f"the first sweep round was over before; {amount(held, 'lead')} {'is' if held == 1 else 'are'} held"
            change.tell(f"{words}{rest}")
    elif order.backlog == "run":
        change.tell("the backlog is not held: the service begins with it when it starts")
    else:
        await sweep_first_round(change)
