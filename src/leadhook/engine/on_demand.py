"""On-demand requests: leads that are scored while the caller waits, with the caller's own key and prompts.

They share the slots of the claimed leads, but nothing is leased. One RPC saves an answer and bumps the fence of the
lead's job, so that a worker that holds the lead loses its lease. A failure is retried only while the caller waits. It
does not count for the circuit breaker, which does not stop on-demand requests either.

If an answer can't be saved, the save is retried for `lock_patience_s`. The caller gets the answer after
`on_demand_save_s` at the latest, with the reason why it is not saved. An answer that is dropped after that leaves no
trace in the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import anyio
import anyio.abc

from leadhook.domain.backoff import backoff
from leadhook.domain.failure import FailureClass, StoreError
from leadhook.domain.job import ApiKey, ClaimedLead, LeaseOutcome, OnDemandResult
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import ClosedBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.executor import Executor
from leadhook.engine.lease import Lease
from leadhook.engine.leases import Leases
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.timing import backoff_s

MOST_WAITING: Final = 1000
"""Maximum number of leads of all requests that wait for a slot or to be saved; more are refused."""
RETRIES: Final = 2
"""Number of retries after a transient failure of the model."""


class TooManyOnDemandError(Exception):
    """Too many leads are already waiting."""


@dataclass(eq=False)
class OnDemandLead:
    """One lead of a request, and its outcome.

    Attributes:
        lead: the lead; its answer is not saved if its id is empty.
        answer: the answer of the model; the message is None if only that failed.
        error: a code and a sentence that explain why there is no answer or message, or why it is not saved.
    """

    lead: Lead
    prompts: Prompts
    key: ApiKey
    answer: tuple[Score, Message | None] | None = None
    error: tuple[str, str] | None = ("shutting_down", "The service is shutting down.")


@dataclass(eq=False)
class _Unsaved:
    """An outcome that the database has neither saved nor refused yet."""

    lease: Lease
    failures: int = 0
    request_id: UUID = field(default_factory=uuid4)

    @property
    def lead_id(self) -> str:
        return self.lease.claimed.lead_id

    @property
    def is_over(self) -> bool:
        return self.lease.ended.is_set()

    def result(self) -> OnDemandResult:
        age_s = anyio.current_time() - self.lease.received_at
        ending = self.lease.release or self.lease.result()
        return OnDemandResult(
            request_id=self.request_id, lead=self.lease.claimed.lead, age_ms=round(age_s * 1000), ending=ending
        )


class OnDemand:
    """Runs requests in the order in which they arrive."""

    def __init__(self, context: EngineContext, leases: Leases, shutdown: Shutdown) -> None:
        self._context = context
        self._leases = leases
        self._shutdown = shutdown
        self._saver = _OnDemandSaver(context, leases)
        self._waiting = 0

    def admit(self, leads: Sequence[OnDemandLead]) -> "Request":
        """Accept a request, to be run by `run`.

        Raises:
            TooManyOnDemandError: too many leads are already waiting.
        """
        waiting = self._waiting + len(self._saver.unsaved)
        if waiting and waiting + len(leads) > MOST_WAITING:
            raise TooManyOnDemandError
        self._waiting += len(leads)
        return Request(leads)

    async def run(self, request: "Request") -> None:
        """Score all leads, even if the caller disconnects. Saving may continue after this returns."""
        rest = list(request.leads)
        async with anyio.create_task_group() as saving:
            try:
                async with anyio.create_task_group() as scoring:
                    while rest:
                        slots = await self._leases.take_on_demand_slots(len(rest))
                        self._waiting -= slots
                        for lead in rest[:slots]:
                            scoring.start_soon(self._run_one, lead, saving)
                        del rest[:slots]
            finally:
                self._waiting -= len(rest)
                request.over.set()

    async def _run_one(self, lead: OnDemandLead, saving: anyio.abc.TaskGroup) -> None:
        lease = _hold(lead)
        try:
            if self._shutdown.begun:
                return
            self._context.observer.lead_taken(lease)
            await self._score(lease, self._executor(lead.key))
        finally:
            self._leases.free_on_demand_slot()
        if lease.checkpoint is not None and not (self._context.injection_check and lease.checkpoint.score.needs_check):
            lead.answer = lease.checkpoint.score, lease.checkpoint.message
        if lease.claimed.lead_id and lease.called:
            saving.start_soon(self._saver.save, _Unsaved(lease))
            with anyio.move_on_after(self._context.timing.on_demand_save_s):
                await lease.ended.wait()
        else:
            self._leases.finish(lease, LeaseOutcome.RELEASED)
        lead.error = _error(lease)

    def _executor(self, key: ApiKey) -> Executor:
        """An executor that uses only the caller's key. Problems with this key are reported only to the caller."""
        keys = KeyPool()
        keys.learn([key], asked_at=anyio.current_time())
        return Executor(self._context, self._shutdown, ClosedBreaker(), keys)

    async def _score(self, lease: Lease, executor: Executor) -> None:
        await executor.run(lease)
        for failures in range(RETRIES):
            if lease.release is None or lease.failure is None or lease.failure.kind != FailureClass.TRANSIENT:
                return
            await anyio.sleep(backoff(failures))
            lease.release = lease.failure = None
            await executor.run(lease)


