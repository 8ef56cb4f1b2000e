"""A worker keeps its leases, and only its own."""

import psycopg
import pytest
from tests.sql.conftest import Connect, Row, Sql


def renew(db: Sql, *leases: Row) -> Row:
    reply: Row = db.rpc("leadhook_renew", p_worker="worker-1", p_leases=list(leases))
    return reply


def test_renew_prolongs_a_lease_by_the_databases_clock(db: Sql) -> None:
    """It then ends a whole lease time from now."""
    lease = db.leased_lead("a")
    db.age_job("a", 25)
    assert db.outcomes(renew(db, lease)) == {"a": "renewed"}
    left = db.value("select extract(epoch from lease_until - clock_timestamp()) from leadhook.jobs")
    assert 25 < left <= 30


def test_renew_prolongs_an_expired_lease_that_no_one_took(db: Sql) -> None:
    """A slow renewal does not cost the lead."""
    lease = db.leased_lead("a")
    db.age_job("a", 3600)
    assert db.outcomes(renew(db, lease)) == {"a": "renewed"}


def test_renew_refuses_a_lease_that_was_claimed_again(keyed: Sql) -> None:
    """The zombie hears lease_lost, the new holder keeps its lease."""
    old = keyed.leased_lead("a", fence=0)
    keyed.age_job("a", 3600)
    (new,) = keyed.claim()["leads"]
    before = keyed.job("a")
    assert keyed.outcomes(renew(keyed, old)) == {"a": "lease_lost"}
    assert keyed.job("a") == before
    assert keyed.outcomes(renew(keyed, keyed.lease_of(new))) == {"a": "renewed"}


def test_renew_answers_each_fence_of_the_same_lead(db: Sql) -> None:
    """A worker may hold a lead twice without knowing; the reply is keyed by both."""
    lease = db.leased_lead("a", fence=7)
    reply = renew(db, lease | {"fence": 6}, lease)
    assert {(r["fence"], r["outcome"]) for r in reply["leases"]} == {(6, "lease_lost"), (7, "renewed")}


def test_renew_answers_gone_for_a_lead_without_job(db: Sql) -> None:
    """Erased in the meantime."""
    assert db.outcomes(renew(db, {"lead_id": "nobody", "fence": 1})) == {"nobody": "gone"}


def test_renew_keeps_what_was_bought(db: Sql) -> None:
    """And a later renewal without it does not lose it."""
    lease = db.leased_lead("a")
    renew(db, lease | {"checkpoint": db.paid(70)})
    renew(db, lease | {"checkpoint": None})
    assert db.job("a")["checkpoint"] == db.paid(70)


def test_renew_ignores_what_it_does_not_know(db: Sql) -> None:
    """Two versions of the service overlap in a deploy."""
    assert db.outcomes(renew(db, db.leased_lead("a") | {"mood": "good"})) == {"a": "renewed"}


def test_renew_of_nothing_is_an_empty_reply(db: Sql) -> None:
    """No lease, no error."""
    assert renew(db) == {"leases": [], "key_news": [], "next_due_ms": None}


@pytest.mark.parametrize("leases", [{"lead_id": "a"}, [{"lead_id": "a"}], [{"fence": 1}], [1]])
def test_renew_refuses_a_lease_without_name(db: Sql, leases: object) -> None:
    """A bug of the caller is PT400, not a silent nothing."""
    with pytest.raises(psycopg.Error) as refused:
        db.rpc("leadhook_renew", p_worker="w", p_leases=leases)
    assert refused.value.sqlstate == "PT400"


def test_renew_is_not_held_up_by_one_locked_job(db: Sql, connect: Connect) -> None:
    """Someone sits on one job: that lease is busy, the other is renewed."""
    held, free = db.leased_lead("a"), db.leased_lead("b")
    other = connect()
    with other.transaction():
        other.run("select 1 from leadhook.jobs where lead_id = 'a' for update")
        assert db.outcomes(renew(db, held, free)) == {"a": "busy", "b": "renewed"}
