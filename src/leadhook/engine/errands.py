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
import structlog

from leadhook.domain.backoff import backoff
from leadhook.domain.failure import StoreError
from leadhook.domain.job import ApiKey, Begun, BegunLead, ClaimedLead, LeaseOutcome
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.ports import Scorer, Store
from leadhook.domain.results import Message, Score
from leadhook.domain.spend import Tariff
from leadhook.engine.api_keys import KeyPool
from leadhook.engine.attempt import Attempts
from leadhook.engine.book import Book
from leadhook.engine.circuit_breaker import ClosedBreaker
from leadhook.engine.held import HeldLead
from leadhook.engine.report import report_finished
from leadhook.engine.shutdown import Shutdown
from leadhook.engine.timing import Timing, jitter
from leadhook.engine.writers import Writers
from leadhook.observability.events import Event
from leadhook.observability.journal import journal

MOST_WAITING: Final = 1000
"""Leads of all requests together; more are refused."""
TRIES: Final = 5
"""To begin, while the database is busy."""
AGAIN: Final = 2
"""How often a lead is tried again after a passing failure."""

log = structlog.get_logger()


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

    def __init__(
        self,
        *,
        store: Store,
        scorer: Scorer,
        worker: str,
        book: Book,
        writers: Writers,
        shutdown: Shutdown,
        timing: Timing,
        tariff: Tariff | None,
    ) -> None:
        self._store = store
        self._worker = worker
        self._book = book
        self._writers = writers
        self._shutdown = shutdown
        self._timing = timing
        self._scorer = scorer
        self._tariff = tariff
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
                    slots = await self._book.take_errand_slots(len(rest))
                    self._waiting -= slots
                    tasks.start_soon(self._run_some, rest[:slots])
                    del rest[:slots]
        finally:
            self._waiting -= len(rest)
            request.over.set()

    async def _run_some(self, errands: Sequence[Errand]) -> None:
        async with anyio.create_task_group() as tasks:
            for errand, held in zip(errands, await self._begin(errands), strict=True):
                if held is None:
                    self._book.free_errand_slot()
                else:
                    tasks.start_soon(self._run_one, errand, held)

    async def _begin(self, errands: Sequence[Errand]) -> list[HeldLead | None]:
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
                return [held for errand in errands for held in await self._begin([errand])]
            log.warning(Event.PROCESS_FAILED, leads=len(named), code=error.code, reason=error.reason)
            begun, trouble = Begun(), (error.code, f"The lead could not be begun: {error.reason}.")
        else:
            trouble = ("busy", "The database is too busy to begin; try again.")
        leads = {lead.lead_id: lead for lead in begun.leads}
        held: list[HeldLead | None] = []
        for errand in errands:
            lead = leads.get(errand.lead.lead_id)
            if errand.lead.lead_id and (lead is None or lead.fence is None):
                errand.trouble = _taken(lead) if lead else trouble
                held.append(None)
                continue
            one = _hold(errand, lead, begun, sent_at)
            journal.taken(one)
            held.append(one)
            if one.claimed.lead_id:
                self._book.enter(one)
        return held

    async def _ask(self, leads: Sequence[Lead]) -> Begun:
        token = uuid4()
        for _ in range(TRIES):
            begun = await self._store.begin_errands(worker=self._worker, token=token, leads=leads)
            if not begun.busy:
                break
            await anyio.sleep(jitter(self._timing.busy_s))
        return begun

    async def _run_one(self, errand: Errand, held: HeldLead) -> None:
        try:
            with held.scope:
                await self._try(held, self._attempts(errand.key))
        finally:
            self._book.free_slot(held)
        if held.release is None and held.paid is not None and held.paid.message is not None:
            errand.answer = held.paid.score, held.paid.message
        if not held.claimed.lead_id:
            held.end(LeaseOutcome.RELEASED)
            report_finished(held, LeaseOutcome.RELEASED if held.release else "answered")
        elif not held.lost:
            self._writers.put(held)
        with anyio.move_on_after(self._timing.on_demand_write_s):
            await held.ended.wait()
        errand.trouble = _trouble(held)

    def _attempts(self, key: ApiKey) -> Attempts:
        """With this key alone; what Google says against it is told to the caller, as it is not one of ours."""
        keys = KeyPool()
        keys.learn([key], asked_at=anyio.current_time())
        return Attempts(
            scorer=self._scorer,
            shutdown=self._shutdown,
            breaker=ClosedBreaker(),
            keys=keys,
            tariff=self._tariff,
        )

    async def _try(self, held: HeldLead, attempts: Attempts) -> None:
        await attempts.run(held)
        for failures in range(AGAIN):
            if held.release is None or held.release.outcome != "retry":
                return
            await anyio.sleep(backoff(failures))
            held.release = None
            await attempts.run(held)


def _hold(errand: Errand, begun_lead: BegunLead | None, begun: Begun, sent_at: float) -> HeldLead:
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
    return HeldLead(
        claimed=claimed,
        received_at=anyio.current_time(),
        confirmed_at=sent_at,
        start_limit_s=begun.start_limit_ms / 1000 if begun_lead else float("inf"),
        renew_s=begun.renew_ms / 1000,
        paid=claimed.paid,
        stored_paid=claimed.paid,
        errand=True,
    )


def _taken(lead: BegunLead) -> tuple[str, str]:
    until = f" until {lead.leased_until.astimezone(UTC):%H:%M:%S} UTC" if lead.leased_until else ""
    return "leased", f"{lead.leased_by or 'A worker'} is judging this lead already{until}; it is not judged twice."


def _trouble(held: HeldLead) -> tuple[str, str] | None:
    if held.release is not None:
        return held.release.error_code, held.release.reason
    if not held.claimed.lead_id or held.outcome == LeaseOutcome.SAVED:
        return None
    if held.outcome is None:
        return "not_written_yet", "The answer is not written yet, as the database does not take it now; it is tried on."
    words = {
        LeaseOutcome.GONE: "the lead was deleted meanwhile",
        LeaseOutcome.LEASE_LOST: "its lease was lost, so somebody else may judge it now",
        LeaseOutcome.REFUSED: "the database refuses it",
    }
    reason = f": {held.outcome_reason}" if held.outcome_reason else ""
    return held.outcome.value, f"The answer is not written, as {words.get(held.outcome, held.outcome.value)}{reason}."
