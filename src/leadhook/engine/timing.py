"""Durations, jitter and backoff of the engine, and the flag that its loops sleep on."""

import math
import random
from dataclasses import dataclass

import anyio

from leadhook.domain.failure import StoreErrorKind

Range = tuple[float, float]
"""Minimum and maximum, in seconds."""


@dataclass(frozen=True)
class Timing:
    """All durations that the engine chooses itself, in seconds unless the name ends in another unit."""

    ahead_s: float = 0.5
    """Leads are claimed ahead for the slots that probably become free within this time."""
    longest_ahead_s: float = 5.0
    """A lead that was claimed ahead and has no slot after this time is returned: other instances may have one."""
    claim_gap_s: float = 0.05
    """Minimum time between the starts of two claims, so that applying the outbox does not become a hot loop."""
    awake_s: float = 1.3
    """How long after a webhook the dispatcher looks by itself: pg_net's pause of a second, and the time to deliver."""
    look_s: Range = (0.1, 0.2)
    """Delay of the next such look after a claim that brought leads, and after one that brought none."""
    busy_s: Range = (0.2, 0.6)
    """Delay before a claim that was answered with busy is repeated."""
    timer_jitter_s: float = 1.0
    """Maximum random delay of a claim caused by a timer, so that several instances do not claim at once."""
    gather_writes_s: float = 0.3
    """How long results are collected for one call while other leads are being scored."""
    largest_claim: int = 50
    """Maximum number of leads in a claim; the database refuses more."""
    largest_write: int = 50
    """Maximum number of leads in a save or release."""
    busy_write_s: Range = (0.2, 0.5)
    """Delay before a result is saved again if the application has locked its row."""
    unavailable_s: Range = (0.5, 5.0)
    """First and longest delay while the database can't be reached."""
    misconfigured_s: Range = (5.0, 60.0)
    """First and longest delay while the database refuses calls."""
    quick_write_s: float = 1.0
    """After a call that took less than this, the next one may carry more leads again."""
    strikes: int = 3
    """A lead is refused after writing it has failed this often while other leads could be written."""
    lock_patience_s: float = 600.0
    """How long a lead that fails only because of locks is retried: the application's transactions end eventually."""
    renew_again_s: float = 1.0
    """Delay before a failed renewal is repeated."""
    quarantine_s: float = 60.0
    """Delay before a lead that can't be claimed is tried again, while no other lead can be claimed either."""
    report_call_s: float = 1.0
    """Delay from a lead's first model call to the renewal that reports it, unless a claim reports it first."""
    soonest_due_ms: int = 250
    """The smallest `next_due_ms` that the database returns if the outbox is empty."""
    outage_after: int = 10
    """This many transient failures of the model in a row count as an outage."""
    probe_s: Range = (33.0, 66.2)
    """First and longest time from one probe to the next while claiming is suspended; it doubles.

    An outage of an hour costs at most 70 calls with 16 leads in flight at its beginning, and the leads are answered
    within 70 seconds of its end.
    """
    sweep_pause_s: Range = (0.05, 0.1)
    """Pause between two slices of a sweep or a replay."""
    sweep_busy_s: Range = (1.0, 3.0)
    """Delay before a sweep is tried again while another process is sweeping."""
    on_demand_save_s: float = 30.0
    """How long an on-demand request waits for the save before it responds."""
    model_call_s: float = 60.0
    """Maximum duration of a model call; no call starts that could outlast a shutdown."""
    give_back_s: float = 5.0
    """Time at the end of a shutdown for releasing leads; at most a quarter of it."""

    def retry_range(self, kind: StoreErrorKind) -> Range:
        """First and longest delay after a `StoreError` of this kind."""
        return self.unavailable_s if kind == "unavailable" else self.misconfigured_s

    def retry_s(self, kind: StoreErrorKind, failures: int) -> float:
        """Delay after this many consecutive errors of this kind, 1 for the first."""
        return backoff_s(self.retry_range(kind), failures)


def jitter(bounds: Range) -> float:
    return random.uniform(*bounds)  # noqa: S311 - jitter, not a secret


def backoff_s(bounds: Range, failures: int) -> float:
    """Return a delay that doubles with every failure, 1 being the first, between these bounds; half of it is random."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(failures - 1, 32)) * jitter((0.5, 1.0))


class Wakeup:
    """A flag that one task sleeps on. If it is set while no task sleeps, the next `wait` returns immediately."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float = math.inf) -> None:
        """Sleep until the flag is set or the time is over, and reset it."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
