"""Durations, jitter and backoff of the engine, and the flag its loops sleep on."""

import math
import random
from dataclasses import dataclass

import anyio

from leadhook.domain.failure import StoreErrorKind

Range = tuple[float, float]
"""Minimum and maximum, in seconds."""


@dataclass(frozen=True)
class Timing:
    """Every duration that the engine chooses by itself. In seconds, unless the name says otherwise."""

    gather_slots_s: float = 0.25
    """How long free slots are gathered before a claim while fewer than a quarter are free."""
    enough_slots: int = 5
    """This many free slots are enough for a claim where a quarter would be more."""
    claim_gap_s: float = 0.05
    """Least time between the starts of two claims: applying the outbox must not become a hot loop."""
    busy_s: Range = (0.2, 0.6)
    """Until a busy claim is repeated."""
    timer_jitter_s: float = 1.0
    """Added at random to a claim that a timer causes, so that several instances do not claim at once."""
    gather_writes_s: float = 0.3
    """How long results are gathered for one call while other leads are still being scored."""
    largest_claim: int = 50
    """Leads in one claim; the database refuses more."""
    largest_write: int = 50
    """Leads in one save or release."""
    busy_write_s: Range = (0.2, 0.5)
    """Until a result is saved again whose row the application has locked."""
    unavailable_s: Range = (0.5, 5.0)
    """First and longest pause while the database can't be reached."""
    misconfigured_s: Range = (5.0, 60.0)
    """First and longest pause while the database refuses calls."""
    quick_write_s: float = 1.0
    """After a call quicker than this, the next may carry more leads again."""
    strikes: int = 3
    """A lead is refused once writing it failed this often while other leads could be written."""
    lock_patience_s: float = 600.0
    """How long a lead that fails only by locks is retried: the application's transactions end eventually."""
    renew_again_s: float = 1.0
    """Until a failed renewal is repeated."""
    quarantine_s: float = 60.0
    """Until a lead that can't be handed out is tried again, while no other lead can be either."""
    report_call_s: float = 1.0
    """After a lead's first model call, until a renewal reports it, unless a claim does so first."""
    soonest_due_ms: int = 250
    """The least that the database names when the outbox is empty."""
    model_fault_s: float = 60.0
    """From a configuration failure of the model to the first probe."""
    outage_after: int = 10
    """This many transient failures of the model in a row count as an outage."""
    outage_s: Range = (5.0, 60.0)
    """First and longest pause between probes in an outage; it doubles."""
    sweep_pause_s: Range = (0.05, 0.1)
    """Between two slices of a sweep or of a replay."""
    sweep_busy_s: Range = (1.0, 3.0)
    """Until a sweep is tried again while another process sweeps."""
    on_demand_save_s: float = 30.0
    """How long an on-demand request waits for its answer to be saved before it responds."""
    model_call_s: float = 60.0
    """The longest a model call may last; none starts that could outlast a shutdown."""
    give_back_s: float = 5.0
    """Kept at the end of a shutdown for releasing leads; at most a quarter of it."""

    def retry_range(self, kind: StoreErrorKind) -> Range:
        """First and longest pause after a `StoreError` of this kind."""
        return self.unavailable_s if kind == "unavailable" else self.misconfigured_s

    def retry_s(self, kind: StoreErrorKind, failures: int) -> float:
        """Pause after the given number of such errors in a row, 1 after the first."""
        return backoff_s(self.retry_range(kind), failures)


def jitter(bounds: Range) -> float:
    """A random number within the bounds."""
    return random.uniform(*bounds)  # noqa: S311 - jitter, not a secret


def backoff_s(bounds: Range, failures: int) -> float:
    """A pause that doubles with every failure from the first bound to the second; half of it is random.

    Args:
        bounds: the pause after the first failure, and the longest.
        failures: 1 after the first.
    """
    first, longest = bounds
    return min(longest, first * 2.0 ** min(failures - 1, 32)) * jitter((0.5, 1.0))


class Wakeup:
    """A flag that one task sleeps on. Setting it while no task sleeps is not lost: the next `wait` returns at once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake the sleeper, now or at its next `wait`."""
        self._event.set()

    async def wait(self, seconds: float = math.inf) -> None:
        """Sleep until set or until the time is over, and reset the flag."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
