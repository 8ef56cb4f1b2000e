"""What the console shows, as the functions in `migrations/functions/console.sql` return it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from leadhook.domain.facts import Facts, in_utc
from leadhook.domain.forecast import TextSize
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.lead_snapshot import JobState, WebhookDelivery
from leadhook.domain.replays import ReplaySummary
from leadhook.domain.status import Scope

COUNTED_UP_TO: Final = 10_000
"""Counts of the console end there."""

Moment = Annotated[datetime, AfterValidator(in_utc)]
Score = Annotated[int, Field(ge=0, le=100)]
KeyState = Literal["healthy", "untried", "cooling", "disabled"]
Action = Literal[
    "pause",
    "resume",
    "budget",
    "replay",
    "replay_stop",
    "backlog_release",
    "release_stop",
    "key_unpark",
    "sign_in",
    "erase",
]


class Period(Facts):
    """One hour, or one day (UTC)."""

    at: datetime
    """Its beginning."""
    leads_in: int = 0
    """Leads that became eligible then, without replays. Those that still wait in the queue count, up to 5,000."""
    scored: int = 0
    contact: int = 0
    """Of `scored`: those from 50 up."""
    failed: int = 0
    """Attempts whose lead is then dead."""
    by_sweep: int = 0
    """Of `leads_in`: those that only the sweep found."""


class Percentiles(Facts):
    """Milliseconds from when a lead became eligible. Null: no lead was saved. Accurate to an eighth."""

    leads: int = 0
    first_call_p50: float | None = None
    first_call_p95: float | None = None
    saved_p50: float | None = None
    saved_p95: float | None = None


class ScoreCount(Facts):
    """The number of leads scored from `score` to `score` + 9; 90 includes 100."""

    score: int
    leads: int


class Overview(Facts):
    """What happened lately. `status` has the present, with today's spend and the budgets."""

    now: datetime
    counted_until: datetime
    """Attempts that ended later are not in the figures yet."""
    hours: tuple[Period, ...] = ()
    """The last 48, oldest first, the current one included."""
    days: tuple[Period, ...] = ()
    """The last 30, oldest first, today included."""
    last_hour: Percentiles = Percentiles()
    """From the beginning of the previous hour."""
    last_day: Percentiles = Percentiles()
    """Of the last 24 hours."""
    scores: tuple[ScoreCount, ...] = ()
    """Of the last 30 days; always ten, from 0 to 90."""


class LeadSearch(Facts):
    """A lead must match every given field. The fields of a replay's filter mean the same as there."""

    q: str | None = None
    """The name or company contains this, in either case, or it is the lead's id."""
    lead_id: str | None = None
    user_id: UUID | None = None
    tag: str | None = None
    state: JobState | None = None
    outcome: str | None = None
    error_code: str | None = None
    score_min: Score | None = None
    score_max: Score | None = None
    prompt_version: str | None = None
    flag: str | None = None
    """A code of the last result; `any`: any."""
    since: Moment | None = None
    until: Moment | None = None

    def fields(self) -> dict[str, Any]:
        given = self.model_dump(mode="json", exclude_none=True)
        return {name: value for name, value in given.items() if value != ""}

    def replay_filter(self) -> dict[str, Any] | None:
        """Return the filter that replays exactly these leads; None if no filter can: replay them by id."""
        fields = self.fields()
        return None if not fields or fields.keys() & {"q", "lead_id", "flag"} else fields


class FoundLead(Facts):
    lead_id: str
    name: str | None = None
    company: str | None = None
    user_id: UUID | None = None
    tag: str | None = None
    state: JobState
    error_code: str | None = None
    reason: str | None = None
    finished_at: datetime | None = None
    score: int | None = None
    flags: tuple[str, ...] = ()


class LeadPage(Facts):
    leads: tuple[FoundLead, ...] = ()
    after: str | None = None
    """For the next page; null: these were the last."""
    count: int | None = None
    """Of all pages, on the first page alone; up to 10,000."""
    complete: bool = True
    """false: the time was up. A page may then be short, and `count` means "this many or more"."""


class LeadInput(Facts):
    """What a claim would hand out of a lead now: `gemini` renders it."""

    lead: Lead
    prompts: Prompts
    unreadable: str | None = None
    """Why the lead's row can't be read; `lead` then contains only its id."""


class Reason(Facts):
    """A reason, and the number of the sampled leads that have it."""

    reason: str
    leads: int


