"""How results and releases reach the database."""

import random
from collections.abc import Callable
from itertools import pairwise

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.failure import FailureClass, StoreError
from leadhook.domain.job import LeaseOutcome, LeaseReplies, LeaseReply


async def test_lone_result_is_saved_at_once(world: World) -> None:
    world.hand_out(world.lead())
    await world.run(5)
    assert [call.at for call in world.store.of("save")] == [2]


async def test_results_are_gathered_for_300_ms(world: World) -> None:
    world.hand_out(*world.leads(4))
    world.scorer.delays = {"lead-0": 0.5, "lead-1": 0.6, "lead-2": 0.7}
    await world.run(1.9)
    saves = world.store.of("save")
    assert [[item.lead_id for item in call.items] for call in saves] == [["lead-0", "lead-1"], ["lead-2"]]
    assert [call.at for call in saves] == [pytest.approx(1.3), pytest.approx(1.7)]


async def test_one_save_is_in_flight_and_the_rest_goes_next(world: World) -> None:
    world.hand_out(*world.leads(4))
    world.scorer.delays = {"lead-0": 0.5, "lead-1": 0.8, "lead-2": 0.9}
    world.store.script["save"].append(lambda: world.after(1.6))
    await world.run(5)
    saves = world.store.of("save")
    assert [len(call.items) for call in saves] == [1, 3]
    assert saves[1].at == pytest.approx(2.9)


async def test_no_save_holds_more_than_fifty(world: World) -> None:
    world.hand_out(world.lead("first"), *world.leads(49), has_more=True)
    world.hand_out(*[world.lead(f"more-{n}") for n in range(30)])
    world.scorer.delays = {"first": 0.5}
    world.store.script["save"].append(lambda: world.after(5))
    await world.run(10, slots=80)
    assert [len(call.items) for call in world.store.of("save")] == [1, 50, 29]


async def test_busy_result_does_not_go_with_a_batch_before_its_time(world: World) -> None:
    busy, other, late = world.lead("busy"), world.lead("other"), world.lead("late")
    world.hand_out(busy, other, late)
    world.scorer.delays = {"late": 1.2}
    refused = world.replies([busy], LeaseOutcome.BUSY).leases + world.replies([other], LeaseOutcome.SAVED).leases
    world.store.script["save"].append(LeaseReplies(leases=refused))
    await world.run(5)
    saves = world.store.of("save")
    assert [{item.lead_id for item in call.items} for call in saves] == [{"busy", "other"}, {"late"}, {"busy"}]


async def test_result_whose_lease_was_lost_while_it_waited_is_not_saved(world: World) -> None:
    """The application held its row; in the meantime someone else has the lead."""
    lead = world.lead()
    world.hand_out(lead)
    world.scorer.seconds = 4.95
    world.store.script["save"].append(world.replies([lead], LeaseOutcome.BUSY))
    world.store.script["renew"].append(world.replies([lead], LeaseOutcome.LEASE_LOST))
    await world.run(30)
    assert [call.at for call in world.store.of("renew")] == [10]
    assert len(world.store.of("save")) == 1
    assert world.outcomes == ["lease_lost"]


async def test_busy_result_is_saved_again_soon(world: World) -> None:
    first, second = world.lead("a"), world.lead("b")
    world.hand_out(first, second)
    busy = world.replies([first], LeaseOutcome.BUSY).leases
    saved = world.replies([second], LeaseOutcome.SAVED).leases
    world.store.script["save"].append(LeaseReplies(leases=busy + saved))
    await world.run(5)
    saves = world.store.of("save")
    assert [[item.lead_id for item in call.items] for call in saves] == [["a", "b"], ["a"]]
    assert 0.2 <= saves[1].at - saves[0].at <= 0.5
    assert world.outcomes == ["saved", "saved"]


async def test_result_that_the_reply_forgot_is_saved_again(world: World) -> None:
    world.hand_out(world.lead())
    world.store.script["save"].append(LeaseReplies())
    await world.run(5)
    assert len(world.store.of("save")) == 2


async def test_save_is_repeated_while_the_lease_is_renewed(world: World) -> None:
    world.hand_out(world.lead())
    world.store.script["save"] += [world.trouble()] * 8
    async with world.engine() as engine:
        await anyio.sleep(12)
        assert engine.health().fault == "unavailable reason"
        await anyio.sleep(60)
        gaps = [after.at - before.at for before, after in pairwise(world.store.of("save"))]
        assert 0.25 <= gaps[0] <= 0.5
        assert max(gaps) <= 5
        assert len(world.store.of("renew")) >= 1
        assert world.outcomes == ["saved"]
        assert engine.health().fault is None


