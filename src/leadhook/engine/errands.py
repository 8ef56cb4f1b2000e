"""Leads that a person has judged at once, with a key and prompts of their own; the worker's leads share their slots.

They are leased, renewed and saved like all others. But what fails is tried again only while the person waits, who is
told in the end. And what fails with a person's key says nothing of the model's health: the brake neither hears of it
nor stops it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import anyio

from leadhook.domain.backoff import backoff
from leadhook.domain.failure import StoreError
from leadhook.domain.job import ApiKey, Begun, BegunLead, ClaimedLead, LeaseOutcome
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message, Score
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.circuit_breaker import ClosedBreaker
from leadhook.engine.context import EngineContext
from leadhook.engine.executor import Executor
from leadhook.engine.leases import Lease, Leases
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.timing import jitter
from leadhook.engine.writeback import Writeback

MOST_WAITING: Final = 1000
"""Leads of all requests together; more are refused."""
TRIES: Final = 5
"""To begin, while the database is busy."""
AGAIN: Final = 2
"""How often a lead is tried again after a passing failure."""


class TooManyErrandsError(Exception):
    """Too many leads wait already."""


@dataclass(eq=False)
class Errand:
    """One lead of a request, and what came of it.

    Attributes:
        lead: with an empty id its answer is written nowhere.
        answer: what the model said.
        trouble: a code and a sentence: why there is no answer, or why it is not written.
    """

    lead: Lead
    prompts: Prompts
    key: ApiKey
    answer: tuple[Score, Message] | None = None
    trouble: tuple[str, str] | None = ("shutting_down", "The service is shutting down.")


@dataclass(eq=False)
class Request:
    """The errands of one person, and when all of them are over."""

    errands: Sequence[Errand]
    over: anyio.Event = field(default_factory=anyio.Event)


class Errands:
    """Runs requests, in the order in which they come."""

    def __init__(self, context: EngineContext, leases: Leases, writeback: Writeback, shutdown: Shutdown) -> None:
        self._context = context
        self._store = context.store
        self._timing = context.timing
        self._leases = leases
        self._writeback = writeback
        self._shutdown = shutdown
        self._waiting = 0

    def admit(self, errands: Sequence[Errand]) -> Request:
        """A request that is to be run.

        Raises:
            TooManyErrandsError: it would wait for too long.
        """
        if self._waiting and self._waiting + len(errands) > MOST_WAITING:
            raise TooManyErrandsError
        self._waiting += len(errands)
        return Request(errands)

    async def run(self, request: Request) -> None:
        """Judge all of its leads; whoever asked may be gone meanwhile."""
        rest = list(request.errands)
        try:
            async with anyio.create_task_group() as tasks:
                while rest:
                    slots = await self._leases.take_on_demand_slots(len(rest))
                    self._waiting -= slots
                    tasks.start_soon(self._run_some, rest[:slots])
                    del rest[:slots]
        finally:
            self._waiting -= len(rest)
            request.over.set()

    async def _run_some(self, errands: Sequence[Errand]) -> None:
        async with anyio.create_task_group() as tasks:
            for errand, lease in zip(errands, await self._begin(errands), strict=True):
                if lease is None:
                    self._leases.free_on_demand_slot()
                else:
                    tasks.start_soon(self._run_one, errand, lease)

    async def _begin(self, errands: Sequence[Errand]) -> list[Lease | None]:
        """Lease them; None for those that can't begin, which know why."""
        if self._shutdown.begun:
            return [None for _ in errands]
        sent_at = anyio.current_time()
        named = [errand.lead for errand in errands if errand.lead.lead_id]
        try:
            begun = await self._ask(named) if named else Begun()
        except StoreError as error:
            if error.kind == "caller_bug" and len(errands) > 1:
                # One that the database can't read must not stop the others.
                return [lease for errand in errands for lease in await self._begin([errand])]
            self._context.observer.failed("on_demand", error, leads=len(named))
            begun, trouble = Begun(), (error.code, f"The lead could not be begun: {error.reason}.")
        else:
            trouble = ("busy", "The database is too busy to begin; try again.")
        leads = {lead.lead_id: lead for lead in begun.leads}
        begun_leases: list[Lease | None] = []
        for errand in errands:
            lead = leads.get(errand.lead.lead_id)
            if errand.lead.lead_id and (lead is None or lead.fence is None):
                errand.trouble = _taken(lead) if lead else trouble
                begun_leases.append(None)
                continue
            one = _hold(errand, lead, begun, sent_at)
            begun_leases.append(one)
            self._leases.hold(one)
        return begun_leases

    async def _ask(self, leads: Sequence[Lead]) -> Begun:
        token = uuid4()
        for _ in range(TRIES):
            begun = await self._store.begin_errands(worker=self._context.worker_name, token=token, leads=leads)
            if not begun.busy:
                break
            await anyio.sleep(jitter(self._timing.busy_s))
        return begun

    async def _run_one(self, errand: Errand, lease: Lease) -> None:
        try:
            with lease.scope:
                await self._try(lease, self._executor(errand.key))
        finally:
            self._leases.free_slot(lease)
        if lease.release is None and lease.checkpoint is not None and lease.checkpoint.message is not None:
            errand.answer = lease.checkpoint.score, lease.checkpoint.message
        if not lease.claimed.lead_id:
            self._leases.finish(lease, LeaseOutcome.RELEASED)
        elif not lease.lost:
            self._writeback.put(lease)
        with anyio.move_on_after(self._timing.on_demand_write_s):
            await lease.ended.wait()
        errand.trouble = _trouble(lease)

    def _executor(self, key: ApiKey) -> Executor:
        """With this key alone; what Google says against it is told to the caller, as it is not one of ours."""
        keys = KeyPool()
        keys.learn([key], asked_at=anyio.current_time())
        return Executor(self._context, self._shutdown, ClosedBreaker(), keys)

    async def _try(self, lease: Lease, executor: Executor) -> None:
        await executor.run(lease)
        for failures in range(AGAIN):
            if lease.release is None or lease.release.outcome != "retry":
                return
            await anyio.sleep(backoff(failures))
            lease.release = None
            await executor.run(lease)


