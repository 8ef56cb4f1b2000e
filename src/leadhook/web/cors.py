"""Which pages may send requests from a browser: those of CORS_ORIGINS, by default none."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from leadhook.web.problems import Problem, problem


class Cors(CORSMiddleware):
    """Starlette's, but its refusals are problems like all others."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks what it may send."""
        response = super().preflight_response(request_headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        refusal = problem(Problem(400, "This origin, method or header is not allowed; CORS_ORIGINS names the origins."))
        for name in ("vary", "access-control-allow-origin"):
            if name in response.headers:
                refusal.headers[name] = response.headers[name]
        return refusal


def cors(origins: Sequence[str]) -> list[Middleware]:
    """The middleware, where an origin is allowed."""
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
