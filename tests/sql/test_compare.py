"""Judging beside the application's answers: handed out, saved, summed up; nothing of the application's is touched."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sql.conftest import Connect, Row, Sql


TOKEN = UUID("00000000-0000-4000-8000-000000000009")


def begin(db: "Sql", *lead_ids: str, prompts: Any = None) -> int:
    """Compare named leads."""
    reply = db.rpc("leadhook_replay", p_lead_ids=list(lead_ids), p_actor="ann", p_mode="compare", p_prompts=prompts)
    replay_id: int = reply["replay_id"]
    return replay_id


def claim(db: "Sql", limit: int = 10, token: UUID | None = None, price: Any = None) -> "Row":
    """Call `leadhook_compare_claim`."""
    reply: Row = db.rpc(
        "leadhook_compare_claim", p_token=token or uuid4(), p_worker="worker-1", p_limit=limit, p_price=price
    )
    return reply


def save(db: "Sql", *results: "Row", releases: "Sequence[Row]" = ()) -> "Row":
    """Call `leadhook_compare_save`."""
    reply: Row = db.rpc(
        "leadhook_compare_save",
        p_worker="worker-1",
        p_results=list(results),
        p_releases=list(releases),
    )
    return reply


def status(db: "Sql", replay_id: int) -> "Row":
    """Call `leadhook_replay_status`."""
    reply: Row = db.rpc("leadhook_replay_status", p_replay_id=replay_id)
    return reply


def answer(db: "Sql", lead_id: str, score: int | None) -> None:
    """What the application has."""
    db.run(
        "insert into public.llm_response (lead_id, tag, score, subject) values (%(id)s, %(t)s, %(s)s, 'Old')",
        id=lead_id, t=db.TAG, s=score,
    )  # fmt: skip


def comparison(db: "Sql", lead_id: str) -> "Row":
    """The lead's only comparison."""
    (row,) = db.rows("select * from leadhook.comparisons where lead_id = %(id)s", id=lead_id)
    return row


def age(db: "Sql", seconds: int) -> None:
    """Move the times of all comparisons into the past."""
    db.run(
        "update leadhook.comparisons set lease_until = lease_until - make_interval(secs => %(s)s),"
        " available_at = available_at - make_interval(secs => %(s)s)",
        s=seconds,
    )  # fmt: skip


@pytest.mark.parametrize("state", ["done", "dead", "ready", "leased", "held", "waiting"])
def test_a_comparison_leaves_job_and_answer_as_they_are(keyed: "Sql", state: str) -> None:
    """Whatever state the job is in; only an attempt tells what was spent."""
    keyed.ready_job("a", state=state)
    answer(keyed, "a", 40)
    tables = ("public.llm_response", "public.lead_details", "leadhook.jobs", "leadhook.verdicts")
    before = [keyed.rows(f"select t::text from {table} as t") for table in tables]  # noqa: S608 - names of ours
    replay_id = begin(keyed, "a")
    (lead,) = claim(keyed)["leads"]
    assert keyed.outcomes(save(keyed, keyed.result_of(lead, 80))) == {"a": "saved"}
    after = [keyed.rows(f"select t::text from {table} as t") for table in tables]  # noqa: S608 - names of ours
    assert after == before
    (attempt,) = keyed.rows("select outcome, run, replay_id, input_tokens from leadhook.attempts")
    assert attempt == {"outcome": "compared", "run": 0, "replay_id": replay_id, "input_tokens": 100}


def test_a_comparison_is_told_by_lead_and_in_sum(keyed: "Sql") -> None:
    """Old and new, who crosses 50 in which direction, and the mean change of those that have both."""
    scores = {"down": (80, 20), "low": (10, 20), "new": (None, 90), "up": (49, 50)}
    for lead_id, (old, _) in scores.items():
        keyed.ready_job(lead_id, state="done")
        if old is not None:
            answer(keyed, lead_id, old)
    replay_id = begin(keyed, *scores)
    leads = claim(keyed)["leads"]
    save(keyed, *(keyed.result_of(lead, scores[lead["lead_id"]][1]) for lead in leads))
    told = status(keyed, replay_id)
    assert told["progress"] == {"done": 4}
    assert told["comparison"] == {
        "compared": 3, "without_old_score": 1, "old_mean": 46.33, "new_mean": 30, "mean_change": -16.33,
        "up": 1, "down": 1,
    }  # fmt: skip
    assert told["usage"]["calls"] == 8
    by_lead = {lead["lead_id"]: lead for lead in told["leads"]}
    assert by_lead["up"] == {
        "lead_id": "up", "state": "done", "old_score": 49, "new_score": 50, "crosses": "up", "old_subject": "Old",
        "new_subject": "A subject", "new_should_contact": True, "new_prompt_version": "p1",
    }  # fmt: skip
    assert (by_lead["down"]["crosses"], by_lead["down"]["new_subject"]) == ("down", "ineligible")
    assert "crosses" not in by_lead["low"]
    assert "old_score" not in by_lead["new"]


