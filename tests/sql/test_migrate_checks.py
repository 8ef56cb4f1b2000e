"""What can't work is said in words before anything is changed, and no password is ever repeated."""

from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.conftest import silent

from leadhook.command_error import CommandError
from leadhook.doctor.examination import examine
from leadhook.install import connection as connections
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.migrate import migrate
from leadhook.install.tables import COLUMNS
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database
from leadhook.local.processes import free_port

EVERY = read_migrations()
STEPS = read_webhook_steps()
APPLICATION = EVERY[0].sql
SECRET = "p4ssw0rd"


async def refusal(database_url: str) -> str:
    """Why this database is not migrated."""
    with pytest.raises(CommandError) as caught:
        await migrate(database_url, EVERY, silent)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("alter table public.all_leads alter lead_id type uuid using null", "all_leads.lead_id is uuid, not text"),
        ("alter table public.llm_response drop column should_contact", "llm_response has no column should_contact"),
        ("drop table public.prompts; create materialized view public.prompts as select 1 as tag", "is not a table"),
        ("drop table public.prompts; create view public.prompts as select 1 as tag", "public.prompts is not a table"),
    ],
)
async def test_migrate_stops_at_a_table_that_does_not_fit(bare_database: Database, change: str, words: str) -> None:
    """It says which column of which table, and the database stays as it was."""
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute(change.encode())
    assert words in await refusal(bare_database.conninfo)
    with bare_database.connect() as connection:
        assert connection.execute("select to_regnamespace('leadhook')").fetchone() == (None,)


