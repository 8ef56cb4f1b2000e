"""One lead's way from its claim to a result or a reason to give it back."""

import traceback
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey, ParkedKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.ports import Scorer
from leadhook.domain.results import CONTACT_FROM, INELIGIBLE, Checkpoint, Message, Usage
from leadhook.domain.spend import Tariff
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import ClosedBreaker
from leadhook.engine.decision import decide
from leadhook.engine.held import HeldLead
from leadhook.engine.shutdown import Shutdown
from leadhook.observability import metrics
from leadhook.observability.journal import journal, shortened

Answer = TypeVar("Answer")
Call = Callable[[Lead, Prompts, ApiKey], Awaitable[tuple[Answer, Usage]]]

POSSIBLY_BILLED: Final = frozenset({"model_timeout"})
"""Failures of calls that the model may have gone on with after we stopped listening."""
ROUNDING_USD: Final = 1e-9


class _ShuttingDownError(Exception):
    """The model call could not begin or end in time."""


class _NoKeyError(Exception):
    """Every key has failed meanwhile."""

    def __init__(self, last: Failure | None = None) -> None:
        super().__init__()
        self.last = last


class _ReservedUsedUpError(Exception):
    """The next call could cost more than is left of what was reserved."""


class _BrakeError(Exception):
    """The model fails, and another lead tries it."""


