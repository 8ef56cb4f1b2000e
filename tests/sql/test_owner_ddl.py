"""The owner's ALTER, DROP, TRUNCATE and DELETE work as they did before we came."""

# ruff: noqa: S608 - the statements are made of table and column names of this file and of the catalog

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql.conftest import Sql
    from tests.support.databases import Databases

    from leadhook.local.database import Database

TABLES = ["all_leads", "lead_details", "prompts", "gemini_api", "llm_response"]
STATEMENTS = [
    "delete from public.{table}",
    "truncate public.{table}",
    "truncate public.{table} restart identity cascade",
    "drop table public.{table}",
    "drop table public.{table} cascade",
    "alter table public.{table} rename to renamed",
    "alter table public.{table} set schema extensions",
    "alter table public.{table} add column extra text",
    "alter table public.{table} disable row level security",
    "vacuum full public.{table}",
]
TRIGGERS = [
    *(
        (table, event)
        for table in ("all_leads", "lead_details")
        for event in ("insert", "update", "delete", "truncate")
    ),
    ("prompts", "insert"),
    ("prompts", "update"),
    ("gemini_api", "change"),
]
OTHER_KINDS = {"text": "varchar(9000)", "integer": "bigint"}
COLUMNS = """
select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relname = any (%s) and a.attnum > 0 and not a.attisdropped
order by 1, a.attnum
"""


@pytest.fixture(scope="module")
def filled_template(databases: "Databases", wired_template: "Database") -> "Iterator[Database]":
    """Two leads with everything, which the tests copy."""
    for database in databases.copies(wired_template):
        with database.connect() as owner:
            owner.execute(b"""
                insert into public.all_leads (lead_id, user_id, tag)
                  values ('a', gen_random_uuid(), 't'), ('b', gen_random_uuid(), 't');
                insert into public.lead_details (lead_id) values ('a'), ('b');
                insert into public.prompts (user_id, tag) values (gen_random_uuid(), 't');
                insert into public.gemini_api (api_key) values ('visibly-fake');
                insert into public.llm_response (lead_id) values ('a'), ('b');
            """)
        yield database


@pytest.fixture
def wired_database(databases: "Databases", filled_template: "Database") -> "Iterator[Database]":
    """A copy of it."""
    yield from databases.copies(filled_template)


def attempt(db: "Sql", statement: str) -> None:
    """As the owner, who is no superuser."""
    db.connection.execute(statement.encode())


@pytest.mark.parametrize("table", TABLES)
def test_the_owner_can_do_everything_with_a_table(wired: "Sql", table: str) -> None:
    """Nothing depends on it but what goes with it, and nothing of ours makes a statement fail."""
    for statement in STATEMENTS:
        transactional = not statement.startswith("vacuum")
        attempt(wired, "begin" if transactional else "select")
        attempt(wired, statement.format(table=table))
        attempt(wired, "rollback" if transactional else "select")


def test_the_owner_can_drop_all_tables_at_once(wired: "Sql") -> None:
    """And our own schema stays whole: it needs none of them."""
    attempt(wired, f"truncate {', '.join(f'public.{table}' for table in TABLES)}")
    attempt(wired, f"drop table {', '.join(f'public.{table}' for table in TABLES)}")
    assert (
        wired.value("select count(*) from pg_catalog.pg_trigger where tgname like 'leadhook%%' and not tgisinternal")
        == 0
    )
    assert wired.value("select to_regproc('leadhook.note_lead_changes') is not null")


def test_the_owner_can_alter_every_column(wired: "Sql") -> None:
    """Its type, its name, its nullability, its being there."""
    columns = wired.connection.execute(COLUMNS.encode(), [TABLES], binary=False).fetchall()
    assert len(columns) > 30
    for table, column, kind in ((row["relname"], row["attname"], row["format_type"]) for row in columns):
        new_kind = {"boolean": "text", "uuid": "text", "bigint": "numeric", "integer": "bigint"}.get(
            kind, "varchar(9000)"
        )
        identity = kind == "bigint"
        there = [f"alter column {column} drop default", f"alter column {column} type {new_kind}"]
        back = [*there, f"alter column {column} type {kind} using {column}::text::{kind}"]
        other = [there[0], f"alter column {column} type uuid using gen_random_uuid()"]
        for changes in (
            *([] if identity else [back]),
            *([other] if column == "lead_id" else []),
            [f"rename column {column} to renamed"],
            [f"drop column {column}"],
        ):
            attempt(wired, "begin")
            for change in changes:
                attempt(wired, f"alter table public.{table} {change}")
            attempt(wired, "rollback")


@pytest.mark.parametrize("table", ["all_leads", "lead_details", "prompts"])
def test_the_application_writes_on_whatever_its_owner_altered(wired: "Sql", table: str) -> None:
    """A column less, a column more, in the session that wrote before."""
    columns = [
        row["attname"]
        for row in wired.connection.execute(COLUMNS.encode(), [[table]]).fetchall()
        if row["format_type"] != "bigint"
    ]
    for column in columns:
        attempt(wired, "begin")
        attempt(wired, f"alter table public.{table} drop column {column}, add column extra text")
        attempt(wired, f"update public.{table} set extra = 'x'")
        attempt(wired, f"delete from public.{table}")
        attempt(wired, "rollback")


def test_only_triggers_and_one_index_hang_on_the_tables(wired: "Sql") -> None:
    """The catalog's list of what we added to them."""
    added = wired.rows("""
        select distinct pg_describe_object(d.classid, d.objid, 0) as what
        from pg_catalog.pg_depend as d
        where d.refclassid = 'pg_catalog.pg_class'::regclass
          and d.refobjid = any ('{public.all_leads,public.lead_details,public.prompts,public.gemini_api}'::regclass[])
          and pg_describe_object(d.classid, d.objid, 0) like '%%leadhook%%'
        order by 1
    """)
    expected = {f"trigger leadhook_{event} on table {table}" for table, event in TRIGGERS}
    assert {row["what"].replace("table public.", "table ") for row in added} == expected | {"index leadhook_unsent"}
