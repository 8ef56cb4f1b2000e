"""How many webhooks a transaction sends, and what they contain."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook
from tests.sql.conftest import Sql
from tests.support.databases import Databases

from leadhook.local.database import Database

LOOP = """
do $$
begin
  for i in 1..5000 loop
    insert into public.lead_details (lead_id) values ('lead-' || i);
  end loop;
end
$$
"""
REFUSE_LATE = b"""
create function public.refuse_late() returns trigger language plpgsql as $$
begin
  if exists (select from new_rows where lead_id = 'late') then
    raise exception 'late';
  end if;
  return null;
end
$$;
create trigger refuse_late after insert on public.lead_details
  referencing new table as new_rows for each statement execute function public.refuse_late();
"""


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here; webhooks are posted by commits, so each test wipes up after itself."""
    yield from databases.copies(wired_template)


@pytest.fixture(autouse=True)
def _wiped(wired: Sql) -> Iterator[None]:
    yield
    wired.run("set session_replication_role = replica")
    wired.run("truncate public.all_leads, public.lead_details, public.prompts, leadhook.outbox, leadhook.webhooks")
    wired.run("delete from net.http_request_queue")


def requests(db: Sql) -> list[dict[str, Any]]:
    return db.rows("select *, convert_from(body, 'UTF8') as text from net.http_request_queue order by id")


def noted(db: Sql) -> list[list[str]]:
    return [row["lead_ids"] for row in db.rows("select lead_ids from leadhook.outbox order by id")]


def details(db: Sql, lead_id: str) -> None:
    db.run("insert into public.lead_details (lead_id) values (%(i)s)", i=lead_id)


def test_a_webhook_is_a_signed_request_that_the_service_can_verify(wired: Sql) -> None:
    """Supabase's form with empty `records`, and a number: nothing of a lead."""
    wired.details("🦊/é", bio="not for the wire")
    [request] = requests(wired)
    secret = wired.value("select decrypted_secret from vault.decrypted_secrets where name = 'leadhook_webhook_secret'")
    assert request["url"] == "http://127.0.0.1:9/webhooks/leads"
    assert (request["method"], request["timeout_milliseconds"]) == ("POST", 5000)
    assert request["headers"]["Content-Type"] == "application/json"
    assert re.fullmatch(r"msg_[0-9a-f]{32}", request["headers"]["webhook-id"])
    assert abs(int(request["headers"]["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert Webhook(secret).verify(bytes(request["body"]), request["headers"]) == {
        "type": "INSERT",
        "table": "lead_details",
        "schema": "public",
        "records": [],
        "total": 1,
    }


def test_every_webhook_is_in_the_ledger(wired: Sql) -> None:
    """With pg_net's number for it, so that the answer can be found."""
    details(wired, "a")
    [request] = requests(wired)
    [webhook] = wired.rows("select * from leadhook.webhooks")
    assert webhook["request_id"] == request["id"]
    assert webhook["message_id"] == request["headers"]["webhook-id"]
    assert (webhook["reason"], webhook["leads"], webhook["error"], webhook["status_code"]) == (
        "insert lead_details",
        1,
        None,
        None,
    )


def test_a_transaction_sends_one_webhook(wired: Sql) -> None:
    wired.connection.execute(LOOP.encode())
    assert len(requests(wired)) == 1
    assert wired.count("leadhook.outbox") == 5000
    details(wired, "another")
    details(wired, "and another")
    assert len(requests(wired)) == 3


def test_a_big_statement_sends_a_few_webhooks(wired: Sql) -> None:
    """So that several machines wake."""
    wired.eligible_leads(10_000)
    causes = [row["reason"] for row in wired.rows("select reason from leadhook.webhooks")]
    assert causes.count("insert all_leads") == causes.count("insert lead_details") == 8
    bodies = [json.loads(request["text"]) for request in requests(wired)]
    assert {body["total"] for body in bodies} == {10_000, None}
    assert len({request["headers"]["webhook-id"] for request in requests(wired)}) == len(bodies)


def test_a_big_transaction_sends_no_more_webhooks_than_its_biggest_statement(wired: Sql) -> None:
    """An import in many statements sends a webhook a few times altogether."""
    with wired.transaction():
        details(wired, "first")
        for prefix in ("a", "b", "c"):
            wired.eligible_leads(2_500, prefix=prefix)
    assert len(requests(wired)) == 2


def test_a_statement_below_a_thousand_leads_sends_one_webhook(wired: Sql) -> None:
    """One machine is enough for it."""
    with wired.transaction():
        wired.eligible_leads(999)
    assert len(requests(wired)) == 1


def test_a_webhook_that_was_rolled_back_is_sent_again(wired: Sql) -> None:
    """The mark goes with the savepoint, as the webhook does."""
    with wired.transaction():
        wired.run("savepoint one")
        details(wired, "a")
        wired.run("savepoint two")
        details(wired, "b")
        wired.run("rollback to savepoint one")
        assert requests(wired) == []
        details(wired, "c")
        details(wired, "d")
    assert len(requests(wired)) == 1
    assert noted(wired) == [["c"], ["d"]]


def test_a_first_statement_that_fails_takes_no_later_webhook_with_it(wired: Sql) -> None:
    """Webhook, mark and outbox row go together; here a trigger of the application refuses the statement after ours."""
    wired.connection.execute(REFUSE_LATE)
    with wired.transaction():
        with pytest.raises(psycopg.errors.RaiseException), wired.transaction():
            details(wired, "late")
        assert requests(wired) == []
        details(wired, "a")
    wired.run("drop function public.refuse_late cascade")
    assert len(requests(wired)) == 1
    assert noted(wired) == [["a"]]


def test_a_webhook_in_a_subtransaction_that_stays_is_the_only_one(wired: Sql) -> None:
    """A released savepoint hands its mark to the transaction."""
    with wired.transaction():
        with wired.transaction():
            details(wired, "a")
        details(wired, "b")
        wired.run("savepoint failed")
        with pytest.raises(psycopg.errors.UniqueViolation), wired.transaction():
            details(wired, "a")
        wired.run("rollback to savepoint failed")
        details(wired, "c")
    assert len(requests(wired)) == 1
    assert noted(wired) == [["a"], ["b"], ["c"]]


def test_a_transaction_that_rolls_back_sends_no_webhook(wired: Sql) -> None:
    """And leaves no mark for the next one of its session."""
    wired.run("begin")
    details(wired, "a")
    wired.run("rollback")
    assert requests(wired) == []
    details(wired, "b")
    assert len(requests(wired)) == 1


@pytest.mark.parametrize("mark", ["off", "1:1", "99999999999:8", ":", "x:y", "'; drop table x"])
def test_a_foreign_mark_suppresses_no_webhook(wired: Sql, mark: str) -> None:
    """Any session may set our setting; only this transaction's own mark counts."""
    wired.run("select set_config('leadhook.webhook_sent', %(m)s, false)", m=mark)
    details(wired, "a")
    assert len(requests(wired)) == 1


def test_service_role_may_send_a_webhook(wired: Sql) -> None:
    """A replay makes work claimable without a trigger."""
    wired.call("leadhook.send_webhook", p_reason="replay", p_leads=3)
    [request] = requests(wired)
    body = json.loads(request["text"])
    assert (body["type"], body["table"], body["schema"], body["records"], body["total"]) == (
        "REPLAY",
        None,
        None,
        [],
        3,
    )
    assert wired.value("select reason from leadhook.webhooks") == "replay"
