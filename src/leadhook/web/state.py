"""The typed `request.state` of all handlers, created once by the application's lifespan."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict

from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.domain.status import Status
from leadhook.engine import OnDemandLead
from leadhook.store import DryRun, ReplayReply, ReplayStatus
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.console.sessions import Sessions
from leadhook.web.health import Readiness
from leadhook.web.request_log import WebhookSum
from leadhook.web.webhook_auth import WebhookAuth


class WebEngine(Protocol):
    """The part of the engine that handlers need."""

    def wake(self, hints: Iterable[str] = ()) -> None:
        """Wake the dispatcher: there may be work."""

    async def process(self, leads: Sequence[OnDemandLead]) -> None:
        """Score these leads immediately; afterwards each has an answer or an error."""


class WebStore(Protocol):
    """The part of the store that handlers need. Every call raises `StoreError`."""

    async def status(self) -> Status:
        """Return the status of the installation."""

    async def explain(self, lead_id: str) -> LeadSnapshot:
        """Return everything known about one lead."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Start a replay of named leads."""

    async def replay_filtered(
        self, fields: Mapping[str, Any], limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Start a replay of the leads that match a filter."""

    async def dry_run(
        self,
        lead_ids: Sequence[str] | None,
        fields: Mapping[str, Any] | None,
        limit: int | None,
        after: str = "",
    ) -> DryRun:
        """Count the leads of a replay in slices."""

    async def replay_status(self, replay_id: int, *, after: str = "", limit: int = 100) -> ReplayStatus:
        """Return the progress of a replay, with a page of its leads."""

    async def stop_replay(self, replay_id: int, actor: str, reason: str | None = None) -> ReplayStatus:
        """Stop a replay."""


class AppState(TypedDict):
    """The application's state."""

    engine: WebEngine
    store: WebStore
    slots: int
    """MAX_CONCURRENCY, for forecasts."""
    sweep_interval_s: float
    webhook_auth: WebhookAuth
    late_webhooks: TokenBucket
    """Limits how many late webhooks wake the dispatcher: anyone who recorded one can send it again for a day."""
    webhook_sum: WebhookSum
    admins: Admins
    sessions: Sessions
    readiness: Readiness
