"""Replays: what one does with its leads, its progress, and what one would cost.

The models are the database's replies and, as JSON, the answers of the HTTP API and of `leadhook replay --json`.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, Field, PlainSerializer, computed_field

from leadhook.domain.facts import Facts
from leadhook.domain.forecast import Spending, forecast

Outcome = Literal["saved", "saved_without_message", "unwanted", "refused", "retry", "dead", "returned", "lease_expired"]
"""How an attempt ended."""
LOW_PRIORITY_SHARE: Final = 3 / 4
"""Maximum share of the service's slots for replays and released backlog."""
SAMPLE: Final = 10


class ReplayedLead(Facts):
    """What the replay did with one lead."""

    lead_id: str
    outcome: str
    """`queued`, `queued_after`, `already_queued`, `held`, `not_eligible` or `unknown`."""
    missing: tuple[str, ...] = Field(default=(), exclude_if=lambda missing: not missing)
    """The conditions that a lead that is not eligible fails."""


class ReplayReply(Facts):
    """What the replay did with the leads."""

    replay_id: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    """The number of leads by outcome; with a filter also `held`."""
    leads: tuple[ReplayedLead, ...] = ()
    """The leads given by id; empty with a filter."""
    state: Literal["queueing", "queued"] = Field(default="queued", validation_alias=AliasChoices("phase", "state"))
    """`queueing`: leads that match the filter are still being queued; `GET /replays/{replay_id}` shows the progress."""


class ReplayUsage(Facts):
    """Gemini usage so far."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    """Including thinking tokens."""
    thinking_tokens: int
    cost_usd: float | None
    """null if the price is unknown."""

    @classmethod
    def of(cls, spent: Spending, **more: Any) -> Self:
        counts = {name: round(getattr(spent, name)) for name in ReplayUsage.model_fields if name != "cost_usd"}
        return cls(**counts, cost_usd=spent.cost_usd, **more)


class Forecast(ReplayUsage):
    """An estimate from what these leads cost when they were last scored."""

    duration_s: float
    """With the slots of this process alone."""
    scored_before: int
    """How many of these leads have figures; the others are estimated by an average."""


class ReplayCount(Facts):
    """What a replay would do with all of its leads, or with a slice of them."""

    counts: dict[str, int] = Field(default_factory=dict)
    """The number of leads by outcome."""
    last_lead: str | None = None
    """Of a slice: where to continue; None after the last one."""
    sample: tuple[str, ...] = ()
    """The first ids of the leads that would be scored."""
    usage: Spending = Spending()
    """The usage of the last scores of its leads, summed over `known` leads."""
    average: Spending = Spending()
    """The average usage of recent leads."""
    complete: bool = False
    """false: counting all leads took too long, and the figures are for a part of them."""

    @property
    def count(self) -> int:
        return self.counts.get("queued", 0) + self.counts.get("queued_after", 0)

    def forecast(self, max_concurrency: int) -> Forecast | None:
        """Estimate cost and duration with the slots for low priority; None if no lead was ever scored."""
        found = forecast(self.count, self.usage, self.average)
        if found is None:
            return None
        parallel = min(max(1, int(max_concurrency * LOW_PRIORITY_SHARE)), max(1, self.count))
        return Forecast.of(found, duration_s=round(found.model_ms / 1000 / parallel, 1), scored_before=self.usage.known)

    def plus(self, piece: "ReplayCount") -> "ReplayCount":
        names = self.counts | piece.counts
        return ReplayCount(
            counts={name: self.counts.get(name, 0) + piece.counts.get(name, 0) for name in names},
            sample=(self.sample + piece.sample)[:SAMPLE],
            usage=self.usage + piece.usage,
            average=piece.average,
        )


class DryRunAnswer(Facts):
    """What a replay would do. Nothing was changed."""

    dry_run: Literal[True] = True
    count: int
    """How many leads would be scored."""
    counts: dict[str, int]
    """The number of leads by outcome."""
    complete: bool
    """false: counting all leads took too long, and the figures are for a part of them."""
    forecast: Forecast | None
    """null while no lead was ever scored."""
    sample: tuple[str, ...]
    """The first ids of the leads that would be scored."""

    @classmethod
    def of(cls, found: ReplayCount, max_concurrency: int) -> Self:
        return cls(
            count=found.count,
            counts=found.counts,
            complete=found.complete,
            forecast=found.forecast(max_concurrency),
            sample=found.sample,
        )


class ReplaySummary(Facts):
    replay_id: int
    phase: str
    """`queued`: all leads were added to the queue, and may be scored by now. `queueing` and `stopping`: leads are still
    being added to it, or removed from it."""
    actor: str
    reason: str | None = None
    created_at: datetime
    filter: dict[str, Any] | None = None
    limit: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)


class Replays(Facts):
    replays: tuple[ReplaySummary, ...] = ()


class ReplayProgress(Facts):
    """The number of leads by state."""

    waiting: int = 0
    leased: int = 0
    """Being processed now."""
    done: int = 0
    failed: int = 0
    dropped: int = 0
    """No longer eligible, or changed by the application and started over."""
    stopped: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def total(self) -> int:
        return sum(count for _, count in self)

    @property
    def unfinished(self) -> int:
        return self.waiting + self.leased


class LeadProgress(Facts):
    """One lead; unknown fields are left out."""

    lead_id: str
    state: str
    """`waiting`, `leased`, `done`, `failed`, `stopped` or `dropped`."""
    score: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """The new score."""
    error_code: str | None = Field(default=None, exclude_if=lambda value: value is None)
    reason: str | None = Field(default=None, exclude_if=lambda value: value is None)


class ReplayStatus(Facts):
    """The progress of a replay."""

    found: bool = Field(default=True, exclude=True)
    replay_id: int = 0
    phase: str = Field(default="queued", exclude=True, validation_alias=AliasChoices("phase", "state"))
    actor: str = ""
    """Who started it: `admin:` and the first digits of the token's SHA-256."""
    reason: str | None = None
    created_at: datetime | None = None
    filter: dict[str, Any] | None = None
    limit: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    """The number of leads by the outcome of queueing."""
    progress: ReplayProgress = ReplayProgress()
    usage: Annotated[Spending, PlainSerializer(ReplayUsage.of, return_type=ReplayUsage)] = Spending()
    leads: tuple[LeadProgress, ...] = ()
    """One page, in the order of the lead ids."""
    next_after: str | None = None
    """`after` for the next page; null on the last page."""
    complete: bool = True
    """false: too many leads to count; `progress` has only those that wait, up to 100,000, and `usage` is empty."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def state(self) -> Literal["queueing", "running", "finished", "stopping", "stopped"]:
        """`queueing` and `stopping`: leads are still being added to the queue, or removed from it."""
        match self.phase:
            case "queueing" | "stopping" | "stopped":
                return self.phase
            case _:
                return "running" if self.progress.unfinished else "finished"

    @property
    def total(self) -> int:
        return self.progress.total if self.complete else sum(self.counts.values())
