"""Scoring again what fits a filter: which leads, how many, in slices; counted before, followed, and stopped."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.sql.conftest import Connect, Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def begin(db: Sql, *, limit: int | None = None, **fields: Any) -> Row:
    """Call `leadhook_replay_filtered`."""
    reply: Row = db.rpc("leadhook_replay_filtered", p_filter=fields, p_limit=limit, p_actor="ann")
    return reply


def test_a_replay_by_filter_is_written_down(db: Sql) -> None:
    arguments: dict[str, Any] = {"p_filter": {"tag": "x"}, "p_limit": 5}
    replay_id = db.rpc("leadhook_replay_filtered", **arguments, p_actor="ann", p_reason="new prompt")["replay_id"]
    (row,) = db.rows("select id, actor, reason, filter, lead_limit from leadhook.replays")
    assert list(row.values()) == [replay_id, "ann", "new prompt", {"tag": "x"}, 5]


def test_a_replay_that_is_sent_twice_begins_once(db: Sql) -> None:
    """A second click; another form is another replay."""
    forms = [uuid4(), uuid4()]
    call: dict[str, Any] = {"p_filter": {"tag": "x"}, "p_limit": None, "p_actor": "ann"}
    begun = [db.rpc("leadhook_replay_filtered", **call, p_request_id=form) for form in (forms[0], forms[0], forms[1])]
    assert begun[0] == begun[1] != begun[2]
    assert db.value("select count(*) from leadhook.audit where action = 'replay'") == 2


def finish(db: Sql) -> int:
    """Make the remaining slices; how many they were."""
    slices = 1
    while db.rpc("leadhook_replay_slice")["left"]:
        slices += 1
    return slices


def status(db: Sql, replay_id: int, **arguments: Any) -> Row:
    reply: Row = db.rpc("leadhook_replay_status", p_replay_id=replay_id, **arguments)
    return reply


def stop(db: Sql, replay_id: int) -> Row:
    reply: Row = db.rpc("leadhook_replay_stop", p_replay_id=replay_id, p_actor="tester")
    return reply


def dry_run(db: Sql, *, limit: int | None = None, **fields: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    after: str | None = ""
    while after is not None:
        most = None if limit is None else limit - counts.get("queued", 0)
        piece = db.rpc("leadhook_replay_dry_run", p_lead_ids=None, p_filter=fields, p_limit=most, p_after_lead=after)
        counts = {name: counts.get(name, 0) + piece["counts"].get(name, 0) for name in {*counts, *piece["counts"]}}
        after = None if counts.get("queued", 0) == limit else piece["last_lead"]
    return counts


def done_leads(db: Sql, n: int, prefix: str = "lead-") -> list[str]:
    """So many leads that are done and sent, by three statements."""
    ids = db.eligible_leads(n, prefix=prefix)
    db.run("update public.lead_details set sent_to_llm = true")
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, finished_at)"
        " select i, %(u)s, %(t)s, 'done', now() from unnest(%(ids)s::text[]) as i",
        ids=ids, u=db.USER, t=db.TAG,
    )  # fmt: skip
    return ids


def result(db: Sql, lead_id: str, score: int, *, run: int = 1, version: str = "p1") -> None:
    db.run(
        "insert into leadhook.results"
        " (lead_id, run, score, response, should_contact, subject, message, prompt_version,"
        " written) values (%(id)s, %(run)s, %(score)s, '', true, '', '', %(version)s, true)",
        id=lead_id, run=run, score=score, version=version,
    )  # fmt: skip


def attempt(db: Sql, lead_id: str, outcome: str, *, run: int = 1) -> None:
    db.run(
        "insert into leadhook.attempts (lead_id, run, fence, outcome) values (%(id)s, %(run)s, 1, %(outcome)s)",
        id=lead_id, run=run, outcome=outcome,
    )  # fmt: skip


@pytest.fixture
def mixed(db: Sql) -> Sql:
    db.ready_job("dead-1", state="dead", error_code="answer_blocked", finished_at=LONG_AGO)
    db.ready_job("dead-2", state="dead", error_code="refused", finished_at=LONG_AGO + timedelta(days=1))
    db.ready_job("done-1", state="done", finished_at=LONG_AGO + timedelta(days=2))
    db.ready_job("done-2", state="done", user=OTHER_USER, tag="other", finished_at=LONG_AGO + timedelta(days=3))
    db.ready_job("held-1", state="held")
    db.ready_job("ready-1")
    db.ready_job("waiting-1", state="waiting")
    db.run("update public.lead_details set sent_to_llm = true where lead_id like 'done%%'")
    db.run("update public.all_leads set scrapped = false where lead_id = 'waiting-1'")
    attempt(db, "dead-2", "saved")
    attempt(db, "dead-2", "refused")
    attempt(db, "done-1", "saved")
    result(db, "done-1", 10, version="old")
    result(db, "done-1", 60, run=2, version="new")
    result(db, "done-2", 40, version="old")
    return db


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"all": True}, {"queued": 4, "held": 1, "already_queued": 1, "not_eligible": 1}),
        ({"user_id": str(OTHER_USER)}, {"queued": 1}),
        ({"tag": "other"}, {"queued": 1}),
        ({"tag": "nobody's"}, {}),
        ({"state": "dead"}, {"queued": 2}),
        ({"state": "held"}, {"held": 1}),
        ({"outcome": "refused"}, {"queued": 1}),
        ({"outcome": "saved"}, {"queued": 1}),
        ({"error_code": "answer_blocked"}, {"queued": 1}),
        ({"score_min": 50}, {"queued": 1}),
        ({"score_max": 50}, {"queued": 1}),
        ({"score_min": 0, "score_max": 100}, {"queued": 2}),
        ({"prompt_version": "old"}, {"queued": 1}),
        ({"prompt_version": "new"}, {"queued": 1}),
        ({"since": "2026-01-02T00:00:00Z"}, {"queued": 3}),
        ({"until": "2026-01-02T00:00:00Z"}, {"queued": 1}),
        ({"state": "done", "tag": "other", "score_max": 39}, {}),
    ],
    ids=str,
)
def test_a_filter_takes_what_fits_all_its_fields(mixed: Sql, fields: Any, wanted: dict[str, int]) -> None:
    assert dry_run(mixed, **fields) == wanted
    before = mixed.states()
    reply = begin(mixed, **fields)
    assert (reply["counts"], reply["phase"]) == (wanted, "queued")
    moved = [lead for lead, state in mixed.states().items() if state != before[lead]]
    assert len(moved) == wanted.get("queued", 0)
    total = wanted.get("queued", 0) + wanted.get("already_queued", 0)
    assert status(mixed, reply["replay_id"])["progress"] == ({"waiting": total} if total else {})


def test_a_large_replay_is_made_in_slices(db: Sql) -> None:
    ids = done_leads(db, 600)
    reply = begin(db, tag=db.TAG)
    assert (reply["counts"], reply["phase"]) == ({"queued": 250}, "queueing")
    db.key()
    assert db.claim(1)["replays_wait"] is True
    assert finish(db) == 2
    assert db.claim(1)["replays_wait"] is False
    replay = status(db, reply["replay_id"])
    assert (replay["counts"], replay["phase"], replay["progress"]) == (
        {"queued": 600},
        "queued",
        {"leased": 2, "waiting": 598},
    )
    assert db.count("leadhook.jobs", "state = 'done'") == 0
    assert len(ids) == 600


@pytest.mark.parametrize("limit", [1, 250, 251])
def test_a_limit_counts_what_is_queued(db: Sql, limit: int) -> None:
    """Not what was looked at: those that can't be scored take no place."""
    done_leads(db, 300)
    db.run("update public.all_leads set scrapped = false where lead_id < 'lead-00041'")
    assert dry_run(db, limit=limit, all=True)["queued"] == min(limit, 260)
    reply = begin(db, limit=limit, all=True)
    finish(db)
    assert status(db, reply["replay_id"])["counts"]["queued"] == min(limit, 260)
    assert db.count("leadhook.jobs", "state = 'ready'") == min(limit, 260)


