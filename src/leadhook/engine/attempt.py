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
from leadhook.engine.leases import Lease
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
    """Judges leads. Afterwards `lease.checkpoint` is complete, or `lease.release` says why not."""

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

    async def run(self, lease: Lease) -> None:
        """Buy what is missing of a lead's judgement."""
        if lease.cost_usd is None and self._tariff:
            lease.cost_usd = 0.0
        if lease.claimed.unreadable:
            lease.give_back("dead", "evaluation_failed", lease.claimed.unreadable)
            return
        try:
            await self._judge_lead(lease)
        except Failure as failure:
            self._give_back(lease, failure)
        except _ShuttingDownError:
            lease.give_back("returned", "shutting_down", "the service was shutting down")
        except _NoKeyError as error:
            why = error.last or Failure(FailureClass.KEY, "no_healthy_key", "every key failed while the lead waited")
            lease.give_back("returned", why.code, why.reason, delay_ms=1000)
        except _ReservedUsedUpError:
            reason = "the next call could cost more than was reserved for this lead"
            decision = decide(Failure(FailureClass.TRANSIENT, "reservation_used_up", reason), lease.claimed.attempts)
            lease.give_back(decision.outcome, "reservation_used_up", reason, decision.delay_ms)
        except _BrakeError:
            lease.give_back("returned", "model_outage", "the model fails, so that no call was begun")
        except Exception as error:  # noqa: BLE001 - a defect may cost this lead an attempt, not the service its life
            self._give_back(lease, Failure(FailureClass.TRANSIENT, "unexpected_error", _place(error)))

    async def _judge_lead(self, lease: Lease) -> None:
        lead, prompts = lease.claimed.lead, lease.claimed.prompts
        prompt_version, input_version = self._scorer.prompt_version(prompts), self._scorer.input_version(lead)
        if lease.checkpoint and not _holds(lease.checkpoint, prompts, prompt_version, input_version):
            lease.checkpoint = None
        if lease.checkpoint is None:
            score = await self._call(lease, self._scorer.score)
            lease.checkpoint = Checkpoint(
                prompt_version=prompt_version,
                input_version=input_version,
                prompts_digest=prompts.digest,
                model=self._scorer.model,
                score=score,
            )
        if lease.checkpoint.message is None:
            if lease.checkpoint.score.score < CONTACT_FROM:
                message = Message(subject=INELIGIBLE, message=INELIGIBLE)
            else:
                message = await self._call(lease, self._scorer.write)
            lease.checkpoint = lease.checkpoint.model_copy(update={"message": message})

    async def _call(self, lease: Lease, call: Call[Answer]) -> Answer:
        """Take one step, with another key where one fails: that is never the lead's fault."""
        last: Failure | None = None
        while True:
            key = await self._wait_for_key(lease, last)
            lease.key_fingerprint = key.fingerprint
            lease.key_shown = shortened(key.api_key.get_secret_value())
            try:
                with self._keys.using(key):
                    answer = await self._call_with(lease, call, key)
                    self._keys.prove(key)
            except Failure as failure:
                last = failure
                self._charge(lease, failure.usage)
                if failure.code in POSSIBLY_BILLED:
                    self._charge_max_step_cost(lease)
                if failure.kind == FailureClass.CONTENT:
                    self._keys.prove(key)
                if failure.kind != FailureClass.KEY:
                    raise
                for_ms = None if failure.park_s is None else round(failure.park_s * 1000)
                self._keys.park(ParkedKey(fingerprint=key.fingerprint, reason=failure.reason, for_ms=for_ms))
            else:
                self._breaker.answered(lease.called_at)
                return answer

    async def _call_with(self, lease: Lease, call: Call[Answer], key: ApiKey) -> Answer:
        lease.called_at = started_at = anyio.current_time()
        if lease.first_call_ms is None:
            lease.first_call_ms = lease.claimed.waited_ms + round((started_at - lease.received_at) * 1000)
            journal.started(lease, lease.claimed.lead_id, lease.claimed.lead.name, lease.key_shown or "")
        try:
            with self._shutdown.call() as scope:
                answer, usage = await call(lease.claimed.lead, lease.claimed.prompts, key)
        finally:
            took_s = anyio.current_time() - started_at
            lease.model_ms += took_s * 1000
            metrics.MODEL_CALLS.labels("score" if lease.checkpoint is None else "message").observe(took_s)
        if scope.cancelled_caught:
            self._charge_max_step_cost(lease)
            raise _ShuttingDownError
        self._charge(lease, usage)
        return answer

    async def _wait_for_key(self, lease: Lease, last: Failure | None) -> ApiKey:
        """A key for a call that may begin now; while the only ones are on trial, the verdict is waited for."""
        with self._keys.watched(lease.news):
            while True:
                await self._wait_for_permission(lease)
                key = self._keys.pick(lease.key_fingerprint)
                if key is not None:
                    return key
                if not self._keys.on_trial:
                    raise _NoKeyError(last)
                waits_since = anyio.current_time()
                await lease.news.wait()
                if lease.first_call_ms is None:
                    lease.key_wait_ms += (anyio.current_time() - waits_since) * 1000

    def _charge(self, lease: Lease, usage: Usage) -> None:
        lease.usage += usage
        if self._tariff and lease.cost_usd is not None:
            lease.cost_usd += self._tariff.cost(usage)

    def _charge_max_step_cost(self, lease: Lease) -> None:
        """Google may bill a call that nobody waited for; what it cost nobody tells."""
        if self._tariff and lease.cost_usd is not None:
            lease.cost_usd += self._tariff.max_step_cost(lease.claimed.lead, lease.claimed.prompts)

    async def _wait_for_permission(self, lease: Lease) -> None:
        """A call starts only on a lease that was confirmed lately; a lost lease cancels the wait from outside."""
        while True:
            if not self._shutdown.allows_call():
                raise _ShuttingDownError
            if self._breaker.open and not lease.probe:
                raise _BrakeError
            if self._exceeds_reservation(lease):
                raise _ReservedUsedUpError
            if anyio.current_time() - lease.confirmed_at < lease.start_limit_s:
                return
            await lease.news.wait()

    def _exceeds_reservation(self, lease: Lease) -> bool:
        reserved = lease.claimed.reserved_usd
        if reserved is None or self._tariff is None or lease.cost_usd is None:
            return False
        next_usd = self._tariff.max_step_cost(lease.claimed.lead, lease.claimed.prompts)
        return lease.cost_usd + next_usd > reserved + ROUNDING_USD

    def _give_back(self, lease: Lease, failure: Failure) -> None:
        if failure.kind == FailureClass.CONTENT:
            self._breaker.answered(lease.called_at)
        else:
            self._breaker.failed(failure)
        decision = decide(failure, lease.claimed.attempts, outage=self._breaker.open)
        lease.give_back(decision.outcome, failure.code, failure.reason, decision.delay_ms)


def _holds(paid: Checkpoint, prompts: Prompts, prompt_version: str, input_version: str) -> bool:
    if paid.prompts_digest is None:
        return (paid.prompt_version, paid.input_version) == (prompt_version, input_version)
    return (paid.prompts_digest, paid.input_version) == (prompts.digest, input_version)


def _place(error: Exception) -> str:
    """Where it was raised; its message may hold a lead's text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__
