"""Who may do what with ours, asked of the catalog, so that a new function or table cannot be forgotten."""

# ruff: noqa: S608 - the queries are made of this file's own constants

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.databases import Databases

from leadhook.local.database import Database

REGIMES = ["wired_database", "old_regime_database"]
OUTSIDERS = ["anon", "authenticated", "public"]

OUR_FUNCTIONS = """
select f.oid, f.oid::regprocedure::text as name, f.pronamespace::regnamespace::text as schema
from pg_catalog.pg_proc as f
where f.pronamespace = 'leadhook'::regnamespace
  or (f.pronamespace = 'public'::regnamespace and f.proname ~ '^(leadhook.*|rpc_get_eligible_llm_jobs)$')
"""
OUR_RELATIONS = """
with tables (oid) as (
  select ('public.' || unnest('{all_leads,lead_details,prompts,gemini_api,llm_response}'::text[]))::regclass
)
select c.oid, c.oid::regclass::text as name, c.relkind::text as kind
from pg_catalog.pg_class as c
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and (
    c.relnamespace = 'leadhook'::regnamespace
    or c.oid in (select t.oid from tables as t)
    or c.oid in (select d.objid from pg_catalog.pg_depend as d join tables as t on t.oid = d.refobjid)
  )
"""
# Who may do what with each object of ours, of pg_net and of Vault: a line an object, only roles that may do anything.
# The functions in leadhook, which no role but these two can reach, share a line for each set of rights.
GRANTS = Path(__file__).parent / "grants.txt"
MATRIX = """
with roles (role) as (
  select unnest('{public,anon,authenticated,authenticator,service_role,supabase_functions_admin,postgres}'::text[])
), objects as (
  select 'schema' as kind, n.nspname::text as name, n.oid, '{usage,create}'::text[] as verbs
  from pg_catalog.pg_namespace as n where n.nspname in ('leadhook', 'net', 'vault')
  union all
  select case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
    n.nspname || '.' || c.relname, c.oid,
    case c.relkind when 'S' then '{usage,select,update}'::text[]
      else '{select,insert,update,delete,truncate,references,trigger}' end
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('leadhook', 'net', 'vault') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all
  select 'function', n.nspname || '.' || case when n.nspname = 'leadhook' then '*' else f.proname end, f.oid,
    '{execute}'
  from pg_catalog.pg_proc as f join pg_catalog.pg_namespace as n on n.oid = f.pronamespace
  where n.nspname in ('leadhook', 'net', 'vault')
    or n.nspname = 'public' and f.proname ~ '^(leadhook.*|rpc_get_eligible_llm_jobs)$'
), rights as (
  select o.kind, o.name, o.oid, r.role, string_agg(v.verb, ',' order by v.place) as verbs
  from objects as o cross join roles as r cross join unnest(o.verbs) with ordinality as v (verb, place)
  where case o.kind
    when 'schema' then has_schema_privilege(r.role, o.oid, v.verb)
    when 'function' then has_function_privilege(r.role, o.oid, v.verb)
    when 'sequence' then has_sequence_privilege(r.role, o.oid, v.verb)
    else has_table_privilege(r.role, o.oid, v.verb) end
  group by o.kind, o.name, o.oid, r.role
), objects_rights as (
  select kind, name, oid, string_agg(role || '=' || verbs, ' ' order by role) as rights
  from rights group by kind, name, oid
)
select distinct format('%s %s: %s', kind, name, rights) collate "C" as line
from objects_rights order by line
"""
# Beside the empty path: ours may run with the owner's rights, where pg_temp has to be named last.
OTHER_PATHS = {
    # The application's own triggers run in it.
    "leadhook.write_answers(leadhook.ending[])": "search_path=public, extensions",
    # They are inlined, which a path of their own would prevent; every name in them has its schema.
    "leadhook.failing_since(timestamp with time zone,timestamp with time zone)": None,
    "leadhook.key_fingerprint(text)": None,
    "leadhook.read_value(anyelement,integer,integer)": None,
    "leadhook.wanted_webhooks(integer)": None,
    "leadhook.webhook_body(text,integer,text)": None,
    "leadhook.wrap_value(anyelement,integer,integer)": None,
}


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here, which change nothing."""
    yield from databases.copies(wired_template)


@pytest.fixture(scope="module")
def old_regime_database(databases: Databases, old_regime_template: Database) -> Iterator[Database]:
    """The same of before 30 October 2026."""
    yield from databases.copies(old_regime_template)


@pytest.fixture(params=REGIMES, ids=["new default privileges", "old default privileges"])
def catalog(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """The superuser's transaction, which is rolled back, under new and under old default privileges."""
    database: Database = request.getfixturevalue(request.param)
    with psycopg.connect(database.admin_conninfo) as connection:
        yield connection
        connection.rollback()


