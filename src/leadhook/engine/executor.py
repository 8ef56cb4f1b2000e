"""One attempt at one lead: buys what its checkpoint lacks, and decides what a failure does to the lead."""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal, TypeVar

import anyio

from leadhook.domain.backoff import backoff
from leadhook.domain.blame import Decision, decide, reconsider
from leadhook.domain.failure import SETTINGS_REFUSED, Failure, FailureClass, unexpected
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import CONTACT_FROM, INELIGIBLE, Checkpoint, Message, MessageFailure, Usage
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import ClosedBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.lease import Lease
from leadhook.engine.shutdown import Shutdown

Answer = TypeVar("Answer")
StepName = Literal["score", "check", "message"]
Step = Callable[[Lead, Prompts, ApiKey], Awaitable[tuple[Answer, Usage]]]

ROUNDING_USD: Final = 1e-9
DOUBTFUL: Final = (FailureClass.REFUSED, FailureClass.CONFIGURATION)
"""Refusals that may be about the project of the key, for all that Google's words are about something else."""


class _NoCallError(Exception):
    """The next model call may not begin; the lead is returned, and no attempt is spent."""

    def __init__(self, code: str, reason: str, delay_ms: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.delay_ms = delay_ms


class _ReservationUsedUpError(Exception):
    """The next call could cost more than is left of what was reserved."""


class _ReconsideredError(Exception):
    """The next call would be paid once too often."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.rule)
        self.decision = decision


class Executor:
    """Runs attempts. Afterwards `lease.checkpoint` is complete, or `lease.release` says why not.

    Or `lease.message_failure` says why only the message is missing: a paid score is never thrown away.
    """

    def __init__(self, context: EngineContext, shutdown: Shutdown, breaker: ClosedBreaker, keys: KeyPool) -> None:
        self._observer: Final = context.observer
        self._scorer: Final = context.scorer
        self._tariff: Final = context.tariff
        self._checks_injections: Final = context.injection_check
        self._shutdown: Final = shutdown
        self._breaker: Final = breaker
        self._keys: Final = keys

    async def run(self, lease: Lease) -> None:
        """Buy the model steps that the checkpoint lacks."""
        if lease.cost_usd is None and self._tariff:
            lease.cost_usd = 0.0
        if lease.claimed.unreadable:
            lease.give_back("dead", "evaluation_failed", lease.claimed.unreadable)
            return
        try:
            await self._complete(lease)
        except Failure as failure:
            self._give_back(lease, failure)
        except _NoCallError as error:
            lease.give_back("returned", error.code, error.reason, error.delay_ms)
        except _ReconsideredError as error:
            self._apply(lease, error.decision, str(lease.claimed.error_code), "No call was made.")
        except _ReservationUsedUpError:
            reason = "the next call could cost more than was reserved for this lead"
            delay_ms = round(backoff(lease.claimed.attempts) * 1000)
            self._end(lease, "retry", MessageFailure(code="reservation_used_up", reason=reason), delay_ms)
        except Exception as error:  # noqa: BLE001 - a defect may cost this lead an attempt, not the service its life
            usage = Usage(calls=1, unmetered=1) if lease.called else Usage()
            self._charge(lease, usage)
            self._give_back(lease, unexpected(error, usage))

    async def _complete(self, lease: Lease) -> None:
        lead, prompts = lease.claimed.lead, lease.claimed.prompts
        prompt_version, input_version = self._scorer.prompt_version(prompts), self._scorer.input_version(lead)
        checkpoint = lease.checkpoint
        if checkpoint is None or not _is_current(checkpoint, prompts, prompt_version, input_version):
            lease.checkpoint = None
            lease.checkpoint = checkpoint = Checkpoint(
                prompt_version=prompt_version,
                input_version=input_version,
                prompts_digest=prompts.digest,
                model=self._scorer.model,
                score=await self._buy(lease, self._scorer.score, "score"),
                attempts_before=lease.claimed.attempts,
            )
        if self._must_check(checkpoint):
            check = partial(self._scorer.check, score=checkpoint.score)
            score = await self._buy(lease, check, "check")
            lease.checkpoint = checkpoint = checkpoint.model_copy(update={"score": score})
        if checkpoint.message is None:
            if checkpoint.score.score < CONTACT_FROM:
                message = Message(subject=INELIGIBLE, message=INELIGIBLE)
            else:
                message = await self._buy(lease, self._scorer.write, "message")
            lease.checkpoint = checkpoint.model_copy(update={"message": message})

    def _must_check(self, checkpoint: Checkpoint) -> bool:
        return self._checks_injections and checkpoint.score.needs_check

    async def _buy(  # noqa: C901 - whose fault it is, case by case
        self, lease: Lease, step: Step[Answer], name: StepName
    ) -> Answer:
        """Take one step. Where a key fails, continue with another one: that is never the lead's fault.

        What Google refuses because of the request or a setting is asked with a second key as well: if that is
        answered, the fault is the first key's project. A paid answer without text is asked for again at once,
        if possible with another key.
        """
        last: Failure | None = None
        failed: dict[str, float] = {}
        doubted: tuple[ApiKey, Failure] | None = None
        again = lease.failing_since is None
        lease.step_called_at, lease.keys_refused = math.inf, 0
        self._reconsider(lease)
        while True:
            key = await self._wait_for_key(lease, last, failed)
            lease.key = key
            lease.step_called_at = min(lease.step_called_at, anyio.current_time())
            try:
                with self._keys.using(key):
                    answer = await self._call(lease, step, key, name)
                    self._keys.prove(key)
            except Failure as failure:
                self._charge(lease, failure.usage)
                if again and not self._breaker.open and _lacks_text(failure):
                    again, last = False, failure
                    self._keys.doubt(key)
                    self._breaker.stumbled(failure, lease.claimed.lead_id, lease.called_at)
                    if self._keys.has_other(key):
                        failed[key.fingerprint] = lease.called_at
                    continue
                failed[key.fingerprint] = lease.called_at
                lease.keys_refused = len(failed)
                if failure.answered:
                    self._keys.prove(key)
                if failure.kind == FailureClass.KEY:
                    self._keys.rest(key, failure)
                elif failure.kind in DOUBTFUL and not doubted:
                    doubted = key, failure
                else:
                    if failure.kind == FailureClass.TRANSIENT:
                        self._keys.doubt(key)
                    raise
                last = doubted[1] if doubted else failure
            else:
                if doubted:
                    self._keys.rest(*doubted)
                self._breaker.answered(lease.claimed.lead_id, lease.called_at, key.fingerprint)
                return answer

    def _reconsider(self, lease: Lease) -> None:
        code, since = lease.claimed.error_code, lease.failing_since
        if since is None:
            return
        decision = reconsider(
            self._breaker.evidence(code, lease.claimed.lead_id, since, None),
            paid_before=lease.paid_before,
            give_up_after_s=lease.give_up_after_s,
        )
        if decision:
            raise _ReconsideredError(decision)

    async def _call(self, lease: Lease, step: Step[Answer], key: ApiKey, name: StepName) -> Answer:
        lease.called_at = started_at = anyio.current_time()
        if lease.first_call_ms is None:
            lease.first_call_ms = lease.claimed.waited_ms + round((started_at - lease.received_at) * 1000)
            self._observer.first_call_started(lease)
        try:
            with self._shutdown.call() as scope, self._breaker.calling():
                answer, usage = await step(lease.claimed.lead, lease.claimed.prompts, key)
        finally:
            took_s = anyio.current_time() - started_at
            lease.model_ms += took_s * 1000
            self._observer.model_step_ended(name, took_s)
        if scope.cancelled_caught:
            self._charge(lease, Usage(unmetered=1))
            raise _shutting_down()
        self._charge(lease, usage)
        return answer

    async def _wait_for_key(self, lease: Lease, last: Failure | None, failed: Mapping[str, float]) -> ApiKey:
        """A key for a call that may begin now. While the only ones are on trial, wait for the result of the trial."""
        with self._keys.watched(lease.news):
            while True:
                await self._wait_for_permission(lease)
                key = self._keys.pick(lease.key_fingerprint, failed, may_try=lease.failing_since is None)
                if key is not None:
                    return key
                if not self._keys.may_hear(failed):
                    if last:
                        raise last
                    raise _NoCallError("no_healthy_key", "every key failed while the lead waited", delay_ms=1000)
                waits_since = anyio.current_time()
                await lease.news.wait()
                if lease.first_call_ms is None:
                    lease.key_wait_ms += (anyio.current_time() - waits_since) * 1000

    async def _wait_for_permission(self, lease: Lease) -> None:
        """A call starts only on a lease that was confirmed recently; a lost lease cancels the wait from outside."""
        while True:
            if not self._shutdown.allows_call():
                raise _shutting_down()
            if self._breaker.open and not lease.probe:
                raise _NoCallError("model_outage", "the model is failing, so no call was made")
            if self._exceeds_reservation(lease):
                raise _ReservationUsedUpError
            if anyio.current_time() - lease.confirmed_at < lease.start_limit_s:
                return
            await lease.news.wait()

    def _exceeds_reservation(self, lease: Lease) -> bool:
        reserved = lease.claimed.reserved_usd
        if reserved is None or self._tariff is None or lease.cost_usd is None:
            return False
        next_usd = self._tariff.max_step_cost(lease.claimed.lead, lease.claimed.prompts)
        return lease.cost_usd + next_usd > reserved + ROUNDING_USD

    def _charge(self, lease: Lease, usage: Usage) -> None:
        """Book a step. Where the tokens of a call are unknown, the most that the step can cost is booked."""
        lease.usage += usage
        if self._tariff and lease.cost_usd is not None:
            lease.cost_usd += self._tariff.step_cost(usage, lease.claimed.lead, lease.claimed.prompts)

    def _give_back(self, lease: Lease, failure: Failure) -> None:
        lead_id, key = lease.claimed.lead_id, lease.key_fingerprint
        lease.failure = failure
        if failure.code == SETTINGS_REFUSED and self._breaker.has_answered:
            # The settings are the same for every lead, and were good enough for others.
            failure.kind = FailureClass.REFUSED
        evidence = self._breaker.evidence(failure.code, lead_id, lease.failing_since, key)
        if failure.answered:
            self._breaker.answered(lead_id, lease.called_at, key)
        elif failure.kind != FailureClass.CONTENT:
            own = evidence.own and not evidence.passing
            self._breaker.failed(failure, lead_id, lease.step_called_at, own=own)
        decision = decide(
            failure,
            replace(evidence, keys=lease.keys_refused),
            paid_before=lease.paid_before,
            give_up_after_s=lease.give_up_after_s,
        )
        self._apply(lease, decision, failure.code, failure.reason)

    def _apply(self, lease: Lease, decision: Decision, code: str, reason: str) -> None:
        self._observer.decided(decision.rule, decision.outcome)
        why = MessageFailure(code=code, reason=f"{reason} {decision.words}")
        after_s = decision.decide_after_s
        self._end(
            lease,
            decision.outcome,
            why,
            round(decision.delay_s * 1000),
            failing=decision.failing,
            decide_after_ms=None if after_s is None else round(after_s * 1000),
        )

    def _end(
        self,
        lease: Lease,
        outcome: Literal["retry", "returned", "dead"],
        why: MessageFailure,
        delay_ms: int,
        *,
        failing: bool = False,
        decide_after_ms: int | None = None,
    ) -> None:
        """End the attempt. A paid score is saved even if no message follows, below contact if it is not confirmed."""
        is_last = outcome == "retry" and lease.claimed.attempts + 1 >= lease.max_attempts
        checkpoint = lease.checkpoint
        if not (outcome == "dead" or is_last) or checkpoint is None or not checkpoint.lacks_message:
            lease.give_back(outcome, why.code, why.reason, delay_ms, failing=failing, decide_after_ms=decide_after_ms)
        elif self._must_check(checkpoint):
            score = checkpoint.score.held_back(f"it could not be checked ({why.code})")
            message = Message(subject=INELIGIBLE, message=INELIGIBLE)
            lease.checkpoint = checkpoint.model_copy(update={"score": score, "message": message})
        else:
            lease.message_failure = why


def _shutting_down() -> _NoCallError:
    return _NoCallError("shutting_down", "the service was shutting down")


def _lacks_text(failure: Failure) -> bool:
    return failure.kind == FailureClass.TRANSIENT and failure.paid and failure.usage.calls == 1


def _is_current(checkpoint: Checkpoint, prompts: Prompts, prompt_version: str, input_version: str) -> bool:
    if checkpoint.prompts_digest is None:
        return (checkpoint.prompt_version, checkpoint.input_version) == (prompt_version, input_version)
    return (checkpoint.prompts_digest, checkpoint.input_version) == (prompts.digest, input_version)
