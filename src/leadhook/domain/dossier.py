"""All that the database knows of one lead, as `public.leadhook_explain` tells it; what it means is in `standing`."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

JobState = Literal["waiting", "ready", "leased", "done", "dead", "held"]


class Facts(BaseModel):
    """What comes from a database may be newer than this service: unknown fields are left out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Eligibility(Facts):
    """Each part of what makes a lead eligible, judged at this moment by the database's one function."""

    known: bool
    """all_leads has a row with this id."""
    has_details: bool
    """lead_details has one too."""
    scrapped: bool
    """all_leads.scrapped is true."""
    has_prompts: bool
    """prompts has a row for the lead's user and tag."""
    unsent: bool
    """lead_details.sent_to_llm is not true."""
    eligible: bool
    """All of them."""
    user_id: UUID | None = None
    tag: str | None = None


class Job(Facts):
    """What leadhook has in mind with the lead."""

    state: JobState
    slow: bool = False
    """From a replay or the backlog: fresh leads go first."""
    run: int = 1
    attempts: int = 0
    """Spent in this run."""
    worker: str | None = None
    leased_at: datetime | None = None
    lease_until: datetime | None = None
    available_at: datetime
    """Not before this time."""
    eligible_at: datetime | None = None
    found_by: str | None = None
    """What brought it: ring, sweep, start, due, hint, replay, release."""
    replay_id: int | None = None
    replay_after: int | None = None
    """A replay that begins once this run ends."""
    paid: bool = False
    """A model answer is bought and not yet written; it is not bought again."""
    error_code: str | None = None
    reason: str | None = None
    finished_at: datetime | None = None


class OutboxEntry(Facts):
    """A change in the application's tables that concerns the lead and has not been looked at."""

    kind: Literal["leads", "prompts", "everything"]
    prompts_inserted: bool = False
    touched_at: datetime
    """The oldest such change."""
    last_touched_at: datetime
    put_back: bool = False
    """It was looked at while somebody held the lead's job, and comes again at once."""


class Outbox(Facts):
    """Changes that are waiting to be looked at."""

    total: int = 0
    """Of all leads, counted up to 1000."""
    of_lead: tuple[OutboxEntry, ...] = ()
    """Those that concern this one, oldest first."""


class Queue(Facts):
    """How far away its turn is; each number is counted up to 1000."""

    ahead: int = 0
    """Became ready before it, whosever they are."""
    ahead_in_lane: int = 0
    """Those of them of the same user and tag; turns are dealt out fairly between users and tags."""
    fresh_ahead: int = 0
    """Fresh leads, where this one comes from a replay or the backlog."""
    leased: int = 0
    """Being worked on now."""
    finished_last_minute: int = 0


class RestingGeminiKey(Facts):
    """A Gemini key that may not be used; `until` null: until its row in gemini_api changes."""

    fingerprint: str
    until: datetime | None = None
    reason: str | None = None


class GeminiKeys(Facts):
    """How the rows of gemini_api fare."""

    total: int = 0
    healthy: int = 0
    cooling: int = 0
    disabled: int = 0
    next_return_at: datetime | None = None
    parked: tuple[RestingGeminiKey, ...] = ()


class Pause(Facts):
    """Somebody's order to claim nothing; without a tag, of all the user's; without a user, of everything."""

    user_id: UUID | None = None
    tag: str | None = None
    actor: str
    reason: str | None = None
    paused_at: datetime


class Budget(Facts):
    """Dollars a day (UTC); without a user: of all leads together."""

    user_id: UUID | None = None
    daily_usd: float
    left_usd: float
    """Neither spent nor reserved by leads at work."""
    needed_usd: float | None = None
    """The least that a lead needed which this budget turned away."""


class WebhookDelivery(Facts):
    """The ring of a change, and what pg_net answered; once the change was looked at: those within 5 s of it."""

    cause: str
    leads: int | None = None
    rung_at: datetime
    sent: bool = True
    """It was handed to pg_net."""
    status_code: int | None = None
    """What the service answered."""
    error: str | None = None
    """In pg_net's words, or why it was not handed to pg_net."""
    timed_out: bool = False
    queued: bool = False
    """pg_net has not sent it yet."""


class WebhookSetup(Facts):
    """Whether the database has what it needs to ring."""

    url_set: bool = False
    secret_set: bool = False
    pg_net: bool = False


class Attempt(Facts):
    """What one lease came to, and its cost."""

    run: int
    outcome: str
    """saved, unwanted, refused, retry, dead, returned, lease_expired, compared."""
    error_code: str | None = None
    reason: str | None = None
    worker: str | None = None
    found_by: str | None = None
    replay_id: int | None = None
    model: str | None = None
    prompt_version: str | None = None
    calls: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    cost_usd: float | None = None
    """Null where the price is unknown."""
    wasted: bool = False
    """The money bought nothing."""
    eligible_at: datetime | None = None
    leased_at: datetime | None = None
    first_call_ms: int | None = None
    """From eligible_at to the first model call."""
    model_ms: int | None = None
    finished_at: datetime


class PastResult(Facts):
    """The answer of one run."""

    run: int
    score: int
    should_contact: bool
    subject: str
    model: str | None = None
    prompt_version: str | None = None
    input_version: str | None = None
    written: bool
    """False: the application refused it or no longer wanted it."""
    created_at: datetime


class Replay(Facts):
    """Somebody's wish to have it judged again."""

    id: int
    actor: str
    reason: str | None = None
    created_at: datetime


class Dossier(Facts):
    """The whole of it, at one moment."""

    lead_id: str
    now: datetime
    """By the database's clock."""
    eligibility: Eligibility | None = None
    """Null where judging the lead raises; `failure` then has the database's words."""
    failure: str | None = None
    answered: bool = False
    """llm_response has a row for it."""
    tags_of_user: tuple[str | None, ...] = ()
    """Where there is no prompts row for it: tags that its user has prompts for."""
    job: Job | None = None
    touches: Outbox = Outbox()
    queue: Queue = Queue()
    keys: GeminiKeys = GeminiKeys()
    pauses: tuple[Pause, ...] = ()
    """Those that hold it back, the widest first."""
    budgets: tuple[Budget, ...] = ()
    """Those that it is paid from."""
    rings: tuple[WebhookDelivery, ...] = ()
    """The nearest to its change first."""
    triggers: dict[str, bool] = Field(default_factory=dict)
    """By table: whether enabled triggers of ours see all that matters."""
    dashboard_webhooks: tuple[str, ...] = ()
    """Tables with a plain webhook from Supabase's dashboard."""
    ring: WebhookSetup = WebhookSetup()
    backlog: str = "hold"
    first_round_finished_at: datetime | None = None
    max_attempts: int = 5
    attempts: tuple[Attempt, ...] = ()
    """The last 20, newest first."""
    verdicts: tuple[PastResult, ...] = ()
    """The last 20, newest first."""
    replays: tuple[Replay, ...] = ()
    """Those that it belongs to, newest first."""

    @property
    def missing_triggers(self) -> tuple[str, ...]:
        """The tables whose changes nothing tells of."""
        return tuple(sorted(t for t, there in self.triggers.items() if not there and t not in self.dashboard_webhooks))
