"""What the application refuses costs one lead, not the batch; what the installation lacks costs none."""

from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from tests.sql.conftest import Sql


def trigger(db: Sql, table: LiteralString, when: LiteralString, body: LiteralString) -> None:
    """A row trigger of the application."""
    db.connection.execute(f"create function public.theirs() returns trigger language plpgsql as $$ begin {body} end $$")
    db.connection.execute(f"create trigger theirs {when} on public.{table} for each row execute function theirs()")


def define(db: Sql, body: str) -> None:
    """The function of a trigger of the application."""
    statement = f"create or replace function public.theirs() returns trigger language plpgsql as $$ begin {body} end $$"
    db.connection.execute(statement.encode())


def refuse_bad(db: Sql, statement: str, table: LiteralString = "llm_response") -> None:
    """A trigger that does this for leads whose id begins with `bad`."""
    define(db, f"if new.lead_id like 'bad%' then {statement}; end if; return new;")
    event = sql.SQL("insert" if table == "llm_response" else "update")
    create = sql.SQL("create or replace trigger theirs before {} on public.{} for each row execute function theirs()")
    db.run(create.format(event, sql.Identifier(table)))


def save_two(db: Sql, *lead_ids: str) -> dict[str, str]:
    """`bad` and `good` in one batch, unless others are named."""
    names = lead_ids or ("bad", "good")
    return db.outcomes(db.save(*(db.result_of(db.leased_lead(lead_id)) for lead_id in names)))


def test_save_of_what_a_constraint_refuses_saves_the_others(db: Sql) -> None:
    """The refused one is dead with the database's words, without the row's content; its answer is kept."""
    db.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["checkpoint"]) == ("dead", "refused", db.paid())
    assert "nothing_bad" in job["reason"]
    assert "A message" not in job["reason"]
    assert db.rows("select lead_id, written from leadhook.results order by 1") == [
        {"lead_id": "bad", "written": False},
        {"lead_id": "good", "written": True},
    ]
    assert db.value("select sent_to_llm from public.lead_details where lead_id = 'bad'") is False


@pytest.mark.parametrize("calls", [[3], [1, 1, 1], [2, 1], [1, 2]])
def test_what_three_leads_in_a_row_are_refused_with_is_the_installations_fault(db: Sql, calls: list[int]) -> None:
    """Not of the lead: the third is neither dead nor without its answer, and is saved once the table is right again."""
    db.run("alter table public.llm_response add column theirs text not null default ''")
    db.run("alter table public.llm_response alter theirs drop default")
    leads = iter("abc")
    *before, last = [[db.result_of(db.leased_lead(next(leads))) for _ in range(count)] for count in calls]
    for results in before:
        assert set(db.outcomes(db.save(*results)).values()) == {"refused"}
    with pytest.raises(psycopg.Error, match="every answer is refused with SQLSTATE 23502") as error:
        db.save(*last)
    assert error.value.sqlstate == "PT409"
    assert db.job("c")["state"] == "leased"
    db.run("alter table public.llm_response drop column theirs")
    assert set(db.outcomes(db.save(*last)).values()) == {"saved"}


def test_leads_refused_for_different_reasons_or_beside_a_saved_one_are_refused(db: Sql) -> None:
    """Several bad leads of one import are their own fault while a good one is saved."""
    db.run("alter table public.llm_response add constraint no_b check (lead_id !~ '^b')")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("b1", "b2", "b3", "good")]
    assert db.outcomes(db.save(*results)) == {"b1": "refused", "b2": "refused", "b3": "refused", "good": "saved"}
    db.run("alter table public.llm_response add constraint no_c check (lead_id !~ '^c')")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("b4", "c1", "c2")]
    assert set(db.outcomes(db.save(*results)).values()) == {"refused"}


def test_save_notes_a_refusal_without_personal_data(db: Sql) -> None:
    """The application's words may name the person: they stay with the job; the attempt has the code alone."""
    raising = "raise exception using message = 'not this one: ' || new.name, constraint = new.name;"
    trigger(db, "llm_response", "before insert", raising)
    (reply,) = db.save(db.result_of(db.leased_lead("a")))["leases"]
    assert reply["reason"] == "SQLSTATE P0001", "what the service logs"
    assert db.job("a")["reason"] == "not this one: Name of a"
    assert db.value("select reason from leadhook.attempts") == "SQLSTATE P0001"


def test_save_of_a_refused_lead_repeated_answers_refused(db: Sql) -> None:
    """The first reply was lost."""
    db.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    result = db.result_of(db.leased_lead("bad"))
    db.save(result)
    assert db.outcomes(db.save(result)) == {"bad": "refused"}
    assert db.count("leadhook.attempts") == 1


