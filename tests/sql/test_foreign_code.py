"""No role can have its own code run with the rights of the database's owner by what leadhook does."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from tests.sql.conftest import Connect, Sql

from leadhook.domain.findings import Code, check_status
from leadhook.domain.status import Status
from leadhook.local.database import Database

TRIGGER = """
create function pg_temp.spring() returns trigger language plpgsql as $$
  begin perform set_config('test.sprung_as', current_user, false); return new; end $$;
create {kind} trigger spring {timing} insert on net.http_request_queue {each} execute function pg_temp.spring();
"""
KINDS = {
    "before each row": {"kind": "", "timing": "before", "each": "for each row"},
    "after each statement": {"kind": "", "timing": "after", "each": "for each statement"},
    "deferred": {"kind": "constraint", "timing": "after", "each": "deferrable initially deferred for each row"},
}
FALSE_EXTENSIONS = {
    "pg_net": """
create schema net;
create function net.http_post(url text, body jsonb, headers jsonb, timeout_milliseconds int) returns bigint
  language plpgsql as $$
  begin perform set_config('test.sprung_as', current_user, false); return 1; end $$;
create function net.spring() returns bigint language plpgsql as $$
  begin perform set_config('test.sprung_as', current_user, false); return 1; end $$;
create view net._http_response as select net.spring() as id, now() as created, 1 as status_code, ''::text as error_msg,
  false as timed_out, ''::text as content;
create table net.http_request_queue (id bigint);
grant usage on schema net to public;
grant all on all tables in schema net to public;
""",
    "supabase_vault": """
create schema vault;
create function vault.spring() returns text
  language plpgsql as $$
  begin perform set_config('test.sprung_as', current_user, false); return 'x'; end $$;
create view vault.decrypted_secrets as select n as name, vault.spring() as decrypted_secret
  from unnest('{leadhook_webhook_url,leadhook_webhook_secret}'::text[]) as n;
grant usage on schema vault to public;
grant select on vault.decrypted_secrets to public;
""",
}
TOUCHED = """
select s.schemaname || '.' || s.relname as name, c.relowner::regrole::text as owner,
  s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 as is_written,
  array(
    select r.rolname::text from pg_catalog.pg_roles as r
    where not r.rolsuper and r.rolname <> 'postgres' and has_table_privilege(r.oid, c.oid, 'trigger')
  ) as may_add_triggers
from pg_catalog.pg_stat_xact_user_tables as s join pg_catalog.pg_class as c on c.oid = s.relid
where s.schemaname <> 'public' and s.seq_scan + coalesce(s.idx_scan, 0) + s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0
"""


@pytest.fixture
def intruder(wired_database: Database) -> Iterator[psycopg.Connection]:
    """A login with no rights but those that every role has."""
    role = f"bi_{secrets.token_hex(4)}"
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login password 'visibly-fake'").format(sql.Identifier(role)))
        try:
            with psycopg.connect(
                make_conninfo(wired_database.conninfo, user=role, password="visibly-fake"),
                autocommit=True,
            ) as connection:
                yield connection
        finally:
            admin.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(role)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def sprung_as(db: Sql) -> str | None:
    """The role as which foreign code ran in this session."""
    return db.value("select nullif(current_setting('test.sprung_as', true), '')") or None


@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trigger_on_pg_nets_queue_never_runs_with_our_rights(
    wired: Sql, intruder: psycopg.Connection, kind: str, level: str
) -> None:
    """Even one that was added after the snapshot of the application's transaction; the outbox keeps the lead."""
    wired.run(sql.SQL("begin isolation level ") + sql.SQL(level))
    wired.run("select 1 from pg_class limit 1")
    intruder.execute(TRIGGER.format(**KINDS[kind]).encode())
    wired.lead("a")
    wired.run("commit")
    assert sprung_as(wired) is None
    assert wired.count("leadhook.outbox") == 1
    (webhook,) = wired.rows("select request_id, error from leadhook.webhooks")
    assert webhook["request_id"] is None
    assert "would run with the owner's rights" in webhook["error"]