def test_leads_beyond_the_first_5000_are_found(db: Sql) -> None:
    """A slice that finds nothing goes on where it ended."""
    done_leads(db, 5001)
    db.run("update leadhook.jobs set state = 'dead', error_code = 'x', reason = 'x' where lead_id = 'lead-05001'")
    assert dry_run(db, state="dead") == {"queued": 1}
    reply = begin(db, state="dead")
    assert (reply["counts"], reply["phase"]) == ({}, "queueing")
    finish(db)
    assert status(db, reply["replay_id"])["counts"] == {"queued": 1}


def test_two_processes_never_make_the_same_slice(db: Sql, connect: Connect) -> None:
    """The second one finds it taken and does nothing."""
    done_leads(db, 600)
    replay_id = begin(db, all=True)["replay_id"]
    other = connect()
    with db.transaction():
        db.rpc("leadhook_replay_slice")
        assert other.rpc("leadhook_replay_slice")["left"] is True
    assert status(db, replay_id)["counts"] == {"queued": 500}


def test_a_replay_sends_a_webhook_with_its_first_and_last_slice(wired: Sql) -> None:
    """Work begins at once, and workers that fell asleep in the meantime wake."""
    done_leads(wired, 600)
    wired.run("delete from leadhook.webhooks")
    begin(wired, all=True)
    finish(wired)
    assert [row["reason"] for row in wired.rows("select reason from leadhook.webhooks")] == ["replay", "replay"]


