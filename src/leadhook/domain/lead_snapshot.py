"""Everything known about one lead, as `public.leadhook_explain` returns it. `diagnosis` interprets it."""

from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal
from uuid import UUID

from pydantic import Field, computed_field

from leadhook.domain.facts import Facts
from leadhook.domain.results import Claim
from leadhook.domain.status import Budget, KeyCounts, Pause, RestingKey, WebhookSetup

JobState = Literal["waiting", "ready", "leased", "done", "dead", "held"]


FLAGS: Final = {
    "gives_orders": "asks the reader to ignore instructions, rules or criteria",
    "asks_for_score": "names the score it wants",
    "speaks_to_model": "addresses an AI, a bot or a reviewer",
    "unconfirmed_score": "raised the score, which was not confirmed without it and therefore kept below 50",
    "fake_turn": "looks like a turn of a conversation with a model",
    "role_play": "gives the model another role",
    "asks_for_secrets": "asks for the prompt, keys or company data",
    "plants_link": "asks for a link or address in the message",
    "dictates_answer": "spells out the answer, or how to answer",
    "closes_fence": "claims that the lead's data ends there",
    "encoded_text": "contains base64 or other encoded text",
    "invisible_characters": "hides words with invisible characters",
}
"""The flags of a result in words, each the end of a sentence that begins with "the lead's text"."""


class Eligibility(Facts):
    """The conditions of eligibility, checked now by the database's one function."""

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
    """All of these conditions hold."""
    user_id: UUID | None = None
    tag: str | None = None


class Job(Facts):
    """The lead's job in the queue."""

    state: JobState
    low_priority: bool = False
    """Low priority, from a replay or the backlog: fresh leads go first."""
    run: int = 1
    attempts: int = 0
    """The attempts spent in this run."""
    worker: str | None = None
    leased_at: datetime | None = None
    lease_until: datetime | None = None
    available_at: datetime
    """The job can't be claimed before this time."""
    decide_after: datetime | None = None
    """It is not known yet whether the lead is to blame: an answer to another one makes it due, but not before this."""
    eligible_at: datetime | None = None
    source: str | None = None
    """What brought the lead: webhook, sweep, start, retry, hint, replay, release or on_demand."""
    replay_id: int | None = None
    replay_after: int | None = None
    """The replay that starts when this run ends."""
    checkpoint: bool = False
    """A model answer is paid for but not saved yet; it is not paid for again."""
    error_code: str | None = None
    reason: str | None = None
    finished_at: datetime | None = None


class OutboxEntry(Facts):
    """A change in the application's tables that affects the lead and has not been applied yet."""

    kind: Literal["leads", "prompts", "everything"]
    prompts_inserted: bool = False
    changed_at: datetime
    """The oldest such change."""
    return_to_outbox: bool = False
    """It was applied while the lead's job was leased, and is applied again at once."""


class Outbox(Facts):
    """Changes waiting to be applied."""

    total: int = 0
    """For all leads, counted up to 1000."""
    of_lead: tuple[OutboxEntry, ...] = ()
    """For this lead, oldest first."""


class Queue(Facts):
    """The lead's place in the queue; each number is counted up to 1000."""

    ahead: int = 0
    """Leads of all users that became ready earlier."""
    ahead_in_group: int = 0
    """Those with the same user and tag; users and tags take turns."""
    fresh_ahead: int = 0
    """Fresh leads ahead, if this lead comes from a replay or the backlog."""
    leased: int = 0
    """Leads being processed now."""
    finished_last_minute: int = 0


class LeadKeys(KeyCounts):
    """The Gemini keys, and why some of them are not used."""

    parked: tuple[RestingKey, ...] = ()


class WebhookDelivery(Facts):
    """A webhook sent for a change, with pg_net's response; once the change is applied, those within 5 s of it."""

    reason: str
    leads: int | None = None
    sent_at: datetime
    sent: bool = True
    """It was handed to pg_net."""
    status_code: int | None = None
    """The status that the service answered."""
    error: str | None = None
    """pg_net's error, or why the webhook was not handed to pg_net."""
    timed_out: bool = False
    queued: bool = False
    """pg_net has not sent it yet."""

    @property
    def arrived(self) -> bool:
        """The service accepted it."""
        return self.status_code == HTTPStatus.ACCEPTED

    @property
    def failed(self) -> bool:
        """It is known not to have arrived."""
        refused = bool(self.status_code) and not self.arrived
        return not self.sent or self.error is not None or self.timed_out or refused


