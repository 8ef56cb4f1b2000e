"""On-demand requests: their slots, their errors, and that nothing paid is lost when the caller leaves."""

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.failure import FailureClass
from leadhook.domain.job import LeaseOutcome, OnDemandReplies, OnDemandReply
from leadhook.domain.results import Score
from leadhook.engine import TooManyOnDemandError


async def test_lead_is_scored_and_saved(world: World) -> None:
    lead = world.on_demand()
    async with world.engine() as engine:
        await engine.process([lead])

    assert lead.error is None
    assert lead.answer is not None
    score, message = lead.answer
    assert (score.score, message and message.subject) == (80, "Hello")
    [saved] = world.store.of("save_on_demand")
    assert [(result.lead.lead_id, result.age_ms) for result in saved.items] == [("e", 2000)]
    assert not any(world.store.of(operation) for operation in ("renew", "save", "release"))
    assert set(world.scorer.keys) == {"callers-key"}
    [line] = world.finished
    assert (line["outcome"], line["source"], line["calls"]) == ("saved", "on_demand", 2)


async def test_lead_without_an_id_is_answered_and_never_saved(world: World) -> None:
    leads = [world.on_demand(""), world.on_demand("")]
    async with world.engine() as engine:
        await engine.process(leads)

    assert all(lead.answer and lead.error is None for lead in leads)
    assert not any(world.store.of(operation) for operation in ("save_on_demand", "renew", "save", "release"))
    assert world.outcomes == ["answered", "answered"]


@pytest.mark.parametrize(
    ("lead_id", "kind", "outcome"),
    [
        ("e", FailureClass.CONTENT, "saved_without_message"),
        ("", FailureClass.CONTENT, "answered"),
        ("e", FailureClass.KEY, "returned"),
    ],
)
async def test_paid_score_is_answered_where_only_the_message_fails(
    world: World, lead_id: str, kind: FailureClass, outcome: str
) -> None:
    world.scorer.script[lead_id] = [Score(score=80, response="good", should_contact=True), world.failure(kind)]
    lead = world.on_demand(lead_id)
    async with world.engine() as engine:
        await engine.process([lead])

    assert lead.answer == (Score(score=80, response="good", should_contact=True), None)
    assert lead.error == (f"{kind}_code", f"{kind} reason")
    assert world.outcomes == [outcome]


async def test_requests_take_three_quarters_of_the_slots(world: World) -> None:
    async with world.engine(slots=8) as engine:
        await engine.process([world.on_demand(f"e{n}") for n in range(20)])

    starts = [at for step, _, at in world.scorer.calls if step == "score"]
    assert max(sum(at - 2 < other <= at for other in starts) for at in starts) == 6
    saved = [len(call.items) for call in world.store.of("save_on_demand")]
    assert sum(saved) == 20
    assert len(saved) <= 8


async def test_requests_and_claimed_leads_share_the_slots(world: World) -> None:
    # No two slots become free at once, which would hand one to each.
    world.scorer.seconds = 1.1
    world.scorer.delays = {f"0-{place}": 1 + place * 0.333 for place in range(4)}
    for n in range(40):
        world.hand_out(
            *(world.lead(f"{n}-{place}") for place in range(4 if n == 0 else 1)), has_more=True, next_due_ms=0
        )
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.5)
        with anyio.fail_after(6):
            await engine.process([world.on_demand()])
        await anyio.sleep(30)

    limits = [call.limit for call in world.store.of("claim")]
    assert max(limits) == 4
    spans = [(at, at + 0.999 * world.scorer.delays.get(lead, 1.1)) for _, lead, at in world.scorer.calls]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 4


async def test_claim_under_way_keeps_its_slots_from_requests(world: World) -> None:
    world.store.script["claim"].append(lambda: world.after(3, world.batch(*world.leads(4))))
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.1)
        await engine.process([world.on_demand()])
    assert min(at for _, lead, at in world.scorer.calls if lead == "e") >= 5


async def test_caller_who_leaves_loses_nothing(world: World) -> None:
    """What was begun is scored and saved, and so is what still waited."""
    async with world.engine(slots=4) as engine:
        with anyio.move_on_after(0.5):
            await engine.process([world.on_demand(f"e{n}") for n in range(5)])
        await anyio.sleep(20)
    assert sorted(_saved(world)) == [f"e{n}" for n in range(5)]


async def test_passing_failure_is_tried_again_and_then_reported(world: World) -> None:
    world.scorer.script = {
        "a": [world.failure(FailureClass.TRANSIENT)],
        "b": [world.failure(FailureClass.TRANSIENT) for _ in range(9)],
    }
    a, b = world.on_demand("a"), world.on_demand("b")
    async with world.engine() as engine:
        await engine.process([a, b])
        assert anyio.current_time() < 20

    assert (a.error, bool(a.answer)) == (None, True)
    assert (b.error, b.answer) == (("transient_code", "transient reason"), None)
    assert len([lead for _, lead, _ in world.scorer.calls if lead == "b"]) == 3
    endings = {item.lead.lead_id: item.ending for call in world.store.of("save_on_demand") for item in call.items}
    outcomes = {lead_id: getattr(ending, "outcome", None) for lead_id, ending in endings.items()}
    assert outcomes == {"a": None, "b": "returned"}


