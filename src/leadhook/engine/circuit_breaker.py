"""Stops claims while the model is failing for every lead, so that an outage spends no attempts and little money.

It also keeps the evidence for `domain/blame.py`: which leads were answered lately, and which failed.
"""

import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import anyio

from leadhook.domain.blame import LATELY_S, Evidence, is_installation
from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import OtherAttempt
from leadhook.engine.context import EngineContext
from leadhook.engine.timing import Wakeup

Fact = TypeVar("Fact")

MOST_LEADS: Final = 100
"""Number of leads remembered."""
FIRST_FAILURE_S: Final = 60.0
"""At a lead's first failure, answers to calls of the last minute count."""


@dataclass
class _Failing:
    first_called_at: float
    """When the call began that failed first."""
    failed_at: float = -math.inf
    codes: Counter[str] = field(default_factory=Counter)


class ClosedBreaker:
    """Never opens: calls with a caller's own key say nothing about the service's access to the model."""

    open = False
    has_answered = False
    """A call was answered since the start."""

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Wrap a model call."""
        yield

    def stumbled(self, failure: Failure, lead_id: str, called_at: float) -> None:
        """Record a failed model call that is repeated at once; times are by the event loop's clock."""

    def failed(self, failure: Failure, lead_id: str, called_at: float, *, own: bool = False) -> None:
        """Record a failed model call.

        Args:
            own: others were answered since the lead began to fail, and none of them had failed like it.
        """

    def answered(self, lead_id: str, called_at: float, key: str | None) -> None:
        """Record that the model answered, whatever it said."""

    def evidence(self, code: str | None, lead_id: str, since: float | None, key: str | None) -> Evidence:  # noqa: ARG002 - none is kept
        """What happened to other leads since this one began to fail; `since` None: this is its first failure."""
        return Evidence(failing_s=None if since is None else anyio.current_time() - since)


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
        self._watching_from: Final = anyio.current_time()
        self._failures = 0
        self._failing_since: datetime | None = None
        self._failing_from = -math.inf
        self._refused: dict[str, dict[str, float]] = defaultdict(dict)
        """When the calls began of the leads refused since the last answer, by code."""
        self._refused_from = math.inf
        self._answers: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        """When the calls began that answered leads, and with which key; the latest last."""
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        """Leads that failed and were not answered since, the latest last."""
        self._passed_at: dict[str, float] = {}
        """When a lead was answered that had failed before, by the code."""
        self._heard_of = 0
        """The last attempt of another process that is known."""
        self._in_flight = 0
        self._last_answer_at = -math.inf
        self._probes = 0
        self.open = False
        self.next_probe_at = -math.inf
        """By the event loop's clock: no claim earlier, and then one lead."""

    @contextmanager
    def calling(self) -> Iterator[None]:
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def stumbled(self, failure: Failure, lead_id: str, called_at: float) -> None:
        self._note_failure(failure.code, lead_id, called_at, anyio.current_time())

    def hear(self, attempts: Iterable[OtherAttempt], asked_at: float) -> None:
        """Take over what happened in other processes; a reply to a request that was sent at `asked_at` says it."""
        for item in attempts:
            called_at = asked_at - item.leased_ms / 1000
            if item.id <= self._heard_of or self._answers.get(item.lead_id, (-math.inf,))[0] >= called_at:
                continue
            self._heard_of = item.id
            if item.error_code is None:
                self._note_answer(item.lead_id, called_at, item.key_fingerprint)
            else:
                self._note_failure(item.error_code, item.lead_id, called_at, asked_at - item.finished_ms / 1000)

    def failed(self, failure: Failure, lead_id: str, called_at: float, *, own: bool = False) -> None:
        """Only failures count that are neither a key's fault nor the lead's own."""
        self.stumbled(failure, lead_id, called_at)
        if failure.kind == FailureClass.CONFIGURATION:
            self._note_beginning()
            self._open(failure, datetime.now(UTC), "setting")
        elif own and not self.open:
            return
        elif failure.kind == FailureClass.TRANSIENT:
            self._failures += 1
            since = self._note_beginning()
            if self.open or self._failures >= self._timing.outage_after:
                self._open(_outage(failure), since, "outage")
        elif failure.kind == FailureClass.REFUSED:
            self._note_refusal(failure, lead_id, called_at)
        if self.open and failure.park_s and failure.kind != FailureClass.KEY:
            asked_s = min(failure.park_s, LATELY_S)
            self.next_probe_at = max(self.next_probe_at, anyio.current_time() + asked_s)

    def answered(self, lead_id: str, called_at: float, key: str | None) -> None:
        """Only a call that began after the failures did counts.

        Refusals are quick and answers slow, so at the beginning of an outage answers to earlier calls still arrive.
        """
        self.has_answered = True
        self._note_answer(lead_id, called_at, key)
        self._refused.clear()
        self._refused_from, self._last_answer_at = math.inf, anyio.current_time()
        if called_at < self._failing_from:
            return
        self._failures, self._failing_since, self._failing_from = 0, None, -math.inf
        if self.open:
            self.open = False
            self._probes = 0
            self._faults.clear("model")
            self._wake.set()
            self._observer.breaker_closed()

    def evidence(self, code: str | None, lead_id: str, since: float | None, key: str | None) -> Evidence:
        now = anyio.current_time()
        lately = now - LATELY_S
        after = now - FIRST_FAILURE_S if since is None else since
        before = self._failing.get(lead_id) or _Failing(math.inf)
        after = min(after, before.first_called_at)
        answers = [answer for lead, answer in self._answers.items() if lead != lead_id]
        keys = [name for at, name in answers if at >= after]
        passed_at = self._passed_at.get(str(code), -math.inf)
        alike_at = max([passed_at, *self._failures_alike(code, lead_id)])
        clean_from = max(alike_at, self._watching_from)
        is_answered = any(at >= max(clean_from, before.failed_at) for at, _ in answers)
        others_fail = any(lead.failed_at >= lately for name, lead in self._failing.items() if name != lead_id)
        return Evidence(
            failing_s=None if since is None else now - since,
            times=before.codes[str(code)] + 1,
            answered=len(keys),
            with_key=keys.count(key),
            passing=passed_at >= after,
            shared=alike_at >= after,
            over=is_answered and clean_from <= lately,
            alone=self._watching_from <= lately and not others_fail,
        )

    def probed(self) -> None:
        """A lead was claimed although it is open."""
        self._probes += 1
        self._postpone()

    def _failures_alike(self, code: str | None, lead_id: str) -> Iterator[float]:
        """When other leads last failed that failed with this code."""
        for name, lead in self._failing.items():
            if name != lead_id and str(code) in lead.codes:
                yield lead.failed_at

    def _note_answer(self, lead_id: str, called_at: float, key: str | None) -> None:
        _remember(self._answers, lead_id, (called_at, key))
        if lead_id in self._failing:
            self._passed_at.update(dict.fromkeys(self._failing.pop(lead_id).codes, anyio.current_time()))

    def _note_failure(self, code: str, lead_id: str, called_at: float, failed_at: float) -> None:
        before = self._failing.get(lead_id) or _Failing(called_at)
        before.codes[code] += 1
        before.failed_at = failed_at
        _remember(self._failing, lead_id, before)

    def _note_refusal(self, failure: Failure, lead_id: str, called_at: float) -> None:
        self._refused_from = min(self._refused_from, anyio.current_time())
        leads = self._refused[failure.code]
        leads[lead_id] = called_at
        in_a_row = self.open or called_at >= self._refused_from
        together = self._last_answer_at < min(leads.values()) <= max(leads.values()) < self._refused_from
        if is_installation(len(leads), in_a_row=in_a_row, at_once=together and not self._in_flight):
            self._open(_refused(failure, len(leads)), datetime.now(UTC), "refused_in_a_row")

    def _note_beginning(self) -> datetime:
        if self._failing_since is None:
            self._failing_since, self._failing_from = datetime.now(UTC), anyio.current_time()
        return self._failing_since

    def _open(self, failure: Failure, since: datetime, rule: str) -> None:
        if not self.open:
            self.open = True
            self._postpone()
        if self._faults.add("model", failure, since):
            self._observer.breaker_opened(failure, rule)

    def _postpone(self) -> None:
        """Probes are as far apart as their beginnings, so that a slow one delays the next by nothing."""
        first, longest = self._timing.probe_s
        self.next_probe_at = anyio.current_time() + min(longest, first * 2.0 ** min(self._probes, 32))


def _remember(facts: OrderedDict[str, Fact], lead_id: str, fact: Fact) -> None:
    facts[lead_id] = fact
    facts.move_to_end(lead_id)
    if len(facts) > MOST_LEADS:
        facts.popitem(last=False)


def _outage(failure: Failure) -> Failure:
    reason = f"no call of the model succeeds, so leads wait and one is tried occasionally: {failure.reason}"
    return Failure(FailureClass.TRANSIENT, "model_outage", reason)


def _refused(failure: Failure, leads: int) -> Failure:
    reason = (
        f"Google refused {leads} different leads in a row and answered none in between: the installation is at fault. "
        f"Check GEMINI_MODEL and the prompts. Leads wait, and one is tried occasionally. {failure.reason}"
    )
    return Failure(FailureClass.CONFIGURATION, failure.code, reason)