@pytest.mark.parametrize(
    "change",
    [
        "alter table public.all_leads alter lead_id type text collate blind",
        "alter table public.prompts alter tag type text collate blind",
        (
            'alter table public.lead_details alter lead_id type text collate "C";'
            ' alter table public.llm_response alter lead_id type text collate "POSIX"'
        ),
    ],
)
async def test_migrate_stops_at_collations_by_which_one_lead_would_be_two(bare_database: Database, change: str) -> None:
    """A case-blind id or tag, or ids that Postgres refuses to compare; the printed statements help."""
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute(
            "create collation public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
        connection.execute(change.encode())
    words = await refusal(bare_database.conninfo)
    assert "has the collation" in words
    with bare_database.connect() as connection:
        assert connection.execute("select to_regnamespace('leadhook')").fetchone() == (None,)
        for statement in words.splitlines():
            if statement.startswith("  alter table"):
                connection.execute(statement.encode())
    await migrate(bare_database.conninfo, EVERY, silent)


async def test_migrate_names_every_column_that_does_not_fit(bare_database: Database) -> None:
    """One run is enough to know what to do."""
    with bare_database.connect() as connection:
        connection.execute("create table public.all_leads (lead_id bigint, scrapped text)")
    words = await refusal(bare_database.conninfo)
    assert [line for line in words.splitlines() if line.startswith("  - ")] == [
        "  - public.all_leads has no column linkedin_url",
        "  - public.all_leads has no column tag",
        "  - public.all_leads has no column user_id",
        "  - public.all_leads.lead_id is bigint, not text",
        "  - public.all_leads.scrapped is text, not boolean",
    ]


def statements_in(words: str) -> list[str]:
    """What the refusal says to run."""
    return [line.strip() for line in words.splitlines() if line.startswith(("  alter table ", "  drop rule "))]


UNFIT = {
    "no table has more than an id": """
        create table public.all_leads (id int);
        create table public.lead_details (id int);
        create table public.prompts (id int);
        create table public.gemini_api (id int);
        create table public.llm_response (id int)""",
    "ids are numbers that the table counts, and are referred to": """
        create table public.all_leads (lead_id bigint generated always as identity primary key,
          user_id uuid, tag text, scrapped boolean, linkedin_url text);
        create table public.lead_details (lead_id bigint primary key references public.all_leads on delete cascade,
          name text, title text, location text, company_name text, experience text, skills text, bio text,
          profile_url text, company_page_url text, sent_to_llm boolean);
        create table public."Notes" (lead int references public.all_leads (lead_id), note text);
        insert into public.all_leads (user_id, tag, scrapped) values (gen_random_uuid(), 'founders', true);
        insert into public.lead_details (lead_id) select lead_id from public.all_leads""",
    "ids count by a sequence": "create table public.llm_response (lead_id bigserial primary key, tag text, name text,"
    " linkedin_url text, location text, score int, response text, should_contact int, subject text, message text)",
    "ids are uuids": "create table public.all_leads (lead_id uuid primary key default gen_random_uuid(), user_id uuid,"
    " tag text, scrapped boolean, linkedin_url text); insert into public.all_leads default values",
    "ids are bounded": "create table public.all_leads (lead_id varchar(40) primary key, user_id uuid,"
    " tag text, scrapped boolean, linkedin_url text); insert into public.all_leads (lead_id) values ('a')",
    "flags are words, with a default": "create table public.all_leads (lead_id text, user_id uuid, tag text,"
    " scrapped text not null default 'false', linkedin_url text); insert into public.all_leads (lead_id, scrapped)"
    " values ('a', 'TRUE'), ('b', '0')",
    "flags are numbers": "create table public.all_leads (lead_id text, user_id uuid, tag text,"
    " scrapped smallint default 0, linkedin_url text); insert into public.all_leads values ('a', null, null, 1)",
    "users are texts": "create table public.prompts (user_id text, tag text, wildnet_data text,"
    " scoring_criteria_and_icp text, message_prompt text, created_at timestamptz);"
    " insert into public.prompts (user_id) values (gen_random_uuid()::text)",
    "should_contact is a flag": "create table public.llm_response (lead_id text, tag text, name text,"
    " linkedin_url text, location text, score int, response text,"
    " should_contact boolean default false, subject text, message text);"
    " insert into public.llm_response (lead_id, should_contact) values ('a', true)",
    "tags are numbers, and times are texts": "create table public.prompts (user_id uuid, tag bigint, wildnet_data text,"
    " scoring_criteria_and_icp jsonb, message_prompt text, created_at text default 'now');"
    " insert into public.prompts (tag, created_at) values (1, '2026-01-01')",
    "answers are JSON": "create table public.llm_response (lead_id text, tag text, name jsonb, linkedin_url text,"
    " location text, score text, response json, should_contact numeric, subject varchar(80), message text);"
    " insert into public.llm_response (name, response) values ('{}', '[]')",
}


@pytest.mark.parametrize("tables", UNFIT.values(), ids=UNFIT)
async def test_the_statements_that_migrate_prints_help(bare_database: Database, tables: str) -> None:
    """They are run as they are printed; then the migration goes through, and every row is still there."""
    with bare_database.connect() as connection:
        connection.execute(tables.encode())
        before = counted(connection)
        statements = statements_in(await refusal(bare_database.conninfo))
        assert statements
        for statement in statements:
            connection.execute(statement.encode())
        await migrate(bare_database.conninfo, EVERY, silent)
        assert {**counted(connection), **before} == counted(connection)


def counted(connection: "psycopg.Connection[Any]") -> dict[str, int]:
    """Rows by table, of those that are there."""
    found = connection.execute(
        "select c.relname::text, (xpath('/row/n/text()', query_to_xml('select count(*) as n from ' || c.oid::regclass,"
        " false, true, '')))[1]::text::int from pg_class c where c.relnamespace = 'public'::regnamespace"
        " and c.relname = any (%s)",
        [list(COLUMNS)],
    )
    return dict(found.fetchall())


async def test_a_key_is_taken_out_of_its_json(bare_database: Database) -> None:
    """Its quotes are no part of it; what no statement can turn into a key is left to the owner."""
    with bare_database.connect() as connection:
        connection.execute("create table public.gemini_api as select to_jsonb('visibly-fake-key'::text) as api_key")
        for statement in statements_in(await refusal(bare_database.conninfo)):
            connection.execute(statement.encode())
        assert connection.execute("select api_key from public.gemini_api").fetchone() == ("visibly-fake-key",)
        connection.execute("alter table public.gemini_api alter api_key type bytea using api_key::bytea")
        assert statements_in(await refusal(bare_database.conninfo)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "drop column should_contact, add should_contact integer generated always as (score / 50) stored",
            "public.llm_response.should_contact is generated",
        ),
        (
            "drop column score, add score integer generated always as identity",
            "public.llm_response.score is generated",
        ),
    ],
)
async def test_migrate_stops_at_a_column_that_no_one_can_write(
    bare_database: Database, change: str, words: str
) -> None:
    """And the printed statement makes it a plain one."""
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute(f"alter table public.llm_response {change}".encode())
        refused = await refusal(bare_database.conninfo)
        assert words in refused
        for statement in statements_in(refused):
            connection.execute(statement.encode())
    await migrate(bare_database.conninfo, EVERY, silent)


