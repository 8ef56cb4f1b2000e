"""Fairness between groups, and fresh leads before low-priority ones."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from tests.sql.conftest import Row, Sql

OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")


def fill_group(db: Sql, tag: str, n: int, **columns: Any) -> None:
    """Ready leads `<tag>-1` on in a group of their own."""
    for number in range(1, n + 1):
        db.ready_job(f"{tag}-{number}", tag=tag, **columns)


def groups_of(db: Sql, batch: Row) -> dict[str, int]:
    """How many leads of each group (the first part of the id) a batch holds."""
    return dict(Counter(lead_id.split("-")[0] for lead_id in db.ids_of(batch)))


def test_a_batch_is_split_evenly_between_groups(keyed: Sql) -> None:
    fill_group(keyed, "a", 20)
    fill_group(keyed, "b", 5)
    fill_group(keyed, "c", 20)
    assert groups_of(keyed, keyed.claim(9)) == {"a": 3, "b": 3, "c": 3}


def test_slots_that_a_short_group_leaves_are_filled_from_the_others(keyed: Sql) -> None:
    fill_group(keyed, "a", 1)
    fill_group(keyed, "b", 20)
    fill_group(keyed, "c", 3)
    assert groups_of(keyed, keyed.claim(12)) == {"a": 1, "b": 8, "c": 3}


def test_users_are_groups_of_their_own(keyed: Sql) -> None:
    """The same tag of two users is two groups."""
    for number in range(6):
        keyed.ready_job(f"mine-{number}")
        keyed.ready_job(f"theirs-{number}", user=OTHER_USER)
    assert groups_of(keyed, keyed.claim(6)) == {"mine": 3, "theirs": 3}


def test_the_longest_due_of_a_group_goes_first(keyed: Sql) -> None:
    fill_group(keyed, "a", 3)
    keyed.age_job("a-3", 60)
    keyed.age_job("a-2", 30)
    assert keyed.ids_of(keyed.claim(2)) == ["a-3", "a-2"]


def test_the_next_claim_goes_on_behind_the_last_group(keyed: Sql) -> None:
    """With more groups than slots every group has its turn, wrapping round."""
    for tag in "abcde":
        fill_group(keyed, tag, 2)
    turns, last_user = [], None
    for _ in range(5):
        batch = keyed.claim(2, after_user=last_user)
        last_user = batch["last_user"]
        turns.append(sorted(groups_of(keyed, batch)))
    assert turns == [["a", "b"], ["c", "d"], ["a", "e"], ["b", "c"], ["d", "e"]]
    assert last_user == str(keyed.USER)


def test_a_user_with_many_tags_has_the_share_of_one(keyed: Sql) -> None:
    for tag in "abcdef":
        fill_group(keyed, tag, 4)
    for number in range(8):
        keyed.ready_job(f"other-{number}", user=OTHER_USER)
    last_user: str | None = None
    order: list[str] = []
    for _ in range(6):
        batch = keyed.claim(1, after_user=last_user)
        last_user = batch["last_user"]
        order += groups_of(keyed, batch)
    assert order == ["a", "other", "b", "other", "c", "other"]
    assert groups_of(keyed, keyed.claim(8, after_user=last_user)) == {"d": 1, "e": 1, "f": 1, "a": 1, "other": 4}


def test_the_odd_slot_goes_round(keyed: Sql) -> None:
    """With two groups and three slots neither has the third one for ever."""
    fill_group(keyed, "a", 20)
    fill_group(keyed, "b", 20)
    last_user, total = None, Counter[str]()
    for _ in range(4):
        batch = keyed.claim(3, after_user=last_user)
        last_user = batch["last_user"]
        total.update(groups_of(keyed, batch))
    assert total == {"a": 6, "b": 6}


@pytest.mark.parametrize("last_user", [UUID(int=0), UUID(int=2**128 - 1)])
def test_the_last_user_may_be_gone(keyed: Sql, last_user: UUID) -> None:
    """It may sort before or behind all that wait."""
    for group in "abc":
        fill_group(keyed, group, 1)
    assert sorted(groups_of(keyed, keyed.claim(10, after_user=str(last_user)))) == ["a", "b", "c"]


def test_a_claim_that_finds_nothing_keeps_the_last_user(keyed: Sql) -> None:
    last_user = str(keyed.USER)
    assert (keyed.claim()["last_user"], keyed.claim(after_user=last_user)["last_user"]) == (None, last_user)


def test_retries_of_the_future_are_not_due(keyed: Sql) -> None:
    fill_group(keyed, "a", 2)
    keyed.run("update leadhook.jobs set available_at = clock_timestamp() + interval '1 hour' where lead_id = 'a-1'")
    batch = keyed.claim()
    assert (keyed.ids_of(batch), batch["has_more"]) == (["a-2"], False)


def test_many_groups_of_the_future_do_not_hide_what_is_due(keyed: Sql) -> None:
    keyed.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, available_at)"
        " select 'future-' || g, %(user)s, 'future-' || g, 'ready', 'tomorrow' from generate_series(1, 21000) as g",
        user=keyed.USER,
    )
    fill_group(keyed, "zzz", 3)
    assert keyed.ids_of(keyed.claim(2)) == ["zzz-1", "zzz-2"]
    assert keyed.ids_of(keyed.claim(2)) == ["zzz-3"]


def test_a_batch_has_more_while_more_is_due(keyed: Sql) -> None:
    """Then the next claim may follow at once."""
    fill_group(keyed, "a", 3)
    assert [(batch["has_more"], batch["next_due_ms"] == 0) for batch in (keyed.claim(2), keyed.claim(2))] == [
        (True, True),
        (False, False),
    ]


def test_fresh_leads_go_before_low_priority_ones(keyed: Sql) -> None:
    fill_group(keyed, "slow", 4, low_priority=True, available_at="2026-01-01T00:00:00Z")
    fill_group(keyed, "fresh", 3)
    assert groups_of(keyed, keyed.claim(4)) == {"fresh": 3, "slow": 1}


def test_low_priority_leads_take_no_more_than_their_limit(keyed: Sql) -> None:
    """Free slots stay free for what is fresh."""
    fill_group(keyed, "slow", 6, low_priority=True)
    batch = keyed.claim(4, low_priority_limit=3)
    assert (groups_of(keyed, batch), batch["has_more"]) == ({"slow": 3}, True)
    assert {lead["low_priority"] for lead in batch["leads"]} == {True}


def test_low_priority_leads_that_have_no_slot_leave_no_more_to_claim(keyed: Sql) -> None:
    """Else a worker whose low-priority slots are full would claim in a circle."""
    fill_group(keyed, "slow", 6, low_priority=True)
    batch = keyed.claim(4, low_priority_limit=0)
    assert (batch["leads"], batch["has_more"], batch["next_due_ms"]) == ([], False, 250)


def test_low_priority_groups_are_served_in_turn_too(keyed: Sql) -> None:
    """Behind the same user, even while fresh leads come."""
    fill_group(keyed, "a", 10)
    for tag in ("b", "c", "d"):
        fill_group(keyed, tag, 3, low_priority=True)
    last_user, slow = None, Counter[str]()
    for number in range(3):
        keyed.run("update leadhook.jobs set available_at = 'infinity' where tag = 'a' and state = 'ready'")
        keyed.run(
            "update leadhook.jobs set available_at = clock_timestamp() where lead_id = %(id)s", id=f"a-{number + 1}"
        )
        batch = keyed.claim(2, after_user=last_user)
        last_user = batch["last_user"]
        slow.update(groups_of(keyed, batch))
    assert slow == {"a": 3, "b": 1, "c": 1, "d": 1}