def test_a_rule_on_pg_nets_queue_never_runs_with_our_rights(wired: Sql, wired_database: Database) -> None:
    """Only the owner of the queue can make one."""
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("create rule spring as on insert to net.http_request_queue do also notify spring")
    wired.lead("a")
    assert wired.count("net.http_request_queue") == 0
    assert wired.count("leadhook.webhooks", "error like '%%owner''s rights'") == 1


def test_a_foreign_trigger_is_reported_until_it_is_gone(wired: Sql, intruder: psycopg.Connection) -> None:
    intruder.execute(TRIGGER.format(**KINDS["deferred"]).encode())
    found = check_status(Status.model_validate(wired.rpc("leadhook_status")))
    (finding,) = [each for each in found.warnings if each.code is Code.FOREIGN_CODE]
    assert all(word in finding.sentence for word in ("spring()", intruder.info.user))
    intruder.execute("drop function pg_temp.spring() cascade")
    wired.lead("a")
    assert wired.count("net.http_request_queue") == 1
    found = check_status(Status.model_validate(wired.rpc("leadhook_status")))
    assert Code.FOREIGN_CODE not in {each.code for each in found.warnings}


def test_enabling_pg_net_again_removes_a_foreign_trigger(
    wired: Sql, wired_database: Database, intruder: psycopg.Connection
) -> None:
    """As the finding's remedy says."""
    intruder.execute(TRIGGER.format(**KINDS["deferred"]).encode())
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension pg_net")
        admin.execute("create extension pg_net with schema extensions")
    wired.lead("a")
    assert wired.count("net.http_request_queue") == 1


@pytest.mark.parametrize("extension", FALSE_EXTENSIONS)
def test_a_false_extension_is_not_called(
    wired: Sql, wired_database: Database, intruder: psycopg.Connection, extension: str
) -> None:
    """Where the extension is missing, a role that may create schemas can give one its name."""
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("drop extension {} cascade").format(sql.Identifier(extension)))
        admin.execute(sql.SQL("drop schema if exists net") if extension == "pg_net" else sql.SQL("drop schema vault"))
        admin.execute(
            sql.SQL("grant create on database {} to {}").format(
                sql.Identifier(wired_database.name), sql.Identifier(intruder.info.user)
            )
        )
    intruder.execute(FALSE_EXTENSIONS[extension].encode())
    wired.lead("a")
    wired.rpc("leadhook_status")
    wired.rpc("leadhook_explain", p_lead_id="a")
    assert sprung_as(wired) is None
    assert wired.count("leadhook.outbox") == 1


def test_what_runs_with_the_owners_rights_touches_nothing_that_others_can_attach_code_to(
    wired_connect: Connect, wired_database: Database
) -> None:
    """Every trigger of ours fired and every such function called: their tables belong to trusted roles."""
    wired = wired_connect()
    wired.run("begin")
    wired.eligible_lead("a")
    wired.key()
    wired.run("update public.lead_details set sent_to_llm = true")
    wired.run("update public.prompts set message_prompt = 'x'")
    wired.run("delete from public.all_leads")
    wired.run("truncate public.lead_details")
    wired.rows("select leadhook.webhook_settings()")
    with psycopg.connect(wired_database.admin_conninfo) as admin:
        superuser = admin.info.user
    touched = wired.rows(TOUCHED)
    wired.run("rollback")
    assert {row["name"] for row in touched if row["is_written"]} >= {"leadhook.outbox", "net.http_request_queue"}
    assert {row["owner"] for row in touched} <= {"postgres", superuser}
    open_ones = {row["name"] for row in touched if row["is_written"] and row["may_add_triggers"]}
    assert open_ones == {"net.http_request_queue"}, "refuse_foreign_code() looks at this one"
