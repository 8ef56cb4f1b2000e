"""Rings come in crowds, so the log tells of them in sum, once a second."""

import asyncio
from collections import Counter
from typing import Any, Final

import structlog

from leadhook.observability.events import Event
from leadhook.observability.metrics import RINGS

WINDOW_S: Final = 1.0
MOST_KINDS: Final = 20

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RingSum:
    """What came in since the last line; nothing is logged while nothing comes."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._timer: asyncio.TimerHandle | None = None
        self._forget()

    def accepted(self, *, by: str, kind: str, age_s: int, hints: int, rang: bool, needed: bool, seconds: float) -> None:
        """A ring proved itself.

        Args:
            by: how.
            kind: what it told of.
            age_s: by its timestamp.
            hints: ids that it brought.
            rang: whether it woke the worker.
            needed: whether it would have, had there not been too many late ones.
            seconds: how long its request took.
        """
        RINGS.labels("woke" if rang else "late" if needed else "not_needed").inc()
        self._rung += rang
        self._hints += hints
        self._by[by] += 1
        self._kinds[kind if kind in self._kinds or len(self._kinds) < MOST_KINDS else "other"] += 1
        self._age_s = max(self._age_s, age_s, key=abs)
        self._seconds = max(self._seconds, seconds)
        self._start_timer()

    def refused(self, reason: str, *, skew_s: int | None, body_bytes: int) -> None:
        """A webhook did not prove itself."""
        RINGS.labels("refused").inc()
        self._reasons[reason] += 1
        self._skew_s = max(self._skew_s, skew_s or 0, key=abs)
        self._body_bytes = max(self._body_bytes, body_bytes)
        self._start_timer()

    def tell(self) -> None:
        """Log what came in."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._by:
            fields: dict[str, Any] = {
                "count": self._by.total(),
                "rang": self._rung,
                "by": dict(self._by),
                "kinds": dict(self._kinds),
                "hints": self._hints,
                "age_s_max": self._age_s,
                "duration_ms_max": round(self._seconds * 1000, 1),
            }
            log.info(Event.WEBHOOK_ACCEPTED, **fields)
        if self._reasons:
            log.warning(
                Event.WEBHOOK_REFUSED,
                count=self._reasons.total(),
                reasons=dict(self._reasons),
                age_s_max=self._skew_s,
                body_bytes_max=self._body_bytes,
            )
        self._forget()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window_s, self.tell)

    def _forget(self) -> None:
        self._by: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._rung = self._hints = self._age_s = self._skew_s = self._body_bytes = 0
        self._seconds = 0.0
