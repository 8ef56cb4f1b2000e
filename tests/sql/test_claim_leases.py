"""Repeated claims, leases that ran out, and leads that are no longer wanted."""

from collections.abc import Callable
from typing import LiteralString
from uuid import uuid4

import pytest
from tests.sql.conftest import Row, Sql

pytestmark = pytest.mark.usefixtures("known_moves", "one_utc_day")


def test_a_repeated_claim_returns_the_same_leases_and_nothing_new(keyed: Sql) -> None:
    """Its first reply was lost; the leases run from now."""
    keyed.ready_job("lead-1")
    keyed.ready_job("lead-2")
    token = uuid4()
    first = keyed.claim(token=token)
    keyed.age_job("lead-1", 20)
    keyed.ready_job("lead-3")
    again = keyed.claim(token=token)
    assert [keyed.lease_of(lead) for lead in again["leads"]] == [keyed.lease_of(lead) for lead in first["leads"]]
    assert (len(again["leads"]), again["has_more"]) == (2, True)
    assert keyed.value("select min(lease_until) > clock_timestamp() + interval '20 s' from leadhook.jobs")


def test_a_clock_that_was_turned_back_hides_no_lease_that_ran_out(keyed: Sql) -> None:
    """What is noted about leases is by the clock; a new lease never ends before it."""
    keyed.ready_job("lead-1")
    keyed.ready_job("lead-2")
    keyed.run("update leadhook.controls set leases_from = clock_timestamp() + interval '29 s'")
    keyed.claim(1)
    assert keyed.value("select min(j.lease_until) >= min(c.leases_from) from leadhook.jobs j, leadhook.controls c")
    keyed.age_job("lead-1", 31)
    keyed.run("update leadhook.controls set leases_from = clock_timestamp() + interval '1 h'")
    keyed.claim(1)
    assert keyed.job("lead-1")["deaths"] == 1
    assert keyed.value("select max(lease_until) < clock_timestamp() + interval '31 s' from leadhook.jobs")


def test_a_repeated_claim_returns_only_what_is_still_leased(keyed: Sql) -> None:
    """Part of the batch may have been saved or lost in the meantime."""
    token = uuid4()
    for lead_id in ("lead-1", "lead-2", "lead-3"):
        keyed.ready_job(lead_id)
    keyed.claim(token=token)
    keyed.run(
        "update leadhook.jobs set state = 'done', claim_token = null, lease_until = null where lead_id = 'lead-1'"
    )
    keyed.age_job("lead-2", 31)
    taken = keyed.claim()
    assert keyed.ids_of(taken) == ["lead-2"]
    assert keyed.ids_of(keyed.claim(token=token)) == ["lead-3"]


def test_a_repeated_claim_keeps_its_own_expired_leases(keyed: Sql) -> None:
    """No one else took them, and the caller starts only now."""
    token = uuid4()
    keyed.ready_job("lead-1")
    (lease,) = keyed.claim(token=token)["leads"]
    keyed.age_job("lead-1", 31)
    (again,) = keyed.claim(token=token)["leads"]
    assert (again["fence"], again["attempts"]) == (lease["fence"], 0)


def test_a_repeated_claim_without_a_key_releases_its_leads(keyed: Sql) -> None:
    """Nothing is handed out that can't be worked on; no attempt is spent."""
    token = uuid4()
    keyed.ready_job("lead-1")
    keyed.claim(token=token)
    keyed.run("delete from public.gemini_api")
    assert keyed.claim(token=token)["leads"] == []
    assert (keyed.states(), keyed.job("lead-1")["attempts"]) == ({"lead-1": "ready"}, 0)


def test_a_lease_in_force_is_not_taken(keyed: Sql) -> None:
    keyed.ready_job("lead-1")
    keyed.claim()
    assert keyed.claim()["leads"] == []


def test_an_expired_lease_spends_no_attempt_and_is_handed_out_again(keyed: Sql) -> None:
    keyed.ready_job("lead-1", checkpoint={"score": 1})
    (lost,) = keyed.claim(worker="dead-worker")["leads"]
    keyed.age_job("lead-1", 31)
    (lead,) = keyed.claim(worker="worker-2")["leads"]
    assert lead["fence"] > lost["fence"]
    assert (lead["attempts"], lead["run"], lead["checkpoint"]) == (0, 1, {"score": 1})
    (attempt,) = keyed.rows("select * from leadhook.attempts")
    expected = {
        "lead_id": "lead-1", "run": 1, "fence": lost["fence"], "outcome": "lease_expired",
        "error_code": "lease_expired", "worker": "dead-worker",
    }  # fmt: skip
    assert {name: attempt[name] for name in expected} == expected
    assert attempt["leased_at"] < attempt["finished_at"]


def test_the_third_lease_in_a_row_that_expires_is_the_end(keyed: Sql) -> None:
    keyed.ready_job("lead-1", attempts=2, checkpoint={"score": 1})
    for _ in range(3):
        assert keyed.ids_of(keyed.claim()) == ["lead-1"]
        keyed.age_job("lead-1", 31)
    assert keyed.claim()["leads"] == []
    job = keyed.job("lead-1")
    expected = {"state": "dead", "attempts": 2, "error_code": "worker_lost", "checkpoint": {"score": 1}}
    assert {name: job[name] for name in expected} == expected
    assert "3 leases" in job["reason"]
    assert job["finished_at"] is not None


