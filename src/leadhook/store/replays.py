"""The calls for replays, and their replies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import anyio
from pydantic import BaseModel, Field

from leadhook.domain.facts import Facts
from leadhook.domain.forecast import Spending, forecast
from leadhook.domain.job import ReplaySlice
from leadhook.store.calls import Calls
from leadhook.store.replies import ReplayReply

State = Literal["queueing", "running", "finished", "stopping", "stopped"]
Fields = Mapping[str, Any]
SAMPLE: Final = 10


class DryRun(Facts):
    counts: dict[str, int] = Field(default_factory=dict)
    last_lead: str | None = None
    sample: tuple[str, ...] = ()
    usage: Spending = Spending()
    """The usage of the last scores of its leads, summed over `known` leads."""
    average: Spending = Spending()
    """The average usage of recent leads."""


class LeadProgress(Facts):
    lead_id: str
    state: str
    score: int | None = None
    error_code: str | None = None
    reason: str | None = None


class ReplayCount(BaseModel):
    """The expected outcome of a replay in total."""

    counts: dict[str, int] = Field(default_factory=dict)
    """The number of leads by outcome."""
    sample: tuple[str, ...] = ()
    """The first ids of the leads that would be scored."""
    usage: Spending = Spending()
    average: Spending = Spending()
    complete: bool = False
    """False if counting took too long and the figures are for only some of the leads."""

    @property
    def count(self) -> int:
        return self.counts.get("queued", 0) + self.counts.get("queued_after", 0)

    def forecast(self) -> Spending | None:
        """Estimate the cost; None if no lead was ever scored."""
        return forecast(self.count, self.usage, self.average)

    def add(self, piece: DryRun) -> None:
        self.counts = {
            name: self.counts.get(name, 0) + piece.counts.get(name, 0) for name in self.counts | piece.counts
        }
        self.sample = (self.sample + piece.sample)[:SAMPLE]
        self.usage += piece.usage
        self.average = piece.average


class ReplaySummary(Facts):
    replay_id: int
    phase: str
    actor: str
    reason: str | None = None
    created_at: datetime
    filter: dict[str, Any] | None = None
    limit: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)


class Replays(Facts):
    replays: tuple[ReplaySummary, ...] = ()


class ReplayStatus(Facts):
    found: bool
    replay_id: int = 0
    phase: str = "queued"
    actor: str = ""
    reason: str | None = None
    created_at: datetime | None = None
    filter: dict[str, Any] | None = None
    limit: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    progress: dict[str, int] = Field(default_factory=dict)
    usage: Spending = Spending()
    leads: tuple[LeadProgress, ...] = ()
    more: bool = False
    complete: bool = True
    """false: it has too many leads for a page; `progress` has only those that wait, up to 100,000; no `usage`."""

    @property
    def state(self) -> State:
        """`queueing` and `stopping`: leads are still being added to the queue, or removed from it."""
        match self.phase:
            case "queueing" | "stopping" | "stopped":
                return self.phase
            case _:
                return "running" if self.unfinished else "finished"

    @property
    def total(self) -> int:
        return sum(self.progress.values() if self.complete else self.counts.values())

    @property
    def unfinished(self) -> int:
        return self.progress.get("waiting", 0) + self.progress.get("leased", 0)


class ReplayCalls(Calls):
    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Start a replay of up to 1000 named leads. Don't repeat the call blindly: each call is a replay."""
        parameters = {"p_lead_ids": lead_ids, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay", ReplayReply, parameters)

    async def replay_filtered(
        self, fields: Fields, limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Start a replay of the leads that match a filter."""
        parameters = {"p_filter": fields, "p_limit": limit, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay_filtered", ReplayReply, parameters)

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Fields | None, limit: int | None, after: str = ""
    ) -> DryRun:
        """Count the leads of a replay; with a filter, one slice after the given lead."""
        parameters = {"p_lead_ids": lead_ids, "p_filter": fields, "p_limit": limit, "p_after_lead": after}
        return await self._ask("leadhook_replay_dry_run", DryRun, parameters)

    async def replay_status(
        self, replay_id: int, *, after: str = "", limit: int = 100, most: int | None = None
    ) -> ReplayStatus:
        """Return its progress, unless it has more than `most` leads, with a page of its leads."""
        parameters = {"p_replay_id": replay_id, "p_after_lead": after, "p_limit": limit, "p_most": most}
        return await self._ask("leadhook_replay_status", ReplayStatus, parameters)

    async def replays(self, limit: int = 20) -> Replays:
        return await self._ask("leadhook_replays", Replays, {"p_limit": limit})

    async def stop_replay(self, replay_id: int, actor: str, reason: str | None = None) -> ReplayStatus:
        """Stop a replay: take its leads that are not leased out of the queue."""
        parameters = {"p_replay_id": replay_id, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay_stop", ReplayStatus, parameters)

    async def replay_slice(self) -> ReplaySlice:
        """Run the next slice of the oldest replay that is being queued or stopped."""
        return await self._ask("leadhook_replay_slice", ReplaySlice, {})


async def count_replay(
    store: ReplayCalls,
    lead_ids: Sequence[str] | None,
    fields: Fields | None,
    limit: int | None,
    within_s: float,
) -> ReplayCount:
    """Count the leads of a replay without starting it, for at most about `within_s`."""
    found = ReplayCount()
    deadline = anyio.current_time() + within_s
    after: str | None = ""
    while after is not None and anyio.current_time() < deadline:
        left = None if limit is None else limit - found.count
        piece = await store.dry_run(lead_ids, fields, left, after)
        found.add(piece)
        after = None if limit is not None and found.count >= limit else piece.last_lead
    found.complete = after is None
    return found