async def test_save_is_given_up_when_the_lease_is_lost(world: World) -> None:
    lead = world.lead()
    world.hand_out(lead)
    world.store.script["save"] += [world.trouble(), world.replies([lead], LeaseOutcome.LEASE_LOST)]
    async with world.engine() as engine:
        await anyio.sleep(30)
        assert len(world.store.of("save")) == 2
        assert world.outcomes == ["lease_lost"]
        assert engine.health().held == 0


@pytest.mark.parametrize("outcome", [LeaseOutcome.UNWANTED, LeaseOutcome.REFUSED, LeaseOutcome.GONE])
async def test_last_word_of_the_database_ends_the_lead(world: World, outcome: LeaseOutcome) -> None:
    lead = world.lead()
    world.hand_out(lead)
    world.store.script["save"].append(world.replies([lead], outcome))
    async with world.engine() as engine:
        await anyio.sleep(30)
        assert len(world.store.of("save")) == 1
        assert world.outcomes == [outcome.value]
        assert engine.health().held == 0


async def test_batch_that_is_refused_as_a_whole_is_saved_one_by_one(world: World) -> None:
    world.hand_out(world.lead("a"), world.lead("b"))
    bug = world.trouble("caller_bug")
    world.store.script["save"] += [bug, bug, None]
    await world.run(5)
    assert [len(call.items) for call in world.store.of("save")] == [2, 1, 1]
    release = world.releases[0]
    assert (release.lead_id, release.outcome, release.error_code) == ("a", "dead", "result_refused")
    assert release.checkpoint.message is not None


def unless_bad(world: World, trouble: StoreError) -> Callable[[], LeaseReplies | StoreError | None]:
    """A save that fails with `bad` in it, unless `bad` comes with its refusal."""

    def reply() -> LeaseReplies | StoreError | None:
        items = world.store.of("save")[-1].items
        if any(item.lead_id == "bad" and item.refusal is None for item in items):
            return trouble
        refused = [item for item in items if item.refusal]
        saved = [item for item in items if not item.refusal]
        leases = world.replies(refused, LeaseOutcome.REFUSED).leases + world.replies(saved, LeaseOutcome.SAVED).leases
        return LeaseReplies(leases=leases)

    return reply


async def test_save_that_takes_too_long_is_divided_down_to_the_lead_at_fault(world: World) -> None:
    world.hand_out(world.lead("bad"), *world.leads(15))
    world.store.script["save"] += [unless_bad(world, world.trouble(code="57014"))] * 50
    async with world.engine(slots=16) as engine:
        await anyio.sleep(60)
        outcomes = {line["lead_id"]: line["outcome"] for line in world.finished}
        assert outcomes == {"bad": "refused", **{f"lead-{n}": "saved" for n in range(15)}}
        (refusal,) = [item.refusal for call in world.store.of("save") for item in call.items if item.refusal]
        assert (refusal.code, refusal.reason) == ("57014", "unavailable reason")
        assert [len(call.items) for call in world.store.of("save")][:2] == [16, 4]
        assert world.releases == []
        assert engine.health().held == 0


async def test_a_lead_that_fails_alone_is_not_refused_while_no_other_is_saved(world: World) -> None:
    """It may not be its fault: its answer is kept and tried again until another lead is saved or refused."""
    world.hand_out(world.lead("bad"))
    world.store.script["save"] += [unless_bad(world, world.trouble("misconfigured", "42501"))] * 500
    async with world.engine() as engine:
        await anyio.sleep(3600)
        assert world.finished == []
        assert engine.health().fault_code == "42501"
        world.hand_out(world.lead("good"))
        engine.wake()
        await anyio.sleep(600)
        assert [(line["lead_id"], line["outcome"]) for line in world.finished] == [
            ("good", "saved"),
            ("bad", "refused"),
        ]
        assert engine.health().fault is None


@pytest.mark.parametrize("code", ["PGRST001", "57P01", "disconnected"])
async def test_a_lead_that_ends_the_databases_process_is_found(world: World, code: str) -> None:
    """Its trigger may crash it: the others are saved, and it is refused when others were saved after each failure."""
    world.hand_out(world.lead("bad"), *world.leads(15))
    world.store.script["save"] += [unless_bad(world, world.trouble(code=code))] * 500
    async with world.engine(slots=16) as engine:
        await anyio.sleep(60)
        assert {line["lead_id"] for line in world.finished} == {f"lead-{n}" for n in range(15)}
        for number in range(5):
            world.hand_out(world.lead(f"later-{number}"))
            engine.wake()
            await anyio.sleep(10)
        assert {line["lead_id"]: line["outcome"] for line in world.finished}["bad"] == "refused"


