"""What handlers find in `request.state`: made once by the application's lifespan, typed, instead of globals."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict

from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.engine import OnDemandLead
from leadhook.store import DryRun, ReplayReply, ReplayStatus
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.health import Readiness
from leadhook.web.request_log import WebhookSum
from leadhook.web.webhook_auth import WebhookAuth


class WebEngine(Protocol):
    """The part of the engine that handlers need."""

    def wake(self, hints: Iterable[str] = ()) -> None:
        """Wake the dispatcher: there may be work."""

    async def process(self, leads: Sequence[OnDemandLead]) -> None:
        """Score these leads now; afterwards each has its answer or its error."""


class WebStore(Protocol):
    """The part of the store that handlers need. Every call raises `StoreError`."""

    async def explain(self, lead_id: str) -> LeadSnapshot:
        """All that is known of one lead."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Have leads scored again."""

    async def replay_filtered(
        self, fields: Mapping[str, Any], limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Begin to have the leads scored again that match a filter."""

    async def dry_run(
        self,
        lead_ids: Sequence[str] | None,
        fields: Mapping[str, Any] | None,
        limit: int | None,
        after: str = "",
    ) -> DryRun:
        """Count what a replay would do, slice by slice."""

    async def replay_status(self, replay_id: int, *, after: str = "", limit: int = 100) -> ReplayStatus:
        """Progress of a replay, with a page of its leads."""

    async def stop_replay(self, replay_id: int) -> ReplayStatus:
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
    """How many late webhooks may wake the dispatcher: whoever recorded one may send it again all day."""
    webhook_sum: WebhookSum
    admins: Admins
    readiness: Readiness
