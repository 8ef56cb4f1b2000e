"""Stops the claims when it is the model that fails and not a lead, so that an outage burns no lead and little money."""

import math
from datetime import UTC, datetime
from typing import Final

import anyio
import structlog

from leadhook.domain.failure import Failure, FailureClass
from leadhook.engine.faults import Faults
from leadhook.engine.pace import Pace, Range
from leadhook.engine.wakeup import Wakeup
from leadhook.observability.events import Event

log = structlog.get_logger()


class Brake:
    """Applied by a configuration failure, or by too many transient ones without an answer in between.

    While it is applied no model call begins but those of a lead that is tried now and then; the first answer of the
    model releases it.
    """

    def __init__(self, *, faults: Faults, wakeup: Wakeup, pace: Pace) -> None:
        self._faults: Final = faults
        self._wakeup: Final = wakeup
        self._pace: Final = pace
        self._pauses: Range = pace.outage_s
        self._failures = 0
        self._failing_since: datetime | None = None
        self._failing_from = -math.inf
        self._tries = 0
        self.applied = False
        self.next_try_at = -math.inf
        """By the event loop's clock: no claim earlier, and then one lead."""

    def failed(self, failure: Failure) -> None:
        """Hear of a failed model call; only those count that are neither the key's nor the lead's fault."""
        if failure.kind == FailureClass.CONFIGURATION:
            self._note_beginning()
            self._apply(failure, (self._pace.model_fault_s, self._pace.model_fault_s), datetime.now(UTC))
        elif failure.kind == FailureClass.TRANSIENT:
            self._failures += 1
            since = self._note_beginning()
            if self.applied or self._failures >= self._pace.outage_after:
                self._apply(_outage(failure), self._pace.outage_s, since)

    def answered(self, called_at: float) -> None:
        """Hear that the model answered, whatever it said.

        Args:
            called_at: when the call began, by the event loop's clock. A call from before the failures says nothing
                of now: refusals are quick and answers slow, so at the beginning of an outage the two are mixed.
        """
        if called_at < self._failing_from:
            return
        self._failures, self._failing_since, self._failing_from = 0, None, -math.inf
        if self.applied:
            self.applied = False
            self._tries = 0
            self._faults.clear("model")
            self._wakeup.set()
            log.info(Event.BRAKE_RELEASED)

    def tried(self) -> None:
        """A lead was handed out in spite of it."""
        self._tries += 1
        self._postpone()

    def _note_beginning(self) -> datetime:
        if self._failing_since is None:
            self._failing_since, self._failing_from = datetime.now(UTC), anyio.current_time()
        return self._failing_since

    def _apply(self, trouble: Failure, pauses: Range, since: datetime) -> None:
        self._pauses = pauses
        self.applied = True
        self._postpone()
        if self._faults.add("model", trouble, since):
            log.error(Event.BRAKE_APPLIED, code=trouble.code, reason=trouble.reason)

    def _postpone(self) -> None:
        first, longest = self._pauses
        self.next_try_at = anyio.current_time() + min(longest, first * 2.0 ** min(self._tries, 32))


def _outage(failure: Failure) -> Failure:
    reason = f"no call of the model succeeds, so leads wait and one is tried now and then: {failure.reason}"
    return Failure(FailureClass.TRANSIENT, "model_outage", reason)
