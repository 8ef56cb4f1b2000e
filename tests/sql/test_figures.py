"""The numbers that operators watch come with the replies of claim and sweep, counted at most once in ten seconds."""

from collections.abc import Mapping
from typing import Any

from tests.sql.conftest import Sql


def figures(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a reply, without their age."""
    return {name: value for name, value in reply["figures"].items() if name != "age_ms"}


def age_them(db: Sql) -> None:
    """As if eleven seconds had passed."""
    db.run("update leadhook.figures set taken_at = clock_timestamp() - interval '11 s' where id")


def test_a_claim_tells_how_many_leads_are_in_which_state_and_how_the_keys_fare(db: Sql) -> None:
    """After its own leases."""
    db.key()
    db.prompts()
    db.note_change(*db.eligible_leads(5))
    reply = db.claim(2)

    assert figures(reply) == {
        "jobs": {"waiting": 0, "held": 0, "dead": 0, "leased": 2, "ready": 3},
        "oldest_ready_ms": {"normal": reply["figures"]["oldest_ready_ms"]["normal"], "low": 0},
        "outbox": 0,
        "keys": {"healthy": 1, "cooling": 0, "disabled": 0},
    }
    assert reply["figures"]["age_ms"] == 0


def test_the_oldest_ready_lead_is_reported_by_priority_without_leads_that_wait_for_a_retry(db: Sql) -> None:
    """A retry that is due in a minute is no reason for an alert."""
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, available_at)"
        " select lead_id, gen_random_uuid(), 't', 'ready', low_priority, clock_timestamp() - age from (values"
        " ('a', false, interval '90 s'), ('b', false, interval '5 s'), ('c', true, interval '-60 s')"
        ") as j (lead_id, low_priority, age)"
    )
    (row,) = db.rows("select leadhook.count_figures(clock_timestamp()) as figures")

    assert 90_000 <= row["figures"]["oldest_ready_ms"]["normal"] < 120_000
    assert row["figures"]["oldest_ready_ms"]["low"] == 0


def test_a_claim_with_leads_does_not_count_for_a_minute(db: Sql) -> None:
    """Its leads wait for the reply; the next claim without leads counts."""
    db.key()
    db.note_change(*db.eligible_leads(3))
    db.claim(1)
    age_them(db)
    assert db.claim(1)["figures"]["age_ms"] >= 11_000
    db.run("update leadhook.figures set taken_at = clock_timestamp() - interval '61 s' where id")
    assert db.claim(1)["figures"]["age_ms"] == 0
    age_them(db)
    assert db.claim(1)["figures"]["age_ms"] == 0


def test_they_are_counted_again_after_ten_seconds_and_not_before(db: Sql) -> None:
    """By whichever call comes next, a sweep too; the age is reported."""
    first = db.claim(1)
    db.note_change(*db.eligible_leads(3))
    db.run("update leadhook.figures set taken_at = clock_timestamp() - interval '5 s' where id")
    again = db.claim(1)

    assert figures(again) == figures(first)
    assert 5000 <= again["figures"]["age_ms"] < 10_000
    age_them(db)
    (swept,) = db.rows("select public.leadhook_sweep('w') as reply")
    assert swept["reply"]["figures"]["jobs"]["ready"] == 3
    assert swept["reply"]["figures"]["age_ms"] == 0


def test_a_missing_key_table_is_no_reason_to_fail(db: Sql) -> None:
    """`/ready` reports it."""
    db.run("drop table public.gemini_api cascade")
    (row,) = db.rows("select leadhook.count_figures(clock_timestamp()) as figures")

    assert row["figures"]["keys"] == {"healthy": 0, "cooling": 0, "disabled": 0}
