"""What holds leads back on purpose: pauses, and budgets in dollars a day."""

import getpass
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from leadhook.domain.spend import dollars
from leadhook.domain.standing.words import resume_command
from leadhook.install.connection import Connection, connect, fetch_one
from leadhook.install.failure import InstallError
from leadhook.install.patience import TWO_MINUTES, Change, Tell
from leadhook.install.sql import question

_ARE_THERE = b"select to_regproc('public.leadhook_set_budget') is not null as there"


@dataclass(frozen=True)
class Scope:
    """Whose leads are meant.

    Attributes:
        user: None means everybody's.
        tag: None means all of the user's.
    """

    user: UUID | None = None
    tag: str | None = None

    def __str__(self) -> str:
        """In words."""
        if self.user is None:
            return "everything"
        return f"user {self.user}" + (f", tag {self.tag}" if self.tag is not None else "")


async def pause(database_url: str, scope: Scope, reason: str | None, tell: Tell) -> None:
    """From now on these leads are not claimed; those at work are finished."""
    reply = await _ask(database_url, "pause", tell, user=scope.user, tag=scope.tag, reason=reason)
    end = f"`{resume_command(scope.user, scope.tag)}` ends it"
    if reply["already"]:
        tell(f"{scope} was paused already; that pause stays as it was, and {end}")
    else:
        tell(f"{scope} is paused: leads wait, those at work are finished; {end}")


async def resume(database_url: str, scope: Scope, tell: Tell) -> None:
    """Ends the pause of exactly this scope, and names the others that hold back some of it."""
    reply = await _ask(database_url, "resume", tell, user=scope.user, tag=scope.tag)
    tell(f"{scope} is resumed" if reply["resumed"] else f"there is no pause of exactly {scope}: nothing was changed")
    for other in reply["pauses"]:
        what = Scope(other["user_id"], other["tag"])
        tell(f"still paused: {what}; `{resume_command(what.user, what.tag)}` ends it")


async def set_budget(database_url: str, user: UUID | None, daily_usd: float | None, tell: Tell) -> None:
    """Sets how much may be spent in a day of UTC; None: as much as it takes."""
    reply = await _ask(database_url, "set_budget", tell, user=user, usd=daily_usd)
    if daily_usd is None:
        tell(f"{Scope(user)} has no budget: leads cost what they cost")
    else:
        left = dollars(max(reply["left_usd"], 0))
        tell(f"budget for {Scope(user)}: {dollars(daily_usd)} a day (UTC); {left} left today")


async def show_budgets(database_url: str, tell: Tell) -> None:
    """What is left of each budget, and what was spent today."""
    async with connect(database_url) as connection:
        await _check_migrated(connection)
        budgets = await (await connection.execute(question("budgets"))).fetchall()
        today = await fetch_one(connection, question("spend_today"))
    for budget in budgets:
        tell(_describe(budget))
    if not budgets:
        tell("there is no budget: leads cost what they cost")
    tell(
        f"today (UTC): {dollars(today['spent_usd'])} spent, {dollars(today['wasted_usd'])} of it wasted, "
        f"{dollars(today['reserved_usd'])} reserved for leads at work"
    )


def _describe(budget: dict[str, Any]) -> str:
    left = dollars(max(budget["left_usd"], 0))
    line = f"{Scope(budget['user_id'])}: {dollars(budget['daily_usd'])} a day, {left} left"
    if not (budget["spent"] or budget["too_small"]):
        return line
    need = "" if budget["needed_usd"] is None else f": a waiting lead may cost up to {dollars(budget['needed_usd'])}"
    if budget["too_small"]:
        return f"{line}; too small{need or ' for any lead'}"
    what = f"too little is left{need}" if budget["left_usd"] > 0 else "spent"
    return f"{line}; {what}; leads wait for midnight UTC or a higher budget"


async def _ask(database_url: str, name: str, tell: Tell, **given: object) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    async with connect(database_url) as connection:
        await _check_migrated(connection)

        async def ask() -> None:
            answer.update((await fetch_one(connection, question(name), {"actor": _actor(), **given}))["reply"])

        await Change(connection, database_url, TWO_MINUTES, tell).make("the gate", ask)
    return answer


async def _check_migrated(connection: Connection) -> None:
    if not (await fetch_one(connection, _ARE_THERE))["there"]:
        raise InstallError("this database knows neither pauses nor budgets: run `leadhook migrate` first")


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody at a terminal"
