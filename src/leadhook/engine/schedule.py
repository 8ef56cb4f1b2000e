"""When the next claim is due, according to the database's replies, the last batch, the sweep and webhooks."""

import math
from dataclasses import dataclass
from typing import Final

import anyio

from leadhook.domain.job import Batch, Source
from leadhook.engine.timing import Timing, Wakeup, jitter


@dataclass(frozen=True)
class NextClaim:
    at: float
    """On the event loop's clock; may be in the past."""
    source: Source
    room: int
    """How many leads it may claim."""


class Schedule:
    """Keeps the earliest time that any reply named since the last claim was sent.

    A later reply that names a later time does not move it: replies overlap, so it is unknown which is newer, and under
    load there is always another reply, which would postpone the claim forever. The price is an occasional needless
    claim.

    pg_net sends one webhook at once, and what is committed during the second after it in the next burst. So after a
    webhook, and as long as leads come, the dispatcher looks by itself for a little longer than that second.

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
        self._source: Source = "start"
        self._due_at = math.inf
        self._retry_source: Source = "retry"
        self._swept = False
        self._low_priority_waits = False
        self._awake_until = -math.inf
        self.not_before = -math.inf
        """No claim is sent earlier, whatever the reason."""

    def next(self, *, webhook_came: bool, room: int, low_priority_room: int) -> NextClaim:
        """Return the earliest reason to claim. `webhook_came`: since the last claim was sent."""
        at, source = anyio.current_time(), self._source
        if not self._started:
            source = "start"
        elif webhook_came:
            source = "webhook"
            self._awake_until = at + self._timing.awake_s
        elif self._swept:
            source = "sweep"
        elif self._due_at <= at:
            source = self._retry_source
        elif self._low_priority_waits and low_priority_room > 0:
            room = min(room, low_priority_room)
        else:
            at, source = self._due_at, self._retry_source
        return NextClaim(max(at, self.not_before), source, room)

    def hear(self, next_due_ms: int | None) -> None:
        """Note when a claim could return something. 0: the outbox is not empty. None: the next sweep will say."""
        if next_due_ms == 0:
            self._note(0.0, "retry")
        elif next_due_ms is not None:
            wait_s = min(next_due_ms / 1000, self.sweep_interval_s)
            self._note(wait_s + jitter((0.0, self._timing.timer_jitter_s)), "retry")

    def hear_batch(self, batch: Batch, *, limit: int, low_priority_limit: int) -> None:
        if batch.replays_wait:
            self.replays.set()
        low_priority_limit_met = low_priority_limit < limit and len(batch.leads) < limit
        low_priority_limit_met &= sum(lead.low_priority for lead in batch.leads) >= low_priority_limit
        if low_priority_limit > 0:
            self._low_priority_waits = batch.has_more and low_priority_limit_met
        if self._low_priority_waits and low_priority_limit_met:
            # Only leads of low priority and perhaps outbox rows are left: wait until a slot becomes free.
            self.hear(self._timing.soonest_due_ms if batch.next_due_ms == 0 else batch.next_due_ms)
        elif batch.has_more or batch.next_due_ms == 0:
            self._note(0.0, self._source)
        else:
            self.hear(batch.next_due_ms)
        self._look_again(batch)

    def wake_for_sweep(self) -> None:
        """Claim soon, because the sweep made something ready or the outbox is not empty."""
        self._swept = True
        self.wake.set()

    def sending(self, source: Source) -> None:
        """Forget all earlier reasons: a claim is being sent, which covers them."""
        self._started = True
        self._source, self._retry_source = source, "retry"
        self._due_at = math.inf
        self._swept = False
        self.not_before = anyio.current_time() + self._timing.claim_gap_s

    def postpone(self, seconds: float) -> None:
        self.not_before = max(self.not_before, anyio.current_time() + seconds)

    def _look_again(self, batch: Batch) -> None:
        now = anyio.current_time()
        if batch.leads and now < self._awake_until:
            self._awake_until = now + self._timing.awake_s
        soon_s, later_s = self._timing.look_s
        look_s = soon_s if batch.leads else later_s
        if now + look_s < self._awake_until and not batch.blocked_by:
            self._note(look_s, "webhook")

    def _note(self, wait_s: float, source: Source) -> None:
        at = anyio.current_time() + wait_s
        if at < self._due_at:
            self._due_at, self._retry_source = at, source
            self.wake.set()