def test_replay_of_a_refused_lead_writes_without_buying(keyed: Sql) -> None:
    """Once the constraint is gone, the kept answer is handed out with the claim."""
    keyed.run("alter table public.llm_response add constraint nothing_bad check (lead_id <> 'bad')")
    keyed.save(keyed.result_of(keyed.leased_lead("bad")))
    keyed.run("alter table public.llm_response drop constraint nothing_bad")
    keyed.rpc("leadhook_replay", p_lead_ids=["bad"], p_actor="me")
    (lead,) = keyed.claim()["leads"]
    assert (lead["checkpoint"], lead["run"]) == (keyed.paid(), 2)
    assert keyed.outcomes(keyed.save(keyed.result_of(lead))) == {"bad": "saved"}
    assert keyed.value("select array_agg(written order by run) from leadhook.results") == [False, True]


def test_save_of_what_a_trigger_discards_is_refused(db: Sql) -> None:
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
def test_save_of_a_lead_that_does_not_stay_sent_is_refused(db: Sql, when: LiteralString, body: LiteralString) -> None:
    """Else it would be eligible at once, and bought for ever."""
    trigger(db, "lead_details", when, body)
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    assert db.count("public.llm_response", "lead_id = 'bad'") == 0
    assert "sent_to_llm" in db.job("bad")["reason"]


def test_save_lets_the_applications_triggers_find_their_tables(db: Sql) -> None:
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
def test_save_raises_where_the_installation_is_at_fault(db: Sql, change: LiteralString, sqlstate: str) -> None:
    """No lead is burned: all stay leased, and nothing is written."""
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    db.run(change)
    with pytest.raises(psycopg.Error) as raised:
        db.save(*results)
    assert raised.value.sqlstate == sqlstate
    assert set(db.states().values()) == {"leased"}
    assert db.count("leadhook.attempts") == 0


REFUSALS = [
    "42501",
    "42P01",
    "XX000",
    "0A000",
    "57014",
    "53100",
    "P0002",
    "P0004",
    "08006",
    "22023",
    "23505",
    "25006",
    "PT409",
]


def test_save_of_what_the_application_refuses_saves_the_others_whatever_the_sqlstate(db: Sql) -> None:
    """Others are written in the same call, so the grants and tables are sound."""
    for sqlstate in REFUSALS:
        bad, good = f"bad-{sqlstate}", f"good-{sqlstate}"
        refuse_bad(db, f"raise exception 'locked' using errcode = '{sqlstate}'")
        assert save_two(db, bad, good) == {bad: "refused", good: "saved"}
        job = db.job(bad)
        assert (job["state"], job["error_code"], job["reason"]) == ("dead", "refused", "locked"), sqlstate
        assert job["checkpoint"] == db.paid()
        attempt = db.value("select reason from leadhook.attempts where lead_id = %(id)s", id=bad)
        assert attempt == f"SQLSTATE {sqlstate}"
        assert db.value("select written from leadhook.results where lead_id = %(id)s", id=bad) is False


ODDITIES = [
    "assert false, 'never'",
    "raise exception using message = ''",
    "raise exception '%', null::text",
    "raise exception '%', repeat('x', 1000000) using errcode = '42501'",
    "raise exception E'\\x01\\r\\n\\t\\x1b[31m' using errcode = 'XX000'",
    "raise exception 'no' using errcode = '23514', schema = 'leadhook', table = 'jobs'",
    "insert into leadhook.jobs (lead_id, state) values (new.lead_id, 'no such state')",
    "perform 1 from nothing_of_this_name",
    "perform 1 / 0",
]


@pytest.mark.parametrize("table", ["llm_response", "lead_details"])
def test_save_survives_whatever_a_trigger_says(db: Sql, table: LiteralString) -> None:
    """A failed assertion, no words, a megabyte of them, control characters, a mistake in the trigger."""
    for number, refusal in enumerate(ODDITIES):
        bad, good = f"bad-{number}", f"good-{number}"
        refuse_bad(db, refusal, table)
        assert save_two(db, bad, good) == {bad: "refused", good: "saved"}, refusal
        assert 0 < len(db.job(bad)["reason"]) <= 500


@pytest.mark.parametrize("refusal", ["assert false, 'too late'", "raise exception 'too late' using errcode = '42501'"])
def test_save_of_what_a_deferred_constraint_refuses_saves_the_others(db: Sql, refusal: str) -> None:
    """It would be checked at commit, when the failing lead can't be identified."""
    define(db, f"if new.lead_id = 'bad' then {refusal}; end if; return null;")
    db.run(
        "create constraint trigger theirs after insert on public.llm_response deferrable initially deferred"
        " for each row execute function public.theirs()"
    )
    assert save_two(db) == {"bad": "refused", "good": "saved"}
    assert db.job("bad")["reason"] == "too late"


