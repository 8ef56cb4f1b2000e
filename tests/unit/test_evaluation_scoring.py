"""How an evaluation buys: what a failure does, what is kept, and what is booked."""

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import anyio
import pytest
from tests.conftest import PATIENCE_S
from tests.support.scorers import PlainScorer

from leadhook.domain.evaluation import (
    AnsweredLead,
    AnsweredPage,
    BudgetLeft,
    LeadsToScore,
    LeadToScore,
    OpenAdmission,
    SavedAnswer,
)
from leadhook.domain.failure import Failure, FailureClass, StoreError
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Usage
from leadhook.domain.spend import Price, Tariff
from leadhook.evaluate import scoring
from leadhook.evaluate.results import Candidate, ResultsFile, Scored
from leadhook.evaluate.scoring import Scoring, make_plan
from leadhook.gemini.limits import call_limits

USER = UUID("00000000-0000-4000-8000-000000000001")
TARIFF = Tariff((Price(input=1, cached=1, output=1),), call_limits())
USAGE = Usage(calls=1, input_tokens=1000)
"""A tenth of a cent."""
MOST_USD = 2 * TARIFF.max_step_cost(Lead(lead_id="1"), Prompts())


def failure(kind: FailureClass, **more: Any) -> Failure:
    return Failure(kind, f"a_{kind}", "It failed.", **more)


class FakeStore:
    """Answered leads, with a budget to spend."""

    def __init__(self) -> None:
        self.ids = ["1", "2", "3"]
        self.keys = ["good"]
        self.budget: float | None = None
        self.everything: Any = None
        self.booked: list[float] = []
        self.fails: StoreError | None = None
        self.unreadable: set[str] = set()

    @property
    def admission(self) -> OpenAdmission:
        """As the database computes it."""
        left = () if self.budget is None else (BudgetLeft(user_id=USER, left_usd=self.budget - sum(self.booked)),)
        return OpenAdmission(everything=self.everything, budgets=left)

    def answered(self, lead_id: str) -> dict[str, Any]:
        saved = SavedAnswer(score=40, should_contact=False, subject="ineligible")
        return {"lead_id": lead_id, "user_id": USER, "tag": "t", "saved": saved}

    async def answered_leads(self, fields: Mapping[str, Any], after_lead: str) -> AnsweredPage:  # noqa: ARG002
        """Two a page."""
        ids = [lead_id for lead_id in self.ids if lead_id > after_lead]
        leads = tuple(AnsweredLead(**self.answered(lead_id)) for lead_id in ids[:2])
        return AnsweredPage(leads=leads, last_lead=ids[1] if len(ids) > 2 else None)

    async def leads_to_score(self, lead_ids: Sequence[str]) -> LeadsToScore:
        """Raises for the whole call where one can't be read."""
        if self.unreadable & set(lead_ids):
            raise StoreError("unavailable", "22P02", "A cast failed.")
        leads = tuple(
            LeadToScore(**self.answered(lead_id), lead=Lead(lead_id=lead_id), prompts=Prompts()) for lead_id in lead_ids
        )
        keys = tuple(ApiKey.model_validate({"fingerprint": key, "api_key": key}) for key in self.keys)
        return LeadsToScore(leads=leads, keys=keys, admission=self.admission)

    async def book_evaluation(self, costs: Sequence[tuple[UUID | None, float]]) -> OpenAdmission:
        """Unless it is unavailable."""
        if costs and self.fails:
            raise self.fails
        self.booked += [usd for _, usd in costs]
        return self.admission


class FakeScorer(PlainScorer):
    """Scores 80, and fails on order."""

    usage: ClassVar = {"score": USAGE, "write": USAGE}

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures: dict[str, list[Any]] = {}
        """By lead, step or key."""
        self.most_at_once = 0
        self.under_way = anyio.Event()
        self.may_answer = anyio.Event()
        self.may_answer.set()
        self._now = 0

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> None:  # noqa: ARG002 - the port's
        self.asked.append(f"{step} {lead.lead_id}")
        self._now += 1
        self.under_way.set()
        self.most_at_once = max(self.most_at_once, self._now)
        await self.may_answer.wait()
        await anyio.lowlevel.checkpoint()
        self._now -= 1
        for name in (lead.lead_id, step, key.fingerprint):
            if self.failures.get(name):
                raise self.failures[name].pop(0)


