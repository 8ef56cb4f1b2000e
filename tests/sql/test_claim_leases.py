"""Repeated claims, leases that ran out, and leads that are no longer wanted."""

from typing import TYPE_CHECKING, LiteralString
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sql.conftest import Sql


def test_a_repeated_claim_returns_the_same_leases_and_nothing_new(keyed: "Sql") -> None:
    """Its first reply was lost; the leases run from now."""
    keyed.ready_job("lead-1")
    keyed.ready_job("lead-2")
    token = uuid4()
    first = keyed.claim(token=token)
    keyed.age_job("lead-1", 20)
    keyed.ready_job("lead-3")
    again = keyed.claim(token=token)
    assert [keyed.lease_of(lead) for lead in again["leads"]] == [keyed.lease_of(lead) for lead in first["leads"]]
    assert (len(again["leads"]), again["cut"]) == (2, True)
    assert keyed.value("select min(lease_until) > clock_timestamp() + interval '20 s' from leadhook.jobs")


def test_a_repeated_claim_returns_only_what_is_still_leased(keyed: "Sql") -> None:
    """Part of the batch may have been saved or lost meanwhile."""
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


def test_a_repeated_claim_keeps_its_own_expired_leases(keyed: "Sql") -> None:
    """Nobody else took them, and the caller starts only now."""
    token = uuid4()
    keyed.ready_job("lead-1")
    (lease,) = keyed.claim(token=token)["leads"]
    keyed.age_job("lead-1", 31)
    (again,) = keyed.claim(token=token)["leads"]
    assert (again["fence"], again["attempts"]) == (lease["fence"], 0)


def test_a_repeated_claim_without_a_key_gives_its_leads_back(keyed: "Sql") -> None:
    """Nothing is handed out that can't be worked on; no attempt is spent."""
    token = uuid4()
    keyed.ready_job("lead-1")
    keyed.claim(token=token)
    keyed.run("delete from public.gemini_api")
    assert keyed.claim(token=token)["leads"] == []
    assert (keyed.states(), keyed.job("lead-1")["attempts"]) == ({"lead-1": "ready"}, 0)


def test_a_lease_in_force_is_not_taken(keyed: "Sql") -> None:
    """Not even by the worker that holds it."""
    keyed.ready_job("lead-1")
    keyed.claim()
    assert keyed.claim()["leads"] == []


def test_an_expired_lease_costs_an_attempt_and_is_handed_out_again(keyed: "Sql") -> None:
    """Under a new fence, with what was paid for, and a line in attempts."""
    keyed.ready_job("lead-1", paid={"score": 1})
    (lost,) = keyed.claim(worker="dead-worker")["leads"]
    keyed.age_job("lead-1", 31)
    (lead,) = keyed.claim(worker="worker-2")["leads"]
    assert lead["fence"] > lost["fence"]
    assert (lead["attempts"], lead["run"], lead["paid"]) == (1, 1, {"score": 1})
    (attempt,) = keyed.rows("select * from leadhook.attempts")
    expected = {
        "lead_id": "lead-1", "run": 1, "fence": lost["fence"], "outcome": "lease_expired",
        "error_code": "lease_expired", "worker": "dead-worker",
    }  # fmt: skip
    assert {name: attempt[name] for name in expected} == expected
    assert attempt["reason"] == "the lease of worker dead-worker ran out, attempt 1 of 5"
    assert attempt["leased_at"] < attempt["finished_at"]


def test_the_last_attempt_that_expires_is_the_end(keyed: "Sql") -> None:
    """A lead that kills its workers is dead, with the reason, and what was paid stays for a replay."""
    keyed.control(max_attempts=3)
    keyed.ready_job("lead-1", state="leased", attempts=2, paid={"score": 1})
    keyed.age_job("lead-1", 31)
    assert keyed.claim()["leads"] == []
    job = keyed.job("lead-1")
    expected = {"state": "dead", "attempts": 3, "error_code": "attempts_exhausted", "paid": {"score": 1}}
    assert {name: job[name] for name in expected} == expected
    assert job["reason"] == "the lease of worker worker-1 ran out, attempt 3 of 3"
    assert job["finished_at"] is not None