class Attempt(Facts):
    """One attempt, and its cost."""

    run: int
    outcome: str
    """saved, saved_without_message, unwanted, refused, retry, dead, returned, lease_expired."""
    error_code: str | None = None
    reason: str | None = None
    worker: str | None = None
    source: str | None = None
    replay_id: int | None = None
    model: str | None = None
    prompt_version: str | None = None
    calls: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    cost_usd: float | None = None
    """null if the price is unknown."""
    wasted: bool = False
    """The cost was wasted."""
    eligible_at: datetime | None = None
    leased_at: datetime | None = None
    first_call_ms: int | None = None
    """From eligible_at to the first model call."""
    key_wait_ms: int | None = None
    """Of first_call_ms: the wait for another lead's call to prove a key."""
    model_ms: int | None = None
    key_fingerprint: str | None = None
    """The first 16 hex digits of the Gemini key's SHA-256."""
    finished_at: datetime


class PastResult(Facts):
    """The result of one run."""

    run: int
    score: int
    should_contact: bool
    response: str = ""
    """The reason, in the model's words."""
    subject: str | None = None
    """null, as is the message: only the message failed, and the attempt has the reason."""
    message: str | None = None
    claims: tuple[Claim, ...] = ()
    """Facts of the message with their sources."""
    matched: tuple[str, ...] = ()
    """The criteria that are met, in the model's words."""
    missed: tuple[str, ...] = ()
    """The criteria that are not met or unknown."""
    flags: tuple[str, ...] = ()
    """Codes for text of the lead that looks like an attempt to manipulate the model."""
    model: str | None = None
    prompt_version: str | None = None
    input_version: str | None = None
    written: bool
    """false: the application rejected it or no longer wanted it."""
    created_at: datetime

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def flag_words(self) -> tuple[str, ...]:
        """The flags in words, each the end of a sentence that begins with "the lead's text"."""
        return tuple(FLAGS.get(code, code) for code in self.flags)


class LeadAnswer(PastResult):
    """The newest answer of one lead."""

    lead_id: str
    name: str | None = None
    """The current name in lead_details."""
    user_id: UUID | None = None
    tag: str | None = None


class Answers(Facts):
    """A list of answers, newest first."""

    now: datetime
    """The time on the database's clock."""
    answers: tuple[LeadAnswer, ...] = ()
    has_more: bool = False
    """Whether there are more answers than the limit allows."""


class WrittenAnswer(Facts):
    """The lead's row in llm_response, even if another program wrote it."""

    score: int | str | None = None
    response: str | None = None
    subject: str | None = None
    message: str | None = None


class Replay(Facts):
    """A request to score the lead again."""

    id: int
    actor: str
    reason: str | None = None
    created_at: datetime


class LeadSnapshot(Facts):
    """All facts about the lead, at one moment."""

    lead_id: str
    now: datetime
    """The time on the database's clock."""
    eligibility: Eligibility | None = None
    """null if checking the lead raises an error; `failure` then has the database's message."""
    failure: str | None = None
    answered: bool = False
    """llm_response has a row for it."""
    answer: WrittenAnswer | None = None
    """That row."""
    tags_of_user: tuple[str | None, ...] = ()
    """If the lead has no prompts row: the tags for which its user has prompts."""
    job: Job | None = None
    outbox: Outbox = Outbox()
    queue: Queue = Queue()
    keys: LeadKeys = LeadKeys()
    pauses: tuple[Pause, ...] = ()
    """The pauses that stop the lead, widest first."""
    budgets: tuple[Budget, ...] = ()
    """The budgets that pay for the lead."""
    webhooks: tuple[WebhookDelivery, ...] = ()
    """The webhooks, those nearest to the lead's change first."""
    triggers: dict[str, bool] = Field(default_factory=dict)
    """By table: whether leadhook's triggers are present and enabled."""
    dashboard_webhooks: tuple[str, ...] = ()
    """Tables with a webhook created in Supabase's dashboard."""
    webhook_setup: WebhookSetup = WebhookSetup()
    backlog: str = "hold"
    first_round_finished_at: datetime | None = None
    max_attempts: int = 5
    attempts: tuple[Attempt, ...] = ()
    """The last 20, newest first."""
    results: tuple[PastResult, ...] = ()
    """The last 20, newest first."""
    replays: tuple[Replay, ...] = ()
    """The replays that include the lead, newest first."""

    @property
    def missing_triggers(self) -> tuple[str, ...]:
        """The tables whose changes neither a trigger nor a dashboard webhook reports."""
        return tuple(sorted(t for t, there in self.triggers.items() if not there and t not in self.dashboard_webhooks))
