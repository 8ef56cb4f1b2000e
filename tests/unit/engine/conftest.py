"""An engine between a fake database and a fake model, on a clock that jumps: an hour of waiting costs no time.

The clock only moves while nothing can run, so that each test is exact and needs no luck.
"""

import asyncio
import inspect
import selectors
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import anyio
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.support.scorers import PlainScorer

from leadhook.domain.failure import Failure, StoreError
from leadhook.domain.job import (
    ApiKey,
    Batch,
    ClaimedLead,
    ClaimRequest,
    LeaseOutcome,
    LeaseRef,
    LeaseReplies,
    LeaseReply,
    OnDemandReplies,
    OnDemandReply,
    OnDemandResult,
    ParkedKey,
    Release,
    Renewal,
    ReplaySlice,
    Result,
    SweepSlice,
)
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Checkpoint, Message, Score
from leadhook.domain.spend import Tariff
from leadhook.engine import Engine, EngineContext, OnDemandLead

Reply = TypeVar("Reply")


class JumpingClockLoop(asyncio.SelectorEventLoop):
    """Instead of waiting it moves its clock to the next timer."""

    def __init__(self) -> None:
        self.seconds = 0.0
        loop = self

        class Impatient(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                events = super().select(0)
                if not events and timeout is None:
                    raise RuntimeError("everything waits, and no timer will end it")
                loop.seconds += 0.0 if events else timeout or 0.0
                return events

        super().__init__(Impatient())

    def time(self) -> float:
        return self.seconds


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": JumpingClockLoop}


@dataclass(frozen=True)
class Call:
    """What the fake database was asked, and when."""

    operation: str
    at: float
    arguments: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.arguments[name]


MOST_CLAIMED = 50
MOST_HINTS = 500


class FakeStore:
    """Answers each operation from its script, then with the friendliest reply there is."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.script: dict[str, list[Any]] = defaultdict(list)

    def of(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    async def claim(self, request: ClaimRequest) -> Batch:
        """Hand out nothing; be as strict as the database about what is asked for."""
        assert 1 <= request.limit <= MOST_CLAIMED
        assert 0 <= request.low_priority_limit <= request.limit
        assert len(request.hints) <= MOST_HINTS
        return await self._reply("claim", Batch(), **dict(request))

    async def claim_bare(self, request: ClaimRequest) -> LeaseRef | None:
        return await self._reply("claim_bare", None, **dict(request))

    async def renew(self, worker: str, renewals: Sequence[Renewal]) -> LeaseReplies:
        return await self._reply("renew", replies(renewals, LeaseOutcome.RENEWED), worker=worker, items=renewals)

    async def save(self, worker: str, results: Sequence[Result]) -> LeaseReplies:
        leases = tuple(LeaseReply(lead_id=item.lead_id, fence=item.fence, outcome=saved_as(item)) for item in results)
        return await self._reply("save", LeaseReplies(leases=leases), worker=worker, items=results)

    async def release(self, worker: str, releases: Sequence[Release]) -> LeaseReplies:
        friendly = replies(releases, LeaseOutcome.RELEASED)
        return await self._reply("release", friendly, worker=worker, items=releases)

    async def park_keys(self, keys: Sequence[ParkedKey]) -> None:
        await self._reply("park_keys", None, keys=keys)

    async def save_on_demand(self, worker: str, results: Sequence[OnDemandResult]) -> OnDemandReplies:
        friendly = OnDemandReplies(
            leads=tuple(
                OnDemandReply(
                    lead_id=result.lead.lead_id,
                    outcome=LeaseOutcome.RELEASED if isinstance(result.ending, Release) else saved_as(result.ending),
                )
                for result in results
            )
        )
        return await self._reply("save_on_demand", friendly, worker=worker, items=results)

    async def sweep(self, worker: str) -> SweepSlice:
        return await self._reply("sweep", SweepSlice(round_finished=True), worker=worker)

    async def replay_slice(self) -> ReplaySlice:
        return await self._reply("replay_slice", ReplaySlice())

    async def _reply(self, operation: str, friendly: Reply, **arguments: Any) -> Reply:
        self.calls.append(Call(operation, anyio.current_time(), arguments))
        reply = self.script[operation].pop(0) if self.script[operation] else friendly
        if callable(reply):
            reply = reply()
        if inspect.isawaitable(reply):
            reply = await reply
        if isinstance(reply, StoreError):
            raise reply
        return friendly if reply is None else cast("Reply", reply)


class FakeScorer(PlainScorer):
    """Scores 80 and writes, one second each, unless its script has another answer for the lead."""

    def __init__(self) -> None:
        self.seconds = 1.0
        self.delays: dict[str, float] = {}
        self.calls: list[tuple[str, str, float]] = []
        self.keys: list[str] = []
        self.script: dict[str, list[Score | Exception | None]] = {}
        self.refused_keys: dict[str, Exception] = {}
        self.slow_keys: dict[str, float] = {}
        self.checks: dict[str, float] = {}
        """Keys that a check accepts, and how many seconds it takes; it says nothing of the others."""
        self.checked: list[str] = []

    @property
    def steps(self) -> list[str]:
        return [step for step, *_ in self.calls]

    async def check_key(self, key: ApiKey) -> bool:
        self.checked.append(key.fingerprint)
        await anyio.sleep(self.checks.get(key.fingerprint, 0))
        return key.fingerprint in self.checks

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> Score | None:
        assert prompts.message_prompt
        self.calls.append((step, lead.lead_id, anyio.current_time()))
        self.keys.append(key.fingerprint)
        await anyio.sleep(self.slow_keys.get(key.fingerprint, self.delays.get(lead.lead_id, self.seconds)))
        if key.fingerprint in self.refused_keys:
            raise self.refused_keys[key.fingerprint]
        answer = self.script[lead.lead_id].pop(0) if self.script.get(lead.lead_id) else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class World:
    log: list[Any]
    store: FakeStore = field(default_factory=FakeStore)
    scorer: FakeScorer = field(default_factory=FakeScorer)

    @property
    def finished(self) -> list[Any]:
        return [line for line in self.log if line["event"] == "lead.finished"]

    @property
    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.finished]

    @property
    def saves(self) -> list[Any]:
        return [item for call in self.store.of("save") for item in call.items]

    @property
    def releases(self) -> list[Any]:
        return [item for call in self.store.of("release") for item in call.items]

    @property
    def parked(self) -> list[Any]:
        return [key for call in self.store.of("park_keys") for key in call.keys]

    @asynccontextmanager
    async def engine(
        self,
        *,
        slots: int = 4,
        sweep_interval_s: float = 300,
        tariff: Tariff | None = None,
        injection_check: bool = True,
    ) -> AsyncIterator[Engine]:
        """A running engine; it is cancelled when the block ends."""
        engine = Engine(
            EngineContext(
                store=self.store,
                scorer=self.scorer,
                worker_name="tester",
                tariff=tariff,
                injection_check=injection_check,
            ),
            max_concurrency=slots,
            sweep_interval_s=sweep_interval_s,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            yield engine
            tasks.cancel_scope.cancel()

    async def run(self, seconds: float, **settings: Any) -> None:
        """Run an engine for this long."""
        async with self.engine(**settings):
            await anyio.sleep(seconds)

    def hand_out(self, *leads: ClaimedLead, **fields: Any) -> Batch:
        """Have the next claim without a script answered with these leads."""
        batch = self.batch(*leads, **fields)
        self.store.script["claim"].append(batch)
        return batch

    def batch(self, *leads: ClaimedLead, keys: int = 3, tried: bool = True, rests: int = 0, **fields: Any) -> Batch:
        """A claim's reply; `rests` are those of the first key, which is then on trial."""
        offered = [
            ApiKey(fingerprint=f"key-{n}", api_key=SecretStr("fake"), tried=tried and (n > 0 or not rests), rests=rests)
            for n in range(keys)
        ]
        return Batch(leads=leads, keys=tuple(offered), **fields)

    def lead(self, lead_id: str = "a", **fields: Any) -> ClaimedLead:
        given = {
            "fence": 1,
            "run": 1,
            "attempts": 0,
            "low_priority": False,
            "source": "webhook",
            "waited_ms": 5,
            **fields,
        }
        return ClaimedLead(
            lead_id=lead_id,
            eligible_at=datetime(2026, 11, 23, tzinfo=UTC),
            lead=Lead(lead_id=lead_id, name="Ada"),
            prompts=Prompts(message_prompt="1"),
            **given,
        )

    def on_demand(self, lead_id: str = "e") -> OnDemandLead:
        key = ApiKey(fingerprint="callers-key", api_key=SecretStr("fake"))
        return OnDemandLead(Lead(lead_id=lead_id, name="Ada"), Prompts(message_prompt="1"), key)

    def leads(self, count: int, **fields: Any) -> list[ClaimedLead]:
        return [self.lead(f"lead-{n}", **fields) for n in range(count)]

    def paid(self, *, score: int = 80, message: Message | None = None, prompt_version: str = "prompts 1") -> Checkpoint:
        """Answers that an earlier lease bought."""
        return Checkpoint(
            prompt_version=prompt_version,
            input_version="input Ada",
            model="earlier-model",
            score=Score(score=score, response="earlier", should_contact=score >= 50),
            message=message,
        )

    def message(self) -> Message:
        return Message(subject="Earlier", message="Earlier words")

    def failure(self, kind: Any, **fields: Any) -> Failure:
        return Failure(kind, f"{kind}_code", f"{kind} reason", **fields)

    def replies(self, items: Sequence[LeaseRef | ClaimedLead], outcome: LeaseOutcome, **fields: Any) -> LeaseReplies:
        return replies(items, outcome, **fields)

    def slice(self, **fields: Any) -> SweepSlice:
        return SweepSlice(**{"round_finished": True, **fields})

    async def after(self, seconds: float, reply: Any = None) -> Any:
        """A reply that takes a while; None is the friendliest."""
        await anyio.sleep(seconds)
        return reply

    def trouble(self, kind: Any = "unavailable", code: str | None = None) -> StoreError:
        return StoreError(kind, code or f"{kind}_code", f"{kind} reason")


def saved_as(result: Result) -> LeaseOutcome:
    return LeaseOutcome.SAVED_WITHOUT_MESSAGE if result.message_failure else LeaseOutcome.SAVED


def replies(items: Sequence[LeaseRef | ClaimedLead], outcome: LeaseOutcome, **fields: Any) -> LeaseReplies:
    leases = tuple(LeaseReply(lead_id=item.lead_id, fence=item.fence, outcome=outcome) for item in items)
    return LeaseReplies(leases=leases, **fields)


@pytest.fixture
def world() -> Iterator[World]:
    with capture_logs() as log:
        yield World(log)