def test_a_replay_asked_for_while_leased_runs_when_the_last_attempt_expired(keyed: "Sql") -> None:
    """The run ends dead, and the next one begins."""
    replay_id = keyed.value("insert into leadhook.replays (actor) values ('test') returning id")
    keyed.ready_job("lead-1", state="leased", attempts=4, replay_after=replay_id)
    keyed.age_job("lead-1", 31)
    (lead,) = keyed.claim()["leads"]
    assert (lead["run"], lead["attempts"], lead["slow"], lead["found_by"]) == (2, 0, True, "replay")
    job = keyed.job("lead-1")
    assert (job["replay_id"], job["replay_after"]) == (replay_id, None)


def test_an_expired_lease_goes_first_in_its_lane(keyed: "Sql") -> None:
    """It was due before the others, and still is."""
    keyed.ready_job("lead-1")
    keyed.claim()
    keyed.age_job("lead-1", 31)
    keyed.ready_job("lead-2")
    assert keyed.ids_of(keyed.claim(1)) == ["lead-1"]


def test_an_expired_lease_that_is_being_saved_is_left_alone(keyed: "Sql", connect: "Callable[[], Sql]") -> None:
    """Whoever holds its row decides; the claim does not wait."""
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
def test_a_ready_lead_that_is_no_longer_wanted_sleeps_instead(keyed: "Sql", change: LiteralString) -> None:
    """Every lead is judged again when it is handed out."""
    keyed.ready_job("lead-1")
    keyed.run(change)
    assert (keyed.claim()["leads"], keyed.states()) == ([], {"lead-1": "waiting"})


@pytest.mark.parametrize("table", ["public.all_leads", "public.lead_details"])
def test_a_ready_lead_that_is_gone_is_forgotten(keyed: "Sql", table: str) -> None:
    """Though no touch told of it."""
    keyed.ready_job("lead-1")
    deletes: dict[str, LiteralString] = {
        "public.all_leads": "delete from public.all_leads",
        "public.lead_details": "delete from public.lead_details",
    }
    keyed.run(deletes[table])
    assert (keyed.claim()["leads"], keyed.states()) == ([], {})


def test_a_replay_is_handed_out_though_it_was_sent(keyed: "Sql") -> None:
    """Judged without that one condition, but with the others."""
    replay_id = keyed.value("insert into leadhook.replays (actor) values ('test') returning id")
    for lead_id in ("lead-1", "lead-2"):
        keyed.ready_job(lead_id, replay_id=replay_id, slow=True)
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.run("update public.all_leads set scrapped = false where lead_id = 'lead-2'")
    assert keyed.ids_of(keyed.claim()) == ["lead-1"]
    assert keyed.states() == {"lead-1": "leased", "lead-2": "waiting"}


def test_a_lead_is_handed_out_with_the_prompts_of_its_present_lane(keyed: "Sql") -> None:
    """It may have moved since its job was made."""
    keyed.ready_job("lead-1")
    keyed.prompts(tag="new", message_prompt="New lane")
    keyed.run("update public.all_leads set tag = 'new'")
    batch = keyed.claim()
    assert (batch["leads"][0]["lead"]["tag"], batch["prompts"]["0"]["message_prompt"]) == ("new", "New lane")


def test_a_batch_of_unwanted_leads_asks_for_another_claim(keyed: "Sql") -> None:
    """More is ready behind them, and slots are free."""
    for number in range(3):
        keyed.ready_job(f"stale-{number}", available_at="2026-01-01T00:00:00Z")
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.ready_job("wanted")
    first = keyed.claim(3)
    assert (first["leads"], first["cut"], first["next_due_ms"]) == ([], True, 0)
    assert keyed.ids_of(keyed.claim(3)) == ["wanted"]
