"""The replies that no other part of the domain knows, and how a claim's reply becomes a batch."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from leadhook.domain.job import Batch, ClaimedLead
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.standing.words import COUNTED_UP_TO
from leadhook.store.columns import UnreadableColumnError, read_columns


class ReplayedLead(BaseModel):
    """What a replay did with one lead."""

    model_config = ConfigDict(frozen=True)

    lead_id: str
    outcome: str
    """`queued`, `queued_after`, `already_queued`, `held`, `not_eligible` or `unknown`."""
    missing: tuple[str, ...] = ()
    """The conditions that a lead which is not eligible does not meet."""


class ReplayReply(BaseModel):
    """The reply of a replay."""

    model_config = ConfigDict(frozen=True)

    replay_id: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    leads: tuple[ReplayedLead, ...] = ()
    phase: str = "queued"
    """`queueing` while leads that fit a filter are still being looked for."""


class KeyCounts(BaseModel):
    """How the rows of `gemini_api` fare."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    healthy: int = 0
    """May be used."""
    untried: int = 0
    """Those of them that no call has succeeded with yet."""
    cooling: int = 0
    disabled: int = 0
    next_return_at: datetime | None = None


class RestingKey(BaseModel):
    """A Gemini key that may not be used; `until` None means: until its row changes."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    until: datetime | None = None
    reason: str | None = None


class RingSettings(BaseModel):
    """Whether the database has what it needs to ring."""

    model_config = ConfigDict(frozen=True)

    url_set: bool = False
    secret_set: bool = False
    pg_net: bool = False
    vault_error: str | None = None
    """The SQLSTATE with which Vault could not be read."""


class Pause(BaseModel):
    """What is not claimed, by somebody's hand; `user_id` None means everything, `tag` None all of the user."""

    model_config = ConfigDict(frozen=True)

    user_id: UUID | None = None
    tag: str | None = None
    actor: str
    reason: str | None = None
    paused_at: datetime


class Budget(BaseModel):
    """How much may be spent in a day of UTC; `user_id` None means by all together."""

    model_config = ConfigDict(frozen=True)

    user_id: UUID | None = None
    daily_usd: float
    left_usd: float
    spent: bool = False
    """Leads wait for the next day, or for more."""
    too_small: bool = False
    """Even a whole day's is less than a waiting lead may cost."""


class Spend(BaseModel):
    """Dollars of today in UTC."""

    model_config = ConfigDict(frozen=True)

    spent_usd: float = 0
    wasted_usd: float = 0
    """The part that bought nothing."""
    reserved_usd: float = 0
    """What leads at work may still spend."""


class SeenWorker(BaseModel):
    """A process that claims and sweeps, known to 5 s; None: it never did within a day."""

    model_config = ConfigDict(frozen=True)

    worker: str
    claimed_ms: int | None = None
    """Since its last claim that succeeded."""
    swept_ms: int | None = None

    @property
    def seen_ms(self) -> int:
        """Since either."""
        return min(ms for ms in (self.claimed_ms, self.swept_ms, 2**53) if ms is not None)


class Status(BaseModel):
    """What the database says of itself."""

    model_config = ConfigDict(frozen=True)

    migration: str | None = Field(default=None, alias="schema")
    """The name of the newest migration."""
    backlog: str | None = None
    first_round_finished_at: datetime | None = None
    touches: int = 0
    keys: KeyCounts = KeyCounts()
    parked_keys: tuple[RestingKey, ...] = ()
    """The first 20."""
    triggers: dict[str, bool] = Field(default_factory=dict)
    """By table: whether our triggers are there."""
    ring: RingSettings = RingSettings()
    jobs: dict[str, int] = Field(default_factory=dict)
    """By state; counted up to 1,000, see `capped`."""
    oldest_ready_ms: int | None = None
    """How long the oldest ready lead of either priority has been due; None: none is due."""
    unclaimed_ms: int | None = None
    """How long a claim could have taken something: paused leads and those over their budget don't count."""
    working: bool = False
    """A lead is leased, and its lease lasts."""
    workers: tuple[SeenWorker, ...] = ()
    """The last 20 seen, the newest first."""
    pauses: tuple[Pause, ...] = ()
    """The first 20, that of everything first."""
    budgets: tuple[Budget, ...] = ()
    """The first 20, that of all users first."""
    spend: Spend = Spend()

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def capped(self) -> tuple[str, ...]:
        """The counts that mean "this many or more": states of `jobs`, and `touches`."""
        counts = {**self.jobs, "touches": self.touches}
        return tuple(name for name, count in counts.items() if count >= COUNTED_UP_TO)


def to_batch(reply: Mapping[str, Any]) -> Batch:
    """Read a claim's reply; leads with the same `prompts` row share one object.

    Each lead is read by itself: one that can't be is `unreadable`, and the others are as they are.

    Raises:
        ValueError: the reply has another shape (pydantic's ValidationError is one).
        KeyError: a lead refers to prompts that did not come along.
    """
    prompts = {ref: Prompts.model_validate(row) for ref, row in (reply.get("prompts") or {}).items()}
    leads = [_to_lead(lead, prompts[str(lead["prompts_ref"])]) for lead in reply.get("leads") or ()]
    return Batch.model_validate({**reply, "leads": leads, "keys": reply.get("keys") or ()})


def _to_lead(claimed: Mapping[str, Any], prompts: Prompts) -> ClaimedLead:
    try:
        lead = Lead.model_validate(read_columns(claimed["lead"]))
        unreadable = None
    except (UnreadableColumnError, ValidationError) as error:
        lead, unreadable = Lead(lead_id=claimed["lead_id"]), _reason(error)
    return ClaimedLead.model_validate({**claimed, "lead": lead, "prompts": prompts, "unreadable": unreadable})


def _reason(error: UnreadableColumnError | ValidationError) -> str:
    if isinstance(error, UnreadableColumnError):
        return error.reason
    columns = sorted({str(item["loc"][0]) for item in error.errors(include_input=False)})
    return f"{', '.join(columns)} can't be read; correct the lead's row, and it goes on"