def test_progress_follows_each_lead_to_its_end(keyed: Sql) -> None:
    for lead_id in ("a", "b", "c", "d", "e"):
        keyed.ready_job(lead_id, state="done")
    keyed.run("update public.lead_details set sent_to_llm = true")
    replay_id = begin(keyed, all=True)["replay_id"]
    leases = {lead["lead_id"]: lead for lead in keyed.claim(4)["leads"]}
    keyed.save(keyed.result_of(leases["a"], 81))
    keyed.release(keyed.release_of(leases["b"], "dead", error_code="blocked", reason="Blocked."))
    keyed.release(keyed.release_of(leases["c"], "retry"))
    keyed.run("update public.all_leads set scrapped = false where lead_id = 'e'")
    keyed.note_change("e")
    keyed.apply_outbox()
    replay = status(keyed, replay_id)
    assert replay["progress"] == {"done": 1, "failed": 1, "waiting": 1, "leased": 1, "dropped": 1}
    assert replay["leads"][0] == {"lead_id": "a", "state": "done", "score": 81}
    assert replay["leads"][1]["error_code"] == "blocked"
    assert replay["usage"]["input_tokens"] == 300
    assert status(keyed, replay_id, p_after_lead="b", p_limit=1)["leads"][0]["lead_id"] == "c"
    pages = [status(keyed, replay_id, p_after_lead=after, p_limit=1) for after in ("c", "d")]
    assert [page["next_after"] for page in pages] == ["d", None]


def test_a_page_of_no_leads_is_refused(keyed: Sql) -> None:
    """1 to 1000; with 0, reading page by page would never end."""
    keyed.ready_job("a", state="done")
    replay_id = begin(keyed, all=True)["replay_id"]
    with pytest.raises(psycopg.Error) as refused:
        status(keyed, replay_id, p_limit=0)
    assert refused.value.sqlstate == "PT400"


def test_a_later_run_does_not_change_what_a_replay_came_to(keyed: Sql) -> None:
    """Each replay keeps the run that answered it."""
    keyed.ready_job("a", state="done")
    first = begin(keyed, all=True)["replay_id"]
    keyed.save(keyed.result_of(keyed.claim()["leads"][0], 70))
    second = begin(keyed, all=True)["replay_id"]
    assert status(keyed, first)["leads"] == [{"lead_id": "a", "state": "done", "score": 70}]
    assert status(keyed, second)["leads"] == [{"lead_id": "a", "state": "waiting"}]


