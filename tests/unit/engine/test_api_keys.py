"""What one lead learns of a key, the others know."""

from collections import Counter
from typing import Any

import anyio
import pytest
from tests.unit.engine.conftest import World
from tests.unit.engine.test_blame_matrix import FAULTS, HOUR_S, Faulty, run

from leadhook.domain.failure import FailureClass
from leadhook.domain.job import ApiKey, KeyNews, LeaseReplies
from leadhook.domain.lead import Lead, Prompts


def key_failure(world: World, park_s: float | None = None) -> Any:
    return world.failure(FailureClass.KEY, park_s=park_s)


async def test_untried_key_is_tried_by_one_call_and_the_others_wait(world: World) -> None:
    world.hand_out(*world.leads(4), keys=1, tried=False)
    async with world.engine() as engine:
        await anyio.sleep(5)
        begun = [at for step, _, at in world.scorer.calls if step == "score"]
        assert begun == [0, 1, 1, 1]
        assert len(world.finished) == 4
        assert [line["key_wait_ms"] for line in world.finished] == [0, 1000, 1000, 1000]
        world.hand_out(*world.leads(4, fence=2), keys=1, tried=False)
        now = anyio.current_time()
        engine.wake()
        await anyio.sleep(5)
        assert [at >= now for *_, at in world.scorer.calls[8:12]] == [True] * 4
        assert len({at for *_, at in world.scorer.calls[8:12]}) == 1


async def test_new_keys_are_checked_before_leads_need_them(world: World) -> None:
    world.scorer.checks = {f"key-{n}": 0.2 for n in range(12)}
    world.hand_out(keys=12, tried=False)
    world.hand_out(*world.leads(24), keys=12, tried=False)
    async with world.engine(slots=24) as engine:
        await anyio.sleep(10)
        engine.wake()
        await anyio.sleep(10)
        assert [line["key_wait_ms"] for line in world.finished] == [0] * 24
        assert len({at for step, _, at in world.scorer.calls if step == "score"}) == 1
        assert len(world.scorer.checked) == 12


@pytest.mark.parametrize(
    ("checks_s", "begun_at"),
    [(0.25, [0, 0.25, 0.25, 0.25]), (3600, [0, 1, 1, 1]), (None, [0, 1, 1, 1])],
    ids=["quick", "hangs", "refused"],
)
async def test_a_check_delays_no_lead(world: World, checks_s: float | None, begun_at: list[float]) -> None:
    world.scorer.checks = {} if checks_s is None else {"key-0": checks_s}
    world.hand_out(*world.leads(4), keys=1, tried=False)
    await world.run(10)
    assert [at for step, _, at in world.scorer.calls if step == "score"] == begun_at
    assert world.outcomes == ["saved"] * 4
    assert world.store.of("park_keys") == []


async def test_a_key_that_rested_is_tried_by_a_call_not_by_a_check(world: World) -> None:
    """A check says nothing of a quota."""
    world.scorer.checks = {"key-0": 0}
    world.hand_out(*world.leads(4), keys=1, rests=1)
    await world.run(10)
    assert world.scorer.checked == []
    assert [at for step, _, at in world.scorer.calls if step == "score"] == [0, 1, 1, 1]


async def test_a_checked_key_that_is_refused_rests_as_any_other(world: World) -> None:
    """It was good for a description of the model, not for a call."""
    world.scorer.checks = {"key-0": 0, "key-1": 0}
    world.scorer.refused_keys = {"key-0": key_failure(world)}
    world.hand_out(keys=2, tried=False)
    world.hand_out(*world.leads(8), keys=2, tried=False)
    async with world.engine(slots=8) as engine:
        await anyio.sleep(5)
        engine.wake()
        await anyio.sleep(20)
        assert world.outcomes == ["saved"] * 8
        assert world.scorer.keys.count("key-0") == 4
        [parked] = world.parked
        assert (parked.fingerprint, parked.for_ms) == ("key-0", 60_000)


def news(fingerprint: str, answered_ms: int | None = None) -> LeaseReplies:
    """A reply that says how another process fared with a key."""
    item = KeyNews(fingerprint=fingerprint, resting=answered_ms is None, answered_ms=answered_ms)
    return LeaseReplies(key_news=(item,))


