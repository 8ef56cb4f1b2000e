"""`leadhook webhooks install`: the triggers, the webhook's URL, and the secret that signs it."""

import asyncio
import re

import psycopg
import pytest
from tests.conftest import silent
from tests.sql.conftest import Sql

from leadhook.command_error import CommandError
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.locks import Patience
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database

EVERY = read_migrations()
STEPS = read_webhook_steps()
URL = "https://leads.example.com/webhooks/leads"


@pytest.fixture
def migrated(db: Sql, database: Database) -> Database:
    """With a history, as after `leadhook migrate`."""
    db.record_migrations()
    return database


def kept(database: Database) -> dict[str, str]:
    with database.connect() as connection:
        query = "select name, decrypted_secret from vault.decrypted_secrets where name like 'leadhook%'"
        return dict(connection.execute(query).fetchall())


def triggers(database: Database) -> set[str]:
    with database.connect() as connection:
        query = "select tgrelid::regclass::text from pg_trigger where tgname like 'leadhook%'"
        return {table for (table,) in connection.execute(query)}


async def test_install_makes_triggers_and_keeps_url_and_secret_in_vault(migrated: Database) -> None:
    """The secret that is returned is the one that the database signs with."""
    said: list[str] = []
    secret = await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, said.append)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert kept(migrated) == {"leadhook_webhook_url": URL, "leadhook_webhook_secret": secret}
    assert triggers(migrated) == {"all_leads", "lead_details", "prompts", "gemini_api"}
    assert "created the trigger leadhook_insert on public.all_leads" in said
    assert secret not in "\n".join(said)


async def test_a_change_sends_its_webhook_where_install_said(migrated: Database) -> None:
    """From the application's INSERT to the request that waits to be sent."""
    await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent)
    with migrated.connect() as connection:
        connection.execute("insert into public.all_leads (lead_id, user_id, tag) values ('a', gen_random_uuid(), 't')")
        assert connection.execute("select url from net.http_request_queue").fetchall() == [(URL,)]


@pytest.mark.parametrize("may_revoke", [False, True])
async def test_install_revokes_the_right_to_add_triggers_to_pg_nets_queue(migrated: Database, may_revoke: bool) -> None:  # noqa: FBT001 - a case
    """Where its role may not, as on hosted projects, it says so."""
    said: list[str] = []
    conninfo = migrated.admin_conninfo if may_revoke else migrated.conninfo
    await install_webhooks(conninfo, URL, EVERY, STEPS, said.append)
    with migrated.connect() as connection:
        query = "select has_table_privilege('public', 'net.http_request_queue', 'trigger')"
        assert connection.execute(query).fetchone() == (not may_revoke,)
    assert any("may add triggers to pg_net's tables" in line for line in said) == (not may_revoke)


async def test_install_keeps_the_secret_and_moves_the_url(migrated: Database) -> None:
    """A repetition breaks no service that has the secret already."""
    first = await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent)
    again = await install_webhooks(migrated.conninfo, "http://10.0.0.1:8000/webhooks/leads", EVERY, STEPS, silent)
    assert again == first
    assert kept(migrated)["leadhook_webhook_url"] == "http://10.0.0.1:8000/webhooks/leads"


async def test_install_prints_both_secrets_while_one_is_exchanged(migrated: Database) -> None:
    """Vault keeps them with a blank between; a comma needs no quotes in a shell."""
    with migrated.connect() as connection:
        connection.execute("select vault.create_secret('whsec_new whsec_old', 'leadhook_webhook_secret')")
    assert await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent) == "whsec_new,whsec_old"


async def test_installers_at_once_agree_on_one_secret(migrated: Database) -> None:
    """Two deploys at the same time."""
    secrets = await asyncio.gather(*(install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent) for _ in range(3)))
    assert len(set(secrets)) == 1


async def test_install_notes_a_path_that_the_service_does_not_serve(migrated: Database) -> None:
    """It may be a proxy's, so it is used as it was given."""
    said: list[str] = []
    await install_webhooks(migrated.conninfo, "https://example.com/hook", EVERY, STEPS, said.append)
    assert "note: the service receives webhooks at /webhooks/leads; this URL's path is /hook" in said
    assert kept(migrated)["leadhook_webhook_url"] == "https://example.com/hook"


async def test_install_wants_the_migrations_first(bare_database: Database) -> None:
    """The triggers call functions of theirs."""
    with pytest.raises(CommandError, match="run `leadhook migrate` first"):
        await install_webhooks(bare_database.conninfo, URL, EVERY, STEPS, silent)


async def test_install_names_a_table_that_was_dropped(migrated: Database) -> None:
    """The history records that it was made."""
    with migrated.connect() as connection:
        connection.execute("drop table public.prompts")
    with pytest.raises(CommandError, match="the tables prompts were dropped"):
        await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent)
    assert triggers(migrated) == set()


@pytest.mark.parametrize(
    ("extension", "words"), [("pg_net", "pg_net is missing"), ("supabase_vault", "Vault .* is missing")]
)
async def test_install_says_which_extension_to_enable(migrated: Database, extension: str, words: str) -> None:
    with psycopg.connect(migrated.admin_conninfo, autocommit=True) as admin:
        admin.execute(f"drop extension {extension}".encode())
    with pytest.raises(CommandError, match=rf"{words}; enable it in the project's dashboard"):
        await install_webhooks(migrated.conninfo, URL, EVERY, [s for s in STEPS if "enable" not in s.words], silent)
    assert triggers(migrated) == {"all_leads", "lead_details", "prompts", "gemini_api"}


async def test_install_gives_up_at_a_lock_and_names_the_step(migrated: Database) -> None:
    with migrated.connect(autocommit=False) as application:
        application.execute("delete from public.prompts")
        with pytest.raises(CommandError, match=r"^note rows inserted into prompts: gave up .* pid \d+"):
            await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent, Patience(total_s=2.5, pause_s=0.1))
    await install_webhooks(migrated.conninfo, URL, EVERY, STEPS, silent)
    assert "prompts" in triggers(migrated)
