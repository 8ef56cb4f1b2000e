"""The web application as data: its routes, its middleware, its way with errors."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Lifespan

from leadhook.web.canonical_line import CanonicalLine
from leadhook.web.health import health, ready, service
from leadhook.web.problems import answer_with_problem
from leadhook.web.replay import replay
from leadhook.web.replays import one_replay
from leadhook.web.webhooks import take_ring


def build_site(lifespan: Lifespan[Starlette]) -> Starlette:
    """The ASGI application; `lifespan` must yield a `State`."""
    site = Starlette(
        routes=[
            Route("/webhooks/leads", take_ring, methods=["POST"]),
            Route("/replay", replay, methods=["POST"]),
            Route("/replays/{replay_id}", one_replay, methods=["GET", "DELETE"]),
            Route("/", service),
            Route("/health", health),
            Route("/ready", ready),
        ],
        middleware=[Middleware(CanonicalLine)],
        exception_handlers={HTTPException: answer_with_problem},
        lifespan=lifespan,
    )
    # A redirect would send a ring to whatever the Host header names.
    site.router.redirect_slashes = False
    return site