async def test_a_database_that_restarts_again_and_again_costs_no_lead_its_answer(world: World) -> None:
    """Between two restarts some are saved, which says nothing of the others."""
    world.hand_out(*world.leads(8))
    lost = world.trouble(code="PGRST001")
    world.store.script["save"] += [*[lost] * 9, None, *[lost] * 21, None, *[lost] * 21]
    await world.run(300, slots=8)
    assert world.outcomes == ["saved"] * 8


ON_THE_WAY = ["http_403", "not_json", "http_502"]


def unless_on_the_way(world: World, lead_id: str, code: str) -> Callable[[], StoreError | None]:
    """A call that something on the way refuses for this lead's text, its answer."""

    def reply() -> StoreError | None:
        items = world.store.calls[-1].items
        refused = any(item.lead_id == lead_id and item.checkpoint is not None for item in items)
        return world.trouble(code=code) if refused else None

    return reply


@pytest.mark.parametrize("code", ON_THE_WAY)
async def test_a_lead_whose_text_a_firewall_refuses_stops_no_other(world: World, code: str) -> None:
    """Its answer can't be kept: it is released without, after twelve failures between which others were saved."""
    world.hand_out(world.lead("bad"), *world.leads(15))
    world.store.script["save"] += [unless_on_the_way(world, "bad", code)] * 5000
    world.store.script["renew"] += [unless_on_the_way(world, "bad", code)] * 5000
    world.store.script["release"] += [unless_on_the_way(world, "bad", code)] * 50
    async with world.engine(slots=16) as engine:
        await anyio.sleep(40)
        assert {line["lead_id"] for line in world.finished} == {f"lead-{n}" for n in range(15)}
        await anyio.sleep(3600)
        assert world.releases == []
        for number in range(13):
            world.hand_out(world.lead(f"later-{number}"))
            engine.wake()
            await anyio.sleep(8)
            assert world.outcomes.count("saved") == 16 + number
        [release] = world.releases
        assert (release.lead_id, release.outcome, release.error_code) == ("bad", "dead", "result_refused")
        assert release.checkpoint is None
        assert engine.health().held == 0


@pytest.mark.parametrize("code", ON_THE_WAY)
async def test_an_outage_of_what_is_on_the_way_costs_one_call_a_pause_and_no_answer(world: World, code: str) -> None:
    world.hand_out(*world.leads(16))
    async with world.engine(slots=16) as engine:
        world.store.script["save"] += [world.trouble(code=code)] * 400
        await anyio.sleep(1_000)
        assert world.outcomes == []
        assert 180 <= len(world.store.of("save")) <= 420
        world.store.script["save"].clear()
        await anyio.sleep(20)
        assert world.outcomes == ["saved"] * 16
        assert engine.health().fault is None


async def test_a_lead_that_breaks_every_connection_is_released_without_its_answer(world: World) -> None:
    """A firewall may do that; its refusal holds the same text."""
    world.hand_out(world.lead("bad"))
    world.store.script["save"] += [unless_on_the_way(world, "bad", "disconnected")] * 500
    async with world.engine() as engine:
        for number in range(20):
            world.hand_out(world.lead(f"later-{number}"))
            engine.wake()
            await anyio.sleep(10)
        assert [(item.lead_id, item.outcome, item.checkpoint) for item in world.releases] == [("bad", "dead", None)]


async def test_a_release_whose_text_a_firewall_refuses_goes_without(world: World) -> None:
    """What was bought is lost, the lead is not."""
    world.hand_out(world.lead("bad"))
    world.scorer.script = {"bad": [None, world.failure(FailureClass.TRANSIENT)]}
    world.store.script["release"] += [unless_on_the_way(world, "bad", "http_403")] * 5000
    async with world.engine() as engine:
        for number in range(20):
            world.hand_out(world.lead(f"later-{number}"))
            world.scorer.script[f"later-{number}"] = [world.failure(FailureClass.TRANSIENT)]
            engine.wake()
            await anyio.sleep(70)
        *refused, last = [item for item in world.releases if item.lead_id == "bad"]
        assert all(item.checkpoint is not None for item in refused)
        assert (last.outcome, last.checkpoint) == ("returned", None)
        assert [line["outcome"] for line in world.finished if line["lead_id"] == "bad"] == ["returned"]


