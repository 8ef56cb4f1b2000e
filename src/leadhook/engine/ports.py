"""What the engine needs of the parts below it."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from leadhook.domain.job import (
    ApiKey,
    Batch,
    Begun,
    Group,
    LeaseRef,
    LeaseReplies,
    ParkedKey,
    Release,
    Renewal,
    Result,
    Source,
    SweepSlice,
)
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score, Usage
from leadhook.domain.spend import ReservationTerms
from leadhook.store import ReplaySlice


class Scorer(Protocol):
    """Asks the model; raises `Failure`. Every call ends by itself."""

    @property
    def model(self) -> str:
        """The model's name."""

    def prompt_version(self, prompts: Prompts) -> str:
        """Changes whenever the question would."""

    def input_version(self, lead: Lead) -> str:
        """Changes whenever what a model may see of the lead does."""

    async def score(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Score, Usage]:
        """The first answer, and what it cost."""

    async def write(self, lead: Lead, prompts: Prompts, key: ApiKey) -> tuple[Message, Usage]:
        """The second answer, and what it cost."""


class Store(Protocol):
    """The database's functions; raises `StoreError`. Every call may be repeated."""

    async def claim(
        self,
        *,
        worker: str,
        token: UUID,
        limit: int,
        slow_limit: int,
        cursor: Group | None,
        hints: Sequence[str],
        cause: Source,
        terms: ReservationTerms | None = None,
    ) -> Batch:
        """Lease leads."""

    async def claim_bare(
        self,
        *,
        worker: str,
        token: UUID,
        slow_limit: int,
        cursor: Group | None,
        hints: Sequence[str],
        cause: Source,
        terms: ReservationTerms | None = None,
    ) -> LeaseRef | None:
        """Lease one lead, or name the one that is leased, without reading its row."""

    async def renew(self, worker: str, renewals: Sequence[Renewal]) -> LeaseReplies:
        """Keep leases."""

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies:
        """Write judgements."""

    async def release(self, worker: str, releases: Sequence[Release], parked: Sequence[ParkedKey] = ()) -> LeaseReplies:
        """Give leads back, and park keys."""

    async def begin_errands(self, *, worker: str, token: UUID, leads: Sequence[Lead]) -> Begun:
        """Lease named leads for a person's request, whatever their state."""

    async def sweep(self, worker: str) -> SweepSlice:
        """Take the next slice of the sweep."""

    async def replay_slice(self) -> ReplaySlice:
        """Go on with a replay that is being made or unmade."""
