"""Buys the missing scores of an evaluation, eight leads at a time, within the service's pauses and budgets.

A lead is started only if its maximum cost still fits every budget that applies to it, after calls in progress. Each
purchase is booked, and the reply contains what the service has reserved since.
"""

import math
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from leadhook.domain.backoff import backoff
from leadhook.domain.evaluation import AnsweredLead, AnsweredPage, LeadsToScore, LeadToScore, OpenAdmission
from leadhook.domain.failure import Failure, FailureClass, StoreError, unexpected
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.ports import Scorer
from leadhook.domain.results import CONTACT_FROM, INELIGIBLE, Usage
from leadhook.domain.spend import DIGITS, STEPS, Tariff
from leadhook.evaluate.results import Purpose, Results, ResultsFile, Scored

Answer = TypeVar("Answer")
Call = Callable[[Lead, Prompts, ApiKey], Awaitable[tuple[Answer, Usage]]]

AT_A_TIME: Final = 8
READ_AT_A_TIME: Final = 10
TRIES: Final = 3
"""Attempts of a call that fails transiently; a later run tries again."""
FAILURES_IN_A_ROW: Final = 5
"""After this many failures the model counts as failing, and the rest is left for a later run."""
LONGEST_KEY_WAIT_S: Final = 90.0
"""Long enough for a per-minute quota."""
BOOKING_S: Final = 5.0
BLOCKED: Final = {
    "paused": "All leads are paused; `leadhook resume` ends the pause.",
    "spent": "The budget of today (UTC) is spent.",
}
UNPRICED: Final = "A budget is set and the price of the model is not known; docs/spend.md shows how to add it."


class Leads(Protocol):
    """The part of the store that evaluations need."""

    async def answered_leads(self, fields: Mapping[str, Any], after_lead: str) -> AnsweredPage: ...

    async def leads_to_score(self, lead_ids: Sequence[str]) -> LeadsToScore: ...

    async def book_evaluation(self, costs: Sequence[tuple[UUID | None, float]]) -> OpenAdmission: ...


@dataclass(frozen=True)
class Plan:
    """The leads of an evaluation, and the scores still to be bought."""

    leads: tuple[AnsweredLead, ...]
    to_score: frozenset[str]
    to_score_again: frozenset[str]
    """The leads to score twice, for the noise."""

    @property
    def purchases(self) -> int:
        return len(self.to_score) + len(self.to_score_again)


async def make_plan(store: Leads, fields: Mapping[str, Any], *, limit: int, noise: int, results: Results) -> Plan:
    """Find the first `limit` answered leads that match a filter; the first `noise` of them are scored twice."""
    leads: list[AnsweredLead] = []
    after: str | None = ""
    while after is not None and len(leads) < limit:
        page = await store.answered_leads(fields, after)
        leads += page.leads
        after = page.last_lead
    leads = leads[:limit]
    ids = [lead.lead_id for lead in leads]
    failed = {one.lead_id for one in results.final("score").values() if one.score is None}
    return Plan(
        tuple(leads),
        frozenset(ids) - results.final("score").keys(),
        frozenset(ids[:noise]) - results.final("noise").keys() - failed,
    )


@dataclass
class _Purchase:
    """One score that is being bought, with its outcome and cost so far."""

    lead: LeadToScore
    purpose: Purpose
    tariff: Tariff | None
    usage: Usage = field(default_factory=Usage)
    usd: float = 0
    model_ms: float = 0
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def most_usd(self) -> float | None:
        """Its maximum cost; None if the price is unknown."""
        steps = 1 if self.purpose == "noise" else STEPS
        return self.tariff.max_step_cost(self.lead.lead, self.lead.prompts) * steps if self.tariff else None

    def charge(self, usage: Usage) -> None:
        self.usage += usage
        self.usd += self.tariff.step_cost(usage, self.lead.lead, self.lead.prompts) if self.tariff else 0

    def fail(self, code: str, reason: str, *, is_final: bool) -> None:
        """Record a failure. A score that was already bought is kept, without a subject."""
        has_score = "score" in self.outcome
        self.outcome = {"reason": reason, **self.outcome, "error_code": code, "is_final": is_final or has_score}

    def scored(self, no: int, prompt_version: str) -> Scored:
        lead = self.lead
        return Scored(
            no=no,
            purpose=self.purpose,
            lead_id=lead.lead_id,
            user_id=lead.user_id,
            tag=lead.tag,
            saved=lead.saved,
            saved_usd=lead.saved_usage.cost_usd,
            saved_ms=lead.saved_usage.model_ms or None,
            prompt_version=prompt_version,
            usage=self.usage,
            usd=round(self.usd, DIGITS) if self.tariff else None,
            model_ms=round(self.model_ms),
            **self.outcome,
        )


