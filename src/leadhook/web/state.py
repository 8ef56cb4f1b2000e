"""What a request finds: built once by the application's lifespan, typed, instead of globals."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict

from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.engine import OnDemandLead
from leadhook.store import DryRun, ReplayReply, ReplayStatus
from leadhook.web.auth import Admins, WebhookAuth
from leadhook.web.rate import TokenBucket
from leadhook.web.readiness import Readiness
from leadhook.web.sign_ins import SignIns
from leadhook.web.webhook_sum import WebhookSum


class Bell(Protocol):
    """The part of the engine that the web needs."""

    def wake(self, hints: Iterable[str] = ()) -> None:
        """There may be work."""


class Processor(Protocol):
    """The part of the engine that scores leads while somebody waits."""

    async def process(self, leads: Sequence[OnDemandLead]) -> None:
        """Score these leads now; afterwards each has its answer or its error."""


class Replayer(Protocol):
    """The part of the store that a replay needs."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Have leads scored again."""

    async def replay_filtered(
        self, fields: Mapping[str, Any], limit: int | None, actor: str, reason: str | None = None
    ) -> ReplayReply:
        """Begin to have scored again what fits a filter."""

    async def dry_run(
        self,
        lead_ids: Sequence[str] | None,
        fields: Mapping[str, Any] | None,
        limit: int | None,
        after: str = "",
    ) -> DryRun:
        """What it would come to."""

    async def replay_status(self, replay_id: int, *, after: str = "", limit: int = 100) -> ReplayStatus:
        """How far it is."""

    async def stop_replay(self, replay_id: int) -> ReplayStatus:
        """End it before its time."""


class Explainer(Protocol):
    """The part of the store that an explanation needs."""

    async def explain(self, lead_id: str) -> LeadSnapshot:
        """All that is known of one lead."""


class AppState(TypedDict):
    """The application's state."""

    wake_signal: Bell
    processor: Processor
    replayer: Replayer
    explainer: Explainer
    slots: int
    """MAX_CONCURRENCY, for forecasts."""
    sweep_interval_s: float
    webhook_auth: WebhookAuth
    late_webhooks: TokenBucket
    webhook_sum: WebhookSum
    admins: Admins
    sign_ins: SignIns
    readiness: Readiness
