"""The calls that replays are made of, and their replies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field

from leadhook.domain.forecast import Spending, forecast
from leadhook.domain.job import ReplaySlice
from leadhook.store.replies import ReplayReply

Reply = TypeVar("Reply", bound=BaseModel)
State = Literal["queueing", "running", "finished", "stopping", "stopped"]
Fields = Mapping[str, Any]
SAMPLE: Final = 10


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class DryRun(_Reply):
    """What a replay, or a slice of one, would come to."""

    counts: dict[str, int] = Field(default_factory=dict)
    last_lead: str | None = None
    sample: tuple[str, ...] = ()
    usage: Spending = Spending()
    """What the last score of its leads cost, of as many as `known` says."""
    average: Spending = Spending()
    """Of one lead, lately."""


class LeadProgress(_Reply):
    """One lead of a replay."""

    lead_id: str
    state: str
    score: int | None = None
    error_code: str | None = None
    reason: str | None = None


class ReplayCount(BaseModel):
    """What a replay would come to in all."""

    counts: dict[str, int] = Field(default_factory=dict)
    """The number of leads by outcome."""
    sample: tuple[str, ...] = ()
    """The first ids of the leads that would be scored."""
    usage: Spending = Spending()
    average: Spending = Spending()
    complete: bool = False
    """False: counting took too long, and the figures are for a part of the leads."""

    @property
    def count(self) -> int:
        """How many leads would be scored."""
        return self.counts.get("queued", 0) + self.counts.get("queued_after", 0)

    def forecast(self) -> Spending | None:
        """What they would cost; None while no lead was ever scored."""
        return forecast(self.count, self.usage, self.average)

    def add(self, piece: DryRun) -> None:
        """Add a slice."""
        self.counts = {
            name: self.counts.get(name, 0) + piece.counts.get(name, 0) for name in self.counts | piece.counts
        }
        self.sample = (self.sample + piece.sample)[:SAMPLE]
        self.usage += piece.usage
        self.average = piece.average


class ReplaySummary(_Reply):
    """A replay in a list."""

    replay_id: int
    phase: str
    actor: str
    reason: str | None = None
    created_at: datetime
    filter: dict[str, Any] | None = None
    limit: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)


class Replays(_Reply):
    """The newest replays."""

    replays: tuple[ReplaySummary, ...] = ()


class ReplayStatus(_Reply):
    """How far a replay is."""

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
        """All leads of the replay."""
        return sum(self.progress.values())

    @property
    def unfinished(self) -> int:
        """Leads that wait or are being processed."""
        return self.progress.get("waiting", 0) + self.progress.get("leased", 0)


class DryRuns(Protocol):
    """The part of the store that counts slice by slice."""

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Fields | None, limit: int | None, after: str = ""
    ) -> DryRun:
        """One slice."""


async def count_replay(
    store: DryRuns,
    lead_ids: Sequence[str] | None,
    fields: Fields | None,
    limit: int | None,
    within_s: float,
) -> ReplayCount:
    """Count what a replay would come to, for at most about `within_s`; nothing is changed."""
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


class ReplayCalls(ABC):
    """A part of `Store`; every method raises `StoreError`, and nothing else, when it fails."""

    @abstractmethod
    async def _ask(self, function: str, shape: type[Reply], parameters: Fields) -> Reply:
        """Call, and read the reply."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Have up to 1000 named leads scored again; not to be repeated blindly, as each call is a replay."""
        parameters = {"p_lead_ids": list(lead_ids), "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay", ReplayReply, parameters)

    async def replay_filtered(
        self, fields: Fields, limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Begin to have scored again what fits a filter."""
        parameters = {"p_filter": fields, "p_limit": limit, "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay_filtered", ReplayReply, parameters)

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Fields | None, limit: int | None, after: str = ""
    ) -> DryRun:
        """What a replay would come to; of a filter a slice, behind a lead."""
        named = None if lead_ids is None else list(lead_ids)
        parameters = {"p_lead_ids": named, "p_filter": fields, "p_limit": limit, "p_after_lead": after}
        return await self._ask("leadhook_replay_dry_run", DryRun, parameters)

    async def replay_status(self, replay_id: int, *, after: str = "", limit: int = 100) -> ReplayStatus:
        """How far it is, with a page of its leads."""
        parameters = {"p_replay_id": replay_id, "p_after_lead": after, "p_limit": limit}
        return await self._ask("leadhook_replay_status", ReplayStatus, parameters)

    async def replays(self, limit: int = 20) -> Replays:
        """The newest replays, up to 1,000."""
        return await self._ask("leadhook_replays", Replays, {"p_limit": limit})

    async def stop_replay(self, replay_id: int) -> ReplayStatus:
        """Take out of the queue what is not leased yet."""
        return await self._ask("leadhook_replay_stop", ReplayStatus, {"p_replay_id": replay_id})

    async def replay_slice(self) -> ReplaySlice:
        """Go on with the oldest replay that is being made or unmade."""
        return await self._ask("leadhook_replay_slice", ReplaySlice, {})
