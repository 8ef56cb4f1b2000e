"""A change is acted on whenever it arrives: while its lead is leased, after the lease began, within our own save."""

from collections.abc import Callable
from typing import LiteralString
from uuid import UUID, uuid4

import pytest
from tests.sql.conftest import Connect, Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")


@pytest.fixture
def leased(wired: Sql) -> Row:
    """The lease of an eligible lead; its runs end dead where they can."""
    wired.key()
    wired.control(max_attempts=1, max_deaths=1)
    wired.eligible_lead("a")
    (lead,) = wired.claim()["leads"]
    return wired.lease_of(lead)


def change_row(db: Sql) -> None:
    """Two statements, after which the lead is as eligible as before."""
    db.run("update public.all_leads set scrapped = false")
    db.run("update public.all_leads set scrapped = true")


ARRIVALS: dict[str, Callable[[Sql], None]] = {"a prompts row": lambda db: db.prompts(), "a changed row": change_row}


def refuse(db: Sql, lease: Row) -> None:
    """The application's constraint refuses the answer."""
    db.run("alter table public.llm_response add constraint refuses check (score <> 13)")
    assert db.outcomes(db.save(db.result_of(lease, checkpoint=db.paid(13)))) == {"a": "refused"}


def lose_worker(db: Sql, _: Row) -> None:
    """Its worker is gone."""
    db.age_job("a", 60)
    assert db.claim()["leads"] == []


ENDINGS: dict[str, Callable[[Sql, Row], object]] = {
    "released as dead": lambda db, lease: db.release(db.release_of(lease, "dead")),
    "out of attempts": lambda db, lease: db.release(db.release_of(lease, "retry")),
    "refused": refuse,
    "worker lost": lose_worker,
}


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("arrive", ARRIVALS)
def test_what_arrives_during_a_lease_reopens_a_lead_that_ends_dead(
    wired: Sql, leased: Row, arrive: str, end: str
) -> None:
    """A claim applied it while the lead was leased, so nothing but the job remembers it."""
    ARRIVALS[arrive](wired)
    assert wired.claim()["leads"] == []
    ENDINGS[end](wired, leased)
    assert [(lead["lead_id"], lead["run"]) for lead in wired.claim()["leads"]] == [("a", 2)]


@pytest.mark.parametrize("applied", ["while it is leased", "after its end"])
@pytest.mark.parametrize("arrive", ARRIVALS)
def test_what_was_written_before_the_lease_and_committed_later_counts(
    wired: Sql, wired_connect: Connect, arrive: str, applied: str
) -> None:
    """The lease did not see it, whatever the clocks say."""
    wired.key()
    wired.eligible_lead("a")
    application = wired_connect()
    with application.transaction():
        ARRIVALS[arrive](application)
        (lead,) = wired.claim()["leads"]
        if applied == "after its end":
            wired.release(wired.release_of(lead, "dead"))
    if applied == "while it is leased":
        assert wired.claim()["leads"] == []
        wired.release(wired.release_of(lead, "dead"))
    assert wired.ids_of(wired.claim()) == ["a"]


@pytest.mark.usefixtures("leased")
def test_what_the_lease_saw_does_not_reopen_it(wired: Sql) -> None:
    """Its outbox row is applied late: no one pays for the same data twice."""
    wired.run("update leadhook.jobs set state = 'ready', claim_token = null, lease_until = null")
    wired.run("update leadhook.outbox set not_before = clock_timestamp() + interval '1 hour'")
    change_row(wired)
    wired.run("update leadhook.outbox set not_before = clock_timestamp() + interval '1 hour'")
    (lead,) = wired.claim()["leads"]
    wired.release(wired.release_of(lead, "dead"))
    wired.run("update leadhook.outbox set not_before = null")
    assert wired.claim()["leads"] == []
    assert wired.states() == {"a": "dead"}


