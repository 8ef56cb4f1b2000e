"""What `/ready` says of leads that are held back on purpose."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from leadhook.domain.findings import check_admission, check_everything, check_workers
from leadhook.domain.status import Status

USER = UUID("00000000-0000-4000-8000-000000000001")
AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_nothing_is_said_where_nothing_is_held_back() -> None:
    """A budget that has something left is no news."""
    found = check_admission(Status.model_validate({"budgets": [{"user_id": None, "daily_usd": 5, "left_usd": 1}]}))
    assert (found.reasons, found.warnings) == ((), ())


def test_pause_of_everything_is_a_reason_and_one_of_a_user_a_warning() -> None:
    pauses = [
        {"actor": "ada", "reason": "spring cleaning", "paused_at": AT},
        {"user_id": USER, "tag": "a", "actor": "bo", "paused_at": AT},
        {"user_id": USER, "actor": "bo", "paused_at": AT},
    ]
    found = check_admission(Status.model_validate({"pauses": pauses}))
    assert tuple(map(str, found.reasons)) == (
        (
            "All work has been paused since 2026-11-23T08:00:00Z by ada: spring cleaning. "
            "`leadhook resume` ends the pause."
        ),
    )
    assert tuple(map(str, found.warnings)) == (
        (
            f"The work of user {USER}, tag a has been paused since 2026-11-23T08:00:00Z by bo. "
            f"`leadhook resume --user {USER} --tag a` ends the pause."
        ),
        (
            f"The work of user {USER} has been paused since 2026-11-23T08:00:00Z by bo. "
            f"`leadhook resume --user {USER}` ends the pause."
        ),
    )


def test_spent_budget_of_all_is_a_reason_and_one_of_a_user_a_warning() -> None:
    """And until when leads wait; one that no lead fits into is distinguished."""
    budgets = [
        {"user_id": None, "daily_usd": 5, "left_usd": 0.01, "spent": True},
        {"user_id": USER, "daily_usd": 0.5, "left_usd": 0, "spent": True},
        {"user_id": USER, "daily_usd": 0.01, "left_usd": 0.01, "spent": True, "too_small": True},
    ]
    found = check_admission(Status.model_validate({"budgets": budgets}))
    assert tuple(map(str, found.reasons)) == (
        (
            "The daily budget of $5 for all users is spent ($0.010 left): leads wait until midnight UTC. "
            "`leadhook budget set DOLLARS` raises it, and leads are claimed again at once."
        ),
    )
    assert tuple(map(str, found.warnings)) == (
        (
            f"The daily budget of $0.5 for user {USER} is spent ($0.00 left): leads wait until midnight UTC. "
            f"`leadhook budget set DOLLARS --user {USER}` raises it, and leads are claimed again at once."
        ),
        (
            f"The daily budget of $0.01 for user {USER} is less than one lead may cost: leads wait until it is raised. "
            f"`leadhook budget set DOLLARS --user {USER}` raises it, and leads are claimed again at once."
        ),
    )


SEEN = {"worker": "host/1/ab", "claimed_ms": 1_000_000, "swept_ms": 200_000}
KEYS = {"total": 1, "healthy": 1}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "No service has claimed or swept yet"),
        ({"workers": [SEEN]}, None),
        ({"workers": [SEEN | {"swept_ms": 361_000}]}, "No service has claimed or swept for 6 minutes"),
        ({"workers": [SEEN | {"swept_ms": 361_000, "claimed_ms": 5}]}, None),
        ({"workers": [SEEN | {"swept_ms": None}]}, "No service has claimed or swept for 17 minutes"),
        ({"workers": [SEEN], "unclaimed_ms": 9_000}, None),
        (
            {"workers": [SEEN], "unclaimed_ms": 300_000},
            "Leads have waited for 5 minutes, and the last",
        ),
        ({"workers": [SEEN], "unclaimed_ms": 300_000, "working": True}, None),
        ({"workers": [SEEN | {"claimed_ms": 200}], "unclaimed_ms": 300_000}, None),
        ({"workers": [SEEN | {"claimed_ms": None}], "unclaimed_ms": 30_000}, "no claim has succeeded"),
        ({"workers": [SEEN], "unclaimed_ms": 300_000, "keys": {"total": 1}}, None),
    ],
)
def test_a_service_that_does_not_work_is_found_by_what_it_left(status: dict[str, object], words: str | None) -> None:
    """An idle one sweeps each SWEEP_INTERVAL_SEC; one with a free slot claims what is ready at once."""
    found = [str(trouble) for trouble in check_workers(Status.model_validate({"keys": KEYS} | status), 300)]
    assert [words in trouble for trouble in found if words] == ([True] if words else [])
    assert bool(found) == bool(words)


def test_an_operator_sees_every_pause_and_budget_as_a_reason() -> None:
    """The service is ready while one user is paused, but his leads are kept back."""
    status = {
        "keys": KEYS,
        "workers": [SEEN],
        "pauses": [{"user_id": USER, "actor": "bo", "paused_at": AT}],
        "budgets": [{"user_id": USER, "daily_usd": 0.5, "left_usd": 0, "spent": True}],
        "jobs": {"held": 1},
    }
    found = check_everything(Status.model_validate(status), 300)
    assert [trouble.code for trouble in found.reasons] == ["paused", "budget_spent"]
    assert [trouble.code for trouble in found.warnings] == ["webhook_not_set_up", "leads_held"]
