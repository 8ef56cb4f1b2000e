"""The real web application over fakes of what lies below it."""

import base64
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import anyio
import anyio.lowlevel
import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from pydantic_core import to_jsonable_python
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from leadhook.app import server_config
from leadhook.credentials import StaticHeader, webhook_key
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.domain.replays import ReplayCount, ReplayedLead, ReplayReply, ReplayStatus
from leadhook.domain.results import Message, Score
from leadhook.domain.status import KeyStatus, Status, WebhookSetup
from leadhook.engine import OnDemandLead, TooManyOnDemandError
from leadhook.engine.health import Health
from leadhook.store import StoreError, SupabaseStore
from leadhook.store.replays import MOST_COUNTED
from leadhook.web.auth import Admins, TokenBucket
from leadhook.web.connections import MOST_CONNECTIONS
from leadhook.web.health import Readiness
from leadhook.web.openapi import Endpoint
from leadhook.web.request_log import WebhookSum
from leadhook.web.requests import MEDIA_TYPE, ProblemAnswer
from leadhook.web.site import ENDPOINTS, build_site
from leadhook.web.state import AppState, Backend, Parts
from leadhook.web.webhook_auth import WebhookAuth

T = TypeVar("T")

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
OLD_SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
ADMIN = secrets.token_urlsafe(24)
READER = secrets.token_urlsafe(24)
OTHER_ADMIN = secrets.token_urlsafe(24)
STATIC = secrets.token_urlsafe(24)
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}

HEALTHY = Health(
    running=True,
    claiming=True,
    draining=False,
    fault=None,
    fault_code=None,
    since=None,
    in_flight=0,
    held=0,
)
GOOD_STATUS = Status(
    schema="20261123000350_unsent_index",
    keys=KeyStatus(total=1, healthy=1),
    triggers={"all_leads": True},
    webhook_setup=WebhookSetup(url_set=True, secret_set=True, pg_net=True),
)
EMPTY: dict[str, Any] = {
    "leadhook_overview": {"now": "2026-11-27T12:00:00Z", "counted_until": "2026-11-27T12:00:00Z"},
    "leadhook_search_leads": {"count": 0},
    "leadhook_lead_input": {},
    "leadhook_failures": {},
    "leadhook_progress": {"now": "2026-11-27T12:00:00Z"},
    "leadhook_replays": {},
    "leadhook_admission": {},
    "leadhook_held_leads": {
        "held": 0,
        "looked_at": 0,
        "answered": 0,
        "sent": 0,
        "size": {"leads": 0, "score_chars": 0, "message_chars": 0},
    },
    "leadhook_replay_preview": {"complete": True},
    "leadhook_keys": {"keys": [{"fingerprint": "key_1", "state": "cooling"}]},
    "leadhook_deliveries": {},
    "leadhook_audit": {},
    "leadhook_pause": {"paused": True, "already": False},
    "leadhook_resume": {"resumed": True},
    "leadhook_set_budget": {"daily_usd": 5, "left_usd": 5},
    "leadhook_begin_release": {"release_id": 3, "released": 0},
    "leadhook_stop_release": {"release_id": 3, "released": 0},
    "leadhook_unpark_key": {"unparked": True},
    "leadhook_redeem_link": {"redeemed": True},
}
"""The replies of a project without leads, by function."""
QUEUED = ReplayReply(replay_id=7, counts={"queued": 1}, leads=(ReplayedLead(lead_id="a", outcome="queued"),))