def test_a_lead_that_was_released_in_between_is_not_suspected_any_more(keyed: Sql) -> None:
    """Only leases that expire in a row count."""
    keyed.ready_job("lead-1")
    for _ in range(4):
        (lead,) = keyed.claim()["leads"]
        keyed.age_job("lead-1", 31)
        (lead,) = keyed.claim()["leads"]
        keyed.release(keyed.release_of(keyed.lease_of(lead), "returned"))
    assert keyed.states() == {"lead-1": "ready"}


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_suspect_that_waits_holds_up_no_other_one(keyed: Sql, deaths: int) -> None:
    """For a retry or for a budget; the next claim is due when the first of those that wait is."""
    keyed.ready_job("poor", deaths=1)
    keyed.ready_job("due", deaths=deaths)
    keyed.ready_job("soon", deaths=2)
    for lead_id, wait in (("poor", "1 day"), ("due", "0"), ("soon", "20 s")):
        keyed.run(
            "update leadhook.jobs set available_at = clock_timestamp() + %(wait)s::interval where lead_id = %(id)s",
            wait=wait,
            id=lead_id,
        )
    assert keyed.ids_of(keyed.claim(1)) == ["due"]
    keyed.run("delete from leadhook.jobs where lead_id = 'due'")
    batch = keyed.claim(1)
    assert batch["leads"] == []
    assert 15_000 < batch["next_due_ms"] <= 20_000


def test_leads_of_a_lost_worker_are_handed_out_one_by_one(keyed: Sql) -> None:
    """Whichever of them it was that ended the process, it takes no neighbour along again; other leads come together."""
    for number in range(4):
        keyed.ready_job(f"lead-{number}")
    keyed.claim()
    for number in range(4):
        keyed.age_job(f"lead-{number}", 31)
        keyed.ready_job(f"fresh-{number}")
    batches = [keyed.claim() for _ in range(5)]
    assert [keyed.ids_of(batch) for batch in batches] == [
        *([f"lead-{number}"] for number in range(4)), [f"fresh-{number}" for number in range(4)]
    ]  # fmt: skip
    assert [batch["has_more"] for batch in batches] == [True, True, True, True, False]


@pytest.mark.parametrize("moment", ["when it is claimed", "when all are at work"])
def test_one_lead_that_ends_every_process_is_found_and_its_neighbours_live(keyed: Sql, moment: str) -> None:
    leads = [keyed.ready_job(f"lead-{number:02}") for number in range(16)]
    for process in range(30):
        claimed: list[Row] = []
        while batch := keyed.claim(worker=f"process-{process}")["leads"]:
            claimed += batch
            if moment == "when it is claimed" and "lead-07" in [lead["lead_id"] for lead in batch]:
                break
        if "lead-07" in [lead["lead_id"] for lead in claimed]:
            for lead in claimed:
                keyed.age_job(lead["lead_id"], 31)
        elif claimed:
            keyed.save(*(keyed.result_of(keyed.lease_of(lead)) for lead in claimed))
    jobs = [keyed.job(lead_id) for lead_id in leads]
    assert [job["lead_id"] for job in jobs if job["state"] == "dead"] == ["lead-07"]
    assert sum(job["state"] == "done" for job in jobs) == 15
    assert {job["attempts"] for job in jobs} == {0}


@pytest.mark.parametrize(("evidence", "booked"), [("none", 0), ("renewed", 0), ("called", 1), ("claimed more", 1)])
def test_a_lease_that_expired_costs_what_was_reserved_once_a_call_began(
    keyed: Sql, evidence: str, booked: float
) -> None:
    price = {"lead_usd": 1, "byte_usd": 0, "most_lead_bytes": 0, "most_prompts_bytes": 0}
    keyed.ready_job("lead-1")
    rest = {"p_limit": 50, "p_low_priority_limit": 50, "p_price": price}
    (lead,) = keyed.rpc("leadhook_claim", p_token=uuid4(), p_worker="worker-1", **rest)["leads"]
    if evidence == "claimed more":
        keyed.ready_job("lead-2")
        keyed.rpc("leadhook_claim", p_token=uuid4(), p_worker="worker-1", **rest)
    elif evidence != "none":
        lease = keyed.lease_of(lead, called=evidence == "called")
        keyed.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
    keyed.age_job("lead-1", 31)
    keyed.claim(worker="worker-2")
    (attempt,) = keyed.rows("select cost_usd, wasted from leadhook.attempts")
    assert (attempt["cost_usd"], attempt["wasted"]) == (booked, booked > 0)
    assert keyed.value("select coalesce(sum(wasted_usd), 0) from leadhook.costs") == booked