async def test_other_leads_do_not_wait_behind_one_that_fails(world: World) -> None:
    world.hand_out(world.lead("bad"))
    world.store.script["save"] += [unless_bad(world, world.trouble("misconfigured", "42501"))] * 500
    async with world.engine() as engine:
        await anyio.sleep(100)
        world.hand_out(world.lead("good"))
        engine.wake()
        await anyio.sleep(3)
        assert [line["lead_id"] for line in world.finished] == ["good"]


async def test_a_lead_that_fails_by_locks_is_tried_for_longer(world: World) -> None:
    """The application's transaction ends some day; not before that is the lead at fault."""
    world.hand_out(world.lead("bad"), world.lead("good"))

    def reply() -> LeaseReplies:
        items = world.store.of("save")[-1].items
        outcomes = {"bad": LeaseOutcome.REFUSED if items[0].refusal else LeaseOutcome.BUSY, "good": LeaseOutcome.SAVED}
        return LeaseReplies(
            leases=tuple(
                LeaseReply(lead_id=i.lead_id, fence=i.fence, outcome=outcomes[i.lead_id], error_code="55P03")
                for i in items
            )
        )

    world.store.script["save"] += [reply] * 5000
    async with world.engine():
        await anyio.sleep(500)
        assert [line["lead_id"] for line in world.finished] == ["good"]
        await anyio.sleep(200)
        assert world.outcomes == ["saved", "refused"]


async def test_claims_stop_while_a_table_of_leadhook_refuses_rows(world: World) -> None:
    """What would be bought could not be kept; what is bought is saved once it can be."""
    world.hand_out(world.lead())
    world.store.script["save"] += [world.trouble("misconfigured", "23505")] * 4
    async with world.engine() as engine:
        await anyio.sleep(3)
        claims = len(world.store.of("claim"))
        for _ in range(10):
            engine.wake()
            await anyio.sleep(1)
        assert len(world.store.of("claim")) == claims
        await anyio.sleep(300)
        assert world.outcomes == ["saved"]
        assert len(world.store.of("claim")) > claims


async def test_calls_grow_again_once_they_are_quick(world: World) -> None:
    world.hand_out(*world.leads(32), has_more=True)
    world.store.script["save"].append(world.trouble(code="timeout"))
    await world.run(30, slots=32)
    assert [len(call.items) for call in world.store.of("save")] == [32, 8, 16, 8]


async def test_release_that_cannot_be_read_lets_the_lease_run_out(world: World) -> None:
    world.hand_out(world.lead())
    world.scorer.script = {"a": [world.failure(FailureClass.TRANSIENT)]}
    world.store.script["release"].append(world.trouble("caller_bug"))
    async with world.engine() as engine:
        await anyio.sleep(30)
        assert engine.health().held == 0
        assert world.outcomes == ["lease_lost"]


async def test_releases_are_gathered_and_a_key_is_parked_once(world: World) -> None:
    world.hand_out(*world.leads(4), keys=1)
    world.scorer.script = {f"lead-{n}": [world.failure(FailureClass.KEY)] for n in range(4)}
    await world.run(5)
    [parked] = world.store.of("park_keys")
    [released] = world.store.of("release")
    assert [key.fingerprint for key in parked.keys] == ["key-0"]
    assert len(released.items) == 4
    assert {item.error_code for item in released.items} == {"key_code"}
    assert {item.outcome for item in released.items} == {"returned"}


async def test_lead_costs_a_fifth_of_a_call_while_all_slots_are_full(world: World) -> None:
    """64 in flight, about two seconds a lead, 20 ms a call: claims, saves and renewals together."""
    chance = random.Random(7)  # noqa: S311 - a seed, so that every run is the same
    numbers = iter(range(10_000))

    def more() -> object:
        asked = world.store.of("claim")[-1].limit
        leads = [world.lead(f"lead-{next(numbers)}") for _ in range(asked)]
        world.scorer.delays.update({lead.lead_id: chance.uniform(0.5, 1.5) for lead in leads})
        return world.after(0.02, world.batch(*leads, has_more=True, next_due_ms=0))

    world.store.script = {"claim": [more] * 2000, "save": [lambda: world.after(0.02)] * 2000, "renew": [], "sweep": []}
    async with world.engine(slots=64):
        await anyio.sleep(10)
        calls, leads = len(world.store.calls), len(world.finished)
        await anyio.sleep(30)
        calls, leads = len(world.store.calls) - calls, len(world.finished) - leads
        assert leads >= 30 * 64 / 2 * 0.97
        assert calls / leads <= 0.2