@dataclass
class FakeEngine:
    webhooks: list[list[str]] = field(default_factory=list)
    health: Health = HEALTHY
    processed: list[list[OnDemandLead]] = field(default_factory=list)
    troubles: dict[str, tuple[str, str]] = field(default_factory=dict)
    full: bool = False

    async def process(self, leads: Sequence[OnDemandLead]) -> None:
        """Score 80, or report an error by the lead's name."""
        await anyio.lowlevel.checkpoint()
        if self.full:
            raise TooManyOnDemandError
        self.processed.append(list(leads))
        for lead in leads:
            lead.error = self.troubles.get(lead.lead.name or "")
            if lead.error is None:
                lead.answer = (
                    Score(score=80, response="A reason", should_contact=True),
                    Message(subject="A subject", message="A message"),
                )

    def wake(self, hints: Iterable[str] = ()) -> None:
        self.webhooks.append(list(hints))


class FakeScorer:
    def show_question(self, lead: Lead, prompts: Prompts) -> dict[str, tuple[str, str]]:
        return {"score": (f"{prompts}", f"{lead}")}


@dataclass
class FakeStore(SupabaseStore):
    """Returns the prepared answer, or raises it; to what has no method here, the reply of the function of that name."""

    rpc: dict[str, Any] = field(default_factory=lambda: dict(EMPTY))

    replayed: list[tuple[list[str], str, str | None]] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    reply: ReplayReply | Exception = QUEUED
    on_dry_run: list[ReplayCount] = field(default_factory=list)
    forms: list[UUID] = field(default_factory=list)
    on_replay_status: ReplayStatus | Exception | None = None
    on_status: Status | Exception | None = GOOD_STATUS
    asked: int = 0
    snapshot: LeadSnapshot | Exception | None = None
    explained: list[str] = field(default_factory=list)
    acted: list[tuple[Any, ...]] = field(default_factory=list)
    """What the console asked to be changed."""

    async def _call(self, function: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if "p_actor" in parameters:
            self.acted.append((function, to_jsonable_python(parameters)))
        reply: dict[str, Any] = answer_or_raise(self.rpc[function])
        return reply

    def fail(self, error: StoreError) -> None:
        """Answer what the API asks for with this error."""
        self.snapshot = self.reply = self.on_replay_status = error

    async def explain(self, lead_id: str) -> LeadSnapshot:
        self.explained.append(lead_id)
        return answer_or_raise(self.snapshot)

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        self.replayed.append((list(lead_ids), actor, reason))
        self.calls.append(("replay",))
        return answer_or_raise(self.reply)

    async def replay_filtered(
        self, fields: Any, limit: int | None, actor: str, reason: str | None = None, request_id: UUID | None = None
    ) -> ReplayReply:
        self.forms += [request_id] if request_id else []
        self.replayed.append(([], actor, reason))
        self.calls.append(("replay_filtered", fields, limit))
        return answer_or_raise(self.reply)

    async def dry_run(
        self, lead_ids: Sequence[str] | None, fields: Any, limit: int | None, after: str = ""
    ) -> ReplayCount:
        self.calls.append(("dry_run", lead_ids, fields, limit, after))
        return self.on_dry_run.pop(0)

    async def replay_status(
        self, replay_id: int, *, after: str = "", limit: int = 100, most: int | None = MOST_COUNTED
    ) -> ReplayStatus:
        assert most == MOST_COUNTED, "no page or answer counts more"
        self.calls.append(("replay_status", replay_id, after, limit))
        return answer_or_raise(self.on_replay_status or ReplayStatus(found=False))

    async def stop_replay(self, replay_id: int, actor: str, reason: str | None = None) -> ReplayStatus:
        self.calls.append(("stop_replay", replay_id, actor, reason))
        return answer_or_raise(self.on_replay_status or ReplayStatus(found=False))

    async def status(self) -> Status:
        """Answer; None hangs."""
        self.asked += 1
        if self.on_status is None:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        return answer_or_raise(self.on_status)


def answer_or_raise(answer: T | Exception | None) -> T:
    if isinstance(answer, Exception):
        raise answer
    assert answer is not None
    return answer


@dataclass
class Service:
    site: Starlette
    engine: FakeEngine
    store: FakeStore
    state: AppState
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """As an admin, unless the headers say otherwise."""
        sent = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers=AS_ADMIN | headers, **sent)

    async def webhook(
        self, body: dict[str, Any] | bytes, headers: dict[str, str] | None = None, **signing: Any
    ) -> httpx.Response:
        """Send a webhook; signed, unless other headers are given."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signed(raw, **signing) if headers is None else headers
        return await self.client.post("/webhooks/leads", content=raw, headers=headers)


def new_state(engine: FakeEngine, store: FakeStore) -> AppState:
    """What the application's lifespan yields."""
    admins = Admins([SecretStr(ADMIN), SecretStr(OTHER_ADMIN)], [SecretStr(READER)], hold_s=0.01)
    backend = Backend()
    backend.start(Parts(engine=engine, store=store, scorer=FakeScorer()))
    return AppState(
        backend=backend,
        slots=16,
        sweep_interval_s=300,
        webhook_auth=WebhookAuth(
            [webhook_key(SECRET), webhook_key(OLD_SECRET)], StaticHeader(name="x-webhook", value=SecretStr(STATIC))
        ),
        late_webhooks=TokenBucket(per_second=0.001, burst=3),
        webhook_sum=WebhookSum(),
        admins=admins,
        readiness=Readiness(status=store.status, engine=lambda: engine.health),
    )