@pytest.mark.parametrize(
    ("old", "new", "crosses"), [(49, 50, "up"), (50, 49, "down"), (50, 50, None), (50, 100, None), (49, 49, None)]
)
def test_50_is_on_the_side_of_those_who_get_a_message(keyed: "Sql", old: int, new: int, crosses: str | None) -> None:
    """Before as after."""
    keyed.ready_job("a", state="done")
    answer(keyed, "a", old)
    replay_id = begin(keyed, "a")
    (lead,) = claim(keyed)["leads"]
    save(keyed, keyed.result_of(lead, new))
    told = status(keyed, replay_id)
    assert told["leads"][0].get("crosses") == crosses
    assert (told["comparison"]["up"], told["comparison"]["down"]) == (crosses == "up", crosses == "down")


def test_scores_that_the_application_keeps_as_text_are_read(keyed: "Sql") -> None:
    """And what is no score is none; then our last verdict counts."""
    keyed.run("alter table public.llm_response alter column score type text")
    for lead_id, score in (("a", "70"), ("b", "good"), ("c", None)):
        keyed.ready_job(lead_id, state="done")
        if score:
            keyed.run("insert into public.llm_response (lead_id, score) values (%(i)s, %(s)s)", i=lead_id, s=score)
    keyed.run(
        "insert into leadhook.verdicts"
        " (lead_id, run, score, response, should_contact, subject, message, prompt_version,"
        " written) values ('c', 1, 33, '', false, 'S', '', 'p0', true)"
    )
    begin(keyed, "a", "b", "c")
    save(keyed, *(keyed.result_of(lead) for lead in claim(keyed)["leads"]))
    old = keyed.rows("select lead_id, old_score, old_prompt_version from leadhook.comparisons order by lead_id")
    assert [tuple(row.values()) for row in old] == [("a", 70, None), ("b", None, None), ("c", 33, "p0")]


def test_prompts_of_the_request_replace_those_of_the_row(keyed: "Sql") -> None:
    """Those that are named, for this comparison alone."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a", prompts={"message_prompt": "Be rude.", "wildnet_data": None})
    begin(keyed, "a")
    batch = claim(keyed)
    prompts = [batch["prompts"][lead["prompts_ref"]] for lead in batch["leads"]]
    as_it_is = {"wildnet_data": "We sell.", "scoring_criteria_and_icp": "Buyers.", "message_prompt": "Be kind."}
    assert prompts == [{**as_it_is, "message_prompt": "Be rude.", "wildnet_data": None}, as_it_is]


def test_what_can_not_be_judged_is_named(db: "Sql") -> None:
    """The others are compared."""
    db.eligible_lead("a")
    db.lead("b")
    reply = db.rpc("leadhook_replay", p_lead_ids=["a", "b", "c"], p_actor="ann", p_mode="compare")
    assert reply["leads"] == [
        {"lead_id": "a", "outcome": "queued"},
        {"lead_id": "b", "outcome": "not_eligible", "missing": ["details"]},
        {"lead_id": "c", "outcome": "unknown"},
    ]


def test_the_same_token_returns_the_same_leases(keyed: "Sql") -> None:
    """A reply may get lost; another token gets what is left."""
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id, state="done")
    begin(keyed, "a", "b", "c")
    token = uuid4()
    first, again = claim(keyed, 2, token), claim(keyed, 2, token)
    assert first["leads"] == again["leads"]
    assert (len(first["leads"]), len(claim(keyed)["leads"]), len(claim(keyed)["leads"])) == (2, 1, 0)


def test_two_claims_at_once_share_the_comparisons(keyed: "Sql", connect: "Connect") -> None:
    """Neither waits, none is handed out twice."""
    for lead_id in ("a", "b"):
        keyed.ready_job(lead_id, state="done")
    begin(keyed, "a", "b")
    other = connect()
    with keyed.transaction():
        mine = keyed.ids_of(claim(keyed, 1))
        theirs = keyed.ids_of(claim(other, 1))
    assert sorted(mine + theirs) == ["a", "b"]


def test_a_lease_that_ran_out_is_handed_out_again_and_its_holder_writes_nothing(keyed: "Sql") -> None:
    """An attempt poorer, under a new fence."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    (zombie,) = claim(keyed)["leads"]
    age(keyed, 301)
    (lead,) = claim(keyed)["leads"]
    assert (lead["attempts"], lead["fence"] > zombie["fence"]) == (1, True)
    assert keyed.outcomes(save(keyed, keyed.result_of(zombie, 99))) == {"a": "lease_lost"}
    assert comparison(keyed, "a")["new_score"] is None
    assert keyed.outcomes(save(keyed, keyed.result_of(lead, 60))) == {"a": "saved"}
    assert keyed.outcomes(save(keyed, keyed.result_of(lead, 60))) == {"a": "saved"}
    assert keyed.count("leadhook.attempts") == 1


