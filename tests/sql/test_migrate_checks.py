"""What can't work is said in words before anything is changed, and no password is ever repeated."""

import pytest
from psycopg.conninfo import make_conninfo

from leadhook.install import connection as connections
from leadhook.install.failure import InstallError
from leadhook.install.files import read_migrations
from leadhook.install.migrate import migrate
from leadhook.local.database import Database
from leadhook.local.ports import free_port

EVERY = read_migrations()
APPLICATION = EVERY[0].sql
SECRET = "p4ssw0rd"


def silent(_: str) -> None:
    """Takes what the installer tells."""


async def refusal(database_url: str) -> str:
    """Why this database is not migrated."""
    with pytest.raises(InstallError) as caught:
        await migrate(database_url, EVERY, silent)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("alter table public.all_leads alter lead_id type uuid using null", "all_leads.lead_id is uuid, not text"),
        ("alter table public.llm_response drop column should_contact", "llm_response has no column should_contact"),
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


async def test_migrate_names_every_column_that_does_not_fit(bare_database: Database) -> None:
    """One run is enough to know what to do."""
    with bare_database.connect() as connection:
        connection.execute("create table public.all_leads (lead_id bigint, scrapped text)")
    words = await refusal(bare_database.conninfo)
    assert words.splitlines()[1:] == [
        "  - public.all_leads has no column linkedin_url",
        "  - public.all_leads has no column tag",
        "  - public.all_leads has no column user_id",
        "  - public.all_leads.lead_id is bigint, not text",
        "  - public.all_leads.scrapped is text, not boolean",
    ]


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
    assert "the password in DATABASE_URL is not right" in words
    assert SECRET not in words


async def test_migrate_says_that_nobody_listens() -> None:
    """In words, with the place."""
    port = free_port()
    words = await refusal(f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres")
    assert words.startswith(f"can't connect to the database at 127.0.0.1:{port}: nobody listens there")
    assert SECRET not in words


@pytest.mark.parametrize(
    "password", [f"a@{SECRET}", f"a/{SECRET}", f"a?{SECRET}", f"a%{SECRET}", f"{SECRET}#@b", f"a:{SECRET}@"]
)
async def test_migrate_never_repeats_a_password_that_breaks_the_url(password: str) -> None:
    """A character that was not encoded moves the rest into the host, the port or the database's name."""
    words = await refusal(f"postgresql://postgres:{password}@127.0.0.1:1/postgres")
    assert SECRET not in words


async def test_migrate_drops_a_function_that_only_has_the_name_of_ours(bare_database: Database) -> None:
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