class Attempts:
    """Judges leads. Afterwards `held.paid` is complete, or `held.release` says why not."""

    def __init__(
        self,
        *,
        scorer: Scorer,
        shutdown: Shutdown,
        breaker: ClosedBreaker,
        keys: KeyPool,
        tariff: Tariff | None,
    ) -> None:
        self._scorer = scorer
        self._shutdown = shutdown
        self._breaker = breaker
        self._keys = keys
        self._tariff = tariff

    async def run(self, held: HeldLead) -> None:
        """Buy what is missing of a lead's judgement."""
        if held.cost_usd is None and self._tariff:
            held.cost_usd = 0.0
        if held.claimed.unreadable:
            held.give_back("dead", "evaluation_failed", held.claimed.unreadable)
            return
        try:
            await self._judge_lead(held)
        except Failure as failure:
            self._give_back(held, failure)
        except _ShuttingDownError:
            held.give_back("returned", "shutting_down", "the service was shutting down")
        except _NoKeyError as error:
            why = error.last or Failure(FailureClass.KEY, "no_healthy_key", "every key failed while the lead waited")
            held.give_back("returned", why.code, why.reason, delay_ms=1000)
        except _ReservedUsedUpError:
            reason = "the next call could cost more than was reserved for this lead"
            decision = decide(Failure(FailureClass.TRANSIENT, "reservation_used_up", reason), held.claimed.attempts)
            held.give_back(decision.outcome, "reservation_used_up", reason, decision.delay_ms)
        except _BrakeError:
            held.give_back("returned", "model_outage", "the model fails, so that no call was begun")
        except Exception as error:  # noqa: BLE001 - a defect may cost this lead an attempt, not the service its life
            self._give_back(held, Failure(FailureClass.TRANSIENT, "unexpected_error", _place(error)))

    async def _judge_lead(self, held: HeldLead) -> None:
        lead, prompts = held.claimed.lead, held.claimed.prompts
        prompt_version, input_version = self._scorer.prompt_version(prompts), self._scorer.input_version(lead)
        if held.paid and not _holds(held.paid, prompts, prompt_version, input_version):
            held.paid = None
        if held.paid is None:
            score = await self._call(held, self._scorer.score)
            held.paid = Checkpoint(
                prompt_version=prompt_version,
                input_version=input_version,
                prompts_digest=prompts.digest,
                model=self._scorer.model,
                score=score,
            )
        if held.paid.message is None:
            if held.paid.score.score < CONTACT_FROM:
                message = Message(subject=INELIGIBLE, message=INELIGIBLE)
            else:
                message = await self._call(held, self._scorer.write)
            held.paid = held.paid.model_copy(update={"message": message})

    async def _call(self, held: HeldLead, call: Call[Answer]) -> Answer:
        """Take one step, with another key where one fails: that is never the lead's fault."""
        last: Failure | None = None
        while True:
            key = await self._wait_for_key(held, last)
            held.key_fingerprint = key.fingerprint
            held.key_shown = shortened(key.api_key.get_secret_value())
            try:
                with self._keys.using(key):
                    answer = await self._call_with(held, call, key)
                    self._keys.prove(key)
            except Failure as failure:
                last = failure
                self._charge(held, failure.usage)
                if failure.code in POSSIBLY_BILLED:
                    self._charge_max_step_cost(held)
                if failure.kind == FailureClass.CONTENT:
                    self._keys.prove(key)
                if failure.kind != FailureClass.KEY:
                    raise
                for_ms = None if failure.park_s is None else round(failure.park_s * 1000)
                self._keys.park(ParkedKey(fingerprint=key.fingerprint, reason=failure.reason, for_ms=for_ms))
            else:
                self._breaker.answered(held.called_at)
                return answer

    async def _call_with(self, held: HeldLead, call: Call[Answer], key: ApiKey) -> Answer:
        held.called_at = started_at = anyio.current_time()
        if held.first_call_ms is None:
            held.first_call_ms = held.claimed.waited_ms + round((started_at - held.received_at) * 1000)
            journal.started(held, held.claimed.lead_id, held.claimed.lead.name, held.key_shown or "")
        try:
            with self._shutdown.call() as scope:
                answer, usage = await call(held.claimed.lead, held.claimed.prompts, key)
        finally:
            took_s = anyio.current_time() - started_at
            held.model_ms += took_s * 1000
            metrics.MODEL_CALLS.labels("score" if held.paid is None else "message").observe(took_s)
        if scope.cancelled_caught:
            self._charge_max_step_cost(held)
            raise _ShuttingDownError
        self._charge(held, usage)
        return answer

    async def _wait_for_key(self, held: HeldLead, last: Failure | None) -> ApiKey:
        """A key for a call that may begin now; while the only ones are on trial, the verdict is waited for."""
        with self._keys.watched(held.news):
            while True:
                await self._wait_for_permission(held)
                key = self._keys.pick(held.key_fingerprint)
                if key is not None:
                    return key
                if not self._keys.on_trial:
                    raise _NoKeyError(last)
                waits_since = anyio.current_time()
                await held.news.wait()
                if held.first_call_ms is None:
                    held.key_wait_ms += (anyio.current_time() - waits_since) * 1000

    def _charge(self, held: HeldLead, usage: Usage) -> None:
        held.usage += usage
        if self._tariff and held.cost_usd is not None:
            held.cost_usd += self._tariff.cost(usage)

    def _charge_max_step_cost(self, held: HeldLead) -> None:
        """Google may bill a call that nobody waited for; what it cost nobody tells."""
        if self._tariff and held.cost_usd is not None:
            held.cost_usd += self._tariff.max_step_cost(held.claimed.lead, held.claimed.prompts)

    async def _wait_for_permission(self, held: HeldLead) -> None:
        """A call starts only on a lease that was confirmed lately; a lost lease cancels the wait from outside."""
        while True:
            if not self._shutdown.allows_call():
                raise _ShuttingDownError
            if self._breaker.open and not held.tried:
                raise _BrakeError
            if self._exceeds_reservation(held):
                raise _ReservedUsedUpError
            if anyio.current_time() - held.confirmed_at < held.start_limit_s:
                return
            await held.news.wait()

    def _exceeds_reservation(self, held: HeldLead) -> bool:
        reserved = held.claimed.reserved_usd
        if reserved is None or self._tariff is None or held.cost_usd is None:
            return False
        next_usd = self._tariff.max_step_cost(held.claimed.lead, held.claimed.prompts)
        return held.cost_usd + next_usd > reserved + ROUNDING_USD

    def _give_back(self, held: HeldLead, failure: Failure) -> None:
        if failure.kind == FailureClass.CONTENT:
            self._breaker.answered(held.called_at)
        else:
            self._breaker.failed(failure)
        decision = decide(failure, held.claimed.attempts, outage=self._breaker.open)
        held.give_back(decision.outcome, failure.code, failure.reason, decision.delay_ms)


def _holds(paid: Checkpoint, prompts: Prompts, prompt_version: str, input_version: str) -> bool:
    if paid.prompts_digest is None:
        return (paid.prompt_version, paid.input_version) == (prompt_version, input_version)
    return (paid.prompts_digest, paid.input_version) == (prompts.digest, input_version)


def _place(error: Exception) -> str:
    """Where it was raised; its message may hold a lead's text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__