def test_leases_that_run_out_again_and_again_fail(keyed: "Sql") -> None:
    """As a lead does that kills its worker."""
    keyed.ready_job("a", state="done")
    replay_id = begin(keyed, "a")
    for _ in range(5):
        assert len(claim(keyed)["leads"]) == 1
        age(keyed, 301)
    assert claim(keyed)["leads"] == []
    assert status(keyed, replay_id)["progress"] == {"failed": 1}


@pytest.mark.parametrize(
    ("outcome", "told", "state"),
    [("retry", "released", "ready"), ("returned", "released", "ready"), ("dead", "dead", "failed")],
)
def test_what_is_not_done_goes_back(keyed: "Sql", outcome: str, told: str, state: str) -> None:
    """After its delay, with what was bought; or has failed, with its reason."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    (lead,) = claim(keyed)["leads"]
    release = keyed.release_of(lead, outcome, paid=keyed.paid(), delay_ms=5000)
    reply = save(keyed, releases=[release])
    assert keyed.outcomes(reply) == {"a": told}
    row = comparison(keyed, "a")
    assert (row["state"], row["error_code"], row["attempts"]) == (state, "gemini_unavailable", outcome == "retry")
    assert row["paid"] == (keyed.paid() if state == "ready" else None)
    assert (4000 < reply["next_due_ms"] <= 5000) if state == "ready" else reply["next_due_ms"] is None
    assert claim(keyed)["leads"] == []
    age(keyed, 5)
    assert [again["paid"] for again in claim(keyed)["leads"]] == ([keyed.paid()] if state == "ready" else [])


def test_a_comparison_that_goes_on_failing_has_failed_in_the_end(keyed: "Sql") -> None:
    """As many attempts as a lead has."""
    keyed.ready_job("a", state="done")
    replay_id = begin(keyed, "a")
    told = []
    for _ in range(5):
        (lead,) = claim(keyed)["leads"]
        told.append(keyed.outcomes(save(keyed, releases=[keyed.release_of(lead, "retry")]))["a"])
    assert told == ["released"] * 4 + ["dead"]
    assert claim(keyed)["leads"] == []
    assert status(keyed, replay_id)["progress"] == {"failed": 1}


def test_without_a_healthy_key_nothing_is_handed_out(keyed: "Sql") -> None:
    """A claim says when one comes back."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    (key,) = keyed.rpc("leadhook_claim", p_token=uuid4(), p_worker="w", p_limit=1, p_slow_limit=0)["keys"] or [None]
    fingerprint = key["fingerprint"] if key else keyed.value("select fingerprint from leadhook.healthy_keys()")
    keyed.release(keys=[{"fingerprint": fingerprint, "reason": "quota", "for_ms": 60_000}])
    batch = claim(keyed)
    assert (batch["leads"], batch["keys"]) == ([], [])
    assert 50_000 < batch["next_due_ms"] <= 60_000


PRICE = {"lead_usd": 0.4, "byte_usd": 0.0, "most_lead_bytes": 1000, "most_prompts_bytes": 1000}


