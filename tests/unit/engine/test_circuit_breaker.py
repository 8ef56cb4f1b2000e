"""What an outage of the model does: leads wait unspent, and one at a time finds out when it is over."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.blame import Evidence
from leadhook.domain.failure import SETTINGS_REFUSED, Failure, FailureClass
from leadhook.domain.job import OtherAttempt
from leadhook.domain.results import Usage
from leadhook.engine import EngineContext
from leadhook.engine.circuit_breaker import CircuitBreaker
from leadhook.engine.timing import Wakeup
from leadhook.observability import metrics

NEVER = 1000


def fail(world: World, *lead_ids: str, kind: FailureClass = FailureClass.TRANSIENT, times: int = NEVER) -> None:
    for lead_id in lead_ids:
        world.scorer.script[lead_id] = [world.failure(kind)] * times


def names(count: int) -> list[str]:
    """What `world.leads` calls them."""
    return [f"lead-{n}" for n in range(count)]


def releases(world: World) -> dict[str, str]:
    return {item.lead_id: item.outcome for item in world.releases}


async def test_ten_failures_in_a_row_spend_no_attempt_and_stop_the_claims(world: World) -> None:
    fail(world, *names(16))
    world.hand_out(*world.leads(16), has_more=True, next_due_ms=0)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(5.9)
        assert list(releases(world).values()) == ["returned"] * 16
        assert len(world.store.of("claim")) == 1
        assert engine.health().fault_code == "model_outage"
        assert not engine.health().claiming


async def test_one_success_resets_the_count(world: World) -> None:
    fail(world, *names(9))
    fail(world, *(f"later-{n}" for n in range(9)))
    world.scorer.delays = {f"later-{n}": 3.0 for n in range(9)}
    world.hand_out(*world.leads(9))
    world.hand_out(world.lead("good"), *(world.lead(f"later-{n}") for n in range(9)))
    async with world.engine(slots=19) as engine:
        await anyio.sleep(1.5)
        engine.wake()
        await anyio.sleep(4)
        assert set(releases(world).values()) == {"returned"}
        assert len(releases(world)) == 18
        assert engine.health().fault is None


async def test_answer_to_a_call_from_before_the_failures_is_no_sign_of_life(world: World) -> None:
    """Refusals are quick and answers slow: six of before come between the failures and after them."""
    fail(world, *names(16))
    late = [world.lead(f"late-{n}", checkpoint=world.paid()) for n in range(6)]
    world.scorer.delays = {f"lead-{n}": 1 + n / 10 for n in range(16)} | {f"late-{n}": 1.15 + n / 5 for n in range(6)}
    world.hand_out(*world.leads(16), *late, has_more=True, next_due_ms=0)
    async with world.engine(slots=22) as engine:
        await anyio.sleep(4)
        assert engine.health().fault_code == "model_outage"
        assert list(releases(world).values()).count("returned") == 16
    assert [line["event"] for line in world.log].count("breaker.opened") == 1


@pytest.mark.parametrize("kind", [FailureClass.KEY, FailureClass.CONTENT])
async def test_failures_of_keys_and_leads_do_not_count(world: World, kind: FailureClass) -> None:
    fail(world, *names(16), kind=kind)
    world.hand_out(*world.leads(16), keys=16)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(5)
        assert engine.health().fault is None


async def test_tries_are_further_and_further_apart_up_to_a_minute(world: World) -> None:
    world.scorer.seconds = 0
    fail(world, *names(16))
    world.hand_out(*world.leads(16), has_more=True, next_due_ms=0)
    for fence in range(2, 20):
        world.hand_out(world.lead("lead-0", fence=fence), has_more=True, next_due_ms=0)
    async with world.engine(slots=16) as engine:
        for _ in range(200):
            await anyio.sleep(1)
            engine.wake()
        claims = world.store.of("claim")
        assert [round(call.at) for call in claims] == [0, 33, 99, 165]
        assert [(call.limit, call.probe) for call in claims[1:]] == [(1, True)] * 3
        assert releases(world)["lead-0"] == "returned"
        assert len(world.scorer.calls) == 16 + 3


async def test_lead_that_is_refused_without_a_call_is_no_answer(world: World) -> None:
    """Its prompts are too long, say; the model still fails, and the key was not tried."""
    fail(world, *names(16), times=1)
    world.scorer.script["tried"] = [world.failure(FailureClass.CONTENT)]
    world.hand_out(*world.leads(16), has_more=True, next_due_ms=0)
    world.hand_out(world.lead("tried"), has_more=True, next_due_ms=0)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(40)
        assert releases(world)["tried"] == "dead"
        assert [call.limit for call in world.store.of("claim")] == [16, 1]
        assert engine.health().fault is not None
    assert "answered" not in world.releases[-1].reason


async def test_first_answer_releases_it_at_once(world: World) -> None:
    fail(world, *names(16), times=1)
    world.hand_out(*world.leads(16), has_more=True, next_due_ms=0)
    world.hand_out(world.lead("tried"), has_more=True, next_due_ms=0)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(35.2)
        assert [call.limit for call in world.store.of("claim")] == [16, 1, 15]
        assert world.store.of("claim")[2].at == pytest.approx(35.0, abs=0.1)
        assert engine.health().fault is None
    events = [line["event"] for line in world.log]
    assert (events.count("breaker.opened"), events.count("breaker.closed")) == (1, 1)


async def test_leads_that_arrive_under_it_go_back_with_what_they_have(world: World) -> None:
    fail(world, *names(12))
    world.hand_out(*world.leads(12), has_more=True, next_due_ms=0)
    late = [world.lead(f"late-{n}", checkpoint=world.paid()) for n in range(4)]
    world.store.script["claim"].append(lambda: world.after(2, world.batch(*late)))
    await world.run(4, slots=16)
    given_back = {item.lead_id: item for item in world.releases}
    for lead in late:
        assert (given_back[lead.lead_id].outcome, given_back[lead.lead_id].error_code) == ("returned", "model_outage")
        assert given_back[lead.lead_id].checkpoint == world.paid()
    assert len(world.scorer.calls) == 12


async def test_three_leads_refused_in_a_row_are_the_installation(world: World) -> None:
    fail(world, *names(200), kind=FailureClass.REFUSED)
    for n in range(0, 200, 4):
        world.hand_out(*(world.lead(name) for name in names(200)[n : n + 4]), keys=1, has_more=True, next_due_ms=0)
    async with world.engine(slots=4) as engine:
        await anyio.sleep(30)
        assert set(releases(world).values()) == {"returned"}
        assert len(releases(world)) <= 8
        health = engine.health()
        assert health.fault_code == "refused_code"
        assert "GEMINI_MODEL" in str(health.fault)
        assert not health.claiming


async def test_refused_leads_among_answered_ones_stop_nothing(world: World) -> None:
    fail(world, *names(3), kind=FailureClass.REFUSED)
    world.scorer.delays = dict.fromkeys(names(3), 0.1)
    world.hand_out(*world.leads(16))
    async with world.engine(slots=16) as engine:
        await anyio.sleep(5)
        assert engine.health().fault is None
        assert [releases(world)[name] for name in names(3)] == ["returned"] * 3


@pytest.mark.parametrize("answered_before", [False, True])
async def test_parameters_that_are_refused_are_the_settings_unless_others_were_answered_with_them(
    world: World, *, answered_before: bool
) -> None:
    """The message may only quote a lead's text."""
    if answered_before:
        world.hand_out(*world.leads(3))
    odd = Failure(FailureClass.CONFIGURATION, SETTINGS_REFUSED, "Reason.")
    world.scorer.script["odd"] = [odd] * NEVER
    world.store.script["claim"].append(world.batch(world.lead("odd")))
    async with world.engine() as engine:
        await anyio.sleep(5)
        engine.wake()
        await anyio.sleep(5)
        assert (engine.health().fault_code == SETTINGS_REFUSED) is not answered_before
        assert releases(world) == {"odd": "returned"}
        [item] = world.releases
        assert item.failing is answered_before