def test_an_unknown_replay_is_not_found(db: Sql) -> None:
    assert status(db, 7) == {"found": False}
    assert stop(db, 7) == {"found": False}


@pytest.mark.parametrize("state", ["done", "dead", "waiting", None])
def test_stop_makes_a_job_what_it_was(db: Sql, state: str | None) -> None:
    columns: dict[str, Any] = (
        {"run": 3, "attempts": 2, "finished_at": LONG_AGO, "source": "webhook"} if state in ("done", "dead") else {}
    )
    if state is None:
        db.eligible_lead("a")
    else:
        db.ready_job("a", state=state, **columns)
    db.run("update public.lead_details set sent_to_llm = true")
    before = db.rows("select * from leadhook.jobs")
    replay_id = db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"]
    replay = stop(db, replay_id)
    assert (replay["phase"], replay["progress"]) == ("stopped", {"stopped": 1})
    if state is None:
        assert db.states() == {"a": "waiting"}
    else:
        assert db.rows("select * from leadhook.jobs") == before
    assert stop(db, replay_id)["progress"] == {"stopped": 1}


def test_stop_of_a_held_lead_holds_it_again(db: Sql) -> None:
    """It was named, and is the backlog's again."""
    db.ready_job("a", state="held", low_priority=True)
    before = db.rows("select * from leadhook.jobs")
    stop(db, db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"])
    assert db.rows("select * from leadhook.jobs") == before


def test_stop_leaves_what_is_leased_and_what_is_done(keyed: Sql) -> None:
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id, state="done")
    replay_id = begin(keyed, all=True)["replay_id"]
    leases = {lead["lead_id"]: lead for lead in keyed.claim(2)["leads"]}
    keyed.save(keyed.result_of(leases["a"]))
    replay = stop(keyed, replay_id)
    assert replay["progress"] == {"done": 1, "leased": 1, "stopped": 1}
    assert keyed.outcomes(keyed.save(keyed.result_of(leases["b"]))) == {"b": "saved"}
    assert status(keyed, replay_id)["progress"] == {"done": 2, "stopped": 1}


@pytest.mark.parametrize(("end", "state"), [("saved", "done"), ("dead", "dead")])
@pytest.mark.parametrize("begun", [False, True])
def test_stop_of_a_replay_that_comes_after_a_run(keyed: Sql, end: str, state: str, begun: bool) -> None:  # noqa: FBT001 - a case of the table
    lease = keyed.leased_lead("a")
    replay_id = keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"]
    if not begun:
        assert stop(keyed, replay_id)["progress"] == {"stopped": 1}
    if end == "saved":
        keyed.save(keyed.result_of(lease))
    else:
        keyed.release(keyed.release_of(lease, "dead", error_code="blocked", reason="Blocked."))
    if begun:
        assert keyed.job("a")["state"] == "ready"
        assert stop(keyed, replay_id)["progress"] == {"stopped": 1}
    job = keyed.job("a")
    assert (job["state"], job["run"], job["replay_id"], job["replay_after"]) == (state, 1, None, None)
    assert job["error_code"] == (None if state == "done" else "blocked")