@dataclass(eq=False)
class Request:
    """The leads of one call, and a signal for when each of them is saved or has failed."""

    leads: Sequence[OnDemandLead]
    over: anyio.Event = field(default_factory=anyio.Event)


class _OnDemandSaver:
    """Saves outcomes, one call at a time; those that arrive during a call go with the next one."""

    def __init__(self, context: EngineContext, leases: Leases) -> None:
        self.unsaved: list[_Unsaved] = []
        self._context = context
        self._leases = leases
        self._turn = anyio.Lock()

    async def save(self, unsaved: _Unsaved) -> None:
        """Retry until the database has saved or refused it, or the time is over."""
        self.unsaved.append(unsaved)
        give_up_at = anyio.current_time() + self._context.timing.lock_patience_s
        try:
            while anyio.current_time() < give_up_at:
                failures = unsaved.failures
                async with self._turn:
                    # While it waited for its turn, the call of another lead may have saved or failed it.
                    if not unsaved.is_over and unsaved.failures == failures:
                        await self._send(self._batch(unsaved))
                if unsaved.is_over:
                    return
                await anyio.sleep(backoff_s(self._context.timing.unavailable_s, unsaved.failures))
            self._context.observer.lead_finished(unsaved.lease, LeaseOutcome.RELEASED, None)
        finally:
            self.unsaved.remove(unsaved)

    def _batch(self, first: _Unsaved) -> list[_Unsaved]:
        """The next batch. It contains each lead once, because two requests may have named the same one."""
        batch = {first.lead_id: first}
        for unsaved in self.unsaved:
            if not unsaved.is_over and len(batch) < self._context.timing.largest_write:
                batch.setdefault(unsaved.lead_id, unsaved)
        return list(batch.values())

    async def _send(self, batch: Sequence[_Unsaved]) -> None:
        try:
            replies = await self._context.store.save_on_demand(
                self._context.worker_name, [unsaved.result() for unsaved in batch]
            )
        except StoreError as error:
            await self._handle(error, batch)
            return
        answered = {reply.lead_id: reply for reply in replies.leads}
        for unsaved in batch:
            reply = answered.get(unsaved.lead_id)
            if reply is None or reply.outcome == LeaseOutcome.BUSY:
                unsaved.failures += 1
            else:
                self._leases.finish(unsaved.lease, reply.outcome, reply.reason)

    async def _handle(self, error: StoreError, batch: Sequence[_Unsaved]) -> None:
        """Handle an error so that an outcome which the database can't read or write does not stop the others."""
        if len(batch) > 1 and (error.kind == "caller_bug" or error.may_concern_one_lead or error.refused_on_the_way):
            for unsaved in batch:
                await self._send([unsaved])
            return
        self._context.observer.failed("on_demand", error, leads=len(batch))
        for unsaved in batch:
            unsaved.failures += 1
            if error.kind == "caller_bug":
                self._leases.finish(unsaved.lease, LeaseOutcome.REFUSED, error.reason)


def _hold(lead: OnDemandLead) -> Lease:
    """Hold the lead like a lease that never needs to be confirmed."""
    now = anyio.current_time()
    claimed = ClaimedLead(
        lead_id=lead.lead.lead_id,
        fence=0,
        run=1,
        attempts=0,
        low_priority=False,
        source="on_demand",
        eligible_at=datetime.now(UTC),
        waited_ms=0,
        lead=lead.lead,
        prompts=lead.prompts,
    )
    return Lease(claimed=claimed, received_at=now, confirmed_at=now, start_limit_s=float("inf"), renew_s=float("inf"))


def _error(lease: Lease) -> tuple[str, str] | None:
    if lease.release is not None:
        return lease.release.error_code, lease.failure.reason if lease.failure else lease.release.reason
    if lease.message_failure and lease.outcome in (LeaseOutcome.SAVED_WITHOUT_MESSAGE, LeaseOutcome.RELEASED):
        return lease.message_failure.code, lease.failure.reason if lease.failure else lease.message_failure.reason
    if not lease.claimed.lead_id or lease.outcome == LeaseOutcome.SAVED:
        return None
    if lease.outcome is None:
        reason = "The answer could not be saved yet because the database is unavailable; the service keeps retrying."
        return "not_written_yet", reason
    words = {LeaseOutcome.GONE: "the lead was deleted in the meantime", LeaseOutcome.REFUSED: "the database refuses it"}
    reason = f": {lease.outcome_reason}" if lease.outcome_reason else ""
    return lease.outcome.value, f"The answer is not saved: {words.get(lease.outcome, lease.outcome.value)}{reason}."