class Desk:
    """An evaluation, run as often as a test likes."""

    def __init__(self, path: Path) -> None:
        self.store = FakeStore()
        self.scorer = FakeScorer()
        self.file = ResultsFile.open(path, Candidate(model="m"))
        self.progress = 0
        self.current: Scoring | None = None

    async def run(self, noise: int = 0, tariff: Tariff | None = TARIFF) -> Scoring:
        plan = await make_plan(self.store, {}, limit=100, noise=noise, results=self.file.results)
        run = Scoring(self.store, self.scorer, tariff, self.file, self._step)
        self.current = run
        await run.run(plan)
        return run

    @asynccontextmanager
    async def interrupted(self) -> AsyncIterator[None]:
        """A run with calls under way, after the first signal."""
        self.scorer.may_answer = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self.run)
            await self.scorer.under_way.wait()
            os.kill(os.getpid(), signal.SIGINT)
            with anyio.fail_after(PATIENCE_S):
                while self.current is None or self.current.interrupted_by is None:
                    await anyio.lowlevel.checkpoint()
            yield

    def _step(self) -> None:
        self.progress += 1

    def last(self, lead_id: str) -> Scored:
        return [one for one in self.file.results.scored if one.lead_id == lead_id and one.purpose == "score"][-1]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Nothing waits for a retry here."""
    monkeypatch.setattr(scoring, "backoff", lambda _tries, base_s: 0 * base_s)
    desk = Desk(tmp_path / "results.jsonl")
    yield desk
    desk.file.close()


async def test_every_lead_is_scored_once_and_booked(desk: Desk) -> None:
    await desk.run()
    await desk.run()
    assert sorted(desk.scorer.asked) == [f"{step} {lead}" for step in ("score", "write") for lead in "123"]
    assert (desk.store.booked, desk.progress) == ([0.002] * 3, 3)
    assert desk.file.results.unbooked() == []


async def test_noise_scores_some_leads_twice_and_writes_nothing(desk: Desk) -> None:
    await desk.run()
    await desk.run(noise=2)
    await desk.run(noise=2)
    assert desk.scorer.asked.count("score 1") == desk.scorer.asked.count("score 2") == 2
    assert desk.scorer.asked.count("write 1") == desk.scorer.asked.count("score 3") == 1


async def test_a_failure_of_the_leads_own_is_final(desk: Desk) -> None:
    desk.scorer.failures["1"] = [failure(FailureClass.CONTENT, usage=USAGE)]
    await desk.run()
    await desk.run()
    assert desk.scorer.asked.count("score 1") == 1
    assert (desk.last("1").error_code, desk.last("1").usd) == ("a_content", 0.001)
    assert sorted(desk.store.booked) == [0.001, 0.002, 0.002]


async def test_a_passing_failure_is_tried_three_times_and_in_a_later_run(desk: Desk) -> None:
    desk.scorer.failures["1"] = [failure(FailureClass.TRANSIENT) for _ in range(3)]
    await desk.run()
    assert desk.scorer.asked.count("score 1") == 3
    assert (desk.last("1").score, desk.last("1").is_final) == (None, False)
    await desk.run()
    assert desk.last("1").score == 80


async def test_a_defect_costs_its_own_lead_alone(desk: Desk) -> None:
    desk.scorer.failures["1"] = [RuntimeError("Jane Doe") for _ in range(3)]
    run = await desk.run()
    assert (desk.last("2").score, desk.last("3").score, run.halted) == (80, 80, None)
    assert (desk.last("1").error_code, desk.last("1").is_final) == ("unexpected_error", False)
    assert desk.last("1").usd == pytest.approx(3 * MOST_USD / 2)
    assert "Jane" not in str(desk.last("1"))


async def test_a_score_whose_message_fails_is_kept(desk: Desk) -> None:
    """It was paid for; the subject is missing."""
    desk.scorer.failures["write"] = [failure(FailureClass.CONTENT)]
    desk.store.ids = ["1"]
    await desk.run()
    assert (desk.last("1").score, desk.last("1").subject, desk.last("1").error_code) == (80, None, "a_content")
    await desk.run()
    assert desk.scorer.asked.count("score 1") == 1


async def test_a_failing_key_is_left_out(desk: Desk) -> None:
    desk.store.keys = ["good", "bad"]
    desk.scorer.failures["bad"] = [failure(FailureClass.KEY) for _ in range(10)]
    run = await desk.run()
    assert (run.halted, desk.progress) == (None, 3)

    desk.store.ids.append("4")
    desk.store.keys = ["bad"]
    run = await desk.run()
    assert run.halted == "No Gemini key may be used now."
    assert not desk.last("4").is_final


async def test_wrong_settings_end_the_run(desk: Desk) -> None:
    desk.store.ids = [f"{number:02}" for number in range(30)]
    desk.scorer.failures["good"] = [failure(FailureClass.CONFIGURATION) for _ in range(30)]
    run = await desk.run()
    assert run.halted == "It failed."
    assert len(desk.scorer.asked) <= scoring.AT_A_TIME


async def test_a_failing_model_ends_the_run(desk: Desk) -> None:
    desk.store.ids = [f"{number:02}" for number in range(50)]
    desk.scorer.failures["good"] = [failure(FailureClass.TRANSIENT) for _ in range(500)]
    run = await desk.run()
    assert run.halted == "5 leads in a row failed: It failed."
    assert len(desk.file.results.scored) <= scoring.FAILURES_IN_A_ROW + scoring.AT_A_TIME


async def test_what_could_not_be_booked_is_booked_by_the_next_run(desk: Desk) -> None:
    desk.store.ids = ["1"]
    desk.store.fails = StoreError("unavailable", "timeout", "No answer.")
    run = await desk.run()
    assert (run.halted, desk.store.booked, desk.last("1").score) == ("No answer.", [], 80)
    desk.store.fails = None
    await desk.run()
    await desk.run()
    assert (desk.store.booked, desk.scorer.asked.count("score 1")) == ([0.002], 1)


async def test_calls_under_way_count_against_a_budget(desk: Desk) -> None:
    """Enough for one lead at a time at the most that it may cost: one at a time, and all are scored."""
    desk.store.budget = MOST_USD + 0.006
    run = await desk.run()
    assert (desk.scorer.most_at_once, desk.progress, run.blocked) == (1, 3, set())


async def test_a_spent_budget_leaves_the_rest(desk: Desk) -> None:
    desk.store.budget = MOST_USD + 0.003
    run = await desk.run()
    assert (desk.progress, len(run.blocked), run.halted) == (2, 1, None)


@pytest.mark.parametrize("why", ["paused", "spent"])
async def test_nothing_is_bought_while_nothing_may_be(desk: Desk, why: str) -> None:
    desk.store.everything = why
    run = await desk.run()
    assert (run.halted, desk.scorer.asked) == (scoring.BLOCKED[why], [])


async def test_without_a_price_a_budget_ends_the_run(desk: Desk) -> None:
    desk.store.budget = 100
    run = await desk.run(tariff=None)
    assert (run.halted, desk.scorer.asked) == (scoring.UNPRICED, [])
    desk.store.budget = None
    await desk.run(tariff=None)
    assert (desk.progress, desk.last("1").usd, desk.store.booked) == (3, None, [])


async def test_the_first_signal_lets_calls_end(desk: Desk) -> None:
    desk.store.ids = [f"{number:02}" for number in range(30)]
    async with desk.interrupted():
        desk.scorer.may_answer.set()
    scored = desk.file.results.scored
    assert 0 < len(scored) <= scoring.AT_A_TIME
    assert {(one.score, one.subject) for one in scored} == {(80, "Hello")}


async def test_the_second_signal_ends_calls_and_books_the_most(desk: Desk) -> None:
    """What they cost can't be known; a later run buys them again."""
    desk.store.ids = ["1"]
    async with desk.interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert (desk.last("1").error_code, desk.last("1").is_final) == ("interrupted", False)
    assert desk.store.booked == [pytest.approx(MOST_USD / 2)]


async def test_a_lead_that_the_database_cannot_read_is_left_out(desk: Desk) -> None:
    desk.store.unreadable = {"2"}
    run = await desk.run()
    assert (run.unreadable, desk.progress, run.halted) == ({"2": "A cast failed."}, 2, None)


async def test_a_call_that_may_be_billed_costs_the_most(desk: Desk) -> None:
    """A timeout says nothing of what the model did."""
    desk.store.ids = ["1"]
    late = [
        Failure(FailureClass.TRANSIENT, "model_timeout", "Late.", usage=Usage(calls=1, unmetered=1)) for _ in range(3)
    ]
    desk.scorer.failures["1"] = late
    await desk.run()
    assert desk.store.booked == [pytest.approx(3 * MOST_USD / 2)]
