"""Only one transaction at a time checks eligibility or counts budgets; each lock alone excludes the others."""

from typing import Any, LiteralString

import psycopg
import pytest
from tests.sql.conftest import Connect, Sql

CLAIM: LiteralString = "leadhook.lock_claims()"
DRAIN: LiteralString = "leadhook.lock_outbox()"
SWEEP: LiteralString = "leadhook.try_lock_sweep()"


def hurry(db: Sql, function: str) -> None:
    """Have a function wait for locks no longer than 50 ms."""
    name = db.value("select %(f)s::regproc::oid::regprocedure::text", f=function)
    db.connection.execute(f"alter function {name} set lock_timeout = '50ms'".encode())


def hold(other: Sql, lock: LiteralString) -> None:
    """Until the transaction ends."""
    assert other.value("select " + lock) in {"", True}


@pytest.mark.parametrize("lock", [DRAIN, SWEEP])
def test_a_sweep_does_nothing_while_another_one_applies_the_outbox_or_sweeps(
    db: Sql, connect: Connect, lock: LiteralString
) -> None:
    """It hears busy."""
    hurry(db, "public.leadhook_sweep")
    db.eligible_lead("a")
    other = connect()
    with other.transaction():
        hold(other, lock)
        assert db.rpc("leadhook_sweep", p_worker="worker-1")["busy"]
    assert db.states() == {}
    db.rpc("leadhook_sweep", p_worker="worker-1")
    assert list(db.states()) == ["a"]


@pytest.mark.parametrize("lock", [CLAIM, DRAIN])
def test_a_claim_does_nothing_while_another_one_claims_or_applies_the_outbox(
    keyed: Sql, connect: Connect, lock: LiteralString
) -> None:
    """It hears busy."""
    hurry(keyed, "public.leadhook_claim")
    keyed.ready_job("a")
    other = connect()
    with other.transaction():
        hold(other, lock)
        assert keyed.claim()["busy"]
    assert keyed.states() == {"a": "ready"}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("public.leadhook_replay", {"p_lead_ids": ["a"], "p_actor": "ann"}),
        (
            "public.leadhook_replay_filtered",
            {"p_filter": {"all": True}, "p_limit": 5, "p_actor": "ann"},
        ),
    ],
)
def test_a_replay_waits_for_the_outbox_lock(
    db: Sql, connect: Connect, function: str, arguments: dict[str, Any]
) -> None:
    """Its caller hears of the lock, and nothing is begun."""
    hurry(db, function)
    db.ready_job("a", state="done")
    other = connect()
    with other.transaction():
        hold(other, DRAIN)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.call(function, **arguments)
    assert (db.states(), db.count("leadhook.replays")) == ({"a": "done"}, 0)


def test_stopping_a_replay_waits_for_the_outbox_lock(db: Sql, connect: Connect) -> None:
    """Its leads stay as they are in the meantime."""
    hurry(db, "public.leadhook_replay_stop")
    db.ready_job("a", state="done")
    replay_id = db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"]
    other = connect()
    with other.transaction():
        hold(other, DRAIN)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.rpc("leadhook_replay_stop", p_replay_id=replay_id, p_actor="tester")
    assert db.states() == {"a": "ready"}


def test_a_released_backlog_waits_for_the_outbox_lock(db: Sql, connect: Connect) -> None:
    """And stays held in the meantime."""
    hurry(db, "leadhook.release_backlog")
    db.ready_job("a", state="held")
    slice_of = {"p_user_id": db.USER, "p_tag": db.TAG, "p_after_lead": "", "p_limit": 5, "p_redo": False}
    other = connect()
    with other.transaction():
        hold(other, DRAIN)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.call("leadhook.release_backlog", **slice_of)
    assert db.states() == {"a": "held"}
    db.call("leadhook.release_backlog", **slice_of)
    assert db.states() == {"a": "ready"}


@pytest.mark.parametrize("deaths", [0, 1], ids=["a lead", "a suspect"])
def test_a_job_that_someone_has_locked_makes_no_claim_spin(keyed: Sql, connect: Connect, deaths: int) -> None:
    """Those behind it are claimed one by one; then nothing is due for a second."""
    keyed.ready_job("a", deaths=deaths)
    keyed.ready_job("b")
    keyed.ready_job("c", low_priority=True)
    keyed.ready_job("d", low_priority=True)
    other = connect()
    with other.transaction():
        other.run("select from leadhook.jobs where lead_id = 'a' for update")
        claimed = [keyed.ids_of(keyed.claim(1, low_priority_limit=1)) for _ in range(2)]
        assert claimed == [["b"], ["c"]]
        assert keyed.claim(1, low_priority_limit=0)["next_due_ms"] == 1000
        assert keyed.ids_of(keyed.claim(2)) == ["d"]
        last = keyed.claim()
        assert (last["leads"], last["has_more"], last["next_due_ms"]) == ([], False, 1000)
    assert keyed.ids_of(keyed.claim()) == ["a"]
