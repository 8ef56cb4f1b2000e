"""Claims at the same time, wrong arguments, and hints."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest
from tests.sql.conftest import Connect, Sql


@pytest.mark.parametrize("lock", ["lock_claims", "lock_outbox"])
def test_a_claim_that_waits_too_long_says_busy(keyed: Sql, connect: Connect, lock: LiteralString) -> None:
    keyed.ready_job("lead-1")
    last_user = str(keyed.USER)
    other = connect()
    with other.transaction():
        other.run("select leadhook." + lock + "()")
        batch = keyed.claim(after_user=last_user)
    assert (batch["busy"], batch["leads"], batch["last_user"], batch["has_more"]) == (True, [], last_user, False)
    assert (keyed.states(), batch["lease_ms"]) == ({"lead-1": "ready"}, 30_000)
    assert keyed.ids_of(keyed.claim()) == ["lead-1"]


def test_claims_are_serial(keyed: Sql, connect: Connect) -> None:
    for lead_id in keyed.eligible_leads(60):
        keyed.make_job(lead_id)

    def work(db: Sql) -> list[str]:
        found: list[str] = []
        while (batch := db.claim(4))["leads"] or batch["busy"]:
            found += db.ids_of(batch)
        return found

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(work, [connect() for _ in range(4)]))
    found = [lead_id for share in shares for lead_id in share]
    assert (len(found), len(set(found))) == (60, 60)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"p_token": None}, "p_token"),
        ({"p_worker": ""}, "p_worker"),
        ({"p_limit": 0}, "p_limit"),
        ({"p_limit": 51}, "p_limit"),
        ({"p_limit": None}, "p_limit"),
        ({"p_low_priority_limit": -1}, "p_low_priority_limit"),
        ({"p_low_priority_limit": 11}, "p_low_priority_limit"),
        ({"p_hints": ["x"] * 501}, "p_hints"),
        ({"p_hints": ["x" * 201]}, "p_hints"),
        ({"p_source": "curiosity"}, "p_source"),
    ],
    ids=str,
)
def test_wrong_arguments_are_the_callers_bug(keyed: Sql, wrong: dict[str, Any], words: str) -> None:
    keyed.ready_job("lead-1")
    right = {
        "p_token": "00000000-0000-4000-8000-00000000000a",
        "p_worker": "w",
        "p_limit": 10,
        "p_low_priority_limit": 10,
    }
    with pytest.raises(psycopg.Error, match=words) as caught:
        keyed.rpc("leadhook_claim", **(right | wrong))
    assert (caught.value.sqlstate, keyed.states()) == ("PT400", {"lead-1": "ready"})


def test_arguments_have_defaults(keyed: Sql) -> None:
    keyed.ready_job("lead-1")
    token = "00000000-0000-4000-8000-00000000000a"
    batch = keyed.rpc("leadhook_claim", p_token=token, p_worker="w", p_limit=1, p_low_priority_limit=1)
    assert keyed.ids_of(batch) == ["lead-1"]
    keyed.ready_job("lead-2")
    batch = keyed.rpc(
        "leadhook_claim", p_token=keyed.USER, p_worker="w", p_limit=1, p_low_priority_limit=1, p_hints=None
    )
    assert keyed.ids_of(batch) == ["lead-2"]


@pytest.mark.parametrize("source", ["start", "webhook", "retry", "sweep"])
def test_what_woke_the_worker_is_what_found_the_lead(keyed: Sql, source: str) -> None:
    keyed.note_change(keyed.eligible_lead("lead-1"))
    assert keyed.claim(source=source)["leads"][0]["source"] == source


def test_a_hint_makes_an_unknown_lead_ready(keyed: Sql) -> None:
    """Plain dashboard webhooks work without our triggers; nothing is stored of the hint."""
    keyed.eligible_lead("lead-1")
    batch = keyed.claim(hints=["lead-1", "nobody", "lead-1"])
    assert [(lead["lead_id"], lead["source"]) for lead in batch["leads"]] == [("lead-1", "hint")]
    assert (keyed.count("leadhook.outbox"), keyed.states()) == (0, {"lead-1": "leased"})


def test_a_hint_registers_an_unknown_lead_that_waits(keyed: Sql) -> None:
    keyed.lead("lead-1")
    keyed.details("lead-1")
    keyed.claim(hints=["lead-1"])
    assert keyed.states() == {"lead-1": "waiting"}


def test_a_hint_makes_a_waiting_lead_ready_and_changes_nothing_else(keyed: Sql) -> None:
    """Anyone who knows the static header could send it: it reopens, releases and erases nothing."""
    states = ("waiting", "ready", "held", "done", "dead")
    for state in states:
        keyed.ready_job(state, state=state, available_at="2200-01-01T00:00:00Z")
    keyed.make_job("gone", state="held")
    keyed.ready_job("moved", state="done")
    keyed.run("update public.all_leads set tag = 'new' where lead_id = 'moved'")
    batch = keyed.claim(hints=[*states, "gone", "moved"])
    assert keyed.ids_of(batch) == ["waiting"]
    assert keyed.states() == {
        "waiting": "leased", "ready": "ready", "held": "held", "done": "done", "dead": "dead", "gone": "held",
        "moved": "done",
    }  # fmt: skip
    assert keyed.job("moved")["tag"] == keyed.TAG


def test_hints_are_checked_after_the_outbox_is_applied(keyed: Sql) -> None:
    """A change of the same lead in the outbox is applied first, so its source is the webhook."""
    keyed.note_change(keyed.eligible_lead("lead-1"))
    assert keyed.claim(hints=["lead-1"])["leads"][0]["source"] == "webhook"
