"""`GET /`, `/health` and `/ready`: who this is, that it lives, and whether it can do its work."""

from typing import Any, Literal

from leadhook import __version__
from leadhook.web.openapi import Answer, Call, operation


class ServiceAnswer(Answer):
    """Who this is."""

    service: Literal["leadhook"] = "leadhook"
    status: Literal["online"] = "online"
    version: str = __version__


class HealthAnswer(Answer):
    """The process lives."""

    ok: Literal[True] = True


class ReadyAnswer(Answer):
    """Whether leads can be worked on."""

    ready: bool
    reasons: tuple[str, ...]
    """What stands in the way."""
    warnings: tuple[str, ...]
    """What does not, but should be known."""


@operation("GET", "/", who="all", answers={200: ServiceAnswer})
async def service(_call: Call[Any]) -> ServiceAnswer:
    """Who this is."""
    return ServiceAnswer()


@operation("GET", "/health", who="all", answers={200: HealthAnswer})
async def health(_call: Call[Any]) -> HealthAnswer:
    """The process lives.

    Platforms restart it by this answer, so nothing but the process counts.
    """
    return HealthAnswer()


@operation("GET", "/ready", who="all", answers={200: ReadyAnswer, 503: ReadyAnswer})
async def ready(call: Call[Any]) -> tuple[int, ReadyAnswer]:
    """Whether leads can be worked on, else why not."""
    found = await call.request.state["readiness"].check()
    answer = ReadyAnswer(ready=not found.reasons, reasons=found.reasons, warnings=found.warnings)
    return 503 if found.reasons else 200, answer
