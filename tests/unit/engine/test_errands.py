"""Leads that a person waits for: their slots, their troubles, and that nobody's leaving loses what was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from leadhook.domain.failure import FailureClass
from leadhook.domain.job import Begun, BegunLead, LeaseOutcome
from leadhook.engine import TooManyErrandsError

if TYPE_CHECKING:
    from tests.unit.engine.conftest import World


async def test_errand_is_begun_judged_and_saved(world: World) -> None:
    """With the person's key alone, two calls, and one line in the log."""
    errand = world.errand()
    async with world.engine() as engine:
        await engine.process([errand])

    assert errand.trouble is None
    assert errand.answer is not None
    assert (errand.answer[0].score, errand.answer[1].subject) == (80, "Hello")
    [begun], [saved] = world.store.of("begin_errands"), world.store.of("save")
    assert [lead.lead_id for lead in begun.leads] == ["e"]
    assert [(result.lead_id, result.fence) for result in saved.items] == [("e", 1001)]
    assert set(world.scorer.keys) == {"persons-key"}
    [line] = world.finished
    assert (line["outcome"], line["found_by"], line["calls"]) == ("saved", "process", 2)


async def test_errand_without_an_id_is_answered_and_never_stored(world: World) -> None:
    """It has no lease that could end."""
    errands = [world.errand(""), world.errand("")]
    async with world.engine() as engine:
        await engine.process(errands)

    assert all(errand.answer and errand.trouble is None for errand in errands)
    assert not any(world.store.of(operation) for operation in ("begin_errands", "renew", "save", "release"))
    assert [line["outcome"] for line in world.finished] == ["answered", "answered"]


async def test_errands_take_three_quarters_of_the_slots_in_batches(world: World) -> None:
    """20 leads with 8 slots: 6 at a time, and no call for each of them."""
    async with world.engine(slots=8) as engine:
        await engine.process([world.errand(f"e{n}") for n in range(20)])

    starts = [at for step, _, at in world.scorer.calls if step == "score"]
    assert max(sum(at - 2 < other <= at for other in starts) for at in starts) == 6
    begun = [len(call.leads) for call in world.store.of("begin_errands")]
    assert sum(begun) == 20
    assert begun[0] == 6
    assert len(begun) <= 6


async def test_errands_and_claimed_leads_share_the_slots(world: World) -> None:
    """Neither oversteps MAX_CONCURRENCY, and an errand does not wait for the end of the backlog."""
    # No two slots become free at once, which would hand one to each.
    world.scorer.seconds = 1.1
    world.scorer.delays = {f"0-{place}": 1 + place * 0.333 for place in range(4)}
    for n in range(40):
        world.hand_out(*(world.lead(f"{n}-{place}") for place in range(4 if n == 0 else 1)), cut=True, next_due_ms=0)
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.5)
        with anyio.fail_after(6):
            await engine.process([world.errand()])
        await anyio.sleep(30)

    limits = [call.limit for call in world.store.of("claim")]
    assert max(limits) == 4
    spans = [(at, at + 0.999 * world.scorer.delays.get(lead, 1.1)) for _, lead, at in world.scorer.calls]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 4


async def test_claim_under_way_keeps_its_slots_from_errands(world: World) -> None:
    """Its leads will come."""
    world.store.script["claim"].append(lambda: world.after(3, world.batch(*world.leads(4))))
    async with world.engine(slots=4) as engine:
        await anyio.sleep(0.1)
        await engine.process([world.errand()])
    assert world.store.of("begin_errands")[0].at >= 5


async def test_person_who_leaves_loses_nothing(world: World) -> None:
    """What was begun is judged and saved, and so is what still waited."""
    async with world.engine(slots=4) as engine:
        with anyio.move_on_after(0.5):
            await engine.process([world.errand(f"e{n}") for n in range(5)])
        await anyio.sleep(20)
    assert sorted(item.lead_id for call in world.store.of("save") for item in call.items) == [f"e{n}" for n in range(5)]


async def test_passing_failure_is_tried_again_and_then_told(world: World) -> None:
    """Three tries; a person waits, so not for long."""
    world.scorer.script = {
        "a": [world.failure(FailureClass.TRANSIENT)],
        "b": [world.failure(FailureClass.TRANSIENT) for _ in range(9)],
    }
    a, b = world.errand("a"), world.errand("b")
    async with world.engine() as engine:
        await engine.process([a, b])
        assert anyio.current_time() < 20

    assert (a.trouble, bool(a.answer)) == (None, True)
    assert (b.trouble, b.answer) == (("transient_code", "transient reason"), None)
    assert len([lead for _, lead, _ in world.scorer.calls if lead == "b"]) == 3
    [released] = world.store.of("release")
    assert [(item.lead_id, item.outcome) for item in released.items] == [("b", "retry")]


@pytest.mark.parametrize("kind", [FailureClass.KEY, FailureClass.CONFIGURATION, FailureClass.CONTENT])
async def test_what_fails_with_a_persons_key_is_their_trouble_alone(world: World, kind: FailureClass) -> None:
    """No key is parked, no claim stops, and the other leads go on."""
    world.scorer.script["bad"] = [world.failure(kind)]
    bad, good = world.errand("bad"), world.errand("good")
    async with world.engine() as engine:
        await engine.process([bad, good])
        assert engine.health().fault is None

    assert bad.trouble == (f"{kind}_code", f"{kind} reason")
    assert (good.trouble, bool(good.answer)) == (None, True)
    assert [list(call.parked) for call in world.store.of("release")] == [[]]


