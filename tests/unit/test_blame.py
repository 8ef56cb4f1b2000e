"""The rules of blame: what one failure proves, and what several do."""

import math
from typing import Any

import pytest

from leadhook.domain.blame import (
    LONE_REST_S,
    OUTAGE_PAUSE_S,
    OWN_PAUSE_S,
    PAID_OUTAGE_PAUSES_S,
    PAID_PAUSES_S,
    RESTS_S,
    Decision,
    decide,
    key_rest_s,
    pause_s,
)
from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import Usage

DAY_S = 86_400.0
PAID: dict[str, Any] = {"usage": Usage(calls=2, input_tokens=9, output_tokens=0)}
BILLED: dict[str, Any] = {"usage": Usage(calls=1, unmetered=1)}


def decided(
    kind: FailureClass, *, failing_s: float | None = None, others: int = 0, attempts: int = 0, **more: Any
) -> Decision:
    """What becomes of a lead."""
    failure = Failure(kind, "code", "Reason.", **more)
    return decide(failure, attempts, failing_s=failing_s, others_answered=others, give_up_after_s=DAY_S)


@pytest.mark.parametrize("failing_s", [None, 10.0, 2 * DAY_S])
@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(FailureClass.CONTENT, "dead"), (FailureClass.KEY, "returned"), (FailureClass.CONFIGURATION, "returned")],
)
def test_what_is_said_of_the_answer_a_key_or_a_setting_needs_no_evidence(
    kind: FailureClass, outcome: str, failing_s: float | None, others: int
) -> None:
    """The model answered this lead, or it is not about the lead at all."""
    decision = decided(kind, failing_s=failing_s, others=others)
    assert (decision.outcome, decision.failing, decision.evidence) == (outcome, kind == FailureClass.KEY, "")


@pytest.mark.parametrize(
    ("failing_s", "others", "outcome"),
    [(None, 0, "returned"), (10.0, 0, "returned"), (10.0, 1, "dead"), (DAY_S - 1, 0, "returned"), (DAY_S, 0, "dead")],
)
def test_refused_lead_is_dead_once_others_are_answered_or_a_day_is_over(
    failing_s: float | None, others: int, outcome: str
) -> None:
    """Until then it waits, unspent."""
    decision = decided(FailureClass.REFUSED, failing_s=failing_s, others=others)
    assert (decision.outcome, decision.failing) == (outcome, outcome == "returned")
    assert ("1 other lead answered" if others else "No other lead answered") in decision.evidence


@pytest.mark.parametrize(
    ("failing_s", "others", "outcome"),
    [
        (None, 0, "returned"),
        (3_600.0, 0, "returned"),
        (9 * DAY_S, 0, "returned"),
        (3_600.0, 2, "returned"),
        (DAY_S, 2, "dead"),
    ],
)
def test_lead_outlasts_an_outage_of_any_length(failing_s: float | None, others: int, outcome: str) -> None:
    """It is given up after a day in which others were answered."""
    assert decided(FailureClass.TRANSIENT, failing_s=failing_s, others=others).outcome == outcome


@pytest.mark.parametrize(
    ("more", "others", "outcome"),
    [(PAID, 0, "retry"), (PAID, 2, "retry"), (BILLED, 0, "returned"), (BILLED, 2, "retry"), ({}, 2, "returned")],
)
def test_only_what_was_paid_spends_an_attempt(more: dict[str, Any], others: int, outcome: str) -> None:
    """What was perhaps paid does so while other leads are answered."""
    assert decided(FailureClass.TRANSIENT, failing_s=60, others=others, **more).outcome == outcome


@pytest.mark.parametrize(("others", "pauses_s"), [(0, PAID_OUTAGE_PAUSES_S), (1, PAID_PAUSES_S)])
def test_paid_attempts_outlast_an_hour_unless_others_are_answered(others: int, pauses_s: tuple[float, ...]) -> None:
    """Each attempt costs money, so that the pauses are long."""
    found = [
        decided(FailureClass.TRANSIENT, attempts=n, others=others, **PAID).delay_s for n in range(len(pauses_s) + 1)
    ]
    assert found[1:] == [*pauses_s[1:], pauses_s[-1]]
    assert sum(PAID_OUTAGE_PAUSES_S) > 3_600


@pytest.mark.parametrize(("others", "longest_s"), [(0, OUTAGE_PAUSE_S), (1, OWN_PAUSE_S)])
def test_pause_is_as_long_as_the_failure_has_lasted(others: int, longest_s: float) -> None:
    """It doubles, to a minute in an outage, to ten minutes for a lead's own fault."""
    for failing_s in (2, 4, 16, 64, 256, 10_000):
        delay_s = decided(FailureClass.TRANSIENT, failing_s=failing_s, others=others).delay_s
        assert 0.9 * min(failing_s, longest_s) <= delay_s <= min(failing_s, longest_s)
    assert 1.8 <= pause_s(0, longest_s) <= 2


def test_delay_that_a_server_names_is_honoured_up_to_ten_minutes() -> None:
    """Of a 503 with Retry-After."""
    assert decided(FailureClass.TRANSIENT, park_s=90).delay_s == 90
    assert decided(FailureClass.TRANSIENT, park_s=9_000).delay_s == OWN_PAUSE_S


@pytest.mark.parametrize("asked_s", [None, 7.0])
def test_first_rest_is_as_long_as_google_asks(asked_s: float | None) -> None:
    """Otherwise a minute, even if other leads are answered; midnight is not believed yet."""
    for others_answered in (True, False):
        rest_s = key_rest_s(0, others_answered=others_answered, asked_s=asked_s, again_s=30_000)
        assert rest_s == (asked_s or 60)


def test_rest_grows_to_a_day_while_others_are_answered() -> None:
    """And never ends the key for good."""
    rests = [key_rest_s(n, others_answered=True, asked_s=7, again_s=None) for n in range(1, 10)]
    assert rests == [*RESTS_S[1:], *[RESTS_S[-1]] * 4]


@pytest.mark.parametrize(("asked_s", "first_s"), [(None, 120), (7.0, 14)])
def test_rest_grows_to_minutes_while_no_other_is_answered(asked_s: float | None, first_s: float) -> None:
    """Perhaps it is not the key."""
    rests = [key_rest_s(n, others_answered=False, asked_s=asked_s, again_s=None) for n in range(1, 40)]
    assert rests[0] == first_s
    assert rests[-1] == LONE_REST_S
    assert rests == sorted(rests)


@pytest.mark.parametrize("others_answered", [True, False])
def test_later_rest_is_never_shorter_than_google_asks(others_answered: bool) -> None:  # noqa: FBT001 - a parameter
    """Neither than the named delay, nor than the day's end once the short delay did not help."""
    assert key_rest_s(1, others_answered=others_answered, asked_s=5_000, again_s=None) == 5_000
    assert key_rest_s(1, others_answered=others_answered, asked_s=36, again_s=30_000) == 30_000


@pytest.mark.parametrize("rests", [0, 3])
def test_key_that_no_call_can_carry_rests_until_its_row_changes(rests: int) -> None:
    """It says nothing about Google, so no answer can help it."""
    assert key_rest_s(rests, others_answered=True, asked_s=math.inf, again_s=None) == math.inf
