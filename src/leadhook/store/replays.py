"""The calls that replays and comparisons are made of, and their replies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from leadhook.domain.forecast import Spending
from leadhook.domain.job import Batch, LeaseReplies, Release, Result
from leadhook.domain.spend import Terms
from leadhook.store.replies import ReplayReply

Reply = TypeVar("Reply", bound=BaseModel)
Mode = Literal["replay", "compare"]
Fields = Mapping[str, Any]


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReplaySlice(_Reply):
    """The reply of a slice of a replay that is being made or unmade."""

    left: bool = False
    next_due_ms: int | None = None
    comparisons_due_ms: int | None = None


class DryRun(_Reply):
    """What a replay, or a slice of one, would come to."""

    counts: dict[str, int] = Field(default_factory=dict)
    last_lead: str | None = None
    sample: tuple[str, ...] = ()
    usage: Spending = Spending()
    """What the last judgement of its leads cost, of as many as `known` says."""
    average: Spending = Spending()
    """Of one lead, lately."""


class ComparisonSum(_Reply):
    """Of what is compared so far."""

    compared: int
    without_old_score: int
    old_mean: float | None
    new_mean: float | None
    mean_change: float | None
    up: int
    down: int


class LeadProgress(_Reply):
    """One lead of a replay or comparison."""

    lead_id: str
    state: str
    score: int | None = None
    old_score: int | None = None
    new_score: int | None = None
    crosses: Literal["up", "down"] | None = None
    old_subject: str | None = None
    new_subject: str | None = None
    new_should_contact: bool | None = None
    old_prompt_version: str | None = None
    new_prompt_version: str | None = None
    error_code: str | None = None
    reason: str | None = None


class ReplayStatus(_Reply):
    """How far a replay is."""

    found: bool
    replay_id: int = 0
    mode: Mode = "replay"
    phase: str = "queued"
    actor: str = ""
    reason: str | None = None
    created_at: datetime | None = None
    filter: dict[str, Any] | None = None
    limit: int | None = None
    prompts: bool = False
    counts: dict[str, int] = Field(default_factory=dict)
    progress: dict[str, int] = Field(default_factory=dict)
    usage: Spending = Spending()
    comparison: ComparisonSum | None = None
    leads: tuple[LeadProgress, ...] = ()
    more: bool = False


class ReplayCalls(ABC):
    """A part of `Store`; every method raises `StoreError`, and nothing else, when it fails."""

    @abstractmethod
    async def _ask(self, function: str, shape: type[Reply], parameters: Fields) -> Reply:
        """Call, and read the reply."""

    @abstractmethod
    async def _ask_for_batch(self, function: str, parameters: Fields) -> Batch:
        """Call a function that leases."""

    async def replay(
        self,
        lead_ids: Sequence[str],
        actor: str,
        reason: str | None = None,
        *,
        mode: Mode = "replay",
        prompts: Fields | None = None,
    ) -> ReplayReply:
        """Have up to 1000 named leads judged again; not to be repeated blindly, as each call is a replay."""
        parameters = {"p_lead_ids": list(lead_ids), "p_actor": actor, "p_reason": reason}
        return await self._ask("leadhook_replay", ReplayReply, {**parameters, "p_mode": mode, "p_prompts": prompts})

    async def replay_filtered(
        self,
        fields: Fields,
        limit: int | None,
        actor: str,
        reason: str | None = None,
        *,
        mode: Mode = "replay",
        prompts: Fields | None = None,
    ) -> ReplayReply:
        """Begin to have judged again what fits a filter."""
        parameters = {"p_filter": fields, "p_limit": limit, "p_actor": actor, "p_reason": reason}
        return await self._ask(
            "leadhook_replay_filtered", ReplayReply, {**parameters, "p_mode": mode, "p_prompts": prompts}
        )

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Fields | None, limit: int | None, mode: Mode, after: str = ""
    ) -> DryRun:
        """What a replay would come to; of a filter a slice, behind a lead."""
        named = None if lead_ids is None else list(lead_ids)
        parameters = {"p_lead_ids": named, "p_filter": fields, "p_limit": limit, "p_mode": mode, "p_after_lead": after}
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

    async def claim_comparisons(self, worker: str, token: UUID, limit: int, terms: Terms | None = None) -> Batch:
        """Lease comparisons; the same token again returns the same ones."""
        price = terms.model_dump() if terms else {}
        parameters = {"p_token": str(token), "p_worker": worker, "p_limit": limit, "p_price": price}
        return await self._ask_for_batch("leadhook_compare_claim", parameters)

    async def save_comparisons(
        self, worker: str, results: Sequence[Result], releases: Sequence[Release]
    ) -> LeaseReplies:
        """Keep finished comparisons, and give the others back."""
        parameters = {
            "p_worker": worker,
            "p_results": [result.model_dump(mode="json") for result in results],
            "p_releases": [release.model_dump(mode="json") for release in releases],
        }
        return await self._ask("leadhook_compare_save", LeaseReplies, parameters)