def test_stop_leaves_a_lead_to_another_replay_that_wants_it(db: Sql) -> None:
    db.ready_job("a", state="done", finished_at=LONG_AGO)
    db.run("update public.lead_details set sent_to_llm = true")
    before = db.rows("select * from leadhook.jobs")
    first, second = (db.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"] for _ in range(2))
    assert stop(db, first)["progress"] == {"stopped": 1}
    assert (db.job("a")["state"], db.job("a")["replay_id"]) == ("ready", second)
    assert status(db, second)["progress"] == {"waiting": 1}
    assert stop(db, second)["progress"] == {"stopped": 1}
    assert db.rows("select * from leadhook.jobs") == before


@pytest.mark.parametrize("asked", [1, 2])
def test_stop_keeps_the_replays_that_were_asked_for_while_the_lead_was_leased(keyed: Sql, asked: int) -> None:
    """The attempt ends with a retry, and the run is theirs; when they stop too, the job is what it was."""
    keyed.ready_job("a", state="done", finished_at=LONG_AGO)
    keyed.run("update public.lead_details set sent_to_llm = true")
    first = keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"]
    [lead] = keyed.claim(1)["leads"]
    later = [keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="bob")["replay_id"] for _ in range(asked)]
    keyed.release(keyed.release_of(keyed.lease_of(lead), "retry"))

    assert stop(keyed, first)["progress"] == {"stopped": 1}
    assert [status(keyed, replay_id)["progress"] for replay_id in later] == [{"waiting": 1}] * asked
    [lead] = keyed.claim(1)["leads"]
    keyed.release(keyed.release_of(keyed.lease_of(lead), "retry"))
    for replay_id in later[1:]:
        assert stop(keyed, replay_id)["progress"] == {"stopped": 1}
    [lead] = keyed.claim(1)["leads"]
    assert status(keyed, later[0])["progress"] == {"leased": 1}
    keyed.release(keyed.release_of(keyed.lease_of(lead), "retry"))
    assert stop(keyed, later[0])["progress"] == {"stopped": 1}
    job = keyed.job("a")
    assert (job["state"], job["run"], job["finished_at"]) == ("done", 1, LONG_AGO)
    assert (job["replay_id"], job["replay_after"]) == (None, None)


def test_stop_of_a_replay_that_joined_a_run_keeps_the_one_that_comes_after_it(keyed: Sql) -> None:
    """The application wants the run anyway, so each of the two wishes gets its own."""
    keyed.ready_job("a")
    first = keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann")["replay_id"]
    [lead] = keyed.claim(1)["leads"]
    second = keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="bob")["replay_id"]
    keyed.release(keyed.release_of(keyed.lease_of(lead), "retry"))
    stop(keyed, first)
    assert (keyed.job("a")["replay_id"], keyed.job("a")["replay_after"]) == (None, second)


def test_stop_does_not_lose_what_the_application_wants_in_the_meantime(db: Sql) -> None:
    """sent_to_llm went back to false while the lead was queued: it is scored as a fresh lead."""
    db.ready_job("a", state="done")
    db.run("update public.lead_details set sent_to_llm = true")
    replay_id = begin(db, all=True)["replay_id"]
    db.run("update public.lead_details set sent_to_llm = false")
    db.note_change("a")
    db.apply_outbox()
    stop(db, replay_id)
    assert (db.job("a")["state"], db.job("a")["low_priority"], db.job("a")["replay_id"]) == ("ready", False, None)


def test_stop_leaves_a_replay_that_has_ended_as_it_ended(keyed: Sql) -> None:
    """Finished or stopped: what is read of it later stays true."""
    keyed.ready_job("a", state="done")
    replay_id = begin(keyed, all=True)["replay_id"]
    keyed.save(keyed.result_of(keyed.claim()["leads"][0]))
    before = keyed.rows("select * from leadhook.replays")
    replay = stop(keyed, replay_id)
    assert (replay["phase"], replay["progress"], replay["changed"]) == ("queued", {"done": 1}, False)
    assert keyed.rows("select * from leadhook.replays") == before
    second = begin(keyed, all=True)["replay_id"]
    stop(keyed, second)
    before = keyed.rows("select * from leadhook.replays")
    assert stop(keyed, second)["phase"] == "stopped"
    assert keyed.rows("select * from leadhook.replays") == before


def test_stop_ends_a_replay_that_is_still_being_made(db: Sql) -> None:
    done_leads(db, 600)
    replay_id = begin(db, all=True)["replay_id"]
    db.rpc("leadhook_replay_slice")
    assert stop(db, replay_id)["phase"] == "stopping"
    finish(db)
    replay = status(db, replay_id)
    assert (replay["phase"], replay["progress"]) == ("stopped", {"stopped": 500})
    assert set(db.states().values()) == {"done"}