def test_a_repeated_claim_with_a_smaller_limit_releases_the_rest(keyed: Sql) -> None:
    """A reply that can't be read can be asked for again in parts; no attempt is spent."""
    for number in range(4):
        keyed.ready_job(f"lead-{number}")
    token = uuid4()
    first = keyed.claim(token=token)["leads"]
    assert keyed.ids_of(keyed.claim(2, token=token)) == [lead["lead_id"] for lead in first[:2]]
    assert sorted(keyed.states().values()) == ["leased", "leased", "ready", "ready"]
    assert {keyed.job(lead["lead_id"])["attempts"] for lead in first} == {0}


def test_a_bare_claim_names_its_leases_and_reads_nothing_else(keyed: Sql) -> None:
    """The same token asks for the rest later."""
    keyed.ready_job("lead-1")
    token = uuid4()
    arguments = {"p_token": token, "p_worker": "worker-1", "p_limit": 1, "p_low_priority_limit": 1}
    (bare,) = keyed.rpc("leadhook_claim", **arguments, p_bare=True)["leads"]
    (whole,) = keyed.rpc("leadhook_claim", **arguments)["leads"]
    assert bare == keyed.lease_of(whole)


def test_a_replay_asked_for_while_leased_runs_when_the_last_lease_expired(keyed: Sql) -> None:
    replay_id = keyed.value("insert into leadhook.replays (actor) values ('test') returning id")
    keyed.ready_job("lead-1", state="leased", deaths=2, replay_after=replay_id)
    keyed.age_job("lead-1", 31)
    (lead,) = keyed.claim()["leads"]
    assert (lead["run"], lead["attempts"], lead["low_priority"], lead["source"]) == (2, 0, True, "replay")
    job = keyed.job("lead-1")
    assert (job["replay_id"], job["replay_after"], job["deaths"]) == (replay_id, None, 0)


def test_an_expired_lease_goes_first_in_its_group(keyed: Sql) -> None:
    """It was due before the others, and still is."""
    keyed.ready_job("lead-1")
    keyed.claim()
    keyed.age_job("lead-1", 31)
    keyed.ready_job("lead-2")
    assert keyed.ids_of(keyed.claim(1)) == ["lead-1"]


def test_an_expired_lease_that_is_being_saved_is_left_alone(keyed: Sql, connect: Callable[[], Sql]) -> None:
    """The holder of the row decides; the claim does not wait."""
    keyed.ready_job("lead-1")
    keyed.claim()
    keyed.age_job("lead-1", 31)
    saver = connect()
    with saver.transaction():
        saver.run("select from leadhook.jobs for no key update")
        batch = keyed.claim()
        assert (batch["busy"], batch["leads"], keyed.states()) == (False, [], {"lead-1": "leased"})


@pytest.mark.parametrize(
    "change",
    [
        "update public.all_leads set scrapped = false",
        "update public.lead_details set sent_to_llm = true",
        "delete from public.prompts",
    ],
)
def test_a_ready_lead_that_is_no_longer_wanted_sleeps_instead(keyed: Sql, change: LiteralString) -> None:
    """Eligibility is checked again when a lead is leased."""
    keyed.ready_job("lead-1")
    keyed.run(change)
    assert (keyed.claim()["leads"], keyed.states()) == ([], {"lead-1": "waiting"})


@pytest.mark.parametrize("table", ["public.all_leads", "public.lead_details"])
def test_a_ready_lead_that_is_gone_is_forgotten(keyed: Sql, table: str) -> None:
    """Even if the change left no outbox row."""
    keyed.ready_job("lead-1")
    deletes: dict[str, LiteralString] = {
        "public.all_leads": "delete from public.all_leads",
        "public.lead_details": "delete from public.lead_details",
    }
    keyed.run(deletes[table])
    assert (keyed.claim()["leads"], keyed.states()) == ([], {})


def test_a_replay_is_handed_out_though_it_was_sent(keyed: Sql) -> None:
    replay_id = keyed.value("insert into leadhook.replays (actor) values ('test') returning id")
    for lead_id in ("lead-1", "lead-2"):
        keyed.ready_job(lead_id, replay_id=replay_id, low_priority=True)
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.run("update public.all_leads set scrapped = false where lead_id = 'lead-2'")
    assert keyed.ids_of(keyed.claim()) == ["lead-1"]
    assert keyed.states() == {"lead-1": "leased", "lead-2": "waiting"}


def test_a_lead_is_handed_out_with_the_prompts_of_its_present_group(keyed: Sql) -> None:
    """It may have moved since its job was made."""
    keyed.ready_job("lead-1")
    keyed.prompts(tag="new", message_prompt="New group")
    keyed.run("update public.all_leads set tag = 'new'")
    batch = keyed.claim()
    assert (batch["leads"][0]["lead"]["tag"], batch["prompts"]["0"]["message_prompt"]) == ("new", "New group")


def test_a_batch_of_unwanted_leads_asks_for_another_claim(keyed: Sql) -> None:
    """More is ready behind them, and slots are free."""
    for number in range(3):
        keyed.ready_job(f"stale-{number}", available_at="2026-01-01T00:00:00Z")
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.ready_job("wanted")
    first = keyed.claim(3)
    assert (first["leads"], first["has_more"], first["next_due_ms"]) == ([], True, 0)
    assert keyed.ids_of(keyed.claim(3)) == ["wanted"]