async def test_a_key_that_rests_elsewhere_is_not_called_here(world: World) -> None:
    world.scorer.seconds = 15
    world.store.script["renew"].append(news("key-0"))
    world.hand_out(*world.leads(4), keys=2)
    await world.run(40)
    assert world.outcomes == ["saved"] * 4
    assert world.scorer.keys[:4].count("key-0") == 2
    assert set(world.scorer.keys[4:]) == {"key-1"}
    assert world.store.of("park_keys") == []


async def test_a_success_elsewhere_ends_a_trial_here(world: World) -> None:
    world.scorer.seconds = 15
    world.store.script["renew"].append(news("key-0", answered_ms=5_000))
    world.hand_out(*world.leads(4), keys=1, tried=False)
    await world.run(40)
    assert [at for step, _, at in world.scorer.calls if step == "score"] == [0, 10, 10, 10]


@pytest.mark.parametrize(("answered_ms", "rest_ms"), [(60_000, 300_000), (900_000, 64_000), (None, 64_000)])
async def test_a_success_elsewhere_is_evidence_against_a_key_that_fails_here(
    world: World, answered_ms: int | None, rest_ms: int
) -> None:
    """If it was lately: the second rest in a row is longer, since it is the key's project."""
    world.scorer.refused_keys = {"key-0": key_failure(world)}
    batch = world.batch(*world.leads(2), keys=2, rests=1)
    failing, other = batch.keys
    keys = failing, other.model_copy(update={"answered_ms": answered_ms, "tried": answered_ms is not None})
    world.store.script["claim"].append(batch.model_copy(update={"keys": keys}))
    world.scorer.slow_keys = {"key-1": 1_000}
    async with world.engine():
        while not (parked := world.parked):  # noqa: ASYNC110 - no time passes
            await anyio.sleep(1)
        assert [(key.fingerprint, key.for_ms) for key in parked] == [("key-0", rest_ms)]


async def test_bad_untried_key_gets_one_call_and_fails_no_lead(world: World) -> None:
    world.hand_out(*world.leads(4), keys=1, tried=False)
    world.scorer.script = {f"lead-{n}": [key_failure(world)] for n in range(4)}
    await world.run(5)
    assert len(world.scorer.calls) == 1
    released = world.releases
    assert {item.outcome for item in released} == {"returned"}
    assert sorted(item.error_code for item in released) == ["key_code"] + ["no_healthy_key"] * 3


async def test_trial_that_proves_nothing_lets_the_next_lead_try(world: World) -> None:
    """The model was overloaded: the key is as good or bad as before."""
    world.hand_out(*world.leads(3), keys=1, tried=False)
    world.scorer.script = {f"lead-{n}": [world.failure(FailureClass.TRANSIENT)] for n in range(2)}
    await world.run(8)
    assert [at for step, _, at in world.scorer.calls if step == "score"] == [0, 1, 2]
    assert world.outcomes.count("saved") == 1


async def test_leads_that_wait_for_a_trial_go_back_when_the_service_ends(world: World) -> None:
    world.hand_out(*world.leads(3), keys=1, tried=False)
    world.scorer.seconds = 40
    async with world.engine() as engine:
        await anyio.sleep(1)
        await engine.stop(45)
        codes = [item.error_code for item in world.releases]
        assert codes.count("shutting_down") >= 2
        assert len(world.scorer.calls) == 1


async def test_lead_goes_on_with_a_key_that_was_answered_not_with_the_next_bad_one(world: World) -> None:
    world.scorer.refused_keys = {f"key-{n}": key_failure(world) for n in range(3)}
    world.hand_out(*world.leads(16), keys=4)
    world.scorer.slow_keys = {"key-3": 2.0}
    await world.run(60, slots=16)
    assert world.outcomes == ["saved"] * 16
    assert sum(key != "key-3" for key in world.scorer.keys) == 12
    assert all(line["attempt"] == 1 for line in world.finished)


