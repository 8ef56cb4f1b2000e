"""Vault and pg_net are optional: whatever they raise, the application writes, status answers and install repairs."""

from typing import LiteralString

import psycopg
import pytest
from tests.conftest import silent
from tests.sql.conftest import Sql

from leadhook.command_error import CommandError
from leadhook.doctor.check import Check, Level
from leadhook.doctor.examination import examine
from leadhook.domain.findings import check_status
from leadhook.domain.status import Status
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.migrate import migrate
from leadhook.install.uninstall import uninstall
from leadhook.install.webhooks import install_webhooks
from leadhook.local.database import Database

URL = "https://leads.example.com/webhooks/leads"
EVERY, STEPS = read_migrations(), read_webhook_steps()

# A Vault whose key is lost: what was kept before can't be decrypted, what is kept afterwards can.
LOST_KEY = """
create function vault.undecryptable() returns text language plpgsql as $$ begin {raising}; end $$;
grant execute on function vault.undecryptable to public;
create table vault.lost as select id, updated_at from vault.secrets;
grant select on vault.lost to public;
create or replace view vault.decrypted_secrets as
  select id, name, description, secret,
    case when (id, updated_at) in (select l.id, l.updated_at from vault.lost as l) then vault.undecryptable()
      else convert_from(decode(secret, 'base64'), 'UTF8') end as decrypted_secret,
    key_id, nonce, created_at, updated_at
  from vault.secrets
"""
WRITE: LiteralString = "insert into public.all_leads (lead_id, user_id, tag) values ('written', gen_random_uuid(), 'x')"
RAISED = {
    "22000": "raise exception 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext' using errcode = '22000'",
    "P0004": "assert false",
    "XX000": "raise exception 'server key not found' using errcode = 'XX000'",
    "42501": "raise insufficient_privilege",
    "PT503": "raise exception 'x' using errcode = 'PT503'",
}
RAISING_NET = """
create function net.boom() returns bigint language plpgsql as $$ begin {raising}; end $$;
alter extension pg_net drop table net._http_response;
drop table net._http_response;
create view net._http_response as
  select net.boom() as id, 1 as status_code, false as timed_out, ''::text as error_msg, now() as created;
alter extension pg_net add view net._http_response;
create or replace function net.http_post(
  url text, body jsonb default '{{}}', params jsonb default '{{}}', headers jsonb default '{{}}',
  timeout_milliseconds int default 5000
) returns bigint language sql as $$ select net.boom() $$;
grant select on net._http_response to public;
"""


def change(database: Database, statements: str) -> None:
    """As the superuser, who owns the extensions."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as admin:
        admin.execute(statements.encode())


async def look(database: Database) -> list[Check]:
    """The doctor's findings about the database."""
    found: list[Check] = []
    await examine(found.append, at="http://127.0.0.1:9", env={"DATABASE_URL": database.conninfo})
    return [finding for finding in found if finding.level is not Level.OK]


@pytest.mark.parametrize("sqlstate", RAISED)
def test_a_vault_that_raises_keeps_no_one_from_status_writing_or_explaining(
    wired: Sql, wired_database: Database, sqlstate: str
) -> None:
    wired.key()
    change(wired_database, LOST_KEY.format(raising=RAISED[sqlstate]))

    status = Status.model_validate(wired.rpc("leadhook_status"))
    assert status.webhook_setup.vault_error == sqlstate
    checked = check_status(status)
    assert not checked.reasons
    assert any(f"Vault cannot be read (SQLSTATE {sqlstate})" in str(warning) for warning in checked.warnings)
    before = wired.value("select count(*) from leadhook.outbox")
    wired.run(WRITE)
    assert wired.value("select count(*) from leadhook.outbox") == before + 1
    assert wired.value("select error from leadhook.webhooks order by id desc limit 1")
    assert wired.rpc("leadhook_explain", p_lead_id="written")["webhook_setup"]["vault_error"] == sqlstate


