"""One lead's way from its claim to a result or a reason to give it back."""

import traceback
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import ApiKey, ParkedKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.verdict import CONTACT_FROM, INELIGIBLE, Message, Paid, Usage
from leadhook.engine.brake import Brake
from leadhook.engine.decision import decide
from leadhook.engine.drain import Drain
from leadhook.engine.held import HeldLead
from leadhook.engine.ports import Judge
from leadhook.observability import metrics
from leadhook.observability.journal import journal, shortened

Answer = TypeVar("Answer")
Call = Callable[[Lead, Prompts, ApiKey], Awaitable[tuple[Answer, Usage]]]


class _ShuttingDownError(Exception):
    """The model call could not begin or end in time."""


class _NoKeyError(Exception):
    """Every key of the batch has failed meanwhile."""


class _BrakeError(Exception):
    """The model fails, and another lead tries it."""


class Attempts:
    """Judges leads. Afterwards `held.paid` is complete, or `held.release` says why not."""

    def __init__(self, *, judge: Judge, drain: Drain, brake: Brake) -> None:
        self._judge = judge
        self._drain = drain
        self._brake = brake

    async def run(self, held: HeldLead) -> None:
        """Buy what is missing of a lead's judgement."""
        try:
            await self._judge_lead(held)
        except Failure as failure:
            held.usage += failure.usage
            self._give_back(held, failure)
        except _ShuttingDownError:
            held.give_back("returned", "shutting_down", "the service was shutting down")
        except _NoKeyError:
            held.give_back("returned", "no_healthy_key", "every key failed while the lead waited", delay_ms=1000)
        except _BrakeError:
            held.give_back("returned", "model_outage", "the model fails, so that no call was begun")
        except Exception as error:  # noqa: BLE001 - a defect may cost this lead an attempt, not the service its life
            self._give_back(held, Failure(FailureClass.TRANSIENT, "unexpected_error", _place(error)))

    async def _judge_lead(self, held: HeldLead) -> None:
        lead, prompts = held.claimed.lead, held.claimed.prompts
        prompt_version, input_version = self._judge.prompt_version(prompts), self._judge.input_version(lead)
        if held.paid and (held.paid.prompt_version, held.paid.input_version) != (prompt_version, input_version):
            held.paid = None
        if held.paid is None:
            score = await self._call(held, self._judge.score)
            held.paid = Paid(
                prompt_version=prompt_version, input_version=input_version, model=self._judge.model, score=score
            )
        if held.paid.message is None:
            if held.paid.score.score < CONTACT_FROM:
                message = Message(subject=INELIGIBLE, message=INELIGIBLE)
            else:
                message = await self._call(held, self._judge.write)
            held.paid = held.paid.model_copy(update={"message": message})

    async def _call(self, held: HeldLead, call: Call[Answer]) -> Answer:
        await self._wait_for_permission(held)
        key = held.keys.pick(held.key_fingerprint)
        if key is None:
            raise _NoKeyError
        held.key_fingerprint = key.fingerprint
        held.key_shown = shortened(key.api_key.get_secret_value())
        started_at = anyio.current_time()
        if held.first_call_ms is None:
            held.first_call_ms = held.claimed.waited_ms + round((started_at - held.received_at) * 1000)
            journal.started(held.claimed.lead_id, held.claimed.lead.name, held.key_shown)
        try:
            with self._drain.call() as scope:
                answer, usage = await call(held.claimed.lead, held.claimed.prompts, key)
        finally:
            took_s = anyio.current_time() - started_at
            held.model_ms += took_s * 1000
            metrics.MODEL_CALLS.labels("score" if held.paid is None else "message").observe(took_s)
        if scope.cancelled_caught:
            raise _ShuttingDownError
        held.usage += usage
        self._brake.answered()
        return answer

    async def _wait_for_permission(self, held: HeldLead) -> None:
        """A call starts only on a lease that was confirmed lately; a lost lease cancels the wait from outside."""
        while True:
            if not self._drain.allows_call():
                raise _ShuttingDownError
            if self._brake.applied and not held.tried:
                raise _BrakeError
            if anyio.current_time() - held.confirmed_at < held.start_limit_s:
                return
            await held.news.wait()

    def _give_back(self, held: HeldLead, failure: Failure) -> None:
        if failure.kind == FailureClass.CONTENT:
            self._brake.answered()
        else:
            self._brake.failed(failure)
        decision = decide(failure, held.claimed.attempts, outage=self._brake.applied)
        if decision.parks_key and held.key_fingerprint:
            held.keys.drop(held.key_fingerprint)
            for_ms = None if failure.park_s is None else round(failure.park_s * 1000)
            held.parked = ParkedKey(fingerprint=held.key_fingerprint, reason=failure.reason, for_ms=for_ms)
        held.give_back(decision.outcome, failure.code, failure.reason, decision.delay_ms)


def _place(error: Exception) -> str:
    """Where it was raised; its message may hold a lead's text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__
