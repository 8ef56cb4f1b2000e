"""When the next claim is due, from all that is known: the database's word, the last batch, the sweep, the bell."""

import math
from dataclasses import dataclass
from typing import Final

import anyio

from leadhook.domain.job import Batch, Source
from leadhook.engine.timing import Timing, Wakeup, jitter


@dataclass(frozen=True)
class Occasion:
    """A reason to claim."""

    at: float
    """By the event loop's clock; may be past."""
    cause: Source
    slots: int
    """How many free slots it could fill."""


class Agenda:
    """Keeps the earliest time that any reply named since the last claim was sent.

    A later reply that names a later time does not move it: replies overlap, so nobody knows which is newer, and under
    load there is always another reply, which would put the claim off for ever. The price is a claim too many.
    """

    def __init__(self, *, wakeup: Wakeup, interval_s: float, timing: Timing) -> None:
        self._wakeup: Final = wakeup
        self._interval_s: Final = interval_s
        self._timing: Final = timing
        self._started = False
        self._cause: Source = "start"
        self._due_at = math.inf
        self._due_cause: Source = "due"
        self._swept = False
        self._slow_waits = False
        self.fresh_waits = False
        """Fresh leads filled the last batch, and more is ready."""
        self._not_before = -math.inf

    @property
    def not_before(self) -> float:
        """No claim earlier, whatever the reason."""
        return self._not_before

    def next(self, *, rung: bool, free: int, slow_room: int) -> Occasion:
        """The earliest reason to claim.

        Args:
            rung: whether a ring waits.
            free: free slots.
            slow_room: how many of them may be filled from replays and backlog.
        """
        at, cause, slots = anyio.current_time(), self._cause, free
        if not self._started:
            cause = "start"
        elif rung:
            cause = "ring"
        elif self._swept:
            cause = "sweep"
        elif self._due_at <= at:
            cause = self._due_cause
        elif self._slow_waits and slow_room > 0:
            slots = min(free, slow_room)
        else:
            at, cause = self._due_at, self._due_cause
        return Occasion(max(at, self._not_before), cause, slots)

    def hear(self, next_due_ms: int | None) -> None:
        """Take a reply's word for when a claim could hand something out.

        Args:
            next_due_ms: 0 means that touches are left; None, that nothing is known to be due: then the sweep's next
                reply is soon enough.
        """
        if next_due_ms == 0:
            self._note(0.0, "due")
        elif next_due_ms is not None:
            wait_s = min(next_due_ms / 1000, self._interval_s)
            self._note(wait_s + jitter((0.0, self._timing.timer_jitter_s)), "due")

    def hear_batch(self, batch: Batch, *, limit: int, slow_limit: int) -> None:
        """Learn from a claim's reply; the limits are those that it was asked for with."""
        self.fresh_waits = batch.cut and len(batch.leads) >= limit and not any(lead.slow for lead in batch.leads)
        slow_limit_held = slow_limit < limit and len(batch.leads) < limit
        slow_limit_held &= sum(lead.slow for lead in batch.leads) >= slow_limit
        if slow_limit > 0:
            self._slow_waits = batch.cut and slow_limit_held
        if self._slow_waits and slow_limit_held:
            # Nothing but slow leads is left, and perhaps touches: the slot that becomes free is worth waiting for.
            self.hear(self._timing.soonest_due_ms if batch.next_due_ms == 0 else batch.next_due_ms)
        elif batch.cut or batch.next_due_ms == 0:
            self._note(0.0, self._cause)
        else:
            self.hear(batch.next_due_ms)

    def wake_for_sweep(self) -> None:
        """The sweep made something ready, or touches are left."""
        self._swept = True
        self._wakeup.set()

    def sending(self, cause: Source) -> None:
        """A claim goes out: what was known until now is its business."""
        self._started = True
        self._cause, self._due_cause = cause, "due"
        self._due_at = math.inf
        self._swept = False
        self._not_before = anyio.current_time() + self._timing.claim_gap_s

    def postpone(self, seconds: float) -> None:
        """No claim for so long."""
        self._not_before = max(self._not_before, anyio.current_time() + seconds)

    def _note(self, wait_s: float, cause: Source) -> None:
        at = anyio.current_time() + wait_s
        if at < self._due_at:
            self._due_at, self._due_cause = at, cause
            self._wakeup.set()