class Scoring:
    def __init__(
        self, store: Leads, scorer: Scorer, tariff: Tariff | None, file: ResultsFile, progress: Callable[[], None]
    ) -> None:
        self._store = store
        self._scorer = scorer
        self._tariff = tariff
        self._file = file
        self._progress = progress
        self._admission = OpenAdmission()
        self._asking: Final = anyio.Lock()
        """Serializes requests, so that replies with an admission arrive in order."""
        self._in_flight: Final[list[tuple[UUID | None, float]]] = []
        self._keys: dict[str, ApiKey] = {}
        self._rest_until: Final[dict[str, float]] = {}
        self._failures_in_a_row = 0
        self._stop = anyio.Event()
        self._ended = anyio.Event()
        """Set at the end of the next purchase."""
        self.interrupted_by: int | None = None
        """The signal that interrupted the run, SIGINT or SIGTERM."""
        self.halted: str | None = None
        """Why the rest was not bought."""
        self.blocked: Final[set[str]] = set()
        """Leads that a pause or a budget kept from being scored."""
        self.unreadable: Final[dict[str, str]] = {}
        """Leads whose rows can't be read, and why."""

    async def run(self, plan: Plan) -> None:
        """Buy the missing scores. The first Ctrl-C lets calls in progress finish, the second one does not."""
        async with anyio.create_task_group() as watching:
            with anyio.CancelScope() as work:
                watching.start_soon(self._watch_signals, work)
                try:
                    await self._book_missing()
                    await self._buy_all(plan)
                except StoreError as error:
                    self._halt(error.reason)
            watching.cancel_scope.cancel()

    async def _watch_signals(self, work: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self.interrupted_by is not None:
                    work.cancel()
                self.interrupted_by = number
                self._stop.set()

    def _halt(self, reason: str) -> None:
        self.halted = self.halted or reason
        self._stop.set()

    async def _book_missing(self) -> None:
        """Read pauses and budgets, and book purchases that an earlier run could not book."""
        missing = self._file.results.unbooked()
        self._admission = await self._store.book_evaluation([(one.user_id, one.usd or 0) for one in missing])
        for one in missing:
            self._file.booked(one)

    async def _buy_all(self, plan: Plan) -> None:
        wanted = [lead.lead_id for lead in plan.leads if lead.lead_id in plan.to_score | plan.to_score_again]
        send, receive = anyio.create_memory_object_stream[LeadToScore]()
        async with anyio.create_task_group() as group:
            for _ in range(AT_A_TIME):
                group.start_soon(self._work, receive.clone(), plan)
            receive.close()
            await self._feed(wanted, send)

    async def _feed(self, wanted: Sequence[str], send: MemoryObjectSendStream[LeadToScore]) -> None:
        async with send:
            for place in range(0, len(wanted), READ_AT_A_TIME):
                if self._stop.is_set():
                    return
                try:
                    leads = await self._read(wanted[place : place + READ_AT_A_TIME])
                except StoreError as error:
                    self._halt(error.reason)
                    return
                for lead in leads:
                    await send.send(lead)

    async def _read(self, lead_ids: Sequence[str]) -> list[LeadToScore]:
        """Read leads with their fields; a lead that makes the database fail is left out."""
        try:
            async with self._asking:
                found = await self._store.leads_to_score(lead_ids)
                self._admission = found.admission
        except StoreError as error:
            if not error.may_concern_one_lead:
                raise
            if len(lead_ids) == 1:
                self.unreadable[lead_ids[0]] = error.reason
                return []
            return [lead for one in lead_ids for lead in await self._read([one])]
        self._keys = {key.fingerprint: key for key in found.keys}
        self.unreadable.update({lead.lead_id: lead.unreadable for lead in found.leads if lead.unreadable})
        return [lead for lead in found.leads if not lead.unreadable]

    async def _work(self, leads: MemoryObjectReceiveStream[LeadToScore], plan: Plan) -> None:
        async with leads:
            async for row in leads:
                lead = row.model_copy(update={"prompts": self._file.candidate.texts(row.prompts)})
                if lead.lead_id in plan.to_score:
                    await self._buy(_Purchase(lead, "score", self._tariff))
                if lead.lead_id in plan.to_score_again and self._has_score(lead):
                    await self._buy(_Purchase(lead, "noise", self._tariff))

    def _has_score(self, lead: LeadToScore) -> bool:
        scored = self._file.results.final("score").get(lead.lead_id)
        return scored is not None and scored.score is not None

    async def _buy(self, purchase: _Purchase) -> None:
        """Buy one score. It is stored and booked even if an error occurs."""
        lead = purchase.lead
        if not await self._may_begin(purchase):
            return
        reserved = (lead.user_id, purchase.most_usd or 0.0)
        self._in_flight.append(reserved)
        try:
            await self._attempt(purchase)
        finally:
            scored = purchase.scored(self._file.next_no(), self._scorer.prompt_version(lead.prompts))
            self._file.keep(scored)
            with anyio.move_on_after(BOOKING_S, shield=True):
                await self._book(scored)
            self._in_flight.remove(reserved)
            self._ended.set()
            self._ended = anyio.Event()
        self._progress()

    async def _may_begin(self, purchase: _Purchase) -> bool:
        """Wait if only calls in progress exceed the budget, because most cost far less than their maximum."""
        lead, most_usd = purchase.lead, purchase.most_usd
        while not self._stop.is_set():
            if self._admission.blocks(lead, most_usd, []):
                self.blocked.add(lead.lead_id)
                if self._admission.everything:
                    self._halt(BLOCKED[self._admission.everything])
                elif self._admission.budgets and most_usd is None:
                    self._halt(UNPRICED)
                return False
            if not self._admission.blocks(lead, most_usd, self._in_flight):
                return True
            await self._ended.wait()
        return False

    async def _book(self, scored: Scored) -> None:
        try:
            async with self._asking:
                costs = [(scored.user_id, scored.usd)] if scored.usd else []
                self._admission = await self._store.book_evaluation(costs)
        except StoreError as error:
            self._halt(error.reason)
        else:
            self._file.booked(scored)

    async def _attempt(self, purchase: _Purchase) -> None:
        try:
            await self._score(purchase)
        except Failure as failure:
            purchase.fail(
                failure.code, failure.reason, is_final=failure.kind in (FailureClass.CONTENT, FailureClass.REFUSED)
            )
            self._halt_if_general(failure)
        except anyio.get_cancelled_exc_class():
            purchase.fail("interrupted", "The evaluation was interrupted.", is_final=False)
            raise
        else:
            self._failures_in_a_row = 0

    def _halt_if_general(self, failure: Failure) -> None:
        """Halt if the next lead would fail in the same way."""
        if failure.kind == FailureClass.TRANSIENT and not self._stop.is_set():
            self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            self._halt(f"{FAILURES_IN_A_ROW} leads in a row failed: {failure.reason}")
        elif failure.kind in (FailureClass.CONFIGURATION, FailureClass.KEY):
            self._halt(failure.reason)

    async def _score(self, purchase: _Purchase) -> None:
        score = await self._call(purchase, self._scorer.score)
        purchase.outcome = {
            "score": score.score,
            "should_contact": score.should_contact,
            "reason": score.response,
            "subject": INELIGIBLE if score.score < CONTACT_FROM else None,
        }
        if purchase.purpose == "score" and score.score >= CONTACT_FROM:
            message = await self._call(purchase, self._scorer.write)
            purchase.outcome["subject"] = message.subject

    async def _call(self, purchase: _Purchase, call: Call[Answer]) -> Answer:
        """Run one step, with another key if one fails, and again later after a transient failure."""
        tries = 0
        while True:
            key = await self._wait_for_key()
            started_at = anyio.current_time()
            try:
                answer, usage = await _ask(call, purchase, key)
            except Failure as failure:
                purchase.charge(failure.usage)
                tries += failure.kind != FailureClass.KEY
                if failure.kind == FailureClass.KEY:
                    rest_s = math.inf if failure.park_s is None else failure.park_s
                    self._rest_until[key.fingerprint] = anyio.current_time() + rest_s
                elif failure.kind != FailureClass.TRANSIENT or tries >= TRIES or self._stop.is_set():
                    raise
                else:
                    await self._pause(backoff(tries, base_s=1))
            except anyio.get_cancelled_exc_class():
                purchase.charge(Usage(unmetered=1))
                raise
            else:
                purchase.charge(usage)
                return answer
            finally:
                purchase.model_ms += (anyio.current_time() - started_at) * 1000

    async def _wait_for_key(self) -> ApiKey:
        while True:
            now = anyio.current_time()
            rests = {name: self._rest_until.get(name, now) - now for name in self._keys}
            free = [name for name, rest in rests.items() if rest <= 0]
            if free:
                return self._keys[random.choice(free)]  # noqa: S311 - spreads load
            soonest = min(rests.values(), default=math.inf)
            if soonest > LONGEST_KEY_WAIT_S or self._stop.is_set():
                raise Failure(FailureClass.KEY, "no_healthy_key", "No Gemini key may be used now.")
            await self._pause(soonest)

    async def _pause(self, seconds: float) -> None:
        """Pause, unless nothing more will be started."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()


async def _ask(call: Call[Answer], purchase: _Purchase, key: ApiKey) -> tuple[Answer, Usage]:
    """A defect may cost this lead its score, not the others theirs."""
    try:
        return await call(purchase.lead.lead, purchase.lead.prompts, key)
    except Failure:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        raise unexpected(error, Usage(calls=1, unmetered=1)) from None