async def test_two_leads_refused_at_once_are_the_installation_if_no_other_call_runs(world: World) -> None:
    fail(world, *names(2), kind=FailureClass.REFUSED)
    world.hand_out(*world.leads(2))
    async with world.engine() as engine:
        await anyio.sleep(5)
        assert engine.health().fault_code == "refused_code"
        assert releases(world) == dict.fromkeys(names(2), "returned")


async def test_two_leads_refused_one_after_the_other_prove_nothing_yet(world: World) -> None:
    fail(world, "a", "b", "c", kind=FailureClass.REFUSED)
    async with world.engine() as engine:
        for lead_id, fault_code in (("a", None), ("b", None), ("c", "refused_code")):
            world.hand_out(world.lead(lead_id))
            engine.wake()
            await anyio.sleep(5)
            assert engine.health().fault_code == fault_code


@pytest.mark.parametrize(("others", "refusals", "outcome"), [(0, 5, "returned"), (1, 2, "returned"), (1, 3, "dead")])
async def test_lead_refused_three_times_is_dead_once_another_was_answered(
    world: World, others: int, refusals: int, outcome: str
) -> None:
    fail(world, "bad", kind=FailureClass.REFUSED)
    world.hand_out(world.lead("bad"))
    async with world.engine() as engine:
        await anyio.sleep(5)
        world.hand_out(*world.leads(others))
        engine.wake()
        for fence in range(2, refusals + 1):
            await anyio.sleep(5)
            world.hand_out(world.lead("bad", fence=fence, failing_ms=5_000 * fence))
            engine.wake()
        await anyio.sleep(5)
        last = world.releases[-1]
        assert (last.lead_id, last.outcome) == ("bad", outcome)
        assert ("1 other lead was answered" if others else "No other lead was answered") in last.reason


