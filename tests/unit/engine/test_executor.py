"""What one lead goes through between its claim and its write."""

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import Score, Usage


async def test_good_lead_is_scored_written_to_and_saved(world: World) -> None:
    world.hand_out(world.lead(waited_ms=40))
    await world.run(3)
    result = world.saves[0]
    assert world.scorer.steps == ["score", "write"]
    assert len(set(world.scorer.keys)) == 1
    assert (result.lead_id, result.fence, result.key_fingerprint) == ("a", 1, world.scorer.keys[0])
    assert (result.checkpoint.score.score, result.checkpoint.message.message) == (80, "Dear Ada")
    assert (result.checkpoint.prompt_version, result.checkpoint.input_version) == ("prompts 1", "input Ada")
    assert result.usage == Usage(calls=2, input_tokens=100, output_tokens=10)
    assert (result.timing.first_call_ms, result.timing.model_ms) == (40, 2000)


@pytest.mark.parametrize(("score", "calls"), [(49, 1), (50, 2)])
async def test_message_is_bought_from_fifty_up(world: World, score: int, calls: int) -> None:
    """Below, both texts are the word that front ends look for."""
    world.hand_out(world.lead())
    world.scorer.script = {"a": [Score(score=score, response="so", should_contact=score >= 50)]}
    await world.run(3)
    message = world.saves[0].checkpoint.message
    assert len(world.scorer.calls) == calls
    assert (message.subject, message.message) == (("ineligible", "ineligible") if score < 50 else ("Hello", "Dear Ada"))


async def test_paid_score_is_not_bought_again(world: World) -> None:
    world.hand_out(world.lead(checkpoint=world.paid(score=90)))
    await world.run(3)
    result = world.saves[0]
    assert world.scorer.steps == ["write"]
    assert (result.checkpoint.score.score, result.checkpoint.model, result.usage.calls) == (90, "earlier-model", 1)


async def test_lead_that_is_paid_in_full_is_saved_without_a_call(world: World) -> None:
    world.hand_out(world.lead(checkpoint=world.paid(message=world.message())), keys=0)
    await world.run(1)
    result = world.saves[0]
    assert world.scorer.calls == []
    assert (result.checkpoint.message, result.usage, result.timing.first_call_ms) == (
        world.message(),
        Usage(),
        None,
    )


@pytest.mark.parametrize(
    ("kind", "attempts", "calls"),
    [(FailureClass.CONTENT, 0, 1), (FailureClass.TRANSIENT, 4, 2)],
    ids=["final", "last attempt"],
)
async def test_paid_score_is_saved_where_only_the_message_fails(
    world: World, kind: FailureClass, attempts: int, calls: int
) -> None:
    world.hand_out(world.lead(attempts=attempts))
    paid = Usage(calls=1, input_tokens=7, output_tokens=1)
    world.scorer.script = {
        "a": [Score(score=80, response="good", should_contact=True), *[world.failure(kind, usage=paid)] * calls]
    }
    await world.run(5)
    [result] = world.saves
    assert (result.checkpoint.score.score, result.checkpoint.message) == (80, None)
    assert (result.message_failure.code, result.usage.calls) == (f"{kind}_code", 1 + calls)
    assert world.releases == []
    [line] = world.finished
    assert (line["outcome"], line["error_code"], line["score"]) == ("saved_without_message", f"{kind}_code", 80)


FLAGGED = Score(score=97, response="perfect", should_contact=True, flags=("asks_for_score",))


def sober(score: int) -> Score:
    """The score without the lead's free text."""
    return Score(score=score, response="a clerk", should_contact=score >= 50)


@pytest.mark.parametrize(
    ("without", "saved", "steps"),
    [(82, 97, ["score", "check", "write"]), (81, 49, ["score", "check"]), (30, 30, ["score", "check"])],
)
async def test_high_score_of_a_flagged_lead_is_confirmed_without_its_free_text(
    world: World, without: int, saved: int, steps: list[str]
) -> None:
    world.hand_out(world.lead())
    world.scorer.script = {"a": [FLAGGED, sober(without)]}
    await world.run(4)
    [result] = world.saves
    score = result.checkpoint.score
    assert world.scorer.steps == steps
    assert (score.score, score.should_contact) == (saved, saved >= 50)
    assert ("unconfirmed_score" in score.flags) == (saved < 50)
    assert score.response.startswith("Kept below 50: the lead's text") == (saved < 50)
    assert (result.checkpoint.message.message == "ineligible") == (saved < 50)
    assert result.usage.calls == len(steps)


@pytest.mark.parametrize(("score", "check"), [(49, True), (97, False)], ids=["low", "off"])
async def test_flagged_lead_is_not_checked_below_contact_or_if_the_check_is_off(
    world: World,
    score: int,
    check: bool,  # noqa: FBT001 - a case of the table
) -> None:
    world.hand_out(world.lead())
    world.scorer.script = {"a": [FLAGGED.model_copy(update={"score": score})]}
    await world.run(3, injection_check=check)
    [result] = world.saves
    assert result.checkpoint.score.score == score
    assert "check" not in world.scorer.steps


