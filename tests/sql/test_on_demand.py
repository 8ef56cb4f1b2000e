"""On-demand requests lease nothing: their answers are saved whatever the lead's state, and its worker loses it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from tests.sql.conftest import Connect, Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves", "one_utc_day")
FREE_STATES = ["waiting", "ready", "held", "done", "dead"]


def answered(db: Sql, lead_id: str, score: int = 80, **given: Any) -> Row:
    return _sent(db.result_of({"lead_id": lead_id, "fence": 0}, score, cost_usd=0.01), given)


def failed(db: Sql, lead_id: str, outcome: str = "retry", **changes: Any) -> Row:
    return _sent(db.release_of({"lead_id": lead_id, "fence": 0}, outcome, cost_usd=0.01, **changes), {})


def _sent(ending: Row, given: Row) -> Row:
    lead = {"lead_id": ending["lead_id"], **given}
    return ending | {"request_id": str(uuid4()), "age_ms": 2000, "lead": lead}


def save(db: Sql, *results: Row) -> dict[str, str]:
    """Call `leadhook_save_on_demand`; the outcome by lead id."""
    reply = db.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=list(results))
    return {lead["lead_id"]: lead["outcome"] for lead in reply["leads"]}


def spent(db: Sql) -> tuple[float, float]:
    """All costs, and the wasted part of them."""
    [row] = db.rows(
        "select coalesce(sum(spent_usd), 0) as usd, coalesce(sum(wasted_usd), 0) as wasted from leadhook.costs"
    )
    return float(row["usd"]), float(row["wasted"])


def test_a_paid_score_is_saved_without_a_message(keyed: Sql) -> None:
    """Where only the message failed; a repeated request answers the same."""
    keyed.ready_job("a")
    failure = {"code": "message_escapes", "reason": "It has escapes."}
    result = answered(keyed, "a") | {"checkpoint": keyed.paid(message=None), "message_failure": failure}
    assert save(keyed, result) == save(keyed, result) == {"a": "saved_without_message"}
    job = keyed.job("a")
    assert (job["state"], job["error_code"], job["reason"]) == ("done", "message_escapes", "It has escapes.")
    assert (keyed.answer("a")["score"], keyed.answer("a")["message"]) == (80, None)


@pytest.mark.parametrize("state", [*FREE_STATES, "leased"])
def test_an_answer_is_saved_whatever_the_state(keyed: Sql, state: str) -> None:
    keyed.ready_job("a", state=state, fence=0)
    keyed.run("update public.all_leads set scrapped = false")
    keyed.run("update public.lead_details set sent_to_llm = %(sent)s", sent=state == "done")
    fence = keyed.job("a")["fence"]
    assert save(keyed, answered(keyed, "a", tag="given tag", name="Given name")) == {"a": "saved"}

    job = keyed.job("a")
    assert (job["state"], job["source"], job["claim_token"]) == ("done", "on_demand", None)
    assert job["run"] == (2 if state in ("done", "dead") else 1)
    assert job["fence"] > fence
    answer = keyed.answer("a")
    assert (answer["tag"], answer["name"], answer["score"]) == ("given tag", "Given name", 80)
    assert keyed.value("select sent_to_llm from public.lead_details")
    query = (
        "select source, run, worker, calls from leadhook.attempts where outcome = 'saved' and leased_at < finished_at"
    )
    assert keyed.rows(query) == [{"source": "on_demand", "run": job["run"], "worker": "worker-9", "calls": 2}]
    assert keyed.value("select run from leadhook.results where written") == job["run"]
    assert keyed.claim()["leads"] == []


@pytest.mark.parametrize("called", [True, False])
def test_the_worker_that_holds_the_lead_loses_it(keyed: Sql, called: bool) -> None:  # noqa: FBT001 - a case of the table
    lease = keyed.leased_lead("a", fence=0, called=called, reserved_usd=0.05)
    assert save(keyed, answered(keyed, "a", 70)) == {"a": "saved"}

    renewed = keyed.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
    for reply in (renewed, keyed.save(keyed.result_of(lease, 90))):
        assert keyed.outcomes(reply) == {"a": "lease_lost"}
    keyed.release(keyed.release_of(lease, checkpoint=keyed.paid(90)))
    assert (keyed.answer("a")["score"], keyed.job("a")["state"]) == (70, "done")
    assert keyed.job("a")["checkpoint"] is None
    query = "select outcome, error_code, worker from leadhook.attempts where fence = %(fence)s"
    overtaken = {"outcome": "returned", "error_code": "overtaken", "worker": "worker-1"}
    assert keyed.rows(query, fence=lease["fence"]) == [overtaken]
    assert spent(keyed) == ((0.06, 0.05) if called else (0.01, 0))


def test_what_is_not_given_is_written_as_it_is_stored(db: Sql) -> None:
    db.lead("a")
    db.details("a", location="Pune", profile_url="https://example.com/a")
    save(db, answered(db, "a", name=None))
    answer = db.answer("a")
    assert (answer["name"], answer["location"], answer["linkedin_url"]) == (
        "Name of a",
        "Pune",
        "https://example.com/a",
    )


@pytest.mark.parametrize("outcome", ["retry", "returned", "dead"])
@pytest.mark.parametrize("state", FREE_STATES)
def test_a_failure_leaves_the_job_as_it_is(keyed: Sql, state: str, outcome: str) -> None:
    keyed.ready_job("a", state=state, attempts=2, run=3, low_priority=True)
    keyed.run("update public.lead_details set sent_to_llm = %(sent)s", sent=state == "done")
    before, paid = keyed.job("a"), keyed.paid(message=None)
    assert save(keyed, failed(keyed, "a", outcome, checkpoint=paid)) == {"a": "released"}

    assert keyed.job("a") == before | {"checkpoint": paid}
    [noted] = keyed.rows("select outcome, source, run, error_code from leadhook.attempts where run = 0")
    assert noted == {"outcome": outcome, "source": "on_demand", "run": 0, "error_code": "gemini_unavailable"}
    assert spent(keyed) == (0.01, 0)


def test_a_failure_does_not_concern_the_worker_that_holds_the_lead(keyed: Sql) -> None:
    """What it has paid for is its own."""
    lease = keyed.leased_lead("a")
    before = keyed.job("a")
    assert save(keyed, failed(keyed, "a", checkpoint=keyed.paid(message=None))) == {"a": "released"}
    assert keyed.job("a") == before
    assert keyed.outcomes(keyed.save(keyed.result_of(lease))) == {"a": "saved"}


def test_a_failure_replaces_nothing_that_was_paid_before(keyed: Sql) -> None:
    """A job that was refused keeps its whole answer."""
    keyed.ready_job("a", state="dead", checkpoint=keyed.paid(90))
    save(keyed, failed(keyed, "a", checkpoint=keyed.paid(message=None)))
    assert keyed.job("a")["checkpoint"] == keyed.paid(90)


def test_a_failure_is_no_reason_for_a_job(keyed: Sql) -> None:
    keyed.eligible_lead("a")
    assert save(keyed, failed(keyed, "a"), failed(keyed, "stranger")) == {"a": "released", "stranger": "released"}
    assert keyed.states() == {}
    assert spent(keyed) == (0.02, 0)


def test_a_failure_of_a_lead_without_a_job_is_booked_once(keyed: Sql) -> None:
    """The first reply may have been lost; a job that the lead gets afterwards records no attempt of it either."""
    keyed.eligible_lead("a")
    results = [failed(keyed, "a"), failed(keyed, "stranger", "dead")]
    assert save(keyed, *results) == save(keyed, *results)
    keyed.make_job("a", state="waiting")
    assert save(keyed, *results) == {"a": "released", "stranger": "released"}
    assert spent(keyed) == (0.02, 0)
    assert keyed.count("leadhook.attempts") == 0


def test_each_request_is_saved_once(keyed: Sql) -> None:
    """The first reply may have been lost; a worker may have the lead since."""
    keyed.eligible_lead("a")
    keyed.ready_job("b")
    results = [answered(keyed, "a"), failed(keyed, "b")]
    first = save(keyed, *results)
    keyed.replayed("a")
    [lead] = keyed.claim()["leads"]
    assert (first, save(keyed, *results)) == ({"a": "saved", "b": "released"}, first)
    assert lead["lead_id"] == "b"
    assert keyed.job("b")["fence"] == lead["fence"]
    assert (keyed.count("leadhook.attempts"), keyed.job("a")["run"]) == (2, 1)
    assert spent(keyed) == (0.02, 0)


def test_the_latest_of_two_requests_stands(keyed: Sql) -> None:
    """Each of them is its own run."""
    keyed.eligible_lead("a")
    save(keyed, answered(keyed, "a", 60))
    save(keyed, answered(keyed, "a", 90))
    assert (keyed.answer("a")["score"], keyed.job("a")["run"]) == (90, 2)
    assert keyed.rows("select run, score from leadhook.results order by run") == [
        {"run": 1, "score": 60},
        {"run": 2, "score": 90},
    ]


def test_a_lead_that_no_table_knows_is_written_and_then_forgotten(wired: Sql) -> None:
    save(wired, answered(wired, "stranger", 20))
    saved = answered(wired, "stranger", 30, tag="t", name="N", location="L", linkedin_url="U")
    assert save(wired, saved) == {"stranger": "saved"}
    answer = wired.answer("stranger")
    written = [answer[name] for name in ("tag", "name", "location", "linkedin_url", "score", "subject")]
    assert written == ["t", "N", "L", "U", 30, "ineligible"]
    wired.rpc("leadhook_sweep", p_worker="worker-1")
    assert wired.count("leadhook.jobs") == wired.count("leadhook.results") == wired.count("leadhook.attempts") == 0
    assert wired.answer("stranger")["score"] == 30


def test_a_lead_that_is_deleted_in_the_meantime_is_not_written(db: Sql) -> None:
    """As long as its job is there: erasing a person is one DELETE, and their answer does not bring them back."""
    db.ready_job("a")
    db.run("delete from public.all_leads")
    db.run("delete from public.lead_details")
    assert save(db, answered(db, "a", name="Given")) == {"a": "gone"}
    assert db.count("public.llm_response") == db.count("leadhook.jobs") == 0


def forget(db: Sql) -> None:
    """The application deletes what it has of all leads."""
    for table in ("all_leads", "lead_details", "llm_response"):
        db.run(sql.SQL("delete from public.{}").format(sql.Identifier(table)))


@pytest.mark.parametrize("outcome", ["gone", "saved"])
def test_a_repeated_request_writes_nothing_about_an_erased_lead(keyed: Sql, outcome: str) -> None:
    """The first reply was lost, and its outcome is repeated. What is kept for that names no lead."""
    keyed.ready_job("a", state="done")
    if outcome == "gone":
        forget(keyed)
    result = answered(keyed, "a", name="Given")
    assert save(keyed, result) == {"a": outcome}
    forget(keyed)
    keyed.rpc("leadhook_sweep", p_worker="worker-1")
    erased = keyed.count("leadhook.audit")
    assert save(keyed, result) == {"a": outcome}
    tables = ("public.llm_response", "leadhook.jobs", "leadhook.attempts", "leadhook.results")
    assert [keyed.count(table) for table in tables] == [0] * len(tables)
    assert keyed.count("leadhook.audit") == erased
    kept = [{"request_id": UUID(result["request_id"]), "outcome": outcome}]
    assert keyed.rows("select request_id, outcome from leadhook.settled_requests") == kept


def test_a_repeated_request_leaves_a_lead_alone_that_came_back(keyed: Sql) -> None:
    """It was gone when it was answered, and is another lead now."""
    keyed.ready_job("a", state="done")
    forget(keyed)
    result = answered(keyed, "a")
    save(keyed, result)
    keyed.ready_job("a", fence=7)
    before = keyed.job("a")
    assert save(keyed, result) == {"a": "gone"}
    assert keyed.job("a") == before
    assert keyed.count("public.llm_response") == 0


@pytest.mark.parametrize("called", [True, False])
def test_the_answer_of_an_erased_lead_is_booked_as_wasted(keyed: Sql, called: bool) -> None:  # noqa: FBT001 - a case of the table
    """With what the worker may have bought that held the lead."""
    keyed.leased_lead("a", called=called, reserved_usd=0.05)
    forget(keyed)
    result = answered(keyed, "a")
    assert save(keyed, result) == save(keyed, result) == {"a": "gone"}
    assert spent(keyed) == ((0.06, 0.06) if called else (0.01, 0.01))
    assert keyed.value("select distinct user_id from leadhook.costs") == keyed.USER


def test_two_calls_of_one_request_at_once_answer_the_same(keyed: Sql, connect: Connect) -> None:
    """The second one waits for the job, which the first one erases."""
    keyed.ready_job("a", state="done")
    forget(keyed)
    result = answered(keyed, "a")
    other = connect()
    with ThreadPoolExecutor(1) as threads:
        with keyed.transaction():
            assert save(keyed, result) == {"a": "gone"}
            second = threads.submit(save, other, result)
            while not keyed.value("select count(*) from pg_locks where not granted"):
                assert not second.done()
        assert second.result(10) == {"a": "gone"}
    assert keyed.count("public.llm_response") == 0
    assert spent(keyed) == (0.01, 0.01)


def test_a_lead_whose_conditions_cannot_be_checked_is_saved(db: Sql) -> None:
    """No condition matters here, and the others of the call are saved too."""
    db.ready_job("bad-1")
    db.eligible_lead("a")
    db.poison()
    assert save(db, answered(db, "bad-1"), answered(db, "a")) == {"bad-1": "saved", "a": "saved"}


@pytest.mark.parametrize("state", ["leased", "ready", "done"])
def test_a_replay_begins_afterwards(keyed: Sql, state: str) -> None:
    """It asks with other prompts, so that the request's answer does not finish it."""
    keyed.ready_job("a", state="done")
    replay = {"p_lead_ids": ["a"], "p_actor": "ann", "p_reason": None}
    if state != "done":
        assert keyed.rpc("leadhook_replay", **replay)["counts"] == {"queued": 1}
    if state == "leased":
        assert keyed.ids_of(keyed.claim()) == ["a"]
    save(keyed, answered(keyed, "a"))
    if state == "done":
        keyed.rpc("leadhook_replay", **replay)
    [lead] = keyed.claim()["leads"]
    assert (lead["lead_id"], lead["source"], lead["low_priority"], lead["run"]) == ("a", "replay", True, 3)
    assert keyed.value("select run from leadhook.replay_leads") == 3


