"""Releases held leads slice by slice, for the command line."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

import anyio

from leadhook.domain.failure import StoreError
from leadhook.domain.forecast import Estimate, PricedModel, estimate
from leadhook.store.operators import Backlog, OperatorCalls

Reply = TypeVar("Reply")

LOCK_NOT_AVAILABLE: Final = "55P03"
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.5
_NO_LIMIT: Final = 2**31 - 1
_REPORT_EACH: Final = 5_000


async def when_free(call: Callable[[], Awaitable[Reply]], patience_s: float = PATIENCE_S) -> Reply:
    """Repeat a call that changed nothing because another transaction holds a lock, for this time at most."""
    give_up_at = anyio.current_time() + patience_s
    while True:
        try:
            return await call()
        except StoreError as error:
            if error.code != LOCK_NOT_AVAILABLE or anyio.current_time() >= give_up_at:
                raise
        await anyio.sleep(PAUSE_S)


@dataclass(frozen=True)
class Wanted:
    """The held leads to release. `redo` includes leads with a row in `llm_response`, which is replaced."""

    user: UUID | None = None
    tag: str | None = None
    since: datetime | None = None
    limit: int | None = None
    redo: bool = False

    async def find(self, store: OperatorCalls) -> Backlog:
        return await store.backlog(self.user, self.tag, self.since, redo=self.redo)

    def count(self, found: Backlog) -> int:
        return min(found.releasable(redo=self.redo), self.limit or _NO_LIMIT)

    def estimate(self, found: Backlog, model: PricedModel) -> Estimate:
        return estimate(found.size, model, self.count(found))

    def left_out(self, answered: int) -> str:
        """Describe the leads that stay held because they have an answer."""
        if self.redo or not answered:
            return ""
        return f"; {answered} have an answer in llm_response and stay held (--redo releases them too)"


@dataclass
class Released:
    released: int = 0
    answered: int = 0
    unwanted: int = 0


async def release_held(
    store: OperatorCalls,
    wanted: Wanted,
    actor: str,
    reason: str | None,
    *,
    report: Callable[[int, int], None] = lambda _released, _total: None,
) -> Released:
    """Release slice by slice; each is a transaction, so what was released before an error stays released.

    Args:
        report: called with the number of released leads, and of those that were wanted: occasionally, and before an
            error or an interruption is raised.
    """
    found = await wanted.find(store)
    total, done, reported = wanted.count(found), Released(), 0
    try:
        for group in found.groups:
            after: str | None = ""
            while after is not None and (left := (wanted.limit or _NO_LIMIT) - done.released) > 0:
                call = partial(store.release_backlog, group, after, left, actor, reason, redo=wanted.redo)
                piece = await when_free(call)
                done.released += piece.released
                done.answered += piece.answered
                done.unwanted += piece.unwanted
                after = piece.last_lead
                if done.released - reported >= _REPORT_EACH:
                    reported = done.released
                    report(reported, total)
    except BaseException:
        report(done.released, total)
        raise
    return done