def test_a_budget_holds_for_comparisons_too(keyed: "Sql") -> None:
    """What each may cost is reserved; what it did cost is booked; what does not fit is looked at again later."""
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id, state="done")
    keyed.rpc("leadhook_set_budget", p_user_id=keyed.USER, p_daily_usd=Decimal(1), p_actor="ann")
    begin(keyed, "a", "b", "c")
    leads = claim(keyed, price=PRICE)["leads"]
    assert [(lead["lead_id"], lead["reserved_usd"]) for lead in leads] == [("a", 0.4), ("b", 0.4)]
    assert float(keyed.value("select leadhook.budget_left(%(u)s)", u=keyed.USER)) == pytest.approx(0.2)
    reply = save(keyed, *(keyed.result_of(lead, cost_usd=0.1) for lead in leads))
    assert float(keyed.value("select leadhook.budget_left(%(u)s)", u=keyed.USER)) == pytest.approx(0.8)
    assert float(keyed.value("select sum(cost_usd) from leadhook.attempts")) == pytest.approx(0.2)
    assert 290_000 < reply["next_due_ms"] <= 300_000
    age(keyed, 300)
    assert keyed.ids_of(claim(keyed, price=PRICE)) == ["c"]


@pytest.mark.parametrize("way", ["drain", "sweep"])
def test_what_an_erased_lead_reserved_for_its_comparison_counts_as_wasted(keyed: "Sql", way: str) -> None:
    """As for a lead that is erased at work."""
    keyed.ready_job("a", state="done")
    keyed.rpc("leadhook_set_budget", p_user_id=keyed.USER, p_daily_usd=Decimal(1), p_actor="ann")
    begin(keyed, "a")
    (lead,) = claim(keyed, price=PRICE)["leads"]
    keyed.run("delete from public.lead_details")
    if way == "sweep":
        for _ in range(4):
            keyed.rpc("leadhook_sweep", p_worker="worker-1")
    else:
        keyed.touch("a")
        keyed.drain()
    assert keyed.count("leadhook.comparisons") == 0
    assert float(keyed.value("select wasted_usd from leadhook.costs")) == pytest.approx(0.4)
    assert float(keyed.value("select leadhook.budget_left(%(u)s)", u=keyed.USER)) == pytest.approx(0.6)
    assert keyed.outcomes(save(keyed, keyed.result_of(lead, cost_usd=0.1))) == {"a": "gone"}


@pytest.mark.parametrize(("of_all", "own"), [(1, 10), (10, 1)])
def test_a_comparison_needs_money_in_both_budgets(keyed: "Sql", of_all: int, own: int) -> None:
    """In that of all and in its user's, whichever is the smaller."""
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id, state="done")
    keyed.rpc("leadhook_set_budget", p_user_id=None, p_daily_usd=Decimal(of_all), p_actor="ann")
    keyed.rpc("leadhook_set_budget", p_user_id=keyed.USER, p_daily_usd=Decimal(own), p_actor="ann")
    begin(keyed, "a", "b", "c")
    assert keyed.ids_of(claim(keyed, price=PRICE)) == ["a", "b"]
    assert keyed.ids_of(claim(keyed, price=PRICE)) == []