async def test_refusal_that_passes_for_another_lead_is_no_leads_fault(world: World) -> None:
    fail(world, "bad", kind=FailureClass.REFUSED)
    fail(world, "other", kind=FailureClass.REFUSED, times=2)
    world.scorer.delays = {"slow": 4.0}
    world.hand_out(world.lead("bad"), world.lead("other"), world.lead("slow"))
    for fence in range(2, 6):
        world.hand_out(world.lead("other", fence=fence, failing_ms=5_000 * fence))
        world.hand_out(world.lead("bad", fence=fence, failing_ms=5_000 * fence))
    async with world.engine() as engine:
        for _ in range(10):
            await anyio.sleep(5)
            engine.wake()
        assert releases(world)["bad"] == "returned"
        assert {line["lead_id"] for line in world.finished if line["outcome"] == "saved"} == {"slow", "other"}


async def test_probe_goes_through_a_key_that_has_succeeded(world: World) -> None:
    fail(world, *names(10), times=2)
    world.hand_out(*world.leads(10), keys=1)
    tried = world.batch(world.lead("probe"), keys=3)
    untried = tuple(key.model_copy(update={"tried": key.fingerprint == "key-1"}) for key in tried.keys)
    world.store.script["claim"].append(tried.model_copy(update={"keys": untried}))
    async with world.engine(slots=10) as engine:
        await anyio.sleep(5)
        engine.wake()
        await anyio.sleep(30)
        assert world.scorer.keys[10] in {"key-0", "key-1"}


async def test_since_is_when_the_first_of_the_failures_came(world: World) -> None:
    fail(world, *names(16))
    world.hand_out(*world.leads(16))
    before = datetime.now(UTC)
    async with world.engine(slots=16) as engine:
        await anyio.sleep(2)
        since = engine.health().since
        assert since is not None
        assert before <= since <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
async def breaker(world: World) -> CircuitBreaker:
    return CircuitBreaker(EngineContext(store=world.store, scorer=world.scorer, worker_name="tester"), Wakeup())


async def test_two_refusals_prove_nothing_while_another_call_runs(world: World, breaker: CircuitBreaker) -> None:
    refused = world.failure(FailureClass.REFUSED)
    called_at = anyio.current_time()
    await anyio.sleep(1)
    with breaker.calling():
        for name in names(2):
            breaker.failed(refused, name, called_at)
        assert not breaker.open
    breaker.failed(refused, "lead-1", called_at)
    assert breaker.open


async def test_two_refusals_prove_nothing_once_another_was_answered_beside_them(
    world: World, breaker: CircuitBreaker
) -> None:
    called_at = anyio.current_time()
    await anyio.sleep(1)
    breaker.answered("good", called_at, "key-0")
    await anyio.sleep(1)
    for name in names(2):
        breaker.failed(world.failure(FailureClass.REFUSED), name, called_at)
    assert not breaker.open


@pytest.mark.parametrize("kind", [FailureClass.REFUSED, FailureClass.TRANSIENT])
async def test_leads_that_fail_while_others_are_answered_do_not_suspend_claiming(
    world: World, kind: FailureClass
) -> None:
    """Such leads fail again and again; new leads do not wait for them."""
    fail(world, *names(12), kind=kind)
    world.hand_out(world.lead("good"))
    world.hand_out(*world.leads(12, failing_ms=9_000))
    async with world.engine(slots=16) as engine:
        await anyio.sleep(3)
        engine.wake()
        await anyio.sleep(5)
        assert len(world.scorer.calls) > 12
        assert engine.health().fault is None


