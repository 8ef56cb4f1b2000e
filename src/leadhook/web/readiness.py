"""Whether the service can process leads now, for people and alerts: cheap and quick to ask."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from leadhook.domain.findings import Code, Finding, Findings, check_status
from leadhook.domain.phrases import moment, sentence
from leadhook.domain.status import Status
from leadhook.engine.health import Health
from leadhook.store import StoreError

FRESH_S: Final = 5.0
"""The database is asked at most once in this time."""
PATIENCE_S: Final = 2.0


class Readiness:
    """Collects what the engine, the settings and the database report."""

    def __init__(
        self,
        *,
        status: Callable[[], Awaitable[Status]],
        engine: Callable[[], Health],
        problems: Sequence[str] = (),
        warnings: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._engine = engine
        self._problems = tuple(map(_service, problems))
        self._warnings = warnings
        self._clock = clock
        self._asking = anyio.Lock()
        self._asked_at: float | None = None
        self._database = Findings()

    async def check(self) -> Findings:
        """All that is known now; the database is asked at most once in 5 s, for at most 2 s."""
        async with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at >= FRESH_S:
                self._database = await self._ask()
                self._asked_at = self._clock()
        engine = tuple(map(_service, self.blockers()))
        # While the database is away both report it; the engine knows since when.
        database = (
            reason for reason in self._database.reasons if not any(str(e).startswith(str(reason)) for e in engine)
        )
        reasons = (*self._problems, *engine, *database)
        warnings = (*map(_service, self._warnings()), *self._database.warnings)
        return Findings(reasons, tuple(warning for warning in warnings if warning not in reasons))

    def blockers(self) -> tuple[str, ...]:
        """Why this process claims no leads, without asking the database."""
        health = self._engine()
        if health.draining:
            return ("The service is shutting down.",)
        if health.fault is None:
            return () if health.running else ("The engine is not running.",)
        since = f" Since {moment(health.since)}." if health.since else ""
        return (f"{sentence(health.fault)}{since}",)

    async def _ask(self) -> Findings:
        try:
            with anyio.fail_after(PATIENCE_S):
                return check_status(await self._status())
        except TimeoutError:
            words = f"Supabase did not answer within {PATIENCE_S:g} s."
            return Findings((Finding(Code.DATABASE_SILENT, words),))
        except StoreError as error:
            return Findings((_service(sentence(error.reason)),))


def _service(words: str) -> Finding:
    return Finding(Code.SERVICE, words)