@pytest.mark.parametrize("sqlstate", ["22000", "P0004"])
def test_a_pg_net_that_raises_keeps_no_one_from_writing_sweeping_or_explaining(
    wired: Sql, wired_database: Database, sqlstate: str
) -> None:
    """Its answers are evidence, no more."""
    change(wired_database, RAISING_NET.format(raising=RAISED[sqlstate]))

    wired.run(WRITE)
    assert wired.value("select error from leadhook.webhooks order by id desc limit 1")
    wired.run("update leadhook.webhooks set request_id = 1, error = null")
    wired.rpc("leadhook_sweep", p_worker="test")
    wired.rpc("leadhook_explain", p_lead_id="written")
    wired.rpc("leadhook_status")


def test_status_needs_no_rights_on_pg_net(wired: Sql, wired_database: Database) -> None:
    """A project may have taken them from service_role."""
    change(wired_database, "revoke usage on schema net from public, service_role, anon, authenticated")
    assert wired.rpc("leadhook_status")["webhook_setup"]["pg_net"] is True
    wired.rpc("leadhook_explain", p_lead_id="nobody")


async def test_doctor_says_that_vault_cannot_be_read_and_install_replaces_it(
    wired: Sql, wired_database: Database
) -> None:
    wired.key()
    wired.record_migrations()
    change(wired_database, LOST_KEY.format(raising=RAISED["22000"]))
    (finding,) = [finding for finding in await look(wired_database) if "Vault" in finding.sentence]
    assert (finding.about, finding.level) == ("webhooks", Level.FAULT)
    assert "SQLSTATE 22000" in finding.sentence
    assert "leadhook webhooks install" in (finding.remedy or "")

    await migrate(wired_database.conninfo, EVERY, silent)
    said: list[str] = []
    secret = await install_webhooks(wired_database.conninfo, URL, EVERY, STEPS, said.append)

    query: LiteralString = "select name, decrypted_secret from vault.decrypted_secrets where name like 'leadhook%%'"
    kept = {row["name"]: row["decrypted_secret"] for row in wired.rows(query)}
    assert kept == {"leadhook_webhook_url": URL, "leadhook_webhook_secret": secret}
    assert sum("could not decrypt" in line for line in said) == 2
    assert not [finding for finding in await look(wired_database) if "Vault" in finding.sentence]
    again = await install_webhooks(wired_database.conninfo, URL, EVERY, STEPS, silent)
    assert again == secret


async def test_install_says_when_vault_keeps_nothing_at_all(wired: Sql, wired_database: Database) -> None:
    """Its own fault is not the user's, and the remedy is named."""
    change(
        wired_database,
        "create or replace function vault.create_secret(new_secret text, new_name text default null,"
        " new_description text default '', new_key_id uuid default null) returns uuid language plpgsql"
        " as $$ begin raise exception 'no key' using errcode = 'XX000'; end $$; delete from vault.secrets",
    )
    await migrate(wired_database.conninfo, EVERY, silent)
    with pytest.raises(CommandError, match=r"Vault keeps no secrets \(SQLSTATE XX000\)"):
        await install_webhooks(wired_database.conninfo, URL, EVERY, STEPS, silent)
    assert wired.value("select count(*) from pg_trigger where tgname like 'leadhook%%'") > 0


async def test_doctor_and_uninstall_work_beside_a_pg_net_and_a_vault_that_raise(
    wired: Sql, wired_database: Database
) -> None:
    """Neither is needed to look, nor to leave."""
    wired.key()
    wired.record_migrations()
    change(wired_database, RAISING_NET.format(raising=RAISED["P0004"]))
    change(
        wired_database,
        "create function vault.refuse() returns trigger language plpgsql as $$ begin raise 'no' using errcode ="
        " 'XX000'; end $$; create trigger refuse before delete on vault.secrets execute function vault.refuse()",
    )
    assert {finding.about for finding in await look(wired_database)} >= {"leads", "service"}
    said: list[str] = []
    await uninstall(wired_database.conninfo, purge=True, report=said.append)
    assert any("Vault keeps the entries" in line for line in said)
    assert wired.value("select to_regnamespace('leadhook')") is None