@pytest.mark.parametrize("kind", [FailureClass.KEY, FailureClass.CONFIGURATION, FailureClass.CONTENT])
async def test_what_fails_with_the_callers_key_is_their_error_alone(world: World, kind: FailureClass) -> None:
    world.scorer.script["bad"] = [world.failure(kind)]
    bad, good = world.on_demand("bad"), world.on_demand("good")
    async with world.engine() as engine:
        await engine.process([bad, good])
        assert engine.health().fault is None

    assert bad.error == (f"{kind}_code", f"{kind} reason")
    assert (good.error, bool(good.answer)) == (None, True)
    assert world.releases == []


async def test_outage_does_not_stop_requests(world: World) -> None:
    world.scorer.script["a"] = [world.failure(FailureClass.CONFIGURATION)] * 2
    world.hand_out(world.lead("a"))
    lead = world.on_demand()
    async with world.engine() as engine:
        await anyio.sleep(5)
        assert engine.health().fault is not None
        await engine.process([lead])
    assert lead.error is None


async def test_database_that_is_away_holds_no_slot(world: World) -> None:
    world.store.script["save_on_demand"] = [world.trouble() for _ in range(3)]
    leads = [world.on_demand(f"e{n}") for n in range(9)]
    async with world.engine(slots=4) as engine:
        await engine.process(leads)
    assert max(at for _, _, at in world.scorer.calls) < 6
    assert all(lead.answer and lead.error is None for lead in leads)
    assert sorted(_saved(world)[-9:]) == [f"e{n}" for n in range(9)]


async def test_busy_answer_is_sent_again_as_the_same_request(world: World) -> None:
    """So that the database saves it once."""
    busy = OnDemandReply(lead_id="e", outcome=LeaseOutcome.BUSY)
    world.store.script["save_on_demand"] = [OnDemandReplies(leads=(busy,))] * 3
    lead = world.on_demand()
    async with world.engine() as engine:
        await engine.process([lead])
    assert lead.error is None
    requests = [call.items[0].request_id for call in world.store.of("save_on_demand")]
    assert (len(requests), len(set(requests))) == (4, 1)


async def test_two_requests_for_one_lead_are_saved_one_after_the_other(world: World) -> None:
    """A call names each lead once."""
    leads = [world.on_demand("a"), world.on_demand("a")]
    async with world.engine() as engine:
        await engine.process(leads)
    assert all(lead.answer and lead.error is None for lead in leads)
    assert [len(call.items) for call in world.store.of("save_on_demand")] == [1, 1]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(LeaseOutcome.GONE, "deleted"), (LeaseOutcome.REFUSED, "refuses it")],
)
async def test_answer_that_is_not_written_is_given_all_the_same(
    world: World, outcome: LeaseOutcome, words: str
) -> None:
    lead = world.on_demand()
    async with world.engine() as engine:
        world.store.script["save_on_demand"].append(
            OnDemandReplies(leads=(OnDemandReply(lead_id="e", outcome=outcome),))
        )
        await engine.process([lead])

    assert lead.answer is not None
    assert lead.error is not None
    assert (lead.error[0], words in lead.error[1]) == (outcome.value, True)


async def test_caller_waits_half_a_minute_for_a_save(world: World) -> None:
    world.store.script["save_on_demand"] = [world.trouble() for _ in range(30)]
    lead = world.on_demand()
    async with world.engine() as engine:
        await engine.process([lead])
        assert 30 < anyio.current_time() < 40
        assert lead.answer is not None
        assert lead.error is not None
        assert lead.error[0] == "not_written_yet"
        await anyio.sleep(300)
        assert world.outcomes == ["saved"]


async def test_shutdown_ends_requests_in_time(world: World) -> None:
    leads = [world.on_demand(f"e{n}") for n in range(5)]
    async with world.engine(slots=4) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.process, leads)
        await anyio.sleep(0.5)
        with anyio.fail_after(5):
            await engine.stop(45)
        late = world.on_demand("late")
        await engine.process([late])

    codes = [lead.error[0] if lead.error else None for lead in [*leads, late]]
    assert codes.count(None) + codes.count("shutting_down") == 6
    assert codes[3:] == ["shutting_down"] * 3
    assert len({lead for _, lead, _ in world.scorer.calls}) == 3


async def test_too_many_are_sent_away(world: World) -> None:
    async with world.engine(slots=4) as engine, anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(engine.process, [world.on_demand(f"{n}-{place}") for place in range(100)])
        await anyio.sleep(0.1)
        with pytest.raises(TooManyOnDemandError):
            await engine.process([world.on_demand(f"late-{n}") for n in range(100)])
        tasks.cancel_scope.cancel()


async def test_answer_that_is_a_callers_bug_stops_no_other(world: World) -> None:
    leads = [world.on_demand("bad"), world.on_demand("good")]
    bug = world.trouble("caller_bug")
    # The first answer is sent alone and takes a while, so that the two others are sent together.
    world.scorer.delays["first"] = 0.5
    async with world.engine(slots=4) as engine:
        world.store.script["save_on_demand"] = [lambda: world.after(5), bug, bug, None]
        await engine.process([world.on_demand("first"), *leads])
    assert [len(call.items) for call in world.store.of("save_on_demand")] == [1, 2, 1, 1]
    assert leads[0].error == ("refused", "The answer is not saved: the database refuses it: caller_bug reason.")
    assert (bool(leads[0].answer), leads[1].error) == (True, None)


def _saved(world: World) -> list[str]:
    return [item.lead.lead_id for call in world.store.of("save_on_demand") for item in call.items]
