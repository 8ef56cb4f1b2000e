"""What `/ready` says of leads that are held back on purpose."""

from datetime import UTC, datetime
from uuid import UUID

from leadhook.store import Status
from leadhook.web.readiness import judge_gates

USER = UUID("00000000-0000-4000-8000-000000000001")
AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_nothing_is_said_where_nothing_is_held_back() -> None:
    """A budget that has something left is no news."""
    found = judge_gates(Status.model_validate({"budgets": [{"user_id": None, "daily_usd": 5, "left_usd": 1}]}))
    assert (found.reasons, found.warnings) == ((), ())


def test_pause_of_everything_is_a_reason_and_one_of_a_user_a_warning() -> None:
    """Who did it, since when, and why if they said."""
    pauses = [
        {"actor": "ada", "reason": "spring cleaning", "paused_at": AT},
        {"user_id": USER, "tag": "a", "actor": "bo", "paused_at": AT},
        {"user_id": USER, "actor": "bo", "paused_at": AT},
    ]
    found = judge_gates(Status.model_validate({"pauses": pauses}))
    assert found.reasons == ("Everything is paused since 2026-11-23 08:00:00 UTC by ada: spring cleaning.",)
    assert found.warnings == (
        f"User {USER}, tag a, is paused since 2026-11-23 08:00:00 UTC by bo.",
        f"User {USER} is paused since 2026-11-23 08:00:00 UTC by bo.",
    )


def test_spent_budget_of_all_is_a_reason_and_one_of_a_user_a_warning() -> None:
    """And until when leads wait; one that no lead fits into is told apart."""
    budgets = [
        {"user_id": None, "daily_usd": 5, "left_usd": 0.01, "spent": True},
        {"user_id": USER, "daily_usd": 0.5, "left_usd": 0, "spent": True},
        {"user_id": USER, "daily_usd": 0.01, "left_usd": 0.01, "spent": True, "too_small": True},
    ]
    found = judge_gates(Status.model_validate({"budgets": budgets}))
    assert found.reasons == (
        "The budget of all users, $5 a day, is spent: leads wait for midnight UTC or a higher budget.",
    )
    assert found.warnings == (
        f"The budget of user {USER}, $0.5 a day, is spent: leads wait for midnight UTC or a higher budget.",
        f"The budget of user {USER}, $0.01 a day, is less than one lead may cost: raise it.",
    )