def ask(catalog: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return catalog.execute(query.encode()).fetchall()


def test_the_regimes_differ_as_projects_do(catalog: psycopg.Connection) -> None:
    """Otherwise the tests below would ask one question twice."""
    catalog.execute("set role postgres")
    catalog.execute("create table public.of_the_user (id int)")
    catalog.execute("create function public.of_the_user() returns int language sql return 1")
    [(readable,)] = ask(catalog, "select has_table_privilege('anon', 'public.of_the_user', 'select')")
    old = bool(ask(catalog, "select from pg_catalog.pg_default_acl where defaclnamespace = 'public'::regnamespace"))
    assert readable == old
    assert ask(catalog, "select has_function_privilege('anon', 'public.of_the_user()', 'execute')") == [(True,)]


def test_every_right_of_every_role_is_known(catalog: psycopg.Connection) -> None:
    """A new table, RPC or right is a change of the file, which `LEADHOOK_RENEW=1` writes again; read its diff."""
    found = "".join(f"{line}\n" for (line,) in ask(catalog, MATRIX))
    if os.environ.get("LEADHOOK_RENEW"):
        GRANTS.write_text(found)
    assert found == GRANTS.read_text()


def test_every_table_of_leadhook_has_a_primary_key(catalog: psycopg.Connection) -> None:
    """Without one, a publication of all tables makes its updates fail."""
    query = f"""
      select r.name from ({OUR_RELATIONS}) as r
      where r.kind in ('r', 'p') and r.name like 'leadhook.%' and not exists (
        select from pg_catalog.pg_constraint as c where c.conrelid = r.oid and c.contype = 'p')"""
    assert ask(catalog, query) == []


@pytest.mark.parametrize("role", OUTSIDERS)
def test_outsiders_can_execute_no_function_of_leadhook(catalog: psycopg.Connection, role: str) -> None:
    """Neither through the API nor over a connection of their own."""
    functions = ask(catalog, OUR_FUNCTIONS)
    assert len(functions) > 10
    open_ones = f"select name from ({OUR_FUNCTIONS}) as f where has_function_privilege('{role}', f.oid, 'execute')"
    assert ask(catalog, open_ones) == []


@pytest.mark.parametrize("role", OUTSIDERS)
def test_outsiders_can_use_no_table_or_sequence_of_leadhook(catalog: psycopg.Connection, role: str) -> None:
    """Those that we made in public included."""
    assert len(ask(catalog, OUR_RELATIONS)) > 15
    open_ones = f"""
      select name from ({OUR_RELATIONS}) as r
      where case when kind = 'S' then has_sequence_privilege('{role}', r.oid, 'usage, select, update')
        else has_table_privilege('{role}', r.oid, 'select, insert, update, delete, truncate, references, trigger')
          or has_any_column_privilege('{role}', r.oid, 'select, insert, update, references') end"""
    assert ask(catalog, open_ones) == []
    assert ask(catalog, f"select has_schema_privilege('{role}', 'leadhook', 'usage, create')") == [(False,)]


def test_every_table_of_leadhook_has_row_level_security(catalog: psycopg.Connection) -> None:
    """So that a grant by mistake opens nothing."""
    bare = f"""
      select r.name from ({OUR_RELATIONS}) as r join pg_catalog.pg_class as c using (oid)
      where r.kind in ('r', 'p') and not c.relrowsecurity"""
    assert ask(catalog, bare) == []


def test_service_role_can_execute_what_the_service_calls(catalog: psycopg.Connection) -> None:
    """New projects grant it nothing by default."""
    shut = f"""
      select name from ({OUR_FUNCTIONS}) as f
      where f.schema = 'public' and not has_function_privilege('service_role', f.oid, 'execute')"""
    assert ask(catalog, shut) == []


def test_service_role_owns_nothing_of_leadhook(catalog: psycopg.Connection) -> None:
    """It may create nothing in our schema and replace none of our functions."""
    owned = f"""
      select f.name from ({OUR_FUNCTIONS}) as f join pg_catalog.pg_proc as p using (oid)
      where pg_has_role('service_role', p.proowner, 'usage')"""
    assert ask(catalog, owned) == []
    assert ask(catalog, "select has_schema_privilege('service_role', 'leadhook', 'create')") == [(False,)]


def test_every_function_of_leadhook_has_a_search_path(catalog: psycopg.Connection) -> None:
    """Empty, unless there is a reason."""
    paths = ask(
        catalog,
        f"""
        select f.name, (select c from unnest(p.proconfig) as c where c like 'search_path=%')
        from ({OUR_FUNCTIONS}) as f join pg_catalog.pg_proc as p using (oid)""",
    )
    allowed = {'search_path=""', "search_path=pg_catalog, pg_temp"}
    assert {name: path for name, path in paths if path not in allowed} == OTHER_PATHS


def test_every_function_with_the_owners_rights_is_known(catalog: psycopg.Connection) -> None:
    """They are few, and each says what it is for."""
    definers = ask(
        catalog,
        f"""
        select f.name, obj_description(f.oid, 'pg_proc') from ({OUR_FUNCTIONS}) as f
        join pg_catalog.pg_proc as p using (oid) where p.prosecdef order by 1""",
    )
    assert [name for name, _ in definers] == [
        "leadhook.advance_fences(bigint)",
        "leadhook.advance_ids()",
        "leadhook.held_snapshot(interval)",
        "leadhook.note_lead_changes()",
        "leadhook.note_prompts_changes()",
        "leadhook.read_webhook_answers(bigint[])",
        "leadhook.send_webhook(text,integer,text)",
        "leadhook.send_webhook_for_keys()",
        "leadhook.webhook_settings()",
    ]
    assert all(comment for _, comment in definers)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from leadhook.jobs",
        "insert into leadhook.outbox (kind, n) values ('everything', 0)",
        "select leadhook.send_webhook('x')",
        "select leadhook.sign('x', 'x', 1, 'x')",
        "select * from public.rpc_get_eligible_llm_jobs()",
        "select * from public.gemini_api",
    ],
)
def test_outsiders_are_refused(wired_database: Database, role: str, statement: str) -> None:
    """The catalog's word, tried out through the API's login."""
    with psycopg.connect(wired_database.authenticator_conninfo, autocommit=True) as api:
        api.execute(f"set role {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute(statement.encode())