@pytest.mark.parametrize(
    ("failures", "rests_s"),
    [
        (1, [60]),
        (6, [60, 300, 1_800, 7_200, 43_200, 86_400]),
        (8, [60, 300, 1_800, 7_200, 43_200, 86_400, 86_400, 86_400]),
    ],
)
async def test_key_rests_longer_each_time_while_others_are_answered(
    world: World, failures: int, rests_s: list[int]
) -> None:
    world.scorer.refused_keys, world.scorer.slow_keys = {"key-0": key_failure(world)}, {"key-0": 1.5}
    async with world.engine() as engine:
        for rests in range(failures):
            world.hand_out(*world.leads(3, fence=rests + 1), keys=2, rests=rests)
            engine.wake()
            await anyio.sleep(10)
        parked = world.parked
        assert [(key.rests, key.for_ms) for key in parked] == [
            (n + 1, 1000 * rest_s) for n, rest_s in enumerate(rests_s)
        ]
        assert "1 other key" in parked[-1].reason
        assert world.outcomes == ["saved"] * 3 * failures


async def test_key_whose_model_is_refused_rests_when_another_key_is_answered(world: World) -> None:
    retired = world.failure(FailureClass.CONFIGURATION)
    world.scorer.refused_keys = {"key-0": retired}
    world.hand_out(*world.leads(16), keys=2)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(20)
        assert world.outcomes == ["saved"] * 16
        assert engine.health().fault is None
        [parked] = {parked.fingerprint for parked in world.parked}
        assert parked == "key-0"


async def test_quota_is_reported_for_the_model(world: World) -> None:
    """Another model may be used with the key."""
    world.scorer.refused_keys = {"key-0": world.failure(FailureClass.KEY, for_model="fake-model")}
    world.hand_out(world.lead(), keys=1)
    await world.run(5)
    [parked] = world.store.of("park_keys")[0].keys
    assert parked.model == "fake-model"
    assert world.store.of("claim")[0].model == "fake-model"


async def test_parked_key_stays_parked_until_the_database_knows_and_offers_it(world: World) -> None:
    """A claim that was on its way when the key failed can't bring it back."""
    world.hand_out(world.lead("a"), keys=1)
    world.scorer.script = {"a": [key_failure(world, 30)]}
    world.store.script["park_keys"].append(lambda: world.after(5))
    stale = world.batch(world.lead("b"), keys=1)
    world.store.script["claim"].append(lambda: world.after(3, stale))
    async with world.engine() as engine:
        await anyio.sleep(0.5)
        engine.wake()
        await anyio.sleep(10)
        assert [lead for _, lead, _ in world.scorer.calls] == ["a"]
        world.hand_out(world.lead("c"), keys=1, tried=False)
        engine.wake()
        await anyio.sleep(5)
        assert "c" in [lead for _, lead, _ in world.scorer.calls]


async def test_a_parked_key_is_reported_until_the_database_has_it(world: World) -> None:
    world.hand_out(world.lead(), keys=2)
    world.scorer.script = {"a": [key_failure(world)]}
    world.store.script["park_keys"].extend([world.trouble(), world.trouble(), None])
    await world.run(30)
    parked_keys = [call.keys for call in world.store.of("park_keys")]
    assert len(parked_keys) == 3
    assert all(parked == parked_keys[0] and parked[0].for_ms == 60_000 for parked in parked_keys)
    assert world.outcomes == ["saved"]


class FailingKeys(Faulty):
    """Calls with these keys fail; the fault says nothing of a key."""

    bad: frozenset[str]

    async def _answer(self, step: str, lead: Lead, prompts: Prompts, key: ApiKey) -> Any:
        self.key = key.fingerprint if key.fingerprint in self.bad else "none"
        return await super()._answer(step, lead, prompts, key)


@pytest.mark.parametrize("name", ["503", "HTML", "cut", "slow", "empty"])
@pytest.mark.parametrize("bad", [1, 3])
async def test_keys_that_fail_while_others_are_answered_come_last(world: World, name: str, bad: int) -> None:
    scorer = FailingKeys(FAULTS[name], 99 * HOUR_S)
    scorer.bad = frozenset(f"key-{n}" for n in range(bad))
    queue = await run(world, 4, 60, scorer, 5 * HOUR_S)

    assert queue.states() == {"done"}, {job.reason for job in queue.jobs.values()}
    assert queue.done_at <= 600
    assert len(scorer.failed) <= 16 + bad * 6
    assert max(Counter(lead for _, lead, _ in scorer.failed).values()) <= 2