async def test_migrate_stops_at_a_rule_of_the_answers(bare_database: Database) -> None:
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute('create rule "Log it" as on insert to public.llm_response do also notify answers')
        refused = await refusal(bare_database.conninfo)
        assert 'public.llm_response has the rule "Log it"' in refused
        for statement in statements_in(refused):
            connection.execute(statement.encode())
    await migrate(bare_database.conninfo, EVERY, silent)


async def test_values_are_kept_when_a_type_is_changed(bare_database: Database) -> None:
    """A number that is an id, a word that is a flag, and the default for rows to come."""
    with bare_database.connect() as connection:
        connection.execute(
            "create table public.all_leads (lead_id bigint generated always as identity primary key, user_id text,"
            " tag text, scrapped text default 'no', linkedin_url text)"
        )
        connection.execute("insert into public.all_leads (scrapped) values ('t'), ('false')")
        for statement in statements_in(await refusal(bare_database.conninfo)):
            connection.execute(statement.encode())
        connection.execute("insert into public.all_leads default values")
        rows = connection.execute("select lead_id, scrapped from public.all_leads order by length(lead_id), lead_id")
        assert [(len(lead_id) > 1 or lead_id, scrapped) for lead_id, scrapped in rows.fetchall()] == [
            ("1", True),
            ("2", False),
            (True, False),
        ]


@pytest.mark.parametrize("change", ["user_id type bigint using 1", "scrapped type date using '2026-01-01'"])
async def test_no_statement_is_printed_that_would_lose_values(bare_database: Database, change: str) -> None:
    """A number is no user, a day no flag: the owner decides what becomes of them."""
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute(f"alter table public.all_leads alter scrapped drop default, alter {change}".encode())
    words = await refusal(bare_database.conninfo)
    assert statements_in(words) == []
    assert "add a new column, fill it, and rename both" in words


async def test_a_table_that_leadhook_makes_has_the_columns_that_it_asks_for(database: Database) -> None:
    """The migration and the check agree on names and types."""
    with database.connect() as connection:
        for table, columns in COLUMNS.items():
            made = connection.execute(
                "select attname::text, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0",
                [f"public.{table}"],
            ).fetchall()
            assert {(column.name, column.type) for column in columns} == set(made) - {("id", "bigint")}


ODD_SETTINGS = {
    "quote_all_identifiers": "on",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "search_path": "nowhere",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "extra_float_digits": "-15",
    "TimeZone": "Asia/Kathmandu",
    "default_transaction_isolation": "serializable",
}


async def test_settings_of_the_database_change_nothing(bare_database: Database) -> None:
    """How its owner's sessions write names, times and strings."""
    with bare_database.connect() as owner:
        for name, value in ODD_SETTINGS.items():
            owner.execute(f"alter database {bare_database.name} set {name} = '{value}'".encode())
    await migrate(bare_database.conninfo, EVERY, silent)
    await install_webhooks(bare_database.conninfo, "http://127.0.0.1:9/webhooks/leads", EVERY, STEPS, silent)
    await migrate(bare_database.conninfo, EVERY, silent)
    found: list[Any] = []
    await examine(found.append, env={"DATABASE_URL": bare_database.conninfo})
    assert [check.sentence for check in found if check.about in ("database", "triggers") and check.level != "ok"] == []


async def test_migrate_accepts_columns_that_it_does_not_know(bare_database: Database) -> None:
    """The application's tables may hold more, and jsonb where others have text."""
    with bare_database.connect() as connection:
        connection.execute(APPLICATION.encode())
        connection.execute("alter table public.lead_details add email text, alter skills type jsonb using null")
    await migrate(bare_database.conninfo, EVERY, silent)


