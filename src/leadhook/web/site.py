"""The web application as data: its routes, its middleware, its way with errors."""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Lifespan

from leadhook.web.canonical_line import CanonicalLine
from leadhook.web.cors import cors
from leadhook.web.docs import documentation
from leadhook.web.health import health, ready, service
from leadhook.web.leads import explain_lead
from leadhook.web.problems import answer_with_problem
from leadhook.web.processing import process_lead, process_leads
from leadhook.web.replay import replay
from leadhook.web.replays import show_replay, stop_replay
from leadhook.web.serving import routes
from leadhook.web.webhooks import receive_webhook

OPERATIONS: Final = (
    explain_lead,
    process_lead,
    process_leads,
    replay,
    show_replay,
    stop_replay,
    service,
    health,
    ready,
    receive_webhook,
)
"""In the order of the documentation: what a person calls comes before what the database calls."""


def build_site(lifespan: Lifespan[Starlette], *, cors_origins: Sequence[str] = ()) -> Starlette:
    """The ASGI application; `lifespan` must yield a `State`."""
    site = Starlette(
        routes=[*routes(OPERATIONS), *documentation(OPERATIONS)],
        # Outside, so that a browser may read our errors too.
        middleware=[*cors(cors_origins), Middleware(CanonicalLine)],
        exception_handlers={HTTPException: answer_with_problem},
        lifespan=lifespan,
    )
    # A redirect would send a webhook to whatever the Host header names.
    site.router.redirect_slashes = False
    return site
