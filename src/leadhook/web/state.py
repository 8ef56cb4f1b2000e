"""The typed `request.state` of all handlers, created once by the application's lifespan."""

from collections.abc import Iterable, Sequence
from typing import Final, NotRequired, Protocol, TypedDict

import anyio

from leadhook.domain.lead import Lead, Prompts
from leadhook.engine import OnDemandLead
from leadhook.store import SupabaseStore
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.health import Readiness
from leadhook.web.request_log import WebhookSum
from leadhook.web.webhook_auth import WebhookAuth

MOST_HINTS: Final = 500
"""Ids from dashboard webhooks: of one, or of all that arrive before the engine has started."""


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


class Parts(TypedDict):
    """What is imported while the port already answers."""

    engine: WebEngine
    store: SupabaseStore
    scorer: WebScorer


class Backend:
    """The engine and what it stands on, as soon as they are imported. Until then, webhooks are remembered."""

    def __init__(self) -> None:
        self._parts: Parts | None = None
        self._started: Final = anyio.Event()
        self._hints: list[str] = []

    def start(self, parts: Parts) -> None:
        self._parts = parts
        if self._hints:
            parts["engine"].wake(self._hints)
        self._started.set()

    def wake(self, hints: Iterable[str] = ()) -> None:
        """Wake the dispatcher: there may be work."""
        if self._parts is None:
            # The outbox has the leads of signed webhooks, and the engine claims when it starts anyway.
            self._hints = [*self._hints, *hints][:MOST_HINTS]
        else:
            self._parts["engine"].wake(hints)

    async def wait(self) -> Parts:
        """Return the parts as soon as they are there."""
        await self._started.wait()
        if self._parts is None:
            raise RuntimeError("start sets them")
        return self._parts


class AppState(TypedDict):
    backend: Backend
    engine: NotRequired[WebEngine]
    store: NotRequired[SupabaseStore]
    scorer: NotRequired[WebScorer]
    """These three are in the state of each request that waits for them: `site.Entrance`."""
    slots: int
    """MAX_CONCURRENCY, for forecasts."""
    sweep_interval_s: float
    webhook_auth: WebhookAuth
    late_webhooks: TokenBucket
    """Limits how many late webhooks wake the dispatcher: anyone who recorded one can send it again for a day."""
    webhook_sum: WebhookSum
    admins: Admins
    readiness: Readiness
