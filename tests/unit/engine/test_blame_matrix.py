"""Who fails, for how long and how: no lead that a later answer could have saved dies, no key is lost, calls are few.

The engine is real, the clock jumps, and the queue behaves as the database does.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.unit.engine.conftest import FakeScorer, FakeStore, World, replies, saved_as

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.job import (
    ApiKey,
    Batch,
    ClaimedLead,
    ClaimRequest,
    LeaseOutcome,
    LeaseReplies,
    ParkedKey,
    Release,
    Result,
)
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Checkpoint, Usage

HOUR_S, MAX_ATTEMPTS = 3_600.0, 5
PAID, BILLED, FREE = Usage(calls=1, input_tokens=9), Usage(calls=1, unmetered=1), Usage(calls=1)
MOST_PAID = 3
"""Calls for a lead and step: one, and two repeats."""


@dataclass(frozen=True)
class Fault:
    """How calls fail.

    Attributes:
        recovery_s: after the end of the fault, until the last lead is answered.
        seconds: a call takes.
        hours_s: that it lasts where it lasts for hours.
    """

    kind: FailureClass
    code: str
    usage: Usage = FREE
    park_s: float | None = None
    recovery_s: float = 70.0
    seconds: float = 1.0
    hours_s: float = 3 * HOUR_S

    def failure(self) -> Failure:
        return Failure(self.kind, self.code, "Reason.", park_s=self.park_s, usage=self.usage)


FAULTS = {
    "key refused": Fault(FailureClass.KEY, "key_forbidden"),
    "bare 429": Fault(FailureClass.KEY, "key_exhausted"),
    "429 with a delay": Fault(FailureClass.KEY, "key_minute_quota", park_s=7),
    "404": Fault(FailureClass.CONFIGURATION, "model_unknown"),
    "bare 400": Fault(FailureClass.REFUSED, "model_refused_request"),
    "413": Fault(FailureClass.REFUSED, "prompt_too_long"),
    "503": Fault(FailureClass.TRANSIENT, "model_unavailable"),
    "503 with a delay": Fault(FailureClass.TRANSIENT, "model_unavailable", park_s=30),
    "HTML": Fault(FailureClass.TRANSIENT, "model_path_failed"),
    "cut": Fault(FailureClass.TRANSIENT, "model_connection_lost", BILLED),
    "slow": Fault(FailureClass.TRANSIENT, "model_timeout", BILLED, recovery_s=130, seconds=60),
    "empty": Fault(FailureClass.TRANSIENT, "answer_empty", PAID, recovery_s=3_700, hours_s=HOUR_S),
}
LASTS = ["once", "a minute", "hours"]
SIZES = [(keys, leads) for keys in (1, 3) for leads in (1, 20)]


@dataclass
class Job:
    lead_id: str
    available_at: float = 0.0
    state: str = "ready"
    fence: int = 0
    attempts: int = 0
    failing_since: float | None = None
    decide_after: float | None = None
    error_code: str | None = None
    checkpoint: Checkpoint | None = None
    reason: str = ""


@dataclass
class Key:
    until: float = 0.0
    rests: int = 0
    tried: bool = True


class Queue(FakeStore):
    """Leases, attempts, pauses and rests, as the database keeps them."""

    def __init__(self, world: World, keys: int, leads: int) -> None:
        super().__init__()
        self.world = world
        self.jobs = {f"lead-{n}": Job(f"lead-{n}") for n in range(leads)}
        self.keys = {f"key-{n}": Key() for n in range(keys)}
        self.done_at = 0.0
        self.decided = anyio.Event()

    def states(self) -> set[str]:
        return {job.state for job in self.jobs.values()}

    async def claim(self, request: ClaimRequest) -> Batch:
        """Lease what is due while a key is healthy; a probe prefers a lead that does not fail."""
        now = anyio.current_time()
        healthy = [
            ApiKey(fingerprint=name, api_key=SecretStr("fake"), tried=key.tried, rests=key.rests)
            for name, key in self.keys.items()
            if key.until <= now
        ]
        due = [job for job in self.jobs.values() if job.state == "ready" and job.available_at <= now]
        due.sort(key=lambda job: (request.probe and job.failing_since is not None, job.available_at))
        taken = due[: request.limit] if healthy else []
        leads = tuple(self._lease(job, now) for job in taken)
        has_more = bool(healthy) and len(due) > len(taken)
        return Batch(leads=leads, keys=tuple(healthy), has_more=has_more, next_due_ms=0 if has_more else self._next())

    def _lease(self, job: Job, now: float) -> ClaimedLead:
        job.state, job.fence = "leased", job.fence + 1
        failing_ms = None if job.failing_since is None else round(1000 * (now - job.failing_since))
        return self.world.lead(
            job.lead_id,
            fence=job.fence,
            attempts=job.attempts,
            failing_ms=failing_ms,
            checkpoint=job.checkpoint,
            error_code=job.error_code,
        )

    def _next(self) -> int | None:
        times = [job.available_at for job in self.jobs.values() if job.state == "ready"]
        key_at = min(key.until for key in self.keys.values())
        return max(250, round(1000 * (max(min(times), key_at) - anyio.current_time()))) if times else None

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies:  # noqa: ARG002 - the port's
        self.done_at = anyio.current_time()
        for result in results:
            self.jobs[result.lead_id].state = "without message" if result.message_failure else "done"
        for result in results:
            if result.message_failure:
                continue
            key = self.keys[str(result.key_fingerprint)]
            if key.until <= self.done_at:
                key.tried, key.rests = True, 0
        answered = any(not result.message_failure for result in results)
        for job in self.jobs.values() if answered else ():
            if job.state == "ready" and job.decide_after is not None:
                job.available_at = min(job.available_at, max(job.decide_after, self.done_at))
                job.decide_after = None
        self._notice_the_end()
        return replies(results, saved_as(results[0]), next_due_ms=self._next())

    async def release(self, worker: str, releases: Sequence[Release]) -> LeaseReplies:  # noqa: ARG002 - the port's
        """As `end_leases` does."""
        now = anyio.current_time()
        for item in releases:
            job = self.jobs[item.lead_id]
            job.attempts += item.outcome != "returned"
            exhausted = item.outcome == "retry" and job.attempts >= MAX_ATTEMPTS
            job.state = "dead" if exhausted or item.outcome == "dead" else "ready"
            job.available_at, job.checkpoint = now + item.delay_ms / 1000, item.checkpoint
            job.error_code, job.reason = item.error_code, item.reason
            job.decide_after = None if item.decide_after_ms is None else now + item.decide_after_ms / 1000
            if item.failing and job.failing_since is None:
                job.failing_since = now
        self._notice_the_end()
        return replies(releases, LeaseOutcome.RELEASED, next_due_ms=self._next())

    def _notice_the_end(self) -> None:
        if self.states() <= {"done", "dead", "without message"}:
            self.decided.set()

    async def park_keys(self, keys: Sequence[ParkedKey]) -> None:
        """As `leadhook_park_keys` does."""
        now = anyio.current_time()
        for key in keys:
            assert key.for_ms is not None
            self.keys[key.fingerprint] = Key(now + key.for_ms / 1000, key.rests, tried=False)


@dataclass
class Faulty(FakeScorer):
    """Fails as the cell says, until it ends."""

    fault: Fault
    ends_at: float
    lead: str | None = None
    key: str | None = None
    share: float = 1.0
    failed: list[tuple[str, str, float]] = field(default_factory=list)
    """Step, lead and time."""
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        FakeScorer.__init__(self)

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> Any:
        now = anyio.current_time()
        first = lead.lead_id not in self.seen
        self.seen.add(lead.lead_id)
        ours = self.lead in {None, lead.lead_id} and self.key in {None, key.fingerprint}
        lasts = first if self.ends_at == 0 else now < self.ends_at
        if ours and lasts and random.random() < self.share:  # noqa: S311 - a die
            self.failed.append((step, lead.lead_id, now))
            await anyio.sleep(self.fault.seconds)
            raise self.fault.failure()
        return await super()._answer(step, lead, prompts, key)


async def run(world: World, keys: int, leads: int, scorer: Faulty, until_s: float) -> Queue:
    """One cell, until all is decided or the time is over."""
    random.seed(f"{keys} {leads} {scorer.fault}")
    queue = Queue(world, keys, leads)
    world.store, world.scorer = queue, scorer
    async with world.engine(slots=16):
        with anyio.move_on_after(until_s - anyio.current_time()):
            await queue.decided.wait()
    return queue


def assert_few_calls(scorer: Faulty) -> None:
    """No lead is paid for more than three times at a step; while all fail, one call a minute tries whether it is over.

    A probe may ask a second key a moment later. The first two minutes have those that were in flight, and the first
    pauses of a lead alone.
    """
    if scorer.fault.usage == PAID:
        assert max(Counter(call[:2] for call in scorer.failed).values(), default=0) <= MOST_PAID
    if scorer.share == 1.0 and scorer.lead is scorer.key is None:
        times = [at for _, _, at in scorer.failed if at > 120]
        probes = [at for before, at in pairwise([0.0, *times]) if at - before > 5]
        assert all(at - before >= 60 for before, at in pairwise(probes)), probes


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("lasts", LASTS)
@pytest.mark.parametrize(("keys", "leads"), SIZES)
async def test_what_happens_to_all_kills_no_lead(world: World, name: str, lasts: str, keys: int, leads: int) -> None:
    fault = FAULTS[name]
    lasts_s = {"once": 0.0, "a minute": 60.0, "hours": fault.hours_s}[lasts]
    scorer = Faulty(fault, lasts_s)
    queue = await run(world, keys, leads, scorer, lasts_s + 5 * HOUR_S)

    assert queue.states() == {"done"}, {job.reason for job in queue.jobs.values()}
    if lasts != "once":  # then each lead's first call fails, so that probe after probe and rest after rest do
        assert queue.done_at <= lasts_s + fault.recovery_s
        assert_few_calls(scorer)
    if fault.kind == FailureClass.TRANSIENT:
        assert len(scorer.failed) <= max(70, 10 + lasts_s / 60)
    if fault.usage != PAID:
        assert {job.attempts for job in queue.jobs.values()} == {0}


@pytest.mark.parametrize(("keys", "leads"), SIZES)
async def test_paid_calls_that_fail_for_all_kill_no_lead_for_hours(world: World, keys: int, leads: int) -> None:
    scorer = Faulty(FAULTS["empty"], 3 * HOUR_S)
    queue = await run(world, keys, leads, scorer, 3 * HOUR_S - 1)

    assert queue.states() <= {"ready", "leased"}
    assert_few_calls(scorer)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize(("keys", "leads"), SIZES)
async def test_what_fails_most_calls_kills_no_lead(world: World, name: str, keys: int, leads: int) -> None:
    scorer = Faulty(FAULTS[name], 20 * HOUR_S, share=0.6)
    queue = await run(world, keys, leads, scorer, 25 * HOUR_S)

    # No other lead shows whether one that is alone is to blame.
    assert queue.states() == {"done"} or (scorer.fault.usage == PAID and leads == 1)
    assert_few_calls(scorer)


@pytest.mark.parametrize("paid_calls", [2, 3])
@pytest.mark.parametrize("spoiled", [False, True])
async def test_lead_is_decided_seconds_after_another_one_is_answered(
    world: World, paid_calls: int, *, spoiled: bool
) -> None:
    """Two empty answers, or three within an hour: while it was alone, no one knew whose fault it was."""
    scorer = Faulty(FAULTS["empty"], 99 * HOUR_S if spoiled else HOUR_S, lead="lead-0")
    queue = Queue(world, keys=2, leads=1)
    world.store, world.scorer = queue, scorer
    async with world.engine() as engine:
        await anyio.sleep(600 if paid_calls == 2 else 2 * HOUR_S)
        if paid_calls == 2 and not spoiled:
            scorer.ends_at = 0.5
        assert len(scorer.failed) == (paid_calls if spoiled else 2)
        queue.jobs["lead-1"] = Job("lead-1", available_at=anyio.current_time())
        engine.wake()
        await anyio.sleep(15)
    states = {name: job.state for name, job in queue.jobs.items()}
    assert states == {"lead-0": "dead" if spoiled else "done", "lead-1": "done"}
    assert len(scorer.failed) == (MOST_PAID if spoiled else 2)


async def test_leads_that_were_paid_for_in_an_outage_are_called_once_it_is_over(world: World) -> None:
    scorer = Faulty(FAULTS["empty"], 3 * HOUR_S)
    queue = Queue(world, keys=1, leads=4)
    world.store, world.scorer = queue, scorer
    async with world.engine() as engine:
        await anyio.sleep(3 * HOUR_S + 1)
        assert max(Counter(call[:2] for call in scorer.failed).values()) <= MOST_PAID
        paid_for = len(scorer.failed)
        queue.jobs["new"] = Job("new", available_at=anyio.current_time())
        engine.wake()
        await anyio.sleep(30)
    assert queue.states() == {"done"}
    assert len(scorer.failed) == paid_for


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("keys", [1, 3])
async def test_what_fails_one_lead_is_its_own_fault(world: World, name: str, keys: int) -> None:
    scorer = Faulty(FAULTS[name], 9 * HOUR_S, lead="lead-7")
    queue = await run(world, keys, 20, scorer, 2 * HOUR_S)

    assert {job.state for job in queue.jobs.values() if job.lead_id != "lead-7"} == {"done"}
    if scorer.fault.kind == FailureClass.REFUSED or scorer.fault.usage != FREE:
        assert queue.jobs["lead-7"].state == "dead"
        assert "so this lead is the cause" in queue.jobs["lead-7"].reason
    if scorer.fault.usage != FREE:
        assert len(scorer.failed) <= MOST_PAID


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("leads", [1, 20])
async def test_what_fails_one_key_is_its_own_fault(world: World, name: str, leads: int) -> None:
    scorer = Faulty(FAULTS[name], 9 * HOUR_S, key="key-0")
    queue = await run(world, 3, leads, scorer, 2 * HOUR_S)

    assert queue.states() == {"done"}
    if scorer.fault.kind in (FailureClass.KEY, FailureClass.CONFIGURATION, FailureClass.REFUSED):
        assert len(scorer.failed) <= 16
        assert {job.attempts for job in queue.jobs.values()} == {0}
