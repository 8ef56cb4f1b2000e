"""Stops claims while the model is failing for every lead, so that an outage spends no attempts and little money.

It also keeps the evidence for `domain/blame.py`: which leads were answered lately.
"""

import math
from collections import defaultdict
from datetime import UTC, datetime
from typing import Final

import anyio

from leadhook.domain.blame import REFUSED_IN_A_ROW
from leadhook.domain.failure import Failure, FailureClass
from leadhook.engine.context import EngineContext
from leadhook.engine.timing import Range, Wakeup

MOST_ANSWERS: Final = 100


class ClosedBreaker:
    """Never opens: calls with a caller's own key say nothing about the service's access to the model."""

    open = False
    has_answered = False
    """A call was answered since the start."""

    def failed(self, failure: Failure, lead_id: str, called_at: float) -> None:
        """Record a failed model call; times are by the event loop's clock."""

    def answered(self, lead_id: str, called_at: float) -> None:
        """Record that the model answered, whatever it said."""

    def others_answered(self, lead_id: str, since: float) -> int:  # noqa: ARG002 - no evidence is kept
        """Count other leads that were answered by calls begun since then; of the latest, a hundred are remembered."""
        return 0


class CircuitBreaker(ClosedBreaker):
    """Opens on a configuration failure, or on too many failures or refusals without an answer in between.

    While it is open, no model call begins except a probe's: one lead is claimed occasionally, and the first answer
    closes the breaker.
    """

    def __init__(self, context: EngineContext, wake: Wakeup) -> None:
        self._faults: Final = context.faults
        self._observer: Final = context.observer
        self._timing: Final = context.timing
        self._wake: Final = wake
        self._pauses: Range = context.timing.outage_s
        self._failures = 0
        self._failing_since: datetime | None = None
        self._failing_from = -math.inf
        self._refused: dict[str, set[str]] = defaultdict(set)
        """The leads refused since the last answer, by code."""
        self._refused_from = math.inf
        self._answers: dict[str, float] = {}
        """When the calls began that answered leads, the latest last."""
        self._probes = 0
        self.open = False
        self.next_probe_at = -math.inf
        """By the event loop's clock: no claim earlier, and then one lead."""

    def failed(self, failure: Failure, lead_id: str, called_at: float) -> None:
        """Only failures count that are not a key's fault."""
        if failure.kind == FailureClass.CONFIGURATION:
            self._note_beginning()
            self._open(failure, (self._timing.model_fault_s, self._timing.model_fault_s), datetime.now(UTC))
        elif failure.kind == FailureClass.TRANSIENT:
            self._failures += 1
            since = self._note_beginning()
            if self.open or self._failures >= self._timing.outage_after:
                self._open(_outage(failure), self._timing.outage_s, since)
        elif failure.kind == FailureClass.REFUSED:
            self._note_refusal(failure, lead_id, called_at)

    def answered(self, lead_id: str, called_at: float) -> None:
        """Only a call that began after the failures did counts.

        Refusals are quick and answers slow, so at the beginning of an outage answers to earlier calls still arrive.
        """
        self.has_answered = True
        self._answers.pop(lead_id, None)
        self._answers[lead_id] = called_at
        if len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._refused.clear()
        self._refused_from = math.inf
        if called_at < self._failing_from:
            return
        self._failures, self._failing_since, self._failing_from = 0, None, -math.inf
        if self.open:
            self.open = False
            self._probes = 0
            self._faults.clear("model")
            self._wake.set()
            self._observer.breaker_closed()

    def others_answered(self, lead_id: str, since: float) -> int:
        """See `ClosedBreaker`."""
        return sum(at >= since for name, at in self._answers.items() if name != lead_id)

    def probed(self) -> None:
        """A lead was claimed although it is open."""
        self._probes += 1
        self._postpone()

    def _note_refusal(self, failure: Failure, lead_id: str, called_at: float) -> None:
        """Open after several in a row: one call began after a refusal, so it was not in flight beside good ones."""
        self._refused_from = min(self._refused_from, anyio.current_time())
        leads = self._refused[failure.code]
        leads.add(lead_id)
        if len(leads) >= REFUSED_IN_A_ROW and (self.open or called_at >= self._refused_from):
            pauses = self._timing.model_fault_s, self._timing.model_fault_s
            self._open(_refused(failure, len(leads)), pauses, datetime.now(UTC))

    def _note_beginning(self) -> datetime:
        if self._failing_since is None:
            self._failing_since, self._failing_from = datetime.now(UTC), anyio.current_time()
        return self._failing_since

    def _open(self, failure: Failure, pauses: Range, since: datetime) -> None:
        self._pauses = pauses
        self.open = True
        self._postpone()
        if self._faults.add("model", failure, since):
            self._observer.breaker_opened(failure)

    def _postpone(self) -> None:
        first, longest = self._pauses
        self.next_probe_at = anyio.current_time() + min(longest, first * 2.0 ** min(self._probes, 32))


def _outage(failure: Failure) -> Failure:
    reason = f"no call of the model succeeds, so leads wait and one is tried occasionally: {failure.reason}"
    return Failure(FailureClass.TRANSIENT, "model_outage", reason)


def _refused(failure: Failure, leads: int) -> Failure:
    reason = (
        f"Google refused {leads} different leads in a row, and answered none in between, so it is the installation: "
        f"check GEMINI_MODEL and the prompts. Leads wait, and one is tried occasionally. {failure.reason}"
    )
    return Failure(FailureClass.CONFIGURATION, failure.code, reason)
