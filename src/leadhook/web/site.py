"""The web application: the table of routes, the middleware, the errors."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from leadhook.domain.diagnosis import Explanation
from leadhook.domain.replays import DryRunAnswer, ReplayReply, ReplayStatus
from leadhook.settings import Settings
from leadhook.store import StoreError
from leadhook.web import processing, replays, webhook
from leadhook.web.console.routes import PAGES
from leadhook.web.console.sign_in import SignInLinkAnswer, create_sign_in_link
from leadhook.web.console.visit import Page
from leadhook.web.health import HealthAnswer, ReadyAnswer, ServiceAnswer, health, ready, service
from leadhook.web.leads import explain_lead
from leadhook.web.openapi import ADMISSION, Endpoint, Handler, documentation
from leadhook.web.request_log import REQUEST_ID, CanonicalLine
from leadhook.web.requests import Problem, answer_with_problem, problem
from leadhook.web.state import AppState

AT_ONCE: Final = ("/", "/health", "/ready")
"""Answered while the engine starts."""
DATABASE_AWAY: Final = {503: "The database cannot answer now."}
OF_A_REPLAY: Final = {404: "No replay has this id.", **DATABASE_AWAY}

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/leads/{lead_id:whole}",
        explain_lead,
        tag="Leads",
        answers={200: Explanation},
        problems={404: "No lead has this id.", **DATABASE_AWAY},
    ),
    Endpoint(
        "POST",
        "/process-lead",
        processing.process_lead,
        tag="Leads",
        body=processing.ProcessLeadRequest,
        largest_body=processing.LARGEST_LEAD,
        answers={200: processing.ProcessLeadAnswer},
        problems={503: processing.TOO_MANY},
    ),
    Endpoint(
        "POST",
        "/process-leads",
        processing.process_leads,
        tag="Leads",
        body=processing.ProcessLeadsRequest,
        largest_body=processing.LARGEST_LEADS,
        answers={200: processing.ProcessLeadsAnswer},
        problems={503: processing.TOO_MANY},
    ),
    Endpoint(
        "POST",
        "/replay",
        replays.replay,
        tag="Replay",
        body=replays.ReplayRequest,
        largest_body=replays.LARGEST_REPLAY,
        answers={202: ReplayReply, 200: DryRunAnswer},
        problems=DATABASE_AWAY,
    ),
    Endpoint(
        "GET",
        "/replays/{replay_id}",
        replays.show_replay,
        tag="Replay",
        query=replays.PageQuery,
        answers={200: ReplayStatus},
        problems=OF_A_REPLAY,
    ),
    Endpoint(
        "DELETE",
        "/replays/{replay_id}",
        replays.stop_replay,
        tag="Replay",
        query=replays.StopQuery,
        answers={200: ReplayStatus},
        problems=OF_A_REPLAY,
    ),
    Endpoint(
        "POST",
        "/console/links",
        create_sign_in_link,
        tag="Service",
        answers={200: SignInLinkAnswer},
    ),
    Endpoint("GET", "/", service, tag="Service", who="all", answers={200: ServiceAnswer}),
    Endpoint("GET", "/health", health, tag="Service", who="all", answers={200: HealthAnswer}),
    Endpoint(
        "GET",
        "/ready",
        ready,
        tag="Service",
        who="all",
        answers={200: ReadyAnswer, 503: ReadyAnswer},
        problems=ADMISSION["admin"],
    ),
    Endpoint(
        "POST",
        "/webhooks/leads",
        webhook.receive_webhook,
        tag="Webhook",
        who="webhook",
        body=webhook.WebhookBody,
        largest_body=webhook.LARGEST_WEBHOOK,
        answers={202: webhook.WebhookAnswer},
        problems={413: webhook.too_large(Settings.model_fields["sweep_interval_sec"].default)},
    ),
)
"""In the order of the documentation: requests of people come before those of the database."""


def build_site(lifespan: Lifespan[Starlette], *, cors_origins: Sequence[str] = ()) -> Starlette:
    """Build the ASGI application; `lifespan` must yield an `AppState`."""
    site = Starlette(
        routes=[*routes([*ENDPOINTS, *PAGES]), *documentation(ENDPOINTS)],
        # CORS is the outer middleware, so that browsers can read errors too.
        middleware=[*_cors(cors_origins), Middleware(CanonicalLine), Middleware(Entrance)],
        exception_handlers={HTTPException: answer_with_problem, StoreError: answer_with_problem},
        lifespan=lifespan,
    )
    # A redirect would send a webhook to the host in the Host header.
    site.router.redirect_slashes = False
    return site


class Entrance:
    """ASGI middleware: requests that need the engine or the database wait until these have started.

    The webhook's handler is called at once, and without the router and its layers, which take a third of its CPU.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._route = next(route for route in routes(ENDPOINTS) if route.endpoint is webhook.receive_webhook)
        self._path = self._route.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == self._path and scope["method"] == "POST":
            scope["route"] = self._route
            try:
                response = await webhook.receive_webhook(Request(scope, receive))
            except HTTPException as error:
                response = problem(error)
            await response(scope, receive, send)
        else:
            with bound_contextvars(request_id=scope[REQUEST_ID]):
                if scope["path"] not in AT_ONCE:
                    scope["state"].update(await scope["state"]["backend"].wait())
                await self._app(scope, receive, send)


def routes(endpoints: Iterable[Endpoint | Page]) -> list[Route]:
    """Return one route per path, so that the answer to a wrong method lists all allowed ones."""
    by_path: dict[str, dict[str, Handler]] = defaultdict(dict)
    # Each request is matched with one path after the other, and most are webhooks.
    for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.handler is not webhook.receive_webhook):
        by_path[endpoint.path][endpoint.method] = endpoint.handler
    return [Route(path, _by_method(handlers), methods=list(handlers)) for path, handlers in by_path.items()]


def _by_method(handlers: dict[str, Handler]) -> Handler:
    if len(handlers) == 1:
        return next(iter(handlers.values()))

    async def answer(request: Request[AppState]) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return answer


class Cors(CORSMiddleware):
    """Starlette's middleware, with refusals as problems."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        refusal = problem(
            Problem(400, "This origin, method or header is not allowed; CORS_ORIGINS lists the allowed origins.")
        )
        for name in ("vary", "access-control-allow-origin"):
            if name in response.headers:
                refusal.headers[name] = response.headers[name]
        return refusal


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Return the middleware that allows requests from pages of these origins."""
    if not origins:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    ]
