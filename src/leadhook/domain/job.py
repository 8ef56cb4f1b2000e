"""Leased leads, their outcomes, and the database's replies about them."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import SecretStr

from leadhook.domain.facts import Facts
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Checkpoint, MessageFailure, Usage
from leadhook.domain.spend import ReservationTerms

Source = Literal["start", "webhook", "retry", "sweep"]
"""The reason for a claim: the start of the process, a webhook, a chosen time (see `Schedule`), or the sweep."""


class ApiKey(Facts):
    """A Gemini key. Its fingerprint, the first 16 hex digits of its SHA-256, may be logged; the key may not."""

    fingerprint: str
    api_key: SecretStr
    tried: bool = False
    """A call with it has succeeded, here or elsewhere, since it was added, changed or rested."""
    rests: int = 0
    """Its rests in a row, without a success in between."""
    answered_ms: int | None = None
    """Time since a call with it last succeeded, in any process; None: it is not tried."""

    @property
    def is_new(self) -> bool:
        """No call has succeeded with it, and none was refused."""
        return not self.tried and self.rests == 0


class ClaimRequest(Facts):
    """A request for leads; one with the same token returns the same leads with the same leases."""

    worker: str
    """The name of this process, to show to people."""
    token: UUID
    limit: int
    """1 to 50."""
    low_priority_limit: int
    """The most leads from replays and backlog, 0 to `limit`."""
    after_user: UUID | None = None
    """`last_user` of the last batch; users are served by turns."""
    hints: tuple[str, ...] = ()
    """Ids from plain dashboard webhooks, at most 500."""
    source: Source
    """What made the caller claim; becomes `source` of what this claim makes ready."""
    terms: ReservationTerms | None = None
    """What a lead may cost at the most; None: the model has no known price."""
    model: str | None = None
    """What the keys are used for; with source `start`, rests for other models end."""
    probe: bool = False
    """Whether a lead whose model calls do not fail is preferred."""


class ClaimedLead(Facts):
    """A leased lead with everything needed to score it. `(lead_id, fence)` names the lease in every later write."""

    lead_id: str
    fence: int
    token: UUID | None = None
    run: int
    attempts: int
    low_priority: bool
    source: str | None
    eligible_at: datetime
    """When the database saw it become eligible, on the database's clock."""
    waited_ms: int
    """Time from `eligible_at` to this claim, on the database's clock."""
    lead: Lead
    prompts: Prompts
    checkpoint: Checkpoint | None = None
    reserved_usd: float | None = None
    """What this lease may spend at the most; None where the price is not known."""
    failing_ms: int | None = None
    """For how long its model calls have failed without blame, at the claim; None: they do not."""
    error_code: str | None = None
    """Why its last lease ended without an answer."""
    unreadable: str | None = None
    """Why a column of the lead's row can't be read; `lead` then contains only its id."""


class OtherAttempt(Facts):
    """The outcome of another process's model calls for a lead."""

    id: int
    lead_id: str
    error_code: str | None
    """Of a failure; None: it was answered."""
    key_fingerprint: str
    leased_ms: int
    """Time since its calls began, or a little more."""
    finished_ms: int
    """Time since they ended."""


class Figures(Facts):
    """Counted up to 10,000. Claims and sweeps of all processes update them, at most every 10 s."""

    age_ms: int
    """Age of the figures at the time of the reply."""
    jobs: dict[str, int]
    """Number of jobs by state, without `done`."""
    oldest_ready_ms: dict[str, int]
    """Waiting time of the oldest claimable lead by priority, `normal` or `low`."""
    outbox: int
    keys: dict[str, int]
    """Number of keys by state: `healthy`, `cooling`, `disabled`."""