@pytest.mark.parametrize(("error_code", "woken"), [("prompts_too_long", ["a"]), ("blocked", [])])
def test_a_shortened_prompts_row_continues_with_the_leads_that_it_ended(
    wired: Sql, leased: Row, error_code: str, woken: list[str]
) -> None:
    """No other dead lead is scored again because of an update."""
    wired.release(wired.release_of(leased, "dead", error_code=error_code))
    for text in ("short", "shorter"):
        wired.run("update public.prompts set wildnet_data = %(text)s", text=text)
    assert wired.ids_of(wired.claim()) == woken


@pytest.mark.usefixtures("leased")
def test_a_prompts_row_that_the_lease_saw_continues_with_no_lead(wired: Sql) -> None:
    """Its outbox row is applied after the end of the run."""
    wired.run("update leadhook.jobs set state = 'ready', claim_token = null, lease_until = null")
    wired.run("update public.prompts set wildnet_data = 'still long'")
    with wired.transaction():
        walks = wired.rows("delete from leadhook.outbox returning user_id, tag, changed_at, xact")
    (lead,) = wired.claim()["leads"]
    wired.release(wired.release_of(lead, "dead", error_code="prompts_too_long"))
    for walk in walks:
        wired.run(
            "insert into leadhook.outbox (kind, n, user_id, tag, changed_at, xact)"
            " values ('prompts', 0, %(user_id)s, %(tag)s, %(changed_at)s, %(xact)s)",
            **walk,
        )
    assert wired.claim()["leads"] == []
    assert wired.states() == {"a": "dead"}


NESTED: dict[str, LiteralString] = {
    "a new lead": "insert into public.all_leads (lead_id, user_id, tag, scrapped) values ('b', v_user, 'other', true)",
    "a changed lead": "update public.all_leads set scrapped = true where lead_id = 'b'",
    "a prompts row": "insert into public.prompts (user_id, tag) values (v_user, 'other')",
}


@pytest.mark.parametrize("call", ["save", "on-demand request"])
@pytest.mark.parametrize("write", NESTED)
def test_what_the_applications_triggers_write_within_our_save_counts(
    wired: Sql, leased: Row, write: str, call: str
) -> None:
    """It is a change like any other, with its webhook."""
    if write != "a prompts row":
        wired.prompts(tag="other")
    wired.details("b")
    if write != "a new lead":
        wired.lead("b", tag="other", scrapped=write != "a changed lead")
    assert wired.claim()["leads"] == []
    wired.connection.execute(
        f"""create function public.react() returns trigger language plpgsql as $$
        declare v_user uuid := '{wired.USER}';
        begin {NESTED[write]}; return null; end $$;
        create trigger react after insert on public.llm_response for each row execute function public.react();"""
    )
    webhooks = wired.count("leadhook.webhooks")
    if call != "save":
        result = wired.result_of(leased) | {"request_id": str(uuid4()), "lead": {"lead_id": "a"}}
        wired.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=[result])
    else:
        wired.save(wired.result_of(leased))
    assert wired.count("leadhook.webhooks") == webhooks + 1
    assert wired.ids_of(wired.claim()) == ["b"]


@pytest.mark.parametrize("state", ["waiting", "dead", "leased"])
def test_a_lead_with_rows_in_two_groups_wakes_by_the_prompts_of_either(wired: Sql, state: str) -> None:
    """Its job stands in one of them."""
    wired.loosen()
    wired.key()
    wired.lead("a", tag="first")
    wired.lead("a", tag="second")
    wired.lead("a", user=OTHER_USER, tag=None)
    wired.details("a")
    if state != "waiting":
        wired.prompts(tag="first")
        (lead,) = wired.claim()["leads"]
        if state == "dead":
            wired.release(wired.release_of(lead, "dead"))
    assert wired.claim()["leads"] == []
    wired.prompts(tag="second")
    if state == "leased":
        assert wired.claim()["leads"] == []
        wired.release(wired.release_of(lead, "dead"))
    assert wired.ids_of(wired.claim()) == ["a"]
    wired.run("delete from public.all_leads")
    wired.claim()
    assert wired.count("leadhook.lead_groups") == 0, "it is erased with the lead"