async def test_lead_is_alone_if_none_failed_beside_it_for_ten_minutes(world: World, breaker: CircuitBreaker) -> None:
    """Its own answers are no evidence; after a start the others are not known yet."""
    failure = world.failure(FailureClass.TRANSIENT)

    def alone() -> bool:
        return breaker.evidence(failure.code, "a", anyio.current_time() - 60, "key-0").alone

    assert not alone()
    await anyio.sleep(601)
    breaker.answered("a", anyio.current_time(), "key-0")
    breaker.failed(failure, "a", anyio.current_time())
    assert alone()
    assert breaker.evidence(failure.code, "a", anyio.current_time() - 60, "key-0").answered == 0
    breaker.failed(failure, "b", anyio.current_time())
    assert not alone()
    await anyio.sleep(601)
    assert alone()


def heard(number: int, lead_id: str, code: str | None = None, *, ago_s: float = 5) -> OtherAttempt:
    ms = round(ago_s * 1000)
    return OtherAttempt(
        id=number, lead_id=lead_id, error_code=code, key_fingerprint="key-1", leased_ms=ms, finished_ms=ms - 1000
    )


async def test_calls_of_other_processes_are_evidence(breaker: CircuitBreaker) -> None:
    await anyio.sleep(100)
    now = anyio.current_time()

    def evidence(lead_id: str = "a", code: str = "empty") -> Evidence:
        return breaker.evidence(code, lead_id, now - 50, "key-1")

    breaker.answered("b", now - 2, "key-0")
    told = [heard(1, "a", "empty"), heard(2, "b", "empty", ago_s=9), heard(3, "c", "slow"), heard(4, "d", ago_s=60)]
    breaker.hear(told, now)
    assert (evidence().answered, evidence().shared, evidence().passing) == (1, False, False)
    breaker.hear([*told, heard(5, "d"), heard(6, "c")], now)
    assert (evidence().answered, evidence().with_key, evidence().times) == (3, 2, 2)
    assert (evidence(code="slow").shared, evidence(code="slow").passing) == (True, True)
    assert evidence("z").shared


async def test_what_befell_others_alike_is_over_ten_minutes_after_the_last_time(
    world: World, breaker: CircuitBreaker
) -> None:
    failure = world.failure(FailureClass.TRANSIENT)

    def over() -> bool:
        return breaker.evidence(failure.code, "a", 0.0, "key-0").over

    await anyio.sleep(10)
    breaker.failed(failure, "a", anyio.current_time())
    breaker.failed(failure, "b", anyio.current_time())
    await anyio.sleep(300)
    breaker.failed(failure, "b", anyio.current_time())
    await anyio.sleep(590)
    breaker.answered("c", anyio.current_time(), "key-0")
    assert not over()
    await anyio.sleep(20)
    assert over()
    breaker.failed(failure, "a", anyio.current_time())
    assert not over()
    breaker.answered("c", anyio.current_time(), "key-0")
    assert over()


async def test_lead_that_is_answered_at_the_second_call_shows_that_it_passes(world: World) -> None:
    empty = Failure(FailureClass.TRANSIENT, "answer_empty", "Reason.", usage=Usage(calls=1, input_tokens=9))
    world.scorer.script = {"other": [empty], "odd": [empty] * NEVER}
    world.scorer.delays = {"odd": 6.0}
    world.hand_out(world.lead("other"), world.lead("odd", attempts=1, failing_ms=9_000), keys=1)
    await world.run(8)
    assert releases(world) == {"odd": "retry"}
    [release] = world.releases
    assert (release.delay_ms, release.decide_after_ms) == (3_600_000, 600_000)


async def test_probe_waits_as_long_as_the_server_asks(world: World, breaker: CircuitBreaker) -> None:
    """Ten minutes at most."""
    for name in names(10):
        breaker.failed(world.failure(FailureClass.TRANSIENT, park_s=300), name, anyio.current_time())
    assert breaker.next_probe_at == anyio.current_time() + 300


async def test_decisions_are_counted_by_rule(world: World, breaker: CircuitBreaker) -> None:
    def counted(rule: str, outcome: str) -> float:
        return metrics.REGISTRY.get_sample_value("leadhook_decisions_total", {"rule": rule, "outcome": outcome}) or 0.0

    suspended, unknown, key = counted("outage", "suspended"), counted("unknown", "returned"), counted("key", "rested")
    for name in names(10):
        breaker.failed(world.failure(FailureClass.TRANSIENT), name, anyio.current_time())
    fail(world, "a", times=1)
    fail(world, "b", kind=FailureClass.KEY, times=1)
    world.hand_out(world.lead("a"), world.lead("b"))
    await world.run(5)
    assert counted("outage", "suspended") == suspended + 1
    assert counted("unknown", "returned") == unknown + 1
    assert counted("key", "rested") == key + 1