async def test_outage_does_not_stop_errands(world: World) -> None:
    """Another key may do."""
    world.scorer.script["a"] = [world.failure(FailureClass.CONFIGURATION)]
    world.hand_out(world.lead("a"))
    errand = world.errand()
    async with world.engine() as engine:
        await anyio.sleep(5)
        assert engine.health().fault is not None
        await engine.process([errand])
    assert errand.trouble is None


async def test_lead_that_somebody_has_is_told_and_costs_nothing(world: World) -> None:
    """By its worker."""
    world.store.script["begin_errands"] = [
        Begun(leads=(BegunLead(lead_id="a", leased_by="worker-7"), BegunLead(lead_id="b", fence=7)))
    ]
    a, b = world.errand("a"), world.errand("b")
    async with world.engine() as engine:
        await engine.process([a, b])

    assert a.trouble is not None
    assert (a.trouble[0], "worker-7" in a.trouble[1]) == ("leased", True)
    assert b.answer is not None
    assert {lead for _, lead, _ in world.scorer.calls} == {"b"}


async def test_busy_database_is_asked_again_with_the_same_token(world: World) -> None:
    """And after some tries the person is told."""
    world.store.script["begin_errands"] = [Begun(busy=True)] * 7
    late, again = world.errand(), world.errand()
    async with world.engine() as engine:
        await engine.process([late])
        await engine.process([again])

    assert late.trouble is not None
    assert late.trouble[0] == "busy"
    assert again.trouble is None
    tokens = [call.token for call in world.store.of("begin_errands")]
    assert [len(set(tokens[:5])), len(set(tokens[5:]))] == [1, 1]


async def test_database_that_is_away_is_told_and_the_slots_come_back(world: World) -> None:
    """Leads without an id need no database."""
    errands = [world.errand("a"), world.errand("b"), world.errand("")]
    async with world.engine(slots=4) as engine:
        world.store.script["begin_errands"] = [world.trouble(), world.trouble()]
        await engine.process(errands)
        await engine.process([world.errand("c")])
        last = world.errand("d")
        await engine.process([last])

    assert errands[0].trouble == ("unavailable_code", "The lead could not be begun: unavailable reason.")
    assert errands[2].answer is not None
    assert last.trouble is None


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(LeaseOutcome.GONE, "deleted"), (LeaseOutcome.LEASE_LOST, "lost"), (LeaseOutcome.REFUSED, "refuses it")],
)
async def test_answer_that_is_not_written_is_given_all_the_same(
    world: World, outcome: LeaseOutcome, words: str
) -> None:
    """It was paid for; the person is told that it stands nowhere else."""
    errand = world.errand()
    async with world.engine() as engine:
        world.store.script["save"].append(
            lambda: world.after(0, world.replies(world.store.of("save")[-1].items, outcome))
        )
        await engine.process([errand])

    assert errand.answer is not None
    assert errand.trouble is not None
    assert (errand.trouble[0], words in errand.trouble[1]) == (outcome.value, True)


async def test_nobody_waits_for_ever_for_a_save(world: World) -> None:
    """The answer is there after half a minute, and is saved when the database is back."""
    world.store.script["save"] = [world.trouble() for _ in range(30)]
    errand = world.errand()
    async with world.engine() as engine:
        await engine.process([errand])
        assert 30 < anyio.current_time() < 40
        assert errand.answer is not None
        assert errand.trouble is not None
        assert errand.trouble[0] == "not_written_yet"
        await anyio.sleep(300)
        assert [line["outcome"] for line in world.finished] == ["saved"]


async def test_lost_lease_ends_the_errand(world: World) -> None:
    """While it is judged; nothing is written."""
    world.scorer.seconds = 15
    world.store.script["renew"].append(
        lambda: world.after(0, world.replies(world.store.of("renew")[-1].items, LeaseOutcome.LEASE_LOST))
    )
    errand = world.errand()
    async with world.engine() as engine:
        await engine.process([errand])
    assert errand.answer is None
    assert errand.trouble is not None
    assert errand.trouble[0] == "lease_lost"
    assert world.store.of("save") == []


async def test_shutdown_ends_errands_in_time(world: World) -> None:
    """Those at work are saved, those that wait are told; later ones are not begun."""
    errands = [world.errand(f"e{n}") for n in range(5)]
    async with world.engine(slots=4) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.process, errands)
        await anyio.sleep(0.5)
        with anyio.fail_after(5):
            await engine.stop(45)
        late = world.errand("late")
        await engine.process([late])

    told = [errand.trouble[0] if errand.trouble else None for errand in [*errands, late]]
    assert told.count(None) + told.count("shutting_down") == 6
    assert told[3:] == ["shutting_down"] * 3
    assert len(world.store.of("begin_errands")) == 1


async def test_too_many_are_sent_away(world: World) -> None:
    """A thousand may wait."""
    async with world.engine(slots=4) as engine, anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(engine.process, [world.errand(f"{n}-{place}") for place in range(100)])
        await anyio.sleep(0.1)
        with pytest.raises(TooManyErrandsError):
            await engine.process([world.errand(f"late-{n}") for n in range(100)])
        tasks.cancel_scope.cancel()


async def test_an_errand_that_can_not_be_read_stops_no_other(world: World) -> None:
    """Refused as a whole, they are begun one by one."""
    errands = [world.errand("bad"), world.errand("good")]
    bug = world.trouble("caller_bug")
    world.store.script["begin_errands"] += [bug, bug, None]
    async with world.engine(slots=4) as engine:
        await engine.process(errands)
    assert errands[0].trouble is not None
    assert errands[0].trouble[0] == "caller_bug_code"
    assert errands[1].trouble is None