def _hold(errand: Errand, begun_lead: BegunLead | None, begun: Begun, sent_at: float) -> Lease:
    """Without a lease where it has no id: then nothing is to be confirmed."""
    claimed = ClaimedLead(
        lead_id=errand.lead.lead_id,
        fence=begun_lead.fence or 0 if begun_lead else 0,
        run=begun_lead.run if begun_lead else 1,
        attempts=0,
        slow=False,
        found_by="process",
        eligible_at=datetime.now(UTC),
        waited_ms=0,
        lead=errand.lead,
        prompts=errand.prompts,
        paid=begun_lead.paid if begun_lead else None,
    )
    return Lease(
        claimed=claimed,
        received_at=anyio.current_time(),
        confirmed_at=sent_at,
        start_limit_s=begun.start_limit_ms / 1000 if begun_lead else float("inf"),
        renew_s=begun.renew_ms / 1000,
        checkpoint=claimed.paid,
        stored_checkpoint=claimed.paid,
        on_demand=True,
    )


def _taken(lead: BegunLead) -> tuple[str, str]:
    until = f" until {lead.leased_until.astimezone(UTC):%H:%M:%S} UTC" if lead.leased_until else ""
    return "leased", f"{lead.leased_by or 'A worker'} is judging this lead already{until}; it is not judged twice."


def _trouble(lease: Lease) -> tuple[str, str] | None:
    if lease.release is not None:
        return lease.release.error_code, lease.release.reason
    if not lease.claimed.lead_id or lease.outcome == LeaseOutcome.SAVED:
        return None
    if lease.outcome is None:
        return "not_written_yet", "The answer is not written yet, as the database does not take it now; it is tried on."
    words = {
        LeaseOutcome.GONE: "the lead was deleted meanwhile",
        LeaseOutcome.LEASE_LOST: "its lease was lost, so somebody else may judge it now",
        LeaseOutcome.REFUSED: "the database refuses it",
    }
    reason = f": {lease.outcome_reason}" if lease.outcome_reason else ""
    return (
        lease.outcome.value,
        f"The answer is not written, as {words.get(lease.outcome, lease.outcome.value)}{reason}.",
    )
