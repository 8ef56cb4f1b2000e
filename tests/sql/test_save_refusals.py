"""What the application refuses costs one lead, not the batch; what the installation lacks costs none."""

from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.sql.conftest import Sql


def trigger(db: "Sql", table: LiteralString, when: LiteralString, body: LiteralString) -> None:
    """A row trigger of the application."""
    db.connection.execute(f"create function public.theirs() returns trigger language plpgsql as $$ begin {body} end $$")
    db.connection.execute(f"create trigger theirs {when} on public.{table} for each row execute function theirs()")


def save_two(db: "Sql") -> dict[str, str]:
    """`bad` and `good` in one batch."""
    return db.outcomes(db.save(*(db.result_of(db.leased_lead(lead_id)) for lead_id in ("bad", "good"))))


def test_save_of_what_a_constraint_refuses_saves_the_others(db: "Sql") -> None:
    """The refused one is dead with the database's words, without the row's content; its answer is kept."""
    db.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["paid"]) == ("dead", "refused", db.paid())
    assert "nothing_bad" in job["reason"]
    assert "A message" not in job["reason"]
    assert db.rows("select lead_id, written from leadhook.verdicts order by 1") == [
        {"lead_id": "bad", "written": False},
        {"lead_id": "good", "written": True},
    ]
    assert db.value("select sent_to_llm from public.lead_details where lead_id = 'bad'") is False


def test_save_notes_a_refusal_without_personal_data(db: "Sql") -> None:
    """The application's words may name the person: they stay with the job; the attempt has the code alone."""
    trigger(db, "llm_response", "before insert", "raise exception 'not this one: %', new.name;")
    db.save(db.result_of(db.leased_lead("a")))
    assert db.job("a")["reason"] == "not this one: Name of a"
    assert db.value("select reason from leadhook.attempts") == "SQLSTATE P0001"


def test_save_of_a_refused_lead_repeated_answers_refused(db: "Sql") -> None:
    """The first reply was lost."""
    db.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    result = db.result_of(db.leased_lead("bad"))
    db.save(result)
    assert db.outcomes(db.save(result)) == {"bad": "refused"}
    assert db.count("leadhook.attempts") == 1


def test_replay_of_a_refused_lead_writes_without_buying(keyed: "Sql") -> None:
    """Once the constraint is gone, the kept answer is handed out with the claim."""
    keyed.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    keyed.save(keyed.result_of(keyed.leased_lead("bad")))
    keyed.run("alter table public.llm_response drop constraint nothing_bad")
    keyed.rpc("leadhook_replay", p_lead_ids=["bad"], p_actor="me")
    (lead,) = keyed.claim()["leads"]
    assert (lead["paid"], lead["run"]) == (keyed.paid(), 2)
    assert keyed.outcomes(keyed.save(keyed.result_of(lead))) == {"bad": "saved"}
    assert keyed.value("select array_agg(written order by run) from leadhook.verdicts") == [False, True]


def test_save_of_what_a_deferred_constraint_refuses_saves_the_others(db: "Sql") -> None:
    """It would be checked at commit, when no lead can be told from another."""
    db.connection.execute(
        "create function public.theirs() returns trigger language plpgsql as"
        " $$ begin if new.lead_id = 'bad' then raise exception 'too late'; end if; return null; end $$"
    )
    db.run(
        "create constraint trigger theirs after insert on public.llm_response deferrable initially deferred"
        " for each row execute function public.theirs()"
    )
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    assert db.job("bad")["reason"] == "too late"


def test_save_of_what_a_trigger_discards_is_refused(db: "Sql") -> None:
    """A silent loss would be paid for again and again."""
    trigger(db, "llm_response", "before insert", "if new.lead_id = 'bad' then return null; end if; return new;")
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    assert db.job("bad")["reason"] == "a trigger on llm_response discards the row"


@pytest.mark.parametrize(
    ("when", "body"),
    [
        ("before update", "if new.lead_id = 'bad' then return null; end if; return new;"),
        ("before update", "new.sent_to_llm := new.lead_id <> 'bad'; return new;"),
        (
            "after update",
            """if new.lead_id = 'bad' and new.sent_to_llm then
              update public.lead_details set sent_to_llm = false where lead_id = 'bad';
            end if; return null;""",
        ),
    ],
)
def test_save_of_a_lead_that_does_not_stay_sent_is_refused(db: "Sql", when: LiteralString, body: LiteralString) -> None:
    """Else it would be eligible at once, and bought for ever."""
    trigger(db, "lead_details", when, body)
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    assert db.count("public.llm_response", "lead_id = 'bad'") == 0
    assert "sent_to_llm" in db.job("bad")["reason"]


def test_save_lets_the_applications_triggers_find_their_tables(db: "Sql") -> None:
    """Many triggers name tables without a schema, and ran under PostgREST's search path so far."""
    db.run("create table public.audit (lead_id text)")
    db.run("grant insert on public.audit to service_role")
    trigger(db, "llm_response", "after insert", "insert into audit values (new.lead_id); return null;")
    assert db.outcomes(db.save(db.result_of(db.leased_lead("a")))) == {"a": "saved"}
    assert db.count("public.audit") == 1


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        ("drop table public.llm_response", "42P01"),
        ("alter table public.llm_response rename column message to text", "42703"),
        ("revoke insert on public.llm_response from service_role", "42501"),
    ],
)
def test_save_raises_where_the_installation_is_at_fault(db: "Sql", change: LiteralString, sqlstate: str) -> None:
    """No lead is burned: all stay leased, and nothing is written."""
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    db.run(change)
    with pytest.raises(psycopg.Error) as raised:
        db.save(*results)
    assert raised.value.sqlstate == sqlstate
    assert set(db.states().values()) == {"leased"}
    assert db.count("leadhook.attempts") == 0


def test_save_never_passes_on_a_serialization_failure(db: "Sql") -> None:
    """PostgREST would repeat the call for ever; for us it is a lock that was not to be had."""
    trigger(
        db,
        "llm_response",
        "before insert",
        "if new.lead_id = 'bad' then raise exception 'again' using errcode = '40001'; end if; return new;",
    )
    assert save_two(db) == {"bad": "busy", "good": "saved"}
    assert db.job("bad")["state"] == "leased"


def test_save_of_a_lead_that_can_not_be_evaluated_saves_the_others(db: "Sql") -> None:
    """Its row went bad while it was leased: it is dead with the reason, and its answer is kept."""
    leases = [db.leased_lead(lead_id) for lead_id in ("bad", "good")]
    db.poison()
    assert db.outcomes(db.save(*map(db.result_of, leases))) == {"bad": "refused", "good": "saved"}
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["reason"]) == ("dead", "evaluation_failed", "division by zero")
    assert job["paid"] == db.paid()