@pytest.mark.parametrize("sqlstate", ["42501", "57014", "53100"])
def test_save_raises_where_every_lead_is_refused_with_what_speaks_of_the_installation(db: Sql, sqlstate: str) -> None:
    """No lead is refused for what happens to all of them, and nothing is written."""
    define(db, f"raise exception 'nobody may' using errcode = '{sqlstate}';")
    db.run("create trigger theirs before insert on public.llm_response for each row execute function public.theirs()")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    with pytest.raises(psycopg.Error) as raised:
        db.save(*results)
    assert raised.value.sqlstate == sqlstate
    assert set(db.states().values()) == {"leased"}
    assert db.count("leadhook.attempts") == 0


def test_save_ends_at_once_when_the_statement_is_stopped(db: Sql) -> None:
    """The timer fires once: whatever came after it could run for ever."""
    refuse_bad(db, "loop perform pg_sleep(0.01); end loop")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("bad", "good")]
    db.run("set statement_timeout = '300ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.save(*results)
    assert set(db.states().values()) == {"leased"}


def test_save_of_a_lead_with_a_refusal_keeps_its_answer_and_does_not_try(db: Sql) -> None:
    """The service found out by itself that it can't be written: it is dead with that reason, and replayable."""
    refuse_bad(db, "perform pg_sleep(60)")
    refusal = {"code": "57014", "reason": "took too long"}
    lease = db.leased_lead("bad")
    assert db.outcomes(db.save(db.result_of(lease, refusal=refusal))) == {"bad": "refused"}
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["reason"], job["checkpoint"]) == (
        "dead",
        "refused",
        "took too long",
        db.paid(),
    )
    assert db.value("select written from leadhook.results") is False
    assert db.value("select reason from leadhook.attempts") == "SQLSTATE 57014"
    assert db.outcomes(db.save(db.result_of(lease, refusal=refusal))) == {"bad": "refused"}


def test_save_hands_back_what_it_has_no_time_for(db: Sql) -> None:
    """A slow trigger, and a refusal: with the first attempt, it takes less than a timer of 5 s."""
    define(db, "perform pg_sleep(1.1); if new.lead_id = 'bad' then raise exception 'no'; end if; return new;")
    db.run("create trigger theirs before insert on public.llm_response for each row execute function public.theirs()")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("bad", *"cdefgh")]
    reply = db.save(*results)
    outcomes = list(db.outcomes(reply).values())
    assert outcomes.count("refused") == 1
    assert 1 <= outcomes.count("saved") <= 2
    assert {lease["error_code"] for lease in reply["leases"] if lease["outcome"] == "busy"} == {"out_of_time"}


@pytest.mark.parametrize("sqlstate", ["42501", "23514"])
def test_what_failed_before_a_repair_in_the_middle_of_a_save_is_saved(db: Sql, sqlstate: str) -> None:
    """A grant that comes back, a constraint that is dropped: the leads before it are not to blame."""
    db.run("create sequence public.tries")
    db.run("grant usage on sequence public.tries to public")
    body = (
        f"if nextval('public.tries') <= 3 then raise exception 'no' using errcode = '{sqlstate}'; end if; return new;"
    )
    define(db, body)
    db.run("create trigger theirs before insert on public.llm_response for each row execute function public.theirs()")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in "abcd"]
    assert set(db.outcomes(db.save(*results)).values()) == {"saved"}


def test_save_changes_nothing_if_a_table_of_leadhook_refuses_a_row(db: Sql) -> None:
    """A sequence behind its rows: no lead is to blame, and nothing that was paid is lost."""
    db.save(db.result_of(db.leased_lead("before")))
    db.value("select setval(pg_get_serial_sequence('leadhook.attempts', 'id'), 1, false)")
    results = [db.result_of(db.leased_lead(lead_id)) for lead_id in ("a", "b")]
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        db.save(*results)
    assert raised.value.diag.schema_name == "leadhook"
    assert db.count("leadhook.jobs", "state = 'leased'") == 2
    assert db.count("public.llm_response") == 1


def test_save_never_passes_on_a_serialization_failure(db: Sql) -> None:
    """PostgREST would repeat the call for ever; for us it is a lock that was not to be had."""
    trigger(
        db,
        "llm_response",
        "before insert",
        "if new.lead_id = 'bad' then raise exception 'again' using errcode = '40001'; end if; return new;",
    )
    assert save_two(db) == {"bad": "busy", "good": "saved"}
    assert db.job("bad")["state"] == "leased"


def test_save_of_a_lead_that_cannot_be_evaluated_saves_the_others(db: Sql) -> None:
    """Its row went bad while it was leased: it is dead with the reason, and its answer is kept."""
    leases = [db.leased_lead(lead_id) for lead_id in ("bad", "good")]
    db.poison()
    assert db.outcomes(db.save(*map(db.result_of, leases))) == {"bad": "refused", "good": "saved"}
    job = db.job("bad")
    assert (job["state"], job["error_code"], job["reason"]) == ("dead", "evaluation_failed", "division by zero")
    assert job["checkpoint"] == db.paid()