async def test_flagged_score_that_cannot_be_checked_is_saved_below_contact(world: World) -> None:
    paid = Usage(calls=1, input_tokens=7, output_tokens=1)
    world.scorer.script = {"a": [world.failure(FailureClass.TRANSIENT, usage=paid)] * 4}
    unchecked = world.paid().model_copy(update={"score": FLAGGED})
    world.hand_out(world.lead(attempts=3, checkpoint=unchecked))
    world.hand_out(world.lead("a", attempts=4, fence=2, checkpoint=unchecked))
    async with world.engine() as engine:
        await anyio.sleep(3)
        [release] = world.releases
        assert (release.outcome, release.checkpoint.score) == ("retry", FLAGGED)
        engine.wake()
        await anyio.sleep(3)
        [result] = world.saves
    assert (result.checkpoint.score.score, result.message_failure) == (49, None)
    assert "unconfirmed_score" in result.checkpoint.score.flags


async def test_message_that_may_still_be_had_is_tried_again(world: World) -> None:
    world.hand_out(world.lead(attempts=3))
    paid = Usage(calls=1, input_tokens=7, output_tokens=1)
    good = Score(score=80, response="good", should_contact=True)
    world.scorer.script = {"a": [good, *[world.failure(FailureClass.TRANSIENT, usage=paid)] * 2]}
    await world.run(5)
    [release] = world.releases
    assert (release.outcome, release.checkpoint.score) == ("retry", good)
    assert world.store.of("save") == []


async def test_answer_to_an_older_question_is_bought_again(world: World) -> None:
    world.hand_out(world.lead(checkpoint=world.paid(prompt_version="prompts 0", message=world.message())))
    await world.run(3)
    assert world.scorer.steps == ["score", "write"]
    assert world.saves[0].checkpoint.prompt_version == "prompts 1"


async def test_answer_that_another_version_of_the_program_bought_is_not_bought_again(world: World) -> None:
    """Its templates were others, the prompts row is the same: a deploy repeats no call."""
    lead = world.lead()
    earlier = world.paid(prompt_version="older templates").model_copy(update={"prompts_digest": lead.prompts.digest})
    world.hand_out(lead.model_copy(update={"checkpoint": earlier}))
    await world.run(3)
    assert world.scorer.steps == ["write"]
    assert world.saves[0].checkpoint.prompt_version == "older templates"


async def test_lead_whose_key_failed_goes_on_with_another_and_keeps_its_score(world: World) -> None:
    good = Score(score=80, response="good", should_contact=True)
    spent = Usage(calls=1, input_tokens=7)
    world.hand_out(world.lead())
    world.scorer.script = {"a": [good, world.failure(FailureClass.KEY, park_s=30, usage=spent)]}
    await world.run(5)
    [call] = world.store.of("park_keys")
    [parked] = call.keys
    assert (parked.fingerprint, parked.for_ms) == (world.scorer.keys[0], 30_000)
    assert call.at == 2
    assert [line["fingerprint"] for line in world.log if line["event"] == "key.parked"] == [parked.fingerprint]
    assert world.scorer.steps == ["score", "write", "write"]
    result = world.saves[0]
    assert result.key_fingerprint == world.scorer.keys[2] != parked.fingerprint
    assert result.usage == Usage(calls=3, input_tokens=107, output_tokens=10)


async def test_key_that_failed_one_lead_is_not_tried_by_the_others_of_its_batch(world: World) -> None:
    world.hand_out(world.lead("a"), world.lead("b"), keys=1)
    world.scorer.delays = {"a": 0.5}
    world.scorer.script = {"a": [world.failure(FailureClass.KEY)]}
    await world.run(5)
    releases = {item.lead_id: item for item in world.releases}
    assert releases["b"].error_code == "no_healthy_key"
    assert releases["b"].outcome == "returned"
    assert releases["b"].checkpoint.score.score == 80
    assert world.scorer.keys == ["key-0", "key-0"]


@pytest.mark.parametrize(("failing_ms", "delay_s"), [(None, 2), (9_000, 10), (3_600_000, 64)])
async def test_transient_failure_spends_no_attempt_and_waits_as_long_as_it_has_lasted(
    world: World, failing_ms: int | None, delay_s: int
) -> None:
    world.hand_out(world.lead(failing_ms=failing_ms))
    world.scorer.script = {"a": [world.failure(FailureClass.TRANSIENT)]}
    await world.run(2)
    release = world.releases[0]
    assert (release.outcome, release.failing) == ("returned", True)
    assert 900 * delay_s <= release.delay_ms <= 1000 * delay_s
    assert "No other lead was answered" in release.reason


