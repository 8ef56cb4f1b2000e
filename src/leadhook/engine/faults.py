"""What keeps the service from its work, in words, and since when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

Part = Literal["model", "claim", "renew", "save", "release", "sweep", "replay"]


class Trouble(Protocol):
    """A `Failure` or a `StoreError`."""

    @property
    def code(self) -> str:
        """For machines."""

    @property
    def reason(self) -> str:
        """For people."""


@dataclass(frozen=True)
class Fault:
    """Why a part does not work."""

    part: Part
    code: str
    reason: str
    since: datetime


class Faults:
    """One fault a part; a success of that part clears it."""

    def __init__(self) -> None:
        self._faults: dict[Part, Fault] = {}

    @property
    def first(self) -> Fault | None:
        """The oldest."""
        return min(self._faults.values(), key=lambda fault: fault.since, default=None)

    @property
    def claims_fail(self) -> bool:
        """Whether no lead can be had, or none should."""
        return "model" in self._faults or "claim" in self._faults

    def add(self, part: Part, trouble: Trouble, since: datetime | None = None) -> bool:
        """Note a failure; True when it is news.

        Args:
            part: what failed.
            trouble: why.
            since: when it began, if not now; counts only where nothing was known of it.
        """
        known = self._faults.get(part)
        since = known.since if known else since or datetime.now(UTC)
        self._faults[part] = Fault(part, trouble.code, trouble.reason, since)
        return known is None or known.code != trouble.code

    def clear(self, part: Part) -> bool:
        """Note a success; True when there was a fault."""
        return self._faults.pop(part, None) is not None
