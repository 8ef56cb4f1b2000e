"""Releases held leads slice by slice, for the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from leadhook.domain.forecast import Estimate, PricedModel, estimate
from leadhook.store.calls import when_free
from leadhook.store.operators import Backlog, OperatorCalls, Released

_NO_LIMIT: Final = 2**31 - 1
_REPORT_EACH: Final = 5_000


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


async def release_held(
    store: OperatorCalls,
    wanted: Wanted,
    actor: str,
    reason: str | None,
    *,
    report: Callable[[int, int], None] = lambda _released, _total: None,
) -> Released:
    """Release slice by slice; each is a transaction, so what was released before an error stays released.

    `report` is called with the number of released leads, and of those that were wanted: occasionally, and before an
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
                done += piece
                after = piece.last_lead
                if done.released - reported >= _REPORT_EACH:
                    reported = done.released
                    report(reported, total)
    except BaseException:
        report(done.released, total)
        raise
    return done