async def test_migrate_needs_postgres_15(bare_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is raised above the server at hand."""
    monkeypatch.setattr(connections, "_OLDEST_VERSION", 990000)
    assert "is too old; leadhook needs 15 or newer" in await refusal(bare_database.conninfo)


async def test_migrate_needs_a_role_that_may_create(bare_database: Database) -> None:
    """The API's own role may not."""
    words = await refusal(bare_database.authenticator_conninfo)
    assert "the role authenticator may not create a schema in this database" in words
    assert "the role authenticator may not create tables and functions in the schema public" in words


async def test_migrate_needs_a_database_that_can_be_written(bare_database: Database) -> None:
    """A replica, or a project that ran out of disk."""
    words = await refusal(make_conninfo(bare_database.conninfo, options="-c default_transaction_read_only=on"))
    assert "the database is read-only" in words


async def test_migrate_says_that_the_password_is_wrong(bare_database: Database) -> None:
    """In words, without the password."""
    words = await refusal(make_conninfo(bare_database.conninfo, password=SECRET))
    assert "the password in DATABASE_URL is wrong" in words
    assert SECRET not in words


async def test_migrate_warns_if_no_service_is_connected() -> None:
    """In words, with the place."""
    port = free_port()
    words = await refusal(f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres")
    assert words.startswith(f"can't connect to the database at 127.0.0.1:{port}: nothing is listening there")
    assert SECRET not in words


@pytest.mark.parametrize(
    "password", [f"a@{SECRET}", f"a/{SECRET}", f"a?{SECRET}", f"a%{SECRET}", f"{SECRET}#@b", f"a:{SECRET}@"]
)
async def test_migrate_never_repeats_a_password_that_breaks_the_url(password: str) -> None:
    """A character that was not encoded moves the rest into the host, the port or the database's name."""
    words = await refusal(f"postgresql://postgres:{password}@127.0.0.1:1/postgres")
    assert SECRET not in words


@pytest.mark.parametrize(
    "remote",
    [
        (
            "create table public.lead_details (lead_id text) partition by hash (lead_id);"
            " create table public.half partition of public.lead_details"
            " for values with (modulus 2, remainder 0) partition by hash (lead_id);"
            " create foreign table public.far partition of public.half for values with (modulus 1, remainder 0)"
            " server s"
        ),
        (
            "create table public.all_leads (lead_id text);"
            " create foreign table public.far () inherits (public.all_leads) server s"
        ),
    ],
)
async def test_migrate_stops_at_partitions_in_another_database(bare_database: Database, remote: str) -> None:
    """Postgres can't report to a trigger what is written there, and would refuse the application's write."""
    with psycopg.connect(bare_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("create foreign data wrapper w; create server s foreign data wrapper w")
        admin.execute(remote.encode())
    assert "public.far is a foreign table" in await refusal(bare_database.conninfo)
    with bare_database.connect() as connection:
        assert connection.execute("select to_regnamespace('leadhook')").fetchone() == (None,)


@pytest.mark.parametrize("kind", ["function", "procedure"])
async def test_migrate_replaces_an_older_form_of_a_function(bare_database: Database, kind: str) -> None:
    """Of the same parameters, but with other names or another result, which `create or replace` refuses."""
    with bare_database.connect() as connection:
        returns = "returns int return 1" if kind == "function" else "begin atomic end"
        connection.execute(f"create {kind} public.leadhook_sweep(p_who text, p_ms int) {returns}".encode())
    said: list[str] = []
    await migrate(bare_database.conninfo, EVERY, said.append)
    assert any("leadhook_sweep(text,integer)" in line for line in said)


async def test_migrate_drops_a_function_that_only_shares_a_name_with_leadhooks(bare_database: Database) -> None:
    """PostgREST refuses to choose between two, and the service names `leadhook migrate` as the remedy."""
    await migrate(bare_database.conninfo, EVERY, silent)
    with bare_database.connect() as connection:
        query = (
            "select proname, count(*) from pg_proc where pronamespace = 'public'::regnamespace group by 1 order by 1"
        )
        before = connection.execute(query).fetchall()
        connection.execute("create function public.leadhook_sweep(p_worker int) returns int return 1")
        said: list[str] = []
        await migrate(bare_database.conninfo, EVERY, said.append)
        assert connection.execute(query).fetchall() == before
    assert "dropped the function leadhook_sweep(integer), which was in the way of leadhook's own function" in said
