"""Everything that the database knows about the installation, as `public.leadhook_status` returns it."""

from datetime import datetime
from shlex import quote
from typing import Final
from uuid import UUID

from pydantic import Field, computed_field

from leadhook.domain.facts import Facts

COUNTED_UP_TO: Final = 1000
"""The database stops counting there."""


class RestingKey(Facts):
    """A Gemini key that is not in use; `until` null means until its row in gemini_api changes."""

    fingerprint: str
    until: datetime | None = None
    reason: str | None = None


class KeyCounts(Facts):
    """The rows of gemini_api by state."""

    total: int = 0
    healthy: int = 0
    cooling: int = 0
    disabled: int = 0
    next_return_at: datetime | None = None


class KeyStatus(KeyCounts):
    """The same, with figures that only operators need."""

    untried: int = 0
    """Healthy keys that no call has succeeded with yet."""


class Scope(Facts):
    """A selection of leads. Without a tag: all leads of the user; without a user: all leads."""

    user_id: UUID | None = None
    tag: str | None = None

    def __str__(self) -> str:
        if self.user_id is None:
            return "all users"
        return f"user {self.user_id}" + (f", tag {self.tag}" if self.tag is not None else "")

    @property
    def options(self) -> str:
        """The options of a command that name exactly this scope, with a space before each."""
        user = "" if self.user_id is None else f" --user {self.user_id}"
        return user + ("" if self.tag is None else f" --tag {quote(self.tag)}")


class Pause(Scope):
    actor: str
    reason: str | None = None
    paused_at: datetime


class Budget(Facts):
    """Dollars a day (UTC); without a user, for all leads together."""

    user_id: UUID | None = None
    daily_usd: float
    left_usd: float
    """Not spent, and not reserved by leads being processed."""
    needed_usd: float | None = Field(default=None, exclude_if=lambda needed: needed is None)
    """The least that a lead may cost that this budget turned away, or that waits."""

    @property
    def whose(self) -> Scope:
        return Scope(user_id=self.user_id)


class BudgetStatus(Budget):
    """A budget, and whether it keeps leads from being claimed."""

    spent: bool = False
    """Leads wait for the next day, or for a higher budget."""
    too_small: bool = False
    """Even a whole day's budget is less than a waiting lead may cost."""


class WebhookSetup(Facts):
    """Whether the database has what it needs to send webhooks."""

    url_set: bool = False
    secret_set: bool = False
    pg_net: bool = False
    vault_error: str | None = None
    """The SQLSTATE with which Vault could not be read."""
    foreign_code: tuple[str, ...] = ()
    """Triggers and rules on pg_net's queue. They would run with the owner's rights, so no webhook is sent."""
    outbox_guards: tuple[str, ...] = ()
    """What someone added to leadhook.outbox that may refuse a changed lead."""

    @property
    def complete(self) -> bool:
        """pg_net, the URL and the secret are there, and nothing foreign would run."""
        return self.pg_net and self.url_set and self.secret_set and not self.foreign_code


class Spend(Facts):
    """Dollars of today (UTC)."""

    spent_usd: float = 0
    wasted_usd: float = 0
    """The part of it without a result."""
    reserved_usd: float = 0
    """The most that leads in progress may still spend."""


class SeenWorker(Facts):
    """A process that claims and sweeps. Times are accurate to 5 s; null: not within a day."""

    worker: str
    claimed_ms: int | None = None
    """Time since its last successful claim."""
    swept_ms: int | None = None

    @property
    def seen_ms(self) -> int:
        """Time since the last claim or sweep."""
        return min(ms for ms in (self.claimed_ms, self.swept_ms, 2**53) if ms is not None)


class HeldSnapshot(Facts):
    """Who keeps Postgres from removing replaced row versions."""

    held_by: str
    """session, prepared transaction or replication slot."""
    pid: int | None = None
    name: str | None = None
    """A session's application_name, a prepared transaction's identifier, or a slot's name."""
    role: str | None = None
    state: str | None = None
    held_ms: int | None = None
    """Null for a replication slot."""


class Status(Facts):
    """The installation at one moment."""

    migration: str | None = Field(default=None, alias="schema")
    """The name of the newest migration."""
    backlog: str | None = None
    first_round_finished_at: datetime | None = None
    outbox: int = 0
    keys: KeyStatus = KeyStatus()
    parked_keys: tuple[RestingKey, ...] = ()
    """The first 20."""
    triggers: dict[str, bool] = Field(default_factory=dict)
    """By table: whether leadhook's triggers are present and enabled."""
    webhook_setup: WebhookSetup = WebhookSetup()
    held_snapshot: HeldSnapshot | None = None
    """The oldest one, if it has been held for 5 minutes or, by a replication slot, for 100,000 transactions."""
    jobs: dict[str, int] = Field(default_factory=dict)
    """By state; counted up to 1,000, see `capped`."""
    without_message: int = 0
    """Leads that are done without the message that their score calls for; counted up to 1,000."""
    oldest_ready_ms: int | None = None
    """How long the oldest ready lead of either priority has been due; null: none is due."""
    unclaimed_ms: int | None = None
    """How long a claim could have taken something: paused leads and those over their budget don't count."""
    working: bool = False
    """A lead is leased, and its lease has not expired."""
    workers: tuple[SeenWorker, ...] = ()
    """The last 20 seen, newest first."""
    pauses: tuple[Pause, ...] = ()
    """The first 20; the pause of all leads comes first."""
    budgets: tuple[BudgetStatus, ...] = ()
    """The first 20; the budget of all users comes first."""
    spend: Spend = Spend()

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def capped(self) -> tuple[str, ...]:
        """The counts that mean "this many or more": states of `jobs`, `outbox`, `without_message`."""
        counts = {**self.jobs, "outbox": self.outbox, "without_message": self.without_message}
        return tuple(name for name, count in counts.items() if count >= COUNTED_UP_TO)

    @property
    def missing_triggers(self) -> tuple[str, ...]:
        return tuple(sorted(table for table, present in self.triggers.items() if not present))
