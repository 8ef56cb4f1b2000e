"""One log line for each request, `http.request`, with the route's template and never the path, query or headers.

Webhooks are counted instead: one line per second, however many arrive.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from os import urandom
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadhook.observability.events import Event
from leadhook.observability.metrics import WEBHOOKS
from leadhook.web.requests import Problem, problem

CLIENT_GONE: Final = 499
"""Logged as the status if the client left before the answer."""
REQUEST_ID: Final = "leadhook.request_id"
"""Where the scope has the id of its request."""
SUMMED: Final = "leadhook.summed"
"""Set in the scope of a request that another line reports."""
WINDOW_S: Final = 1.0
MOST_KINDS: Final = 20
OF_EVERY_ANSWER: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers that an answer has unless it sets them itself."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_COUNTERS: Final = {outcome: WEBHOOKS.labels(outcome) for outcome in ("woke", "late", "not_needed", "refused")}

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CanonicalLine:
    """ASGI middleware: gives the request an id, answers 500 if an exception was not handled, and logs one line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = urandom(16).hex()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                names = dict(given)
                more = [pair for pair in OF_EVERY_ANSWER if pair[0] not in names]
                message["headers"] = [*given, (b"x-request-id", request_id.encode()), *more]
            await send(message)

        started = time.perf_counter()
        failure: Exception | None = None
        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - nothing above catches it; logged below
            failure = error
            if not status:
                await problem(Problem(500))(scope, receive, noting)
        finally:
            if failure is not None or SUMMED not in scope:
                _log(scope, request_id, status or CLIENT_GONE, time.perf_counter() - started, failure)


def _log(scope: Scope, request_id: str, status: int, seconds: float, failure: Exception | None) -> None:
    route = scope.get("route")
    fields = {
        "request_id": request_id,
        "method": scope["method"] if scope["method"] in METHODS else "other",
        "route": getattr(route, "path", None),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    if failure is None:
        log.info(Event.HTTP_REQUEST, **fields)
    else:
        log.error(Event.HTTP_REQUEST, **fields, exc_info=failure)


@dataclass
class _Window:
    by: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    woke: int = 0
    hints: int = 0
    age_s: int = 0
    seconds: float = 0.0
    skew_s: int = 0
    body_bytes: int = 0


class WebhookSum:
    """The webhooks since the last line; nothing is logged while none arrives."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._timer: asyncio.TimerHandle | None = None
        self._window = _Window()

    def accepted(self, *, by: str, kind: str, age_s: int, hints: int, woke: bool, needed: bool, seconds: float) -> None:
        """Count an authenticated webhook. `needed`: it would wake the dispatcher but for the limit of late ones."""
        _COUNTERS["woke" if woke else "late" if needed else "not_needed"].inc()
        window = self._window
        window.by[by] += 1
        window.kinds[kind if kind in window.kinds or len(window.kinds) < MOST_KINDS else "other"] += 1
        window.woke += woke
        window.hints += hints
        window.age_s = max(window.age_s, age_s, key=abs)
        window.seconds = max(window.seconds, seconds)
        self._start_timer()

    def refused(self, reason: str, *, skew_s: int | None, body_bytes: int) -> None:
        """Count a webhook that was not authenticated, or was too large."""
        _COUNTERS["refused"].inc()
        window = self._window
        window.reasons[reason] += 1
        window.skew_s = max(window.skew_s, skew_s or 0, key=abs)
        window.body_bytes = max(window.body_bytes, body_bytes)
        self._start_timer()

    def report(self) -> None:
        """Log the counts, and start from zero."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        window, self._window = self._window, _Window()
        if window.by:
            log.info(
                Event.WEBHOOK_ACCEPTED,
                count=window.by.total(),
                woke=window.woke,
                by=dict(window.by),
                kinds=dict(window.kinds),
                hints=window.hints,
                age_s_max=window.age_s,
                duration_ms_max=round(window.seconds * 1000, 1),
            )
        if window.reasons:
            log.warning(
                Event.WEBHOOK_REFUSED,
                count=window.reasons.total(),
                reasons=dict(window.reasons),
                age_s_max=window.skew_s,
                body_bytes_max=window.body_bytes,
            )

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window_s, self.report)