def test_what_the_application_refuses_is_dead_with_its_reason(db: Sql) -> None:
    db.eligible_lead("a")
    db.eligible_lead("b")
    db.run("alter table public.llm_response add constraint not_him check (lead_id <> 'a')")
    results = [answered(db, "a"), answered(db, "b")]
    reply = db.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=results)
    leads = {lead["lead_id"]: lead for lead in reply["leads"]}
    assert (leads["a"]["outcome"], "not_him" in leads["a"]["reason"]) == ("refused", True)
    assert db.states() == {"a": "dead", "b": "done"}
    assert db.rows("select lead_id from leadhook.results where not written") == [{"lead_id": "a"}]
    assert save(db, *results) == {"a": "refused", "b": "saved"}


def test_a_row_that_the_application_holds_is_busy(keyed: Sql, connect: Connect) -> None:
    """The worker keeps its lease until the answer can be saved."""
    lease = keyed.leased_lead("a")
    keyed.eligible_lead("b")
    results = [answered(keyed, "a"), answered(keyed, "b")]
    other = connect()
    with other.transaction():
        other.run("select from public.lead_details where lead_id = 'a' for update")
        assert save(keyed, *results) == {"a": "busy", "b": "saved"}
    assert (keyed.job("a")["state"], keyed.job("a")["fence"]) == ("leased", lease["fence"])
    assert save(keyed, *results) == {"a": "saved", "b": "saved"}