@pytest.mark.parametrize("arrive", ARRIVALS)
@pytest.mark.parametrize("before", ["a new lead", "a lead with a job"])
def test_a_quarantined_lead_wakes_by_its_row_and_by_its_prompts(wired: Sql, arrive: str, before: str) -> None:
    """Its check raised, so its job may have been made without a group."""
    wired.key()
    wired.lead("bad", scrapped=before == "a new lead")
    wired.details("bad")
    if before != "a new lead":
        wired.claim()
    wired.prompts()
    wired.connection.execute(
        """create function public.fail() returns trigger language plpgsql as $$
        begin if new.state <> 'dead' then perform 1 / 0; end if; return new; end $$;
        create trigger fail before insert or update on leadhook.jobs for each row execute function public.fail();"""
    )
    wired.run("update public.all_leads set scrapped = true")
    assert wired.claim()["leads"] == []
    assert wired.job("bad")["error_code"] == "evaluation_failed"
    wired.run("drop trigger fail on leadhook.jobs")
    ARRIVALS[arrive](wired)
    assert wired.ids_of(wired.claim()) == ["bad"]


def on_demand(db: Sql, lead_id: str, score: int, *, age_ms: int = 2000) -> str:
    """Save the answer of an on-demand request; its outcome."""
    result = db.result_of({"lead_id": lead_id, "fence": 0}, checkpoint=db.paid(score))
    result |= {"request_id": str(uuid4()), "age_ms": age_ms, "lead": {"lead_id": lead_id}}
    reply = db.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=[result])
    outcome: str = reply["leads"][0]["outcome"]
    return outcome


@pytest.mark.parametrize("applied", ["during the request", "after its end"])
@pytest.mark.parametrize("arrive", ARRIVALS)
@pytest.mark.parametrize("state", ["dead", "held"])
def test_what_arrives_during_an_on_demand_request_is_acted_on_when_it_ends(
    wired: Sql, arrive: str, applied: str, state: str
) -> None:
    """A refused answer takes the job, whatever made it ready in the meantime."""
    wired.key()
    wired.run("alter table public.llm_response add constraint refuses check (score <> 13)")
    wired.eligible_lead("a")
    wired.run("delete from leadhook.outbox")
    wired.make_job("a", state=state)
    ARRIVALS[arrive](wired)
    if applied == "during the request":
        wired.apply_outbox()
        assert wired.states() == {"a": "ready"}
    assert on_demand(wired, "a", 13) == "refused"
    assert wired.ids_of(wired.claim()) == ["a"]


def test_a_lead_without_details_does_not_lose_its_on_demand_answer(wired: Sql) -> None:
    """Its row arrives during the request, its details later."""
    wired.key()
    wired.lead("x")
    assert wired.claim()["leads"] == []
    assert on_demand(wired, "x", 80) == "saved"
    assert wired.answer("x")["score"] == 80
    assert wired.count("leadhook.attempts") == 1


@pytest.mark.parametrize("arrive", ARRIVALS)
def test_what_arrives_during_a_replay_that_is_stopped_reopens_a_dead_lead(wired: Sql, arrive: str) -> None:
    """It changed nothing while the lead was queued."""
    wired.key()
    wired.eligible_lead("a")
    (lead,) = wired.claim()["leads"]
    wired.release(wired.release_of(lead, "dead"))
    replay = wired.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="tester")["replay_id"]
    ARRIVALS[arrive](wired)
    assert wired.claim(low_priority_limit=0)["leads"] == []
    wired.rpc("leadhook_replay_stop", p_replay_id=replay, p_actor="tester")
    assert wired.ids_of(wired.claim(low_priority_limit=0)) == ["a"]


def test_a_lead_that_changes_between_its_groups_is_woken_by_both(wired: Sql) -> None:
    """The prompts of the second made its job stand there; those of the first are as good as before."""
    wired.loosen()
    wired.key()
    wired.lead("a", tag="first")
    wired.lead("a", tag="second")
    wired.details("a")
    assert wired.claim()["leads"] == []
    for tag in ("second", "first", "second"):
        wired.run("delete from public.prompts")
        wired.prompts(tag=tag)
        (lead,) = wired.claim()["leads"]
        assert wired.job("a")["tag"] == tag
        wired.release(wired.release_of(lead, "dead"))
