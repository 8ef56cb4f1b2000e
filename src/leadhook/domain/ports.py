"""The interfaces between the engine and its adapters: the database and the model."""

from collections.abc import Sequence
from typing import Protocol

from leadhook.domain.job import (
    ApiKey,
    Batch,
    ClaimRequest,
    LeaseRef,
    LeaseReplies,
    OnDemandReplies,
    OnDemandResult,
    ParkedKey,
    Release,
    Renewal,
    ReplaySlice,
    Result,
    SweepSlice,
)
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score, Usage


class Scorer(Protocol):
    """The model. Methods raise `Failure` and end in bounded time."""

    @property
    def model(self) -> str:
        """The model's name in the API."""

    def prompt_version(self, prompts: Prompts) -> str:
        """Changes when the instructions to the model change."""

    def input_version(self, lead: Lead) -> str:
        """Changes when a field that the model sees changes."""

    async def check_key(self, key: ApiKey) -> bool:
        """Ask whether the key may use the model, for free; False also if the answer is unknown. Never raises."""

    async def score(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Score, Usage]:
        """Score the lead. This is the first step; also returns its usage."""

    async def check(self, lead: Lead, prompts: Prompts, key: ApiKey, score: Score) -> tuple[Score, Usage]:
        """Confirm a flagged score with one without the lead's free text, or return one below contact."""

    async def write(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Message, Usage]:
        """Write the message. This is the second step; also returns its usage."""


class Store(Protocol):
    """The database functions. Methods raise `StoreError`, and every call may be repeated."""

    async def claim(self, request: ClaimRequest) -> Batch: ...

    async def claim_bare(self, request: ClaimRequest) -> LeaseRef | None:
        """Lease one lead, or return the one leased under this token, without reading its row."""

    async def renew(self, worker: str, renewals: Sequence[Renewal]) -> LeaseReplies: ...

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies: ...

    async def release(self, worker: str, releases: Sequence[Release]) -> LeaseReplies: ...

    async def park_keys(self, keys: Sequence[ParkedKey]) -> None:
        """Keep every process from using these keys for their time."""

    async def save_on_demand(self, worker: str, results: Sequence[OnDemandResult]) -> OnDemandReplies:
        """Save the outcomes of on-demand requests, whatever the state of their leads."""

    async def sweep(self, worker: str) -> SweepSlice: ...

    async def replay_slice(self) -> ReplaySlice:
        """Run the next slice of the oldest replay that is being queued or stopped."""