def test_who_claims_or_applies_keeps_no_answer_waiting(keyed: Sql, connect: Connect) -> None:
    """It takes no advisory lock."""
    keyed.eligible_lead("a")
    other = connect()
    with other.transaction():
        other.run("select leadhook.lock_claims(), leadhook.lock_outbox()")
        assert save(keyed, answered(keyed, "a")) == {"a": "saved"}


GOOD = {"lead_id": "a", "request_id": str(uuid4()), "outcome": "retry", "lead": {"lead_id": "a"}, "age_ms": 1}


@pytest.mark.parametrize(
    "results",
    [
        None,
        {},
        [],
        [{}],
        [7],
        [GOOD | {"lead_id": None}],
        [GOOD | {"lead_id": ""}],
        [GOOD | {"lead_id": "x" * 501}],
        [GOOD, GOOD | {"request_id": str(uuid4())}],
        [GOOD, GOOD | {"lead_id": "b"}],
        [GOOD | {"lead_id": f"{n}", "request_id": str(uuid4())} for n in range(101)],
        [GOOD | {"request_id": None}],
        [GOOD | {"outcome": "saved"}],
        [GOOD | {"outcome": None}],
    ],
    ids=range(14),
)
def test_a_callers_bug_is_named(db: Sql, results: Any) -> None:
    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        db.rpc("leadhook_save_on_demand", p_worker="w", p_results=results)
    assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.jobs") == 0
