"""The backlog: leads that were eligible before leadhook came. They are held until somebody lets them go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from leadhook.install.connection import Connection, connect, fetch_one
from leadhook.install.failure import InstallError
from leadhook.install.forecast import UNPRICED, Priced, forecast
from leadhook.install.patience import TWO_MINUTES, Change, Patience, Tell
from leadhook.install.sql import question

_IS_INSTALLED = b"select to_regproc('leadhook.release_backlog') is not null as there"
_NO_LIMIT = 2**31 - 1
_LANES_SHOWN = 20
_TELL_EACH = 5_000


@dataclass(frozen=True)
class Wish:
    """Which held leads are meant.

    Attributes:
        user: only this user's.
        tag: only those of this tag.
        since: only those whose user and tag have a prompts row of this time or later.
        limit: how many at most.
        redo: also those that have an answer in llm_response already; it will be replaced.
    """

    user: UUID | None = None
    tag: str | None = None
    since: datetime | None = None
    limit: int | None = None
    redo: bool = False


async def show_backlog(database_url: str, tell: Tell, priced: Priced = UNPRICED) -> None:
    """Tells how many leads are held, whose they are, and whether something else processes leads too."""
    async with connect(database_url) as connection:
        await _check_installed(connection)
        standing = await fetch_one(connection, question("standing_of_backlog"))
        lanes = await _lanes(connection, Wish())
        for line in [*_describe_round(standing), *_describe_lanes(lanes)]:
            tell(line)
        if lanes:
            size = await fetch_one(connection, question("held_size"), _asked(Wish()))
            tell(forecast(size, sum(_releasable(lane, Wish()) for lane in lanes), priced=priced))
        for line in describe_others(standing, lanes):
            tell(line)


async def count_releasable(database_url: str, wish: Wish, tell: Tell, priced: Priced = UNPRICED) -> int:
    """How many leads a release of this wish would let go; changes nothing."""
    async with connect(database_url) as connection:
        await _check_installed(connection)
        lanes = await _lanes(connection, wish)
        size = await fetch_one(connection, question("held_size"), _asked(wish))
    count = min(sum(_releasable(lane, wish) for lane in lanes), wish.limit or _NO_LIMIT)
    tell(f"{count} leads would be released{_left_out(sum(lane['answered'] for lane in lanes), wish)}")
    tell(forecast(size, count, priced=priced))
    return count


async def release_backlog(
    database_url: str, wish: Wish, tell: Tell, priced: Priced = UNPRICED, patience: Patience = TWO_MINUTES
) -> int:
    """Lets held leads go, those whose user asked last first; the number of them.

    A slice of 500 is a transaction, so that what was released before an error stays so, and nobody waits long.
    """
    released = answered = unwanted = told = 0
    async with connect(database_url) as connection:
        await _check_installed(connection)
        change = Change(connection, database_url, patience, tell)
        lanes = await _lanes(connection, wish)
        total = min(sum(_releasable(lane, wish) for lane in lanes), wish.limit or _NO_LIMIT)
        tell(forecast(await fetch_one(connection, question("held_size"), _asked(wish)), total, priced=priced))
        for lane in lanes:
            after: str | None = ""
            while after is not None and released < (wish.limit or _NO_LIMIT):
                left = (wish.limit or _NO_LIMIT) - released
                done = await _release_slice(change, lane, after, left, wish)
                released += done["released"]
                answered += done["answered"]
                unwanted += done["unwanted"]
                after = done["last_lead"]
                if released - told >= _TELL_EACH:
                    told = released
                    tell(f"{released} of about {total} released")
    tell(f"{released} leads released; fresh leads go first{_left_out(answered, wish)}")
    if unwanted:
        tell(f"{unwanted} leads were not eligible any more, and wait")
    return released


def describe_others(standing: dict[str, Any], lanes: Sequence[dict[str, Any]]) -> list[str]:
    """Whether something else marks leads as sent: a predecessor that was not stopped, or somebody's hand."""
    seen = {
        "held leads were marked as sent by something else since they are held": sum(lane["sent"] for lane in lanes),
        "leads were marked as sent by something else in the last 24 hours while leadhook had them at work": standing[
            "sent_under_our_hands"
        ],
    }
    found = [f"{count} {words}" for words, count in seen.items() if count]
    advice = "is the predecessor still running? Each such lead may be paid for twice; docs/takeover.md has the cutover"
    return [*found, advice] if found else []


async def _release_slice(change: Change, lane: dict[str, Any], after: str, limit: int, wish: Wish) -> dict[str, Any]:
    answer: dict[str, Any] = {}

    async def release() -> None:
        answer.update(
            await fetch_one(
                change.connection,
                question("release"),
                {"user": lane["user_id"], "tag": lane["tag"], "after": after, "limit": limit, "redo": wish.redo},
            )
        )

    await change.make("the backlog", release)
    return answer


async def _lanes(connection: Connection, wish: Wish) -> list[dict[str, Any]]:
    return await (await connection.execute(question("held_lanes"), _asked(wish))).fetchall()


def _asked(wish: Wish) -> dict[str, object]:
    return {"user": wish.user, "tag": wish.tag, "since": wish.since, "redo": wish.redo}


async def _check_installed(connection: Connection) -> None:
    if not (await fetch_one(connection, _IS_INSTALLED))["there"]:
        raise InstallError("this database has no backlog of leadhook's: run `leadhook migrate` first")


def _releasable(lane: dict[str, Any], wish: Wish) -> int:
    count: int = lane["held"] - lane["sent"] - (0 if wish.redo else lane["answered"])
    return count


def _left_out(answered: int, wish: Wish) -> str:
    if wish.redo or not answered:
        return ""
    return f"; {answered} have an answer in llm_response and stay held (--redo releases them too)"


def _describe_round(standing: dict[str, Any]) -> list[str]:
    finished = standing["first_round_finished_at"]
    if finished is None:
        first = "the first sweep round is not finished yet: what it finds eligible is " + (
            "held" if standing["backlog"] == "hold" else "processed at once (backlog = run)"
        )
    else:
        first = f"the first sweep round was finished at {finished:%Y-%m-%d %H:%M:%S %Z}"
    slow = f"{standing['released']} released or replayed ones wait for a free slot, {standing['leased']} are at work"
    return [first, f"{standing['held']} leads are held; {slow}"]


def _describe_lanes(lanes: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"  user {lane['user_id']}, tag {lane['tag']}: {lane['held']} held, {lane['answered']} of them answered before"
        + (f", last asked for at {lane['asked_at']:%Y-%m-%d %H:%M}" if lane["asked_at"] else "")
        for lane in lanes[:_LANES_SHOWN]
    ]
    rest = len(lanes) - len(lines)
    return [*lines, f"  and {rest} more users and tags"] if rest else lines
