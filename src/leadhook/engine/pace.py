"""Every duration that the engine decides by itself, in one place."""

import random
from dataclasses import dataclass

from leadhook.domain.failure import StoreErrorKind

Range = tuple[float, float]
"""The least and the most, in seconds; the value is drawn evenly."""


@dataclass(frozen=True)
class Pace:
    """Seconds, unless the name says otherwise."""

    gather_slots_s: float = 0.25
    """How long free slots are gathered before a claim, while fewer than a quarter are free."""
    enough_slots: int = 5
    """So many free slots are enough for a claim where a quarter would be more."""
    claim_gap_s: float = 0.05
    """Between the starts of two claims at least: draining touches may not become a hot loop."""
    busy_s: Range = (0.2, 0.6)
    """Until a busy claim is repeated."""
    timer_jitter_s: float = 1.0
    """Added at random to a wake by the clock, so that several instances do not come at once."""
    gather_writes_s: float = 0.3
    """How long results are gathered for a call while others are still being judged."""
    largest_claim: int = 50
    """Leads in one claim; the database refuses to be asked for more."""
    largest_write: int = 50
    """Leads in one save or release."""
    busy_write_s: Range = (0.2, 0.5)
    """Until a result is saved again whose row the application holds."""
    unavailable_s: Range = (0.5, 5.0)
    """The first and the longest pause while the database can't be reached."""
    misconfigured_s: Range = (5.0, 60.0)
    """The first and the longest pause while the database refuses."""
    quick_write_s: float = 1.0
    """A call that was quicker may be followed by one with more leads, where a slow one had made them fewer."""
    strikes: int = 3
    """So often a lead may fail to be written while others can, before it is refused."""
    lock_patience_s: float = 600.0
    """How long a lead that fails by locks alone is tried; the application's transactions end some day."""
    renew_again_s: float = 1.0
    """Until a failed renewal is repeated."""
    set_aside_s: float = 60.0
    """Until a lead is handed out again that can't be, while no other one can be either."""
    tell_call_s: float = 1.0
    """After a lead's first model call, until a renewal tells of it, where no later claim does."""
    soonest_due_ms: int = 250
    """What the database names at the least when nothing is left to drain."""
    model_fault_s: float = 60.0
    """After a configuration failure of the model, until one lead is tried."""
    outage_after: int = 10
    """Transient failures of the model in a row that count as its outage."""
    outage_s: Range = (5.0, 60.0)
    """The first and the longest pause between leads that are tried in an outage; it doubles."""
    sweep_pause_s: Range = (0.05, 0.1)
    """Between two slices."""
    sweep_busy_s: Range = (1.0, 3.0)
    """Until a sweep is tried again that another process is busy with."""
    errand_write_s: float = 30.0
    """How long a person's request waits for its answer to be written before it tells so."""
    model_call_s: float = 60.0
    """The longest a model call may last; none starts that could outlast a shutdown."""
    give_back_s: float = 5.0
    """Kept at the end of a shutdown for giving leads back; at most a quarter of it."""

    def after(self, kind: StoreErrorKind) -> Range:
        """The pauses after a `StoreError` of this kind."""
        return self.unavailable_s if kind == "unavailable" else self.misconfigured_s


def drawn(bounds: Range) -> float:
    """A number between the two, evenly."""
    return random.uniform(*bounds)  # noqa: S311 - jitter, not a secret


def growing(bounds: Range, failures: int) -> float:
    """Doubles with every failure from the first bound to the second; half of it is at random.

    Args:
        bounds: the pause after the first failure, and the longest.
        failures: 1 after the first.
    """
    first, longest = bounds
    return min(longest, first * 2.0 ** min(failures - 1, 32)) * drawn((0.5, 1.0))
