"""`GET /`, `/health` and `/ready`: which service this is, that it is alive, and whether it can process leads."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import anyio
from starlette.requests import Request
from starlette.responses import Response

from leadhook import __version__
from leadhook.domain.findings import Code, Finding, Findings, check_status
from leadhook.domain.phrases import moment, sentence
from leadhook.domain.status import Status
from leadhook.engine.health import Health
from leadhook.store import StoreError
from leadhook.web.auth import require_admin
from leadhook.web.requests import Answer, json_answer

FRESH_S: Final = 5.0
"""The database is queried at most once in this time."""
PATIENCE_S: Final = 2.0
EXPLAINED: Final = "`leadhook status`, or this request with an admin token, explains the codes."


class ServiceAnswer(Answer):
    """The service and its version."""

    service: Literal["leadhook"] = "leadhook"
    status: Literal["online"] = "online"
    version: str = __version__


class HealthAnswer(Answer):
    """The process is alive."""

    ok: Literal[True] = True


class ReadyAnswer(Answer):
    """Whether the service can process leads; codes for everyone, sentences for admins."""

    ready: bool
    reasons: tuple[str, ...]
    """Why no leads can be processed."""
    warnings: tuple[str, ...]
    """What does not stop processing but needs attention."""
    next_step: str | None = None
    """Where the codes are explained."""


async def service(_request: Request[Any]) -> Response:
    """Show the service and its version."""
    return json_answer(ServiceAnswer())


async def health(_request: Request[Any]) -> Response:
    """Check that the process is alive.

    For a platform's liveness check: it says nothing about the database or Gemini.
    """
    return json_answer(HealthAnswer())


async def ready(request: Request[Any]) -> Response:
    """Check that the service can process leads.

    503 lists the reasons why it can't: as codes, or with an admin token as sentences, which may contain user ids, tags,
    budgets and the reasons of pauses.
    """
    is_admin = "authorization" in request.headers and bool(await require_admin(request))
    readiness: Readiness = request.state["readiness"]
    found = await readiness.check()
    reasons, warnings = (_shown(every, in_words=is_admin) for every in (found.reasons, found.warnings))
    next_step = EXPLAINED if (reasons or warnings) and not is_admin else None
    answer = ReadyAnswer(ready=not reasons, reasons=reasons, warnings=warnings, next_step=next_step)
    return json_answer(answer, status=503 if reasons else 200)


def _shown(found: Sequence[Finding], *, in_words: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(each) if in_words else str(each.code) for each in found))


_STARTING: Final = Finding(Code.STARTING, "The service is starting; it claims leads within seconds.")


class Readiness:
    """Collects what the engine, the settings and the database report."""

    def __init__(
        self,
        *,
        status: Callable[[], Awaitable[Status]],
        engine: Callable[[], Health | None],
        problems: Sequence[str] = (),
        warnings: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._engine = engine
        self._problems = tuple(map(_setting, problems))
        self._warnings = warnings
        self._clock = clock
        self._asking = anyio.Lock()
        self._asked_at: float | None = None
        self._database = Findings()

    async def check(self) -> Findings:
        """Return all current findings. The database is queried at most once in 5 s, for at most 2 s."""
        if self._engine() is None:
            return Findings((*self._problems, _STARTING), tuple(map(_setting, self._warnings())))
        async with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at >= FRESH_S:
                self._database = await self._ask()
                self._asked_at = self._clock()
        engine = self.blockers()
        # If the database is unavailable, both report it, but the engine knows since when.
        database = (
            reason for reason in self._database.reasons if not any(str(e).startswith(str(reason)) for e in engine)
        )
        reasons = (*self._problems, *engine, *database)
        warnings = (*map(_setting, self._warnings()), *self._database.warnings)
        return Findings(reasons, tuple(warning for warning in warnings if warning not in reasons))

    def blockers(self) -> tuple[Finding, ...]:
        """Return why this process claims no leads, without querying the database."""
        health = self._engine()
        if health is None:
            return (_STARTING,)
        if health.draining:
            return (Finding(Code.SHUTTING_DOWN, "The service is shutting down."),)
        if health.fault is None:
            return () if health.running else (_STARTING,)
        since = f" Since {moment(health.since)}." if health.since else ""
        return (Finding(health.fault_code or Code.STARTING, f"{sentence(health.fault)}{since}"),)

    async def _ask(self) -> Findings:
        try:
            with anyio.fail_after(PATIENCE_S):
                return check_status(await self._status())
        except TimeoutError:
            words = f"Supabase did not answer within {PATIENCE_S:g} s."
            return Findings((Finding(Code.DATABASE_SILENT, words),))
        except StoreError as error:
            return Findings((Finding(error.code, sentence(error.reason)),))


def _setting(words: str) -> Finding:
    return Finding(Code.SETTINGS, words)