def test_a_lease_that_ran_out_may_have_spent_all_that_was_reserved(keyed: "Sql") -> None:
    """Nobody knows better."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    claim(keyed, price=PRICE)
    age(keyed, 301)
    claim(keyed, price=PRICE)
    assert float(keyed.value("select wasted_usd from leadhook.costs")) == pytest.approx(0.4)


def test_without_a_price_a_budget_lets_nothing_through(keyed: "Sql") -> None:
    """As with leads; and nobody asks again by the clock."""
    keyed.ready_job("a", state="done")
    keyed.rpc("leadhook_set_budget", p_user_id=None, p_daily_usd=Decimal(1), p_actor="ann")
    begin(keyed, "a")
    batch = claim(keyed, price={})
    assert (batch["leads"], batch["next_due_ms"]) == ([], None)


@pytest.mark.parametrize("scope", ["all", "user", "tag"])
def test_a_pause_holds_for_comparisons_too(keyed: "Sql", scope: str) -> None:
    """Of everything, a user or a tag; the others are judged, and it is asked again in five minutes."""
    keyed.ready_job("a", state="done")
    keyed.ready_job("b", state="done", user=UUID(int=7), tag="other")
    begin(keyed, "a", "b")
    user = None if scope == "all" else keyed.USER
    keyed.rpc("leadhook_pause", p_user_id=user, p_tag=keyed.TAG if scope == "tag" else None, p_actor="ann")
    batch = claim(keyed)
    assert keyed.ids_of(batch) == ([] if scope == "all" else ["b"])
    assert 290_000 < batch["next_due_ms"] <= 300_000
    keyed.rpc("leadhook_resume", p_user_id=user, p_tag=keyed.TAG if scope == "tag" else None, p_actor="ann")
    age(keyed, 300)
    assert "a" in keyed.ids_of(claim(keyed))


def test_a_claim_of_leads_tells_of_comparisons(keyed: "Sql") -> None:
    """So that nobody polls; null while there are none."""
    assert keyed.claim()["comparisons_due_ms"] is None
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    assert keyed.claim()["comparisons_due_ms"] == 0
    (lead,) = claim(keyed)["leads"]
    assert 290_000 < keyed.claim()["comparisons_due_ms"] <= 300_000
    save(keyed, keyed.result_of(lead))
    assert keyed.claim()["comparisons_due_ms"] is None


def test_a_lead_that_vanished_or_can_not_be_read_fails_alone(keyed: "Sql") -> None:
    """The others of the batch are judged."""
    for lead_id in ("a", "bad", "gone"):
        keyed.ready_job(lead_id, state="done")
    replay_id = begin(keyed, "a", "bad", "gone")
    keyed.run("delete from public.lead_details where lead_id = 'gone'")
    keyed.run("alter table public.lead_details rename to real_details")
    keyed.run(
        "create view public.lead_details as"
        " select lead_id, sent_to_llm, title, location, company_name, experience,"
        " skills, bio, profile_url, company_page_url,"
        " case when lead_id = 'bad' then (1 / length(substr(lead_id, 9)))::text else name end as name"
        " from public.real_details"
    )
    keyed.run("grant select on public.lead_details to service_role")
    assert keyed.ids_of(claim(keyed)) == ["a"]
    told = status(keyed, replay_id)
    assert told["progress"] == {"leased": 1, "failed": 2}
    assert {lead["error_code"] for lead in told["leads"] if lead["state"] == "failed"} == {"evaluation_failed"}


def test_a_stopped_comparison_hands_out_nothing_more(keyed: "Sql") -> None:
    """What is leased ends; what would be tried again is stopped."""
    for lead_id in ("a", "b", "c"):
        keyed.ready_job(lead_id, state="done")
    replay_id = begin(keyed, "a", "b", "c")
    first, second = claim(keyed, 2)["leads"]
    told = keyed.rpc("leadhook_replay_stop", p_replay_id=replay_id)
    assert (told["phase"], told["progress"]) == ("stopped", {"leased": 2, "stopped": 1})
    save(keyed, keyed.result_of(first), releases=[keyed.release_of(second, "retry")])
    assert claim(keyed)["leads"] == []
    assert status(keyed, replay_id)["progress"] == {"done": 1, "stopped": 2}


def test_a_comparison_of_an_erased_lead_is_gone(keyed: "Sql") -> None:
    """Its late answer finds nothing to be written to."""
    keyed.ready_job("a", state="done")
    begin(keyed, "a")
    (lead,) = claim(keyed)["leads"]
    keyed.run("delete from public.all_leads")
    keyed.touch("a")
    keyed.drain()
    assert keyed.outcomes(save(keyed, keyed.result_of(lead))) == {"a": "gone"}
    assert keyed.count("leadhook.attempts") == 0


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("leadhook_compare_claim", {"p_token": None, "p_worker": "w", "p_limit": 1}),
        ("leadhook_compare_claim", {"p_token": TOKEN, "p_worker": "w", "p_limit": 0}),
        ("leadhook_compare_claim", {"p_token": TOKEN, "p_worker": "w", "p_limit": 51}),
        ("leadhook_compare_save", {"p_worker": "w", "p_results": [{"lead_id": "a", "fence": 1}]}),
        ("leadhook_compare_save", {"p_worker": "w", "p_results": [], "p_releases": [{"lead_id": "a", "fence": 1}]}),
        ("leadhook_replay_status", {"p_replay_id": 1, "p_limit": 0}),
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_is_refused(db: "Sql", function: str, arguments: Any) -> None:
    """A bug of the caller is PT400."""
    db.ready_job("a", state="done")
    replay_id = begin(db, "a")
    if "p_replay_id" in arguments:
        arguments = {**arguments, "p_replay_id": replay_id}
    with pytest.raises(psycopg.Error) as refused:
        db.rpc(function, **arguments)
    assert refused.value.sqlstate == "PT400"
