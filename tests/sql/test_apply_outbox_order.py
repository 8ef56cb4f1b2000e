"""Which outbox rows are applied first, and how much at a time."""

from uuid import UUID

import pytest
from tests.sql.conftest import Sql

OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")
NO_TIME = "1 microsecond"


def apply_briefly(db: Sql) -> int:
    """As much as a call does at the least."""
    return db.apply_outbox(budget=NO_TIME)


def walked_up_to(db: Sql) -> str | None:
    """The position of the walk of the only outbox row, of kind prompts or everything."""
    found: str | None = db.value("select after_lead from leadhook.outbox where kind <> 'leads'")
    return found


def test_nothing_changed_costs_nothing(db: Sql) -> None:
    """Not even the lock."""
    with db.transaction():
        assert db.apply_outbox() == 0
        assert db.value("select count(*) from pg_locks where locktype = 'advisory'") == 0


def test_three_leads_overtake_an_import(db: Sql) -> None:
    """Small outbox rows go first; those of an import stay for the next call."""
    imported = db.eligible_leads(500, prefix="import-")
    db.note_change(*imported)
    for lead_id in ("a", "b", "c"):
        db.note_change(db.eligible_lead(lead_id))
    assert apply_briefly(db) == 3
    assert sorted(db.states()) == ["a", "b", "c"]


def test_small_outbox_rows_are_applied_in_one_slice(db: Sql) -> None:
    """Up to 500 leads, so that 500 single INSERTs cost one evaluation."""
    for lead_id in db.eligible_leads(501):
        db.note_change(lead_id)
    assert apply_briefly(db) == 500
    assert db.count("leadhook.outbox") == 1


def test_an_outbox_row_larger_than_a_slice_is_applied_whole(db: Sql) -> None:
    """The triggers write none, but nothing may stay for ever."""
    db.note_change(*db.eligible_leads(700))
    assert apply_briefly(db) == 700


def test_a_walk_keeps_its_outbox_row_until_it_is_through(db: Sql) -> None:
    """500 leads a slice, by their ids."""
    for lead_id in db.eligible_leads(600):
        db.make_job(lead_id, state="waiting")
    db.note_prompts_changes()
    assert apply_briefly(db) == 500
    assert walked_up_to(db) == "lead-00500"
    assert list(db.states().values()).count("ready") == 500
    assert apply_briefly(db) == 100
    assert list(db.states().values()).count("ready") == 600
    assert db.count("leadhook.outbox") == 0


def test_a_walk_over_exactly_one_slice_ends(db: Sql) -> None:
    """It can't know that nothing follows, so it looks once more."""
    for lead_id in db.eligible_leads(500):
        db.make_job(lead_id, state="waiting")
    db.note_everything()
    assert [apply_briefly(db), apply_briefly(db), db.count("leadhook.outbox")] == [500, 0, 0]


def test_each_call_applies_a_slice_of_the_oldest_walk_and_one_of_leads(db: Sql) -> None:
    """Neither keeps the other waiting."""
    for lead_id in db.eligible_leads(600):
        db.make_job(lead_id, state="waiting")
    db.note_prompts_changes()
    db.note_prompts_changes(user=OTHER_USER)
    db.note_change(db.eligible_lead("fresh"))
    assert apply_briefly(db) == 501
    assert db.states()["fresh"] == "ready"


def test_walks_take_turns(db: Sql) -> None:
    """A slice each: a large one does not keep the lead of another user waiting."""
    for lead_id in db.eligible_leads(1200):
        db.make_job(lead_id, state="waiting")
    db.note_prompts_changes()
    apply_briefly(db)
    db.make_job(db.eligible_lead("other", user=OTHER_USER), state="waiting", user=OTHER_USER)
    db.note_prompts_changes(user=OTHER_USER)
    assert [apply_briefly(db), apply_briefly(db)] == [500, 1]
    assert db.states()["other"] == "ready"


@pytest.mark.parametrize("kind", ["new prompts", "changed prompts", "everything"])
def test_equal_walks_are_one(db: Sql, kind: str) -> None:
    """Those that begin later join it where it stands and go round: each lead is looked at after the last of them."""

    def note() -> None:
        if kind == "everything":
            db.note_everything()
        else:
            db.note_prompts_changes(inserted=kind == "new prompts")

    for lead_id in db.eligible_leads(1200):
        db.make_job(lead_id, state="waiting")
    note()
    assert apply_briefly(db) == 500
    for _ in range(5):
        note()
    db.run("update leadhook.jobs set state = 'waiting'")
    assert [apply_briefly(db) for _ in range(5)] == [500, 200, 500, 0, 0]
    assert (set(db.states().values()), db.count("leadhook.outbox")) == ({"ready"}, 0)


def test_applying_goes_on_until_its_budget_is_used_up(db: Sql) -> None:
    """By the clock, not by number."""
    for lead_id in db.eligible_leads(1200):
        db.note_change(lead_id)
    assert db.apply_outbox(budget="1 minute") == 1200
    assert db.count("leadhook.outbox") == 0


def test_ids_that_are_null_or_repeated_do_no_harm(db: Sql) -> None:
    """A NULL lead_id is possible where the application's table allows it."""
    db.eligible_lead("lead-1")
    db.run("insert into leadhook.outbox (kind, n, lead_ids) values ('leads', 4, '{lead-1,NULL,lead-1,NULL}')")
    db.run("insert into leadhook.outbox (kind, n, lead_ids) values ('leads', 0, '{}')")
    db.apply_outbox()
    assert (db.states(), db.count("leadhook.outbox")) == ({"lead-1": "ready"}, 0)


def test_twenty_thousand_ineligible_leads_delay_no_other_lead(db: Sql) -> None:
    """The next claim hands out the one that is, and the outbox is empty after as many claims as next_due_ms says 0."""
    db.key()
    db.run(
        "insert into public.all_leads (lead_id, user_id, tag)"
        " select 'raw-' || g, %(user)s, 'raw' from generate_series(1, 20000) as g",
        user=OTHER_USER,
    )
    db.run("insert into public.lead_details (lead_id) select 'raw-' || g from generate_series(1, 20000) as g")
    db.run(
        "insert into leadhook.outbox (kind, n, lead_ids)"
        " select 'leads', 500, array_agg('raw-' || g) from generate_series(1, 20000) as g group by (g - 1) / 500"
    )
    db.note_change(db.eligible_lead("lead-1"))

    first = db.claim(16)
    assert (db.ids_of(first), first["has_more"], first["next_due_ms"]) == (["lead-1"], True, 0)
    claims = 1
    while (batch := db.claim(16))["next_due_ms"] == 0:
        claims += 1
        assert claims <= 40, "a claim applies at least one outbox row"
    assert (batch["has_more"], db.count("leadhook.outbox")) == (False, 0)
    assert db.count("leadhook.jobs", "state = 'waiting'") == 20_000