@pytest.mark.parametrize(("state", "phase", "changed"), [("ready", "stopping", None), ("done", "queued", False)])
def test_stop_does_not_count_the_leads_of_a_large_replay(
    db: Sql,
    state: str,
    phase: str,
    changed: bool | None,  # noqa: FBT001 - a case of the table
) -> None:
    """It would take longer than a call may."""
    db.run("insert into leadhook.replays (actor, filter, counts) values ('ann', '{}', '{\"queued\": 11000}')")
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, replay_id)"
        " select 'l' || i, %(user)s, 't', %(state)s, %(state)s = 'ready', case when %(state)s = 'ready' then 1 end"
        " from generate_series(1, 11000) as i",
        user=db.USER,
        state=state,
    )
    db.run(
        "insert into leadhook.replay_leads (replay_id, lead_id, run, outcome)"
        " select 1, 'l' || i, 1, 'queued' from generate_series(1, 11000) as i"
    )
    reply = stop(db, 1)
    assert (reply["complete"], reply["phase"], reply.get("changed")) == (False, phase, changed)


def test_a_dry_run_shows_what_the_leads_cost_before(keyed: Sql) -> None:
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id)
    leases = {lead["lead_id"]: lead for lead in keyed.claim(2)["leads"]}
    keyed.release(keyed.release_of(leases["a"], "retry"))
    keyed.save(keyed.result_of(leases["b"]))
    (again,) = (lead for lead in keyed.claim()["leads"] if lead["lead_id"] == "a")
    keyed.save(keyed.result_of(again))
    reply = keyed.rpc("leadhook_replay_dry_run", p_lead_ids=None, p_filter={"state": "done"}, p_limit=None)
    assert reply["sample"] == ["a", "b"]
    assert (reply["usage"]["known"], reply["usage"]["calls"], reply["usage"]["input_tokens"]) == (2, 5, 300)
    assert reply["average"]["input_tokens"] == 100
    assert keyed.count("leadhook.replays") == 0


def test_a_dry_run_of_named_leads_decides_as_the_replay_does(mixed: Sql) -> None:
    """Held ones are named here, so they count."""
    ids = ["dead-1", "held-1", "nobody", "waiting-1", "ready-1"]
    reply = mixed.rpc("leadhook_replay_dry_run", p_lead_ids=ids, p_filter=None, p_limit=None)
    assert reply["counts"] == mixed.rpc("leadhook_replay", p_lead_ids=ids, p_actor="ann")["counts"]


@pytest.mark.parametrize(
    "changes",
    [
        {"p_actor": " "}, {"p_limit": 0}, {"p_filter": [1]}, {"p_filter": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_call_that_makes_no_sense_is_refused(db: Sql, changes: Any) -> None:
    call = {"p_filter": {}, "p_limit": None, "p_actor": "ann", **changes}
    with pytest.raises(psycopg.Error) as refused:
        db.rpc("leadhook_replay_filtered", **call)
    assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.replays") == 0


def test_a_deleted_lead_leaves_its_replays(db: Sql) -> None:
    """What is kept of it to follow and stop them goes with it."""
    db.ready_job("a", state="done")
    begin(db, all=True)
    db.run("delete from public.all_leads")
    db.note_change("a")
    db.apply_outbox()
    assert db.count("leadhook.replay_leads") == 0


def test_old_replays_go_with_their_leads(db: Sql) -> None:
    """After 90 days, by the sweep."""
    db.ready_job("a", state="done")
    begin(db, all=True)
    db.run("update leadhook.replays set created_at = now() - interval '91 days'")
    while not db.rpc("leadhook_sweep", p_worker="w")["round_finished"]:
        pass
    assert [db.count(f"leadhook.{table}") for table in ("replays", "replay_leads")] == [0, 0]