def new_site(state: AppState, **settings: Any) -> Starlette:
    @asynccontextmanager
    async def lifespan(_site: Starlette) -> AsyncIterator[AppState]:
        yield state

    return build_site(lifespan, **settings)


@asynccontextmanager
async def asking(site: Starlette, state: AppState, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a network; what a server would put into the scope comes from here."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await site({**scope, "state": dict(state)}, receive, send)

    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://service", **settings) as client:
        yield client


@asynccontextmanager
async def serving(
    engine: FakeEngine | None = None,
    store: FakeStore | None = None,
    *,
    listener: socket.socket | None = None,
    most_connections: int = MOST_CONNECTIONS,
) -> AsyncIterator[int]:
    """Uvicorn, set as in production, with the real application on a port."""
    site = new_site(new_state(engine or FakeEngine(), store or FakeStore()))
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(site, most_connections))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        yield listener.getsockname()[1]
        server.should_exit = True


def endpoint_of(request: httpx.Request) -> Endpoint | None:
    """The one that answers this request; None for a path or a method that no one answers."""
    method = "GET" if request.method == "HEAD" else request.method
    fitting = (one for one in ENDPOINTS if compile_path(one.path)[0].match(request.url.path))
    return next((one for one in fitting if one.method == method), None)


async def is_declared(response: httpx.Response) -> None:
    """Fail unless status and body are those that the table of routes declares; a failure of ours may be anywhere."""
    endpoint = endpoint_of(response.request)
    if endpoint is None or response.status_code == 500 or response.request.method == "HEAD":
        return
    await response.aread()
    where = f"{endpoint.name} answers {response.status_code}"
    if model := endpoint.answers.get(response.status_code):
        written = model.model_validate_json(response.content).model_dump_json(by_alias=True)
        assert (response.headers["content-type"], written) == ("application/json", response.text), where
    else:
        assert response.status_code in endpoint.refusals, where
        assert response.headers["content-type"] == MEDIA_TYPE, where
        ProblemAnswer.model_validate_json(response.content)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Each of its answers must be a declared one, whatever a test is about."""
    engine, store = FakeEngine(), FakeStore()
    state = new_state(engine, store)
    site = new_site(state)
    async with asking(site, state, event_hooks={"response": [is_declared]}) as client:
        yield Service(site, engine, store, state, client)


def signed(body: bytes, *, secret: str = SECRET, age_s: int = 0, message_id: str = "msg_1") -> dict[str, str]:
    """The headers of a webhook, as the reference library signs it."""
    at = int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": Webhook(secret).sign(message_id, datetime.fromtimestamp(at, UTC), body.decode()),
    }