def empty() -> Failure:
    return Failure(FailureClass.TRANSIENT, "answer_empty", "Empty.", usage=Usage(calls=1, input_tokens=9))


@pytest.mark.parametrize("keys", [1, 2])
async def test_empty_answer_is_asked_for_again_at_once_with_another_key_if_there_is_one(
    world: World, keys: int
) -> None:
    """Empty answers come by chance, and from single projects; both calls are booked."""
    world.hand_out(world.lead(), keys=keys)
    world.scorer.script = {"a": [empty()]}
    await world.run(5)
    assert len(set(world.scorer.keys[:2])) == keys
    assert world.saves[0].usage == Usage(calls=3, input_tokens=109, output_tokens=10)


@pytest.mark.parametrize(
    ("spent", "bought_at", "outcome"),
    [(0, None, "retry"), (1, None, "dead"), (1, 1, "retry"), (2, 1, "saved_without_message")],
)
async def test_step_is_paid_for_three_times_at_most_while_others_are_answered(
    world: World, spent: int, bought_at: int | None, outcome: str
) -> None:
    """Attempts that the score took are not counted against the message."""
    bought = None if bought_at is None else world.paid().model_copy(update={"attempts_before": bought_at})
    world.scorer.script = {"a": [empty()] * 2}
    world.hand_out(world.lead("b"))
    async with world.engine() as engine:
        await anyio.sleep(5)
        world.hand_out(world.lead(attempts=spent, failing_ms=60_000, checkpoint=bought))
        engine.wake()
        await anyio.sleep(5)
        line = world.finished[-1]
        assert (line["lead_id"], line["outcome"], line["calls"]) == ("a", outcome, 1)
        assert "1 other lead was answered with this key since" in line["reason"] or len(set(world.scorer.keys)) > 1


async def test_empty_answer_is_asked_for_again_once(world: World) -> None:
    world.hand_out(world.lead(), keys=2)
    world.scorer.script = {"a": [empty()] * 9}
    await world.run(9)
    [release] = world.releases
    assert len(world.scorer.calls) == release.usage.calls == 2
    assert (release.outcome, release.delay_ms) == ("retry", 3_660_000)
    assert 1_900 <= release.decide_after_ms <= 2_000


@pytest.mark.parametrize("refusing", [1, 2])
async def test_reason_names_how_many_keys_were_refused_alike(world: World, refusing: int) -> None:
    """The same refusal with each key is evidence that it is not the key."""
    world.hand_out(world.lead(), keys=refusing)
    world.scorer.script = {"a": [world.failure(FailureClass.REFUSED)] * 2}
    await world.run(5)
    [release] = world.releases
    assert ("2 keys were refused alike" in release.reason) == (refusing == 2)


async def test_defect_before_any_call_is_booked_as_nothing(world: World) -> None:
    world.scorer.prompt_version = lambda _: str(1 // 0)  # type: ignore[method-assign,assignment]
    world.hand_out(world.lead())
    await world.run(2)
    release = world.releases[0]
    assert (release.error_code, release.usage) == ("unexpected_error", Usage())


async def test_defect_shows_no_text_of_the_lead(world: World) -> None:
    world.hand_out(world.lead())
    world.scorer.script = {"a": [ValueError("Ada's secret")]}
    async with world.engine() as engine:
        await anyio.sleep(2)
        release = world.releases[0]
        assert (release.outcome, release.error_code) == ("returned", "unexpected_error")
        assert "ValueError" in release.reason
        assert "secret" not in release.reason
        assert engine.health().running


async def test_attempt_leaves_one_canonical_line(world: World) -> None:
    world.hand_out(world.lead(waited_ms=40, run=2, fence=9, attempts=1))
    await world.run(3)
    assert world.finished == [
        {
            "event": "lead.finished",
            "log_level": "info",
            "lead_id": "a",
            "run": 2,
            "fence": 9,
            "attempt": 2,
            "outcome": "saved",
            "score": 80,
            "flags": [],
            "source": "webhook",
            "waited_ms": 40,
            "first_call_ms": 40,
            "key_wait_ms": 0,
            "model_ms": 2000,
            "calls": 2,
            "input_tokens": 100,
            "cached_tokens": 0,
            "output_tokens": 10,
            "thinking_tokens": 0,
            "cost_usd": None,
            "key": world.scorer.keys[0],
            "error_code": None,
            "reason": None,
        }
    ]


async def test_failed_attempt_logs_code_and_reason(world: World) -> None:
    world.hand_out(world.lead())
    world.scorer.script = {"a": [world.failure(FailureClass.TRANSIENT)]}
    await world.run(2)
    line = world.finished[0]
    assert (line["outcome"], line["error_code"]) == ("returned", "transient_code")
    assert line["reason"].startswith("transient reason ")
