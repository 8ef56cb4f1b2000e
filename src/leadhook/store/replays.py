"""The calls that replays are made of, and their replies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from leadhook.domain.forecast import Spending
from leadhook.store.replies import ReplayReply

Reply = TypeVar("Reply", bound=BaseModel)
Fields = Mapping[str, Any]


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReplaySlice(_Reply):
    """The reply of a slice of a replay that is being made or unmade."""

    left: bool = False
    next_due_ms: int | None = None


class DryRun(_Reply):
    """What a replay, or a slice of one, would come to."""

    counts: dict[str, int] = Field(default_factory=dict)
    last_lead: str | None = None
    sample: tuple[str, ...] = ()
    usage: Spending = Spending()
    """What the last judgement of its leads cost, of as many as `known` says."""
    average: Spending = Spending()
    """Of one lead, lately."""


class LeadProgress(_Reply):
    """One lead of a replay."""

    lead_id: str
    state: str
    score: int | None = None
    error_code: str | None = None
    reason: str | None = None


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


class ReplayCalls(ABC):
    """A part of `Store`; every method raises `StoreError`, and nothing else, when it fails."""

    @abstractmethod
    async def _ask(self, function: str, shape: type[Reply], parameters: Fields) -> Reply:
        """Call, and read the reply."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Have up to 1000 named leads judged again; not to be repeated blindly, as each call is a replay."""
        parameters = {"p_lead_ids": list(lead_ids), "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay", ReplayReply, parameters)

    async def replay_filtered(
        self, fields: Fields, limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Begin to have judged again what fits a filter."""
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

    async def stop_replay(self, replay_id: int) -> ReplayStatus:
        """Take out of the queue what is not leased yet."""
        return await self._ask("leadhook_replay_stop", ReplayStatus, {"p_replay_id": replay_id})

    async def replay_slice(self) -> ReplaySlice:
        """Go on with the oldest replay that is being made or unmade."""
        return await self._ask("leadhook_replay_slice", ReplaySlice, {})
