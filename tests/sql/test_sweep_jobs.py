"""The sweep clears up: jobs of leads that are gone, and records that are old."""

from typing import LiteralString

import psycopg
import pytest
from tests.sql.conftest import Connect, Row, Sql

from leadhook.local.database import Database


def sweep(db: Sql) -> Row:
    """A whole round of few leads; its last slice."""
    for _ in range(20):
        reply: Row = db.rpc("leadhook_sweep", p_worker="worker-1", p_budget_ms=2000)
        if reply["round_finished"]:
            return reply
    raise AssertionError("the round does not end")


@pytest.mark.parametrize(
    "delete",
    ["delete from public.all_leads where lead_id = 'gone'", "delete from public.lead_details where lead_id = 'gone'"],
)
@pytest.mark.parametrize("state", ["waiting", "done", "leased", "dead", "held"])
def test_sweep_forgets_leads_that_are_gone(db: Sql, delete: LiteralString, state: str) -> None:
    """With all that we hold of them; what they left in llm_response is the application's."""
    db.ready_job("gone", state=state)
    db.ready_job("here", state=state)
    for lead_id in ("gone", "here"):
        db.run("insert into leadhook.attempts (lead_id, run, fence, outcome) values (%(id)s, 1, 1, '')", id=lead_id)
        db.run(
            "insert into leadhook.results (lead_id, run, score, response, should_contact, subject, message, written)"
            " values (%(id)s, 1, 1, '', false, '', '', true)",
            id=lead_id,
        )
        db.replayed(lead_id)
    db.run(delete)
    assert sweep(db)["removed"] == 1
    assert list(db.states()) == ["here"]
    for ours in ("attempts", "results", "replay_leads"):
        assert db.count(f"leadhook.{ours}") == 1, ours


def test_sweep_puts_a_ready_lead_to_sleep_that_is_not_eligible_any_more(db: Sql) -> None:
    """The outbox row was lost; a replay that ignores sent_to_llm stays."""
    db.ready_job("a")
    db.ready_job("replayed", replay_id=1, low_priority=True)
    db.run("update public.lead_details set sent_to_llm = true")
    sweep(db)
    assert db.states() == {"a": "waiting", "replayed": "ready"}


def test_sweep_does_not_wait_for_a_job_that_someone_holds(db: Sql, connect: Connect) -> None:
    """The next round will do."""
    db.make_job("gone", state="done")
    other = connect()
    with other.transaction():
        other.run("select 1 from leadhook.jobs for update")
        assert sweep(db)["removed"] == 0
    assert sweep(db)["removed"] == 1


def test_sweep_deletes_old_records(db: Sql) -> None:
    """And keeps the young ones."""
    db.ready_job("a", state="done")
    db.run("update public.lead_details set sent_to_llm = true")
    for age in ("91 days", "89 days"):
        db.run(
            "insert into leadhook.attempts (lead_id, run, fence, outcome, finished_at)"
            " values ('a', 1, 1, 'saved', now() - %(age)s::interval)",
            age=age,
        )
        db.run("insert into leadhook.replays (actor, created_at) values ('me', now() - %(age)s::interval)", age=age)
    for age in ("31 days", "29 days"):
        db.run(
            "insert into leadhook.webhooks (message_id, reason, sent_at)"
            " values ('m', 'insert', now() - %(age)s::interval)",
            age=age,
        )
        db.run(
            "insert into leadhook.api_keys (fingerprint, state, changed_at)"
            " values (%(name)s, 'disabled', now() - %(age)s::interval)",
            age=age,
            name=age,
        )
    for age in ("25 hours", "23 hours"):
        db.run(
            "insert into leadhook.settled_requests (request_id, outcome, settled_at)"
            " values (gen_random_uuid(), 'gone', now() - %(age)s::interval)",
            age=age,
        )
    sweep(db)
    tables = ("attempts", "replays", "webhooks", "api_keys", "settled_requests")
    assert {t: db.count(f"leadhook.{t}") for t in tables} == dict.fromkeys(tables, 1)


