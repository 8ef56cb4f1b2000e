"""`GET /`, `/health` and `/ready`: who this is, that it lives, and whether it can do its work."""

from typing import Any, Literal

from leadhook import __version__
from leadhook.web.openapi import Answer, Call, operation


class ServiceAnswer(Answer):
    """The service and its version."""

    service: Literal["leadhook"] = "leadhook"
    status: Literal["online"] = "online"
    version: str = __version__


class HealthAnswer(Answer):
    """The process is alive."""

    ok: Literal[True] = True


class ReadyAnswer(Answer):
    """Whether the service can process leads."""

    ready: bool
    reasons: tuple[str, ...]
    """Why no leads can be processed."""
    warnings: tuple[str, ...]
    """What does not stop processing but needs attention."""


@operation("GET", "/", tag="Service", who="all", answers={200: ServiceAnswer})
async def service(_call: Call[Any]) -> ServiceAnswer:
    """Show the service and its version."""
    return ServiceAnswer()


@operation("GET", "/health", tag="Service", who="all", answers={200: HealthAnswer})
async def health(_call: Call[Any]) -> HealthAnswer:
    """Check that the process is alive.

    For a platform's liveness check: it says nothing about the database or Gemini.
    """
    return HealthAnswer()


@operation("GET", "/ready", tag="Service", who="all", answers={200: ReadyAnswer, 503: ReadyAnswer})
async def ready(call: Call[Any]) -> tuple[int, ReadyAnswer]:
    """Check that the service can process leads.

    503 lists the reasons why it can't.
    """
    found = await call.request.state["readiness"].check()
    reasons, warnings = tuple(map(str, found.reasons)), tuple(map(str, found.warnings))
    answer = ReadyAnswer(ready=not reasons, reasons=reasons, warnings=warnings)
    return 503 if found.reasons else 200, answer