class FailureGroup(Facts):
    """The leads that are in one state with one error code."""

    error_code: str
    state: JobState
    """dead; done: without the message that its score calls for; ready: waits for its next attempt."""
    count: int
    """Up to 10,000."""
    reasons: tuple[Reason, ...] = ()
    """The three most frequent ones among 100 of the leads."""
    example: str
    """The lead of these 100 that ended last."""
    last_at: datetime | None = None
    """When it ended."""

    @property
    def replay_filter(self) -> dict[str, Any]:
        """The filter that replays exactly these leads."""
        return {"state": self.state, "error_code": self.error_code}


class Failures(Facts):
    """What failed, or waits for its next attempt, by reason: the largest groups first."""

    groups: tuple[FailureGroup, ...] = ()


class Delivery(WebhookDelivery):
    id: int


class Deliveries(Facts):
    deliveries: tuple[Delivery, ...] = ()
    before: int | None = None
    """For the next page; null: these were the last."""


class ListedKey(Facts):
    fingerprint: str
    state: KeyState
    until: datetime | None = None
    """cooling: when it may be used again."""
    reason: str | None = None
    rests: int = 0
    """In a row, without a success in between."""
    model: str | None = None
    """It rests for this model alone."""
    changed_at: datetime | None = None
    """healthy: of the last success, to the minute; else when it was parked."""


class ListedKeys(Facts):
    """The first 200 keys: those that may not be used first."""

    keys: tuple[ListedKey, ...] = ()


class RunningReplay(ReplaySummary):
    queued: int
    """All of its leads so far."""
    waiting: int
    """Of them: not scored yet; up to 100,000."""
    per_minute: float
    """Ended attempts, on the average of the last 10 minutes."""
    ends_at: datetime | None = None
    """Expected; null: nothing ended lately."""


class BacklogRelease(Scope):
    """A release of the backlog that still queues leads, or of whose leads some are not scored yet."""

    release_id: int
    actor: str
    reason: str | None = None
    created_at: datetime
    limit: int
    released: int
    """Queued so far."""
    ended_at: datetime | None = None
    """When it was all queued, or was stopped; null: it queues more leads."""


class RunningRelease(Facts):
    """The released backlog that is not scored yet."""

    waiting: int
    """Up to 100,000."""
    total: int = 0
    """What `releases` have queued together; the command line's releases are not among them."""
    releases: tuple[BacklogRelease, ...] = ()
    """Newest first, up to 20."""
    per_minute: float
    ends_at: datetime | None = None


class Progress(Facts):
    """What runs at low priority."""

    now: datetime
    replays: tuple[RunningReplay, ...] = ()
    """Newest first, up to 20."""
    release: RunningRelease | None = None


class HeldScope(Scope):
    """The held leads of a user and tag."""

    asked_at: datetime | None = None
    """When its newest `prompts` row was written."""
    held: int
    """Up to 1,000."""


class HeldLeads(Facts):
    """Held leads, of which some were looked at more closely."""

    held: int
    """Up to 10,000."""
    looked_at: int
    answered: int
    """Of `looked_at`: those with a row in `llm_response`."""
    sent: int
    """Of `looked_at`: those that another program marked as sent."""
    size: TextSize
    """Of those that a release would queue."""
    groups: tuple[HeldScope, ...] = ()
    """Up to 100, that with the newest `prompts` row first."""

    @property
    def counted(self) -> bool:
        return self.held < COUNTED_UP_TO

    def releasable(self, *, redo: bool) -> int:
        """Return how many a release would queue: exact if all were looked at."""
        wanted = self.looked_at - self.sent - (0 if redo else self.answered)
        return wanted if self.looked_at == self.held else round(self.held * wanted / self.looked_at)


class BegunRelease(Facts):
    release_id: int = 0
    released: int = 0


class AuditEntry(Facts):
    """Who did what, and why. No personal data of leads."""

    id: int
    at: datetime
    actor: str
    """`admin:` and the first digits of the token's SHA-256, `cli:` and the account, or `application`."""
    database_user: str
    """`authenticator` through the API; else who was connected to the database."""
    action: Action
    parameters: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None


class AuditFilter(Facts):
    action: Action | None = None
    actor: str | None = None
    user_id: UUID | None = None
    since: Moment | None = None
    until: Moment | None = None


class Audit(Facts):
    entries: tuple[AuditEntry, ...] = ()
    before: int | None = None
    """For the next page; null: these were the last."""
