"""A lead that this process holds for a while, and what the database answers about it."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from leadhook.domain.figures import Figures
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Checkpoint, Usage

Source = Literal["start", "webhook", "retry", "sweep"]
"""What woke the worker: its own start, a webhook, a time that the database named, or the sweep."""


class ApiKey(BaseModel):
    """A Gemini key. The fingerprint is the first 16 hex digits of its SHA-256 and may be logged; the key may not."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    api_key: SecretStr
    tried: bool = False
    """A call with it has succeeded, here or elsewhere, since it was added, changed or rested."""


class Group(BaseModel):
    """The `(user_id, tag)` that a claim stopped at; the next one goes on behind it."""

    model_config = ConfigDict(frozen=True)

    user_id: UUID
    tag: str


class ClaimedLead(BaseModel):
    """A leased lead with all that its score needs. `(lead_id, fence)` names the lease in every later write."""

    model_config = ConfigDict(frozen=True)

    lead_id: str
    fence: int
    run: int
    attempts: int
    low_priority: bool
    source: str | None
    eligible_at: datetime
    """When the database saw it become eligible, by the database's clock."""
    waited_ms: int
    """From `eligible_at` to this claim, by the database's clock."""
    lead: Lead
    prompts: Prompts
    checkpoint: Checkpoint | None = None
    reserved_usd: float | None = None
    """What this lease may spend at the most; None where the price is not known."""
    unreadable: str | None = None
    """Why the lead's row can't be read, and which column it is; `lead` then holds its id alone."""


class Batch(BaseModel):
    """The reply of a claim."""

    model_config = ConfigDict(frozen=True)

    leads: tuple[ClaimedLead, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    """The healthy ones; empty only when no lead was handed out."""
    cursor: Group | None = None
    has_more: bool = False
    """More is ready, or outbox rows are left: a free slot is a reason to claim again."""
    busy: bool = False
    """Somebody else's claim took too long; again in 200 to 600 ms."""
    blocked_by: str | None = None
    """Why nothing at all may be handed out: `paused`, `spent` or `unpriced`."""
    figures: Figures | None = None
    next_due_ms: int | None = None
    """When a claim could hand something out; None: nothing is due that the database knows of."""
    replays_wait: bool = False
    """A replay is only partly made or unmade."""
    lease_ms: int = Field(default=30_000)
    renew_ms: int = Field(default=10_000)
    start_limit_ms: int = Field(default=15_000)


class LeaseRef(BaseModel):
    """The name of a lease."""

    model_config = ConfigDict(frozen=True)

    lead_id: str
    fence: int


class Renewal(LeaseRef):
    """A lease to keep, with what was bought meanwhile."""

    called: bool = False
    """A model call of this lease has begun: if the process dies now, the lease costs all that was reserved for it."""
    checkpoint: Checkpoint | None = None


class Timings(BaseModel):
    """Measured by this process, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    first_call_ms: int | None = None
    """From the lead's `eligible_at` to its first model call: `waited_ms` plus the time since the claim's reply."""
    key_wait_ms: int = 0
    """Of that, spent waiting for another lead's call to prove a key."""
    model_ms: int = 0
    """Spent in model calls."""


class Refusal(BaseModel):
    """Why a result can't be written: an SQLSTATE or a code of ours, and a sentence."""

    model_config = ConfigDict(frozen=True)

    code: str
    reason: str


class Result(LeaseRef):
    """A finished score on its way to the database."""

    checkpoint: Checkpoint
    """With its message: `ineligible` twice below 50."""
    key_fingerprint: str | None
    usage: Usage
    cost_usd: float | None = None
    """What this lease spent; None where the price is not known, or when nobody can tell: all that was reserved."""
    timing: Timings
    refusal: Refusal | None = None
    """It is not to be written: the lead is refused with this reason, and the answer is kept."""


class Release(LeaseRef):
    """A lead that is given back without a result.

    `retry`: again after `delay_ms`, an attempt is spent (dead when it was the last). `returned`: again after
    `delay_ms`, nothing is spent. `dead`: never again by itself, with its reason.
    """

    outcome: Literal["retry", "returned", "dead"]
    error_code: str
    reason: str
    delay_ms: int = 0
    checkpoint: Checkpoint | None = None
    key_fingerprint: str | None = None
    usage: Usage
    cost_usd: float | None = None
    """As a result's."""
    timing: Timings


class ParkedKey(BaseModel):
    """What Google said of a key. `for_ms` None: until its row in `gemini_api` changes."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    reason: str
    for_ms: int | None = None


class LeaseOutcome(StrEnum):
    """What became of one written lease."""

    SAVED = "saved"
    RENEWED = "renewed"
    RELEASED = "released"
    DEAD = "dead"
    LEASE_LOST = "lease_lost"
    BUSY = "busy"
    """The application holds the row, or it could not be written this time: again soon."""
    UNWANTED = "unwanted"
    """Not eligible any more; nothing was written."""
    REFUSED = "refused"
    """The application's own constraint or trigger says no; dead, the answer is kept."""
    GONE = "gone"


class LeaseReply(LeaseRef):
    """The database's answer about one lease."""

    outcome: LeaseOutcome
    reason: str | None = None
    error_code: str | None = None
    """Busy: the SQLSTATE of what failed, or `out_of_time`; None: somebody has the row."""


class LeaseReplies(BaseModel):
    """The reply of renew, save and release."""

    model_config = ConfigDict(frozen=True)

    leases: tuple[LeaseReply, ...] = ()
    next_due_ms: int | None = None


class OnDemandResult(BaseModel):
    """What one lead of an on-demand request came to. The fence of its ending says nothing: there is no lease."""

    request_id: UUID
    """The database saves it once, however often it is sent."""
    lead: Lead
    """As the caller gave it."""
    age_ms: int
    """Since the scoring began."""
    ending: Result | Release


class OnDemandReply(BaseModel):
    """The database's answer about one of them."""

    lead_id: str
    outcome: LeaseOutcome
    reason: str | None = None
    error_code: str | None = None


class OnDemandReplies(BaseModel):
    """The reply of a save of on-demand requests."""

    leads: tuple[OnDemandReply, ...] = ()


class SweepSlice(BaseModel):
    """The reply of one slice of the sweep."""

    model_config = ConfigDict(frozen=True)

    busy: bool = False
    """Another process sweeps."""
    round_finished: bool = False
    looked_at: int = 0
    made_ready: int = 0
    held: int = 0
    removed: int = 0
    figures: Figures | None = None
    next_due_ms: int | None = None


class ReplaySlice(BaseModel):
    """The reply of one slice of a replay that is being queued or stopped."""

    model_config = ConfigDict(frozen=True)

    left: bool = False
    """Another slice is needed."""
    next_due_ms: int | None = None
