"""A replay while someone else works on the lead."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.sql.conftest import Connect, Sql


def finish_while_replaying(db: Sql, connect: Connect, finish: Callable[[], object]) -> str:
    """Ask for a replay of `a` while `finish` is not yet committed; the outcome."""
    other = connect()
    with ThreadPoolExecutor(1) as threads:
        with db.transaction():
            finish()
            asked = threads.submit(other.rpc, "leadhook_replay", p_lead_ids=["a"], p_actor="ann")
            while not db.value("select count(*) from pg_locks where not granted"):
                assert not asked.done()
        outcome: str = asked.result(10)["leads"][0]["outcome"]
    return outcome


def test_replay_during_a_save_runs_after_it(db: Sql, connect: Connect) -> None:
    """It waits for the save's commit and sees the lead as done: no replay is lost between the two."""
    result = db.result_of(db.leased_lead("a"))
    assert finish_while_replaying(db, connect, lambda: db.save(result)) == "queued"
    assert (db.job("a")["state"], db.job("a")["run"]) == ("ready", 2)


def test_replay_during_a_release_is_already_queued(db: Sql, connect: Connect) -> None:
    """The lead went back to the queue."""
    release = db.release_of(db.leased_lead("a"), "retry")
    assert finish_while_replaying(db, connect, lambda: db.release(release)) == "already_queued"


def test_save_during_a_replay_runs_again_afterwards(db: Sql, connect: Connect) -> None:
    """The save waits for the replay's commit, and then starts the new run."""
    result = db.result_of(db.leased_lead("a"))
    other = connect()
    with ThreadPoolExecutor(1) as threads:
        with db.transaction():
            asked = db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")
            saved = threads.submit(other.save, result)
            while not db.value("select count(*) from pg_locks where not granted"):
                assert not saved.done()
        assert db.outcomes(saved.result(10)) == {"a": "saved"}
    job = db.job("a")
    assert (job["state"], job["run"], job["replay_id"]) == ("ready", 2, asked["replay_id"])


def test_two_replays_of_one_lead_run_it_once(db: Sql, connect: Connect) -> None:
    db.ready_job("a", state="done")
    other = connect()
    for connection, outcome in ((db, "queued"), (other, "already_queued")):
        reply = connection.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")
        assert reply["leads"] == [{"lead_id": "a", "outcome": outcome}]
    assert db.job("a")["run"] == 2
