"""What the triggers read and write, and whose rights they can be made to use."""

from typing import Any

import psycopg
from tests.sql.conftest import Connect, Sql

from leadhook.local.database import Database

COUNTS = """
select schemaname || '.' || relname as name,
  seq_scan + coalesce(idx_scan, 0) as read, n_tup_ins as inserted, n_tup_upd + n_tup_del as changed
from pg_stat_user_tables
"""
INSERT_10_000 = """
insert into public.lead_details (lead_id, bio) select 'lead-' || i, repeat('x', 100) from generate_series(1, 10000) as i
"""
# Postgres looks for types in the caller's temporary schema first, unless the search path names it last.
TRAP = """
create function pg_temp.spring() returns boolean language sql as
  'select set_config(''test.sprung_as'', current_user, false) is not null';
create domain pg_temp.text as pg_catalog.text check (pg_temp.spring());
create domain pg_temp.uuid as pg_catalog.uuid check (pg_temp.spring());
create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.spring());
create domain pg_temp.bytea as pg_catalog.bytea check (pg_temp.spring());
create domain pg_temp.xid8 as pg_catalog.xid8 check (pg_temp.spring());
create domain pg_temp.regclass as pg_catalog.regclass check (pg_temp.spring());
create temporary table new_rows (lead_id int);
create temporary table old_rows (lead_id int);
"""


def report(db: Sql) -> None:
    """Let a session add what it did to the statistics."""
    db.run("select pg_stat_force_next_flush()")
    db.run("select 1")


def counts(db: Sql) -> dict[str, dict[str, Any]]:
    """Reads and writes of each table so far, in all sessions that have reported theirs."""
    db.run("select pg_stat_clear_snapshot()")
    return {row.pop("name"): row for row in db.rows(COUNTS)}


def test_a_big_insert_writes_only_leadhooks_tables(wired_connect: Connect) -> None:
    """10,000 rows: reads only of Vault and new keys; writes only to outbox, webhooks and pg_net's queue; no update."""
    application, watcher = wired_connect(), wired_connect()
    # What a test before this one did in these sessions may not be reported yet.
    report(watcher)
    report(application)
    before = counts(watcher)
    application.connection.execute(INSERT_10_000.encode())
    report(application)
    after = counts(watcher)
    grown = {
        name: {kind: number - before[name][kind] for kind, number in numbers.items() if number != before[name][kind]}
        for name, numbers in after.items()
        if numbers != before[name]
    }
    vault = grown.pop("vault.secrets")
    assert vault.keys() == {"read"}
    assert grown == {
        "public.lead_details": {"inserted": 10_000},
        "leadhook.outbox": {"inserted": 20, "read": 20},
        "leadhook.webhooks": {"inserted": 8},
        "net.http_request_queue": {"inserted": 8},
    }


def test_a_writer_cannot_borrow_our_rights(wired_database: Database, wired: Sql) -> None:
    """Temporary types and tables of a writer stay unused by the functions that run with their owner's rights."""
    wired.run("grant select, insert, update, delete on public.lead_details, public.prompts to authenticated")
    wired.run("create policy everybody on public.lead_details to authenticated using (true)")
    wired.run("create policy everybody on public.prompts to authenticated using (true)")
    with psycopg.connect(wired_database.authenticator_conninfo, autocommit=True) as writer:
        writer.execute("set role authenticated")
        writer.execute(TRAP.encode())
        writer.execute("insert into public.lead_details (lead_id) values ('a')")
        writer.execute("update public.lead_details set sent_to_llm = true")
        writer.execute("update public.lead_details set sent_to_llm = false")
        writer.execute("insert into public.prompts (user_id, tag) values (gen_random_uuid(), 't')")
        writer.execute("update public.prompts set tag = 'u'")
        sprung_as = writer.execute("select current_setting('test.sprung_as', true)").fetchone()
        assert sprung_as in {(None,), ("",)}
    assert wired.count("leadhook.outbox", "kind = 'leads'") == 2
    assert {row["error"] for row in wired.rows("select error from leadhook.webhooks")} == {None}
