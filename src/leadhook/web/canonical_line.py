"""One log line for each request, `http.request`, with the route's template and never the path, query or headers."""

import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadhook.observability.events import Event
from leadhook.web.problems import Problem, problem

CLIENT_GONE: Final = 499
"""Logged as the status when nobody waited for an answer."""
SUMMED: Final = "leadhook.summed"
"""Set in the scope of a request that another line tells of."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CanonicalLine:
    """ASGI middleware: names the request, answers what nobody else answered with a 500, and logs one line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers.setdefault("cache-control", "no-store")
            await send(message)

        started = time.perf_counter()
        failure: Exception | None = None
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, noting)
            except ClientDisconnect:
                pass
            except Exception as error:  # noqa: BLE001 - the last one to catch it; logged below
                failure = error
                if not status:
                    await problem(Problem(500))(scope, receive, noting)
            finally:
                _log(scope, status or CLIENT_GONE, time.perf_counter() - started, failure)


def _log(scope: Scope, status: int, seconds: float, failure: Exception | None) -> None:
    route = scope.get("route")
    fields = {
        "method": scope["method"] if scope["method"] in METHODS else "other",
        "route": getattr(route, "path", None),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    if failure is None and SUMMED in scope:
        return
    if failure is None:
        log.info(Event.HTTP_REQUEST, **fields)
    else:
        log.error(Event.HTTP_REQUEST, **fields, exc_info=failure)
