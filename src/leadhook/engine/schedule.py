"""When the next claim is due: what the replies of the database, the last batch, the sweep and a webhook say of it."""

import math
from dataclasses import dataclass
from typing import Final

import anyio

from leadhook.domain.job import Batch, Source
from leadhook.engine.timing import Timing, Wakeup, jitter


@dataclass(frozen=True)
class NextClaim:
    """A reason to claim."""

    at: float
    """By the event loop's clock; may be past."""
    cause: Source
    slots: int
    """How many free slots it could fill."""


class Schedule:
    """Keeps the earliest time that any reply named since the last claim was sent.

    A later reply that names a later time does not move it: replies overlap, so it is unknown which is newer, and under
    load there is always another reply, which would postpone the claim forever. The price is an occasional needless
    claim.

    Attributes:
        wake: the dispatcher sleeps on it.
        replays: set when a claim's reply says that a replay is being queued or stopped.
    """

    def __init__(self, timing: Timing, sweep_interval_s: float) -> None:
        self._timing: Final = timing
        self.sweep_interval_s: Final = sweep_interval_s
        self.wake: Final = Wakeup()
        self.replays: Final = Wakeup()
        self._started = False
        self._cause: Source = "start"
        self._due_at = math.inf
        self._due_cause: Source = "due"
        self._swept = False
        self._slow_waits = False
        self._not_before = -math.inf

    @property
    def not_before(self) -> float:
        """No claim earlier, whatever the reason."""
        return self._not_before

    def next(self, *, webhook_came: bool, free: int, slow_room: int) -> NextClaim:
        """The earliest reason to claim.

        Args:
            webhook_came: since the last claim was sent.
            free: free slots.
            slow_room: how many of them may be filled from replays and backlog.
        """
        at, cause, slots = anyio.current_time(), self._cause, free
        if not self._started:
            cause = "start"
        elif webhook_came:
            cause = "ring"
        elif self._swept:
            cause = "sweep"
        elif self._due_at <= at:
            cause = self._due_cause
        elif self._slow_waits and slow_room > 0:
            slots = min(free, slow_room)
        else:
            at, cause = self._due_at, self._due_cause
        return NextClaim(max(at, self._not_before), cause, slots)

    def hear(self, next_due_ms: int | None) -> None:
        """Note when a claim could hand something out.

        Args:
            next_due_ms: from a reply. 0: the outbox is not empty. None: nothing is known to be due, so the next
                reply of the sweep is soon enough.
        """
        if next_due_ms == 0:
            self._note(0.0, "due")
        elif next_due_ms is not None:
            wait_s = min(next_due_ms / 1000, self.sweep_interval_s)
            self._note(wait_s + jitter((0.0, self._timing.timer_jitter_s)), "due")

    def hear_batch(self, batch: Batch, *, limit: int, slow_limit: int) -> None:
        """Learn from a claim's reply; the limits are the ones it was sent with."""
        if batch.replays_wait:
            self.replays.set()
        slow_limit_held = slow_limit < limit and len(batch.leads) < limit
        slow_limit_held &= sum(lead.slow for lead in batch.leads) >= slow_limit
        if slow_limit > 0:
            self._slow_waits = batch.cut and slow_limit_held
        if self._slow_waits and slow_limit_held:
            # Only low-priority leads are left, and perhaps outbox rows: wait for the slot that becomes free.
            self.hear(self._timing.soonest_due_ms if batch.next_due_ms == 0 else batch.next_due_ms)
        elif batch.cut or batch.next_due_ms == 0:
            self._note(0.0, self._cause)
        else:
            self.hear(batch.next_due_ms)

    def wake_for_sweep(self) -> None:
        """The sweep made something ready, or the outbox is not empty."""
        self._swept = True
        self.wake.set()

    def sending(self, cause: Source) -> None:
        """A claim is being sent, which covers all that was known until now."""
        self._started = True
        self._cause, self._due_cause = cause, "due"
        self._due_at = math.inf
        self._swept = False
        self._not_before = anyio.current_time() + self._timing.claim_gap_s

    def postpone(self, seconds: float) -> None:
        """No claim for this long."""
        self._not_before = max(self._not_before, anyio.current_time() + seconds)

    def _note(self, wait_s: float, cause: Source) -> None:
        at = anyio.current_time() + wait_s
        if at < self._due_at:
            self._due_at, self._due_cause = at, cause
            self.wake.set()