def test_sweep_keeps_what_is_known_of_a_key_that_is_there(db: Sql) -> None:
    """A key that was disabled half a year ago is not tried again."""
    db.key()
    fingerprint = db.value("select fingerprint from leadhook.healthy_keys()")
    db.park_keys({"fingerprint": fingerprint, "reason": "invalid", "for_ms": None})
    db.run("update leadhook.api_keys set changed_at = now() - interval '180 days'")
    sweep(db)
    assert db.value("select state from leadhook.api_keys") == "disabled"


BEFORE_0_12 = """
revoke all on all tables in schema net from public;
grant select on net._http_response to postgres;
"""


@pytest.mark.parametrize("grants", ["", BEFORE_0_12], ids=["pg_net 0.12", "older"])
def test_sweep_notes_what_became_of_a_webhook(db: Sql, database: Database, grants: str) -> None:
    """Before pg_net forgets it; an answer to an older request of the same number is another's."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute("grant select, insert on net._http_response to postgres")
        admin.execute(grants.encode())
        admin.execute("grant insert on net._http_response to postgres")
    db.run(
        "insert into leadhook.webhooks (request_id, message_id, reason) values (1, 'a', ''), (2, 'b', ''), (3, 'c', '')"
    )
    db.run("insert into net._http_response (id, status_code) values (1, 202)")
    db.run("insert into net._http_response (id, error_msg, timed_out) values (2, 'Timeout was reached', true)")
    db.run("insert into net._http_response (id, status_code, created) values (3, 202, now() - interval '1 hour')")
    sweep(db)
    assert db.rows("select status_code, error from leadhook.webhooks order by id") == [
        {"status_code": 202, "error": None},
        {"status_code": None, "error": "Timeout was reached"},
        {"status_code": None, "error": None},
    ]


def test_sweep_reads_the_answers_of_the_newest_10000_webhooks(db: Sql) -> None:
    """It holds the outbox lock, and pg_net may have dropped the answers of all of them."""
    db.run(
        "insert into leadhook.webhooks (request_id, message_id, reason, sent_at)"
        " select i, 'm', '', now() - i * interval '1 ms' from generate_series(1, 10001) as i"
    )
    db.run("insert into net._http_response (id, status_code) values (1, 202), (10000, 202), (10001, 202)")
    sweep(db)
    answered = db.rows("select request_id from leadhook.webhooks where status_code = 202 order by request_id")
    assert [row["request_id"] for row in answered] == [1, 10000]


def test_an_answer_belongs_to_the_last_webhook_of_its_number(db: Sql) -> None:
    """After a crash, pg_net numbers its requests from 1 again."""
    db.run(
        "insert into leadhook.webhooks (request_id, message_id, reason, sent_at) values"
        " (1, 'a', '', now() - interval '20 minutes'), (1, 'b', '', now() - interval '10 minutes')"
    )
    db.run("insert into net._http_response (id, status_code) values (1, 405)")
    sweep(db)
    assert db.rows("select message_id, status_code from leadhook.webhooks order by id") == [
        {"message_id": "a", "status_code": None},
        {"message_id": "b", "status_code": 405},
    ]


def test_sweep_needs_no_pg_net(db: Sql, database: Database) -> None:
    """Nor one that looks as ours does."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension pg_net cascade")
        sweep(db)
        admin.execute("create schema if not exists net")
        admin.execute("create table net._http_response (surprise int)")
        sweep(db)


def test_sweep_begins_again_after_a_round(db: Sql) -> None:
    """Its position is the start."""
    sweep(db)
    (controls,) = db.rows("select * from leadhook.controls")
    assert (controls["sweep_phase"], controls["sweep_after_lead"]) == ("leads", "")
    assert controls["sweep_round_started_at"] is None