class Batch(Facts):
    """The reply to a claim."""

    leads: tuple[ClaimedLead, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    """The healthy keys. Without leads there are none, unless one of them is new: it is checked before leads come."""
    last_user: UUID | None = None
    has_more: bool = False
    """Whether more leads are ready or outbox rows are left: a free slot is a reason to claim again."""
    busy: bool = False
    """Whether another claim held the lock for too long; try again in 200 to 600 ms."""
    blocked_by: str | None = None
    """Why no lead may be claimed at all: `paused`, `spent` or `unpriced`."""
    attempts: tuple[OtherAttempt, ...] = ()
    """The latest of other processes, in the order of their ends, if calls for one of these leads failed before."""
    figures: Figures | None = None
    next_due_ms: int | None = None
    """Time until a claim could return something; None: the database knows of nothing that will be due."""
    replays_wait: bool = False
    """Whether a replay is being queued or stopped."""
    renew_ms: int = 10_000
    start_limit_ms: int = 15_000
    give_up_after_ms: int = 86_400_000
    max_attempts: int = 5


class LeaseRef(Facts):
    lead_id: str
    fence: int
    token: UUID | None = None
    """The token of the claim: after a restore of the database, a fence may come again."""


class Renewal(LeaseRef):
    """A lease to renew, with the model answers bought since the last renewal."""

    called: bool = False
    """Whether a model call has started: if the process dies, the whole reservation of the lease counts as spent."""
    checkpoint: Checkpoint | None = None


class Timings(Facts):
    """Durations measured by this process, in milliseconds."""

    first_call_ms: int | None = None
    """From the lead's `eligible_at` to its first model call: `waited_ms`, plus the time since the claim's reply."""
    key_wait_ms: int = 0
    """The part of it spent waiting for another lead's call to prove a key."""
    model_ms: int = 0
    """Time spent in model calls."""


class Refusal(Facts):
    """Why a result can't be written: an SQLSTATE or a code of leadhook, and a sentence."""

    code: str
    reason: str


class Result(LeaseRef):
    checkpoint: Checkpoint
    """Score and message; below 50, subject and message are `ineligible`."""
    message_failure: MessageFailure | None = None
    """Set if only the message failed: the score is saved without one."""
    key_fingerprint: str | None
    usage: Usage
    cost_usd: float | None = None
    """The cost of this lease; None if it is unknown, which counts as the whole reservation."""
    timing: Timings
    refusal: Refusal | None = None
    """If set, the answer is kept but not written to the application, and the lead is refused with this reason."""


class Release(LeaseRef):
    """The end of a lease without a result.

    `retry`: ready again after `delay_ms`; an attempt is spent, and the lead is dead if it was the last. `returned`:
    ready again after `delay_ms`; no attempt is spent. `dead`: not retried automatically; the reason is kept.
    """

    outcome: Literal["retry", "returned", "dead"]
    error_code: str
    reason: str
    delay_ms: int = 0
    failing: bool = False
    """Its model calls fail, and it is not known yet who is to blame."""
    decide_after_ms: int | None = None
    """An answer to another lead makes it due, but not before this; None: it makes no difference."""
    checkpoint: Checkpoint | None = None
    key_fingerprint: str | None = None
    usage: Usage
    cost_usd: float | None = None
    """As in `Result`."""
    timing: Timings


class ParkedKey(Facts):
    """A key that rests. `for_ms` None: until its row in `gemini_api` changes."""

    fingerprint: str
    reason: str
    for_ms: int | None = None
    rests: int = 1
    """Its rests in a row, this one included."""
    model: str | None = None
    """It rests for this model alone; None: for all."""


class LeaseOutcome(StrEnum):
    SAVED = "saved"
    SAVED_WITHOUT_MESSAGE = "saved_without_message"
    RENEWED = "renewed"
    RELEASED = "released"
    DEAD = "dead"
    LEASE_LOST = "lease_lost"
    BUSY = "busy"
    """The application has locked the row, or it could not be written this time: try again soon."""
    UNWANTED = "unwanted"
    """The lead is no longer eligible; nothing was written."""
    REFUSED = "refused"
    """The application's own constraint or trigger refused the answer: the lead is dead, the answer is kept."""
    GONE = "gone"


class LeaseReply(LeaseRef):
    outcome: LeaseOutcome
    reason: str | None = None
    error_code: str | None = None
    """If busy: the SQLSTATE of the failure, or `out_of_time`. None: another transaction has locked the row."""


class KeyNews(Facts):
    """What some process has lately learned of a key."""

    fingerprint: str
    resting: bool
    answered_ms: int | None = None
    """As in `ApiKey`; None if it rests."""


class LeaseReplies(Facts):
    """The reply to renew, save and release."""

    leases: tuple[LeaseReply, ...] = ()
    key_news: tuple[KeyNews, ...] = ()
    next_due_ms: int | None = None


class OnDemandResult(Facts):
    """The outcome of one lead of an on-demand request. The fence in it is meaningless: there is no lease."""

    request_id: UUID
    """The database saves a request id only once, however often it is sent."""
    lead: Lead
    """The lead as sent by the caller."""
    age_ms: int
    """Time since scoring started."""
    ending: Result | Release


class OnDemandReply(Facts):
    lead_id: str
    outcome: LeaseOutcome
    reason: str | None = None
    error_code: str | None = None


class OnDemandReplies(Facts):
    leads: tuple[OnDemandReply, ...] = ()


class SweepSlice(Facts):
    """The reply to one slice of the sweep."""

    busy: bool = False
    """Whether another process is sweeping."""
    round_finished: bool = False
    looked_at: int = 0
    made_ready: int = 0
    held: int = 0
    removed: int = 0
    figures: Figures | None = None
    next_due_ms: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        return self.model_dump(include={"looked_at", "made_ready", "held", "removed"})


class ReplaySlice(Facts):
    """The reply to one slice of a replay that is being queued or stopped."""

    left: bool = False
    """Whether another slice is needed."""
    next_due_ms: int | None = None
