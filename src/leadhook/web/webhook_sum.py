"""Sums up webhooks for the log, which gets one line a second however many arrive."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import structlog

from leadhook.observability.events import Event
from leadhook.observability.metrics import WEBHOOKS

WINDOW_S: Final = 1.0
MOST_KINDS: Final = 20

log: structlog.stdlib.BoundLogger = structlog.get_logger()


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
    """What came in since the last line; nothing is logged while nothing comes."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._timer: asyncio.TimerHandle | None = None
        self._window = _Window()

    def accepted(self, *, by: str, kind: str, age_s: int, hints: int, woke: bool, needed: bool, seconds: float) -> None:
        """A webhook proved itself.

        Args:
            by: how.
            kind: what it told of.
            age_s: by its timestamp.
            hints: ids that it brought.
            woke: whether it woke the worker.
            needed: whether it would have, had there not been too many late ones.
            seconds: how long its request took.
        """
        WEBHOOKS.labels("woke" if woke else "late" if needed else "not_needed").inc()
        window = self._window
        window.by[by] += 1
        window.kinds[kind if kind in window.kinds or len(window.kinds) < MOST_KINDS else "other"] += 1
        window.woke += woke
        window.hints += hints
        window.age_s = max(window.age_s, age_s, key=abs)
        window.seconds = max(window.seconds, seconds)
        self._start_timer()

    def refused(self, reason: str, *, skew_s: int | None, body_bytes: int) -> None:
        """A webhook did not prove itself, or was too large to be read."""
        WEBHOOKS.labels("refused").inc()
        window = self._window
        window.reasons[reason] += 1
        window.skew_s = max(window.skew_s, skew_s or 0, key=abs)
        window.body_bytes = max(window.body_bytes, body_bytes)
        self._start_timer()

    def tell(self) -> None:
        """Log what came in."""
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
            self._timer = asyncio.get_running_loop().call_later(self._window_s, self.tell)
