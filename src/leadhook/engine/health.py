"""What keeps the engine from working and since when; `/ready` reports it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from leadhook.domain.failure import Failure, StoreError

Part = Literal["model", "claim", "renew", "save", "release", "park", "sweep", "replay"]


@dataclass(frozen=True)
class Health:
    """The state of the engine at one moment."""

    running: bool
    """It has started and not ended."""
    claiming: bool
    draining: bool
    """A shutdown has begun."""
    fault: str | None
    """What keeps it from working, as a sentence; the oldest of several."""
    fault_code: str | None
    since: datetime | None
    in_flight: int
    """Leads being scored."""
    held: int
    """Leads being scored or waiting to be written."""


@dataclass(frozen=True)
class EngineFault:
    code: str
    reason: str
    since: datetime


class Faults:
    """At most one fault per part; a success of the part clears it."""

    def __init__(self) -> None:
        self._faults: dict[Part, EngineFault] = {}

    @property
    def first(self) -> EngineFault | None:
        return min(self._faults.values(), key=lambda fault: fault.since, default=None)

    @property
    def stop_claims(self) -> bool:
        """Whether a fault means that no lead can or should be claimed."""
        return "model" in self._faults or "claim" in self._faults

    def add(self, part: Part, problem: Failure | StoreError, since: datetime | None = None) -> bool:
        """Record a failure that began now, or at `since`; return whether it is new and should be logged."""
        known = self._faults.get(part)
        since = known.since if known else since or datetime.now(UTC)
        self._faults[part] = EngineFault(problem.code, problem.reason, since)
        return known is None or known.code != problem.code

    def clear(self, part: Part) -> None:
        self._faults.pop(part, None)
