"""The typed `request.state` of all handlers, created once by the application's lifespan."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict

from leadhook.domain.lead import Lead, Prompts
from leadhook.engine import OnDemandLead
from leadhook.store import SupabaseStore
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


class WebScorer(Protocol):
    """The part of the scorer that handlers need."""

    def show_question(self, lead: Lead, prompts: Prompts) -> dict[str, tuple[str, str]]:
        """Return what the model is sent for each step: the instruction and the lead."""


class AppState(TypedDict):
    """The application's state."""

    engine: WebEngine
    store: SupabaseStore
    scorer: WebScorer
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
