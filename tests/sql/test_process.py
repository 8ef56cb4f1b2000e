"""Leads of a person's request: leased whatever their state, written whatever their eligibility, or as they were."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.sql.conftest import Connect, Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves")
STATES = ["waiting", "ready", "held", "done", "dead"]
NOT_KEPT = ("fence", "claim_token", "lease_until")


def begin(db: "Sql", *lead_ids: str, token: UUID | None = None, **given: Any) -> "Row":
    """Call `leadhook_process_begin`."""
    leads = [{"lead_id": lead_id, **given} for lead_id in lead_ids]
    reply: Row = db.rpc("leadhook_process_begin", p_token=token or uuid4(), p_worker="worker-9", p_leads=leads)
    return reply


def begun(db: "Sql", lead_id: str, **given: Any) -> "Row":
    """The lease of a lead that was free."""
    [lead] = begin(db, lead_id, **given)["leads"]
    return db.lease_of(lead)


def kept(db: "Sql", lead_id: str) -> "Row":
    """The job without what every lease changes."""
    return {name: value for name, value in db.job(lead_id).items() if name not in NOT_KEPT}


@pytest.mark.parametrize("state", STATES)
def test_errand_leases_whatever_is_not_leased_and_its_answer_is_written(keyed: "Sql", state: str) -> None:
    """Not scrapped, sent before, held or dead: who names a lead gets its answer; earlier verdicts stay."""
    keyed.ready_job("a", state=state)
    keyed.run("update public.all_leads set scrapped = false")
    keyed.run("update public.lead_details set sent_to_llm = %(sent)s", sent=state == "done")
    lease = begun(keyed, "a", tag="given tag", name="Given name")
    assert keyed.claim()["leads"] == []
    assert keyed.outcomes(keyed.save(keyed.result_of(lease))) == {"a": "saved"}

    job = keyed.job("a")
    assert (job["state"], job["found_by"], job["errand"]) == ("done", "process", None)
    assert job["run"] == (2 if state in ("done", "dead") else 1)
    answer = keyed.answer("a")
    assert (answer["tag"], answer["name"], answer["score"]) == ("given tag", "Given name", 80)
    assert keyed.value("select sent_to_llm from public.lead_details")
    [attempt] = keyed.rows("select outcome, found_by, run from leadhook.attempts")
    assert attempt == {"outcome": "saved", "found_by": "process", "run": job["run"]}
    assert keyed.value("select run from leadhook.verdicts where written") == job["run"]


def test_what_is_not_given_is_written_as_it_is_stored(db: "Sql") -> None:
    """With prompts and without them."""
    db.lead("a")
    db.details("a", location="Pune", profile_url="https://example.com/a")
    db.save(db.result_of(begun(db, "a", name=None)))
    answer = db.answer("a")
    assert (answer["name"], answer["location"], answer["linkedin_url"]) == (
        "Name of a",
        "Pune",
        "https://example.com/a",
    )


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("waiting", "retry"),
        ("ready", "returned"),
        ("held", "dead"),
        ("done", "expired"),
        ("dead", "expired"),
    ],
)
def test_errand_without_an_answer_leaves_the_job_as_it_was(keyed: "Sql", state: str, outcome: str) -> None:
    """But what was bought is kept, the attempt is noted, and the fence has grown."""
    keyed.ready_job("a", state=state, attempts=2, run=3, slow=True)
    keyed.run("update public.lead_details set sent_to_llm = %(sent)s", sent=state == "done")
    before, fence = kept(keyed, "a"), keyed.job("a")["fence"]
    lease = begun(keyed, "a")
    if outcome == "expired":
        keyed.run("update leadhook.jobs set lease_until = clock_timestamp() - interval '1 s', paid = null")
        keyed.call("leadhook.expire_leases", p_now=keyed.value("select clock_timestamp()"))
        bought = None
    else:
        bought = keyed.paid(message=None)
        reply = keyed.release(keyed.release_of(lease, outcome, paid=bought))
        assert keyed.outcomes(reply) == {"a": "dead" if outcome == "dead" else "released"}

    assert kept(keyed, "a") == before | {"paid": bought}
    assert keyed.job("a")["fence"] > fence
    noted = keyed.value("select outcome from leadhook.attempts where run >= 3")
    assert noted == ("lease_expired" if outcome == "expired" else outcome)
    assert keyed.outcomes(keyed.save(keyed.result_of(lease))) == {"a": "lease_lost"}


def test_what_was_bought_is_handed_out_with_the_next_errand(db: "Sql") -> None:
    """So that the score is not bought twice."""
    db.eligible_lead("a")
    bought = db.paid(message=None)
    db.release(db.release_of(begun(db, "a"), "dead", paid=bought))
    [lead] = begin(db, "a")["leads"]
    assert lead["paid"] == bought


def test_a_leased_lead_is_named_with_its_worker_and_stays_leased(db: "Sql") -> None:
    """To a worker, or to another errand."""
    lease = db.leased_lead("a")
    db.eligible_lead("b")
    first = begun(db, "b")
    leads = {lead["lead_id"]: lead for lead in begin(db, "a", "b")["leads"]}
    assert (leads["a"]["leased_by"], leads["b"]["leased_by"]) == ("worker-1", "worker-9")
    assert not any("fence" in lead for lead in leads.values())
    assert db.outcomes(db.save(db.result_of(lease), db.result_of(first))) == {"a": "saved", "b": "saved"}


def test_an_expired_lease_is_nobodys(db: "Sql") -> None:
    """An errand need not wait for the next claim to say so."""
    db.leased_lead("a")
    db.age_job("a", 31)
    [lead] = begin(db, "a")["leads"]
    assert "fence" in lead


def test_the_same_token_again_returns_the_same_leases(db: "Sql") -> None:
    """The first reply may have been lost."""
    token = uuid4()
    db.eligible_lead("a")
    db.eligible_lead("b")
    first = begin(db, "a", "b", token=token)
    db.age_job("a", 20)
    assert begin(db, "a", "b", token=token) == first
    assert db.value("select min(lease_until) > clock_timestamp() + interval '25 s' from leadhook.jobs")


def test_a_lead_that_no_table_knows_is_written_and_then_forgotten(wired: "Sql") -> None:
    """As the predecessor wrote it; nothing of ours stays behind beyond the sweep."""
    lease = begun(wired, "stranger", tag="t", name="N", location="L", linkedin_url="U")
    wired.rpc("leadhook_sweep", p_worker="worker-1")
    assert wired.outcomes(wired.save(wired.result_of(lease, 30))) == {"stranger": "saved"}
    answer = wired.answer("stranger")
    written = [answer[name] for name in ("tag", "name", "location", "linkedin_url", "score", "subject")]
    assert written == ["t", "N", "L", "U", 30, "ineligible"]
    wired.rpc("leadhook_sweep", p_worker="worker-1")
    assert wired.count("leadhook.jobs") == wired.count("leadhook.verdicts") == wired.count("leadhook.attempts") == 0
    assert wired.answer("stranger")["score"] == 30


@pytest.mark.parametrize("outcome", ["retry", "returned", "expired"])
def test_a_failed_errand_of_a_lead_that_no_table_knows_harms_no_claim(keyed: "Sql", outcome: str) -> None:
    """It has no lane, so it must not become ready."""
    keyed.ready_job("other")
    lease = begun(keyed, "stranger")
    if outcome == "expired":
        keyed.run("update leadhook.jobs set lease_until = clock_timestamp() where errand is not null")
    else:
        keyed.release(keyed.release_of(lease, outcome))
    assert keyed.ids_of(keyed.claim()) == ["other"]
    keyed.drain()
    assert "stranger" not in keyed.states()


def test_a_lead_that_is_deleted_meanwhile_is_not_written(db: "Sql") -> None:
    """Erasing a person is one DELETE; an answer under way does not bring them back."""
    db.eligible_lead("a")
    lease = begun(db, "a", name="Given")
    db.run("delete from public.all_leads")
    db.run("delete from public.lead_details")
    assert db.outcomes(db.save(db.result_of(lease))) == {"a": "gone"}
    assert db.count("public.llm_response") == db.count("leadhook.jobs") == 0


def test_a_lead_that_becomes_eligible_during_a_failed_errand_is_not_missed(keyed: "Sql") -> None:
    """Its touch was drained while the lead was leased."""
    keyed.lead("a", scrapped=False)
    keyed.details("a")
    keyed.prompts()
    lease = begun(keyed, "a")
    keyed.run("update public.all_leads set scrapped = true")
    keyed.touch("a")
    assert keyed.claim()["leads"] == []
    keyed.release(keyed.release_of(lease, "dead"))
    assert keyed.ids_of(keyed.claim()) == ["a"]


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("state", ["done", "waiting"])
def test_a_replay_asked_for_meanwhile_begins_afterwards(keyed: "Sql", state: str, answered: bool) -> None:  # noqa: FBT001 - a case of the table
    """Whether or not the errand brought an answer."""
    keyed.ready_job("a", state=state)
    lease = begun(keyed, "a")
    reply = keyed.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="ann", p_reason=None)
    assert reply["counts"] == {"queued_after": 1}
    if answered:
        keyed.save(keyed.result_of(lease))
    else:
        keyed.release(keyed.release_of(lease, "dead"))
    [lead] = keyed.claim()["leads"]
    assert (lead["lead_id"], lead["found_by"], lead["slow"]) == ("a", "replay", True)
    assert lead["run"] == 1 + (state == "done") + answered


def test_a_replay_of_a_lead_without_a_lane_does_not_break_its_save(db: "Sql") -> None:
    """There is nothing that it could be judged by."""
    lease = begun(db, "stranger")
    db.rpc("leadhook_replay", p_lead_ids=["stranger"], p_actor="ann", p_reason=None)
    assert db.outcomes(db.save(db.result_of(lease))) == {"stranger": "saved"}
    assert db.job("stranger")["state"] == "done"


def test_what_the_application_refuses_is_dead_with_its_reason(db: "Sql") -> None:
    """And its answer is kept, as after a claim."""
    db.eligible_lead("a")
    db.run("alter table public.llm_response add constraint not_him check (lead_id <> 'a')")
    [lease] = db.save(db.result_of(begun(db, "a")))["leases"]
    assert (lease["outcome"], "not_him" in lease["reason"]) == ("refused", True)
    assert (db.job("a")["state"], db.job("a")["errand"]) == ("dead", None)
    assert not db.value("select written from leadhook.verdicts")


def test_who_holds_the_claims_lock_makes_it_busy(db: "Sql", connect: "Connect") -> None:
    """And not wait for long."""
    other = connect()
    db.run("alter function public.leadhook_process_begin(uuid, text, jsonb) set lock_timeout = '50ms'")
    with other.transaction():
        other.run("select leadhook.lock_claims()")
        reply = begin(db, "a")
    assert (reply["busy"], reply["leads"]) == (True, [])
    assert db.count("leadhook.jobs") == 0


@pytest.mark.parametrize(
    "leads",
    [None, {}, [], [{}], [{"lead_id": None}], [{"lead_id": ""}], [{"lead_id": "x" * 501}], [{"lead_id": "a"}] * 2, [7],
     [{"lead_id": f"{n}"} for n in range(101)]],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_callers_bug_is_named(db: "Sql", leads: Any) -> None:
    """PT400, and nothing is leased."""
    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        db.rpc("leadhook_process_begin", p_token=uuid4(), p_worker="w", p_leads=leads)
    assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.jobs") == 0
