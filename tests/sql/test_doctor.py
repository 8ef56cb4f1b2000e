"""The doctor names each fault that is planted; each in a real database with a service that answers."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import LiteralString

import psycopg
import pytest
from aiohttp.web import AppRunner, TCPSite
from tests.conftest import Supabase, poll
from tests.sql.conftest import Sql

from leadhook.credentials import receipt, webhook_key
from leadhook.doctor.check import Check, Level
from leadhook.doctor.examination import examine
from leadhook.doctor.keys import ask_google
from leadhook.domain.findings import Code
from leadhook.local.database import Database
from leadhook.local.gemini_standin import GeminiStandIn
from leadhook.local.processes import free_port


@dataclass
class Door:
    """A service that answers sends a webhook with `status` and answers /ready with `ready`."""

    url: str = ""
    status: int = 202
    secret: str = ""
    reasons: list[str] = field(default_factory=list)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(
                503 if door.reasons else 200, json.dumps({"ready": not door.reasons, "reasons": door.reasons}).encode()
            )

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            key = webhook_key(door.secret) if door.secret else b""
            self.answer(door.status, b"{}", {"Webhook-Receipt": receipt(key, self.headers["webhook-id"])})

        def answer(self, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        door.url = f"http://127.0.0.1:{server.server_port}"
        yield door
        server.shutdown()
        thread.join()


@pytest.fixture
def sound(wired: Sql, door: Door) -> Sql:
    """A complete database where a service has claimed, and which sends its webhooks to the door."""
    wired.record_migrations()
    set_webhook_url(wired, f"{door.url}/webhooks/leads")
    query: LiteralString = "select decrypted_secret from vault.decrypted_secrets where name = 'leadhook_webhook_secret'"
    door.secret = wired.value(query)
    wired.key()
    wired.claim()
    return wired


@pytest.fixture
def pg_net_alive(webhook_worker: None, sound: Sql) -> None:  # noqa: ARG001 - a fixture that must run
    query: LiteralString = "select count(*) from pg_stat_activity where application_name like 'pg_net%%'"
    poll(lambda: sound.value(query) > 0)


def set_webhook_url(db: Sql, url: str) -> None:
    db.rows(
        "select vault.update_secret(s.id, %(url)s) from vault.decrypted_secrets as s"
        " where s.name = 'leadhook_webhook_url'",
        url=url,
    )


async def look(database: Database) -> list[Check]:
    """The examination with DATABASE_URL alone; that other settings are missing is no matter here."""
    found: list[Check] = []
    await examine(found.append, env={"DATABASE_URL": database.conninfo})
    return [finding for finding in found if finding.about != "settings"]


def complaints(found: list[Check]) -> list[tuple[str, str, str]]:
    return [(f.about, f.level.value, f.sentence) for f in found if f.level is not Level.OK]


@pytest.mark.usefixtures("pg_net_alive")
async def test_doctor_finds_nothing_in_a_sound_installation(wired_database: Database) -> None:
    found = await look(wired_database)
    assert complaints(found) == []
    every = {"database", "grants", "triggers", "webhooks", "pg_net", "keys", "leads", "clock", "service", "round trip"}
    assert {finding.about for finding in found} == every


ADDRESS = "from vault.decrypted_secrets where name = 'leadhook_webhook_url'"
PLANTED: dict[tuple[str, str, str], LiteralString] = {
    (
        "database",
        "fault",
        "lacks 1 migration,",
    ): "delete from leadhook.migrations where name like '%%claim.sql'",
    (
        "database",
        "fault",
        "leadhook_status(integer)",
    ): "create function public.leadhook_status(p int default 1) returns int return 1",
    (
        "database",
        "fault",
        "leadhook_sweep(text)",
    ): "create function public.leadhook_sweep(p_worker text) returns int return 1",
    ("database", "warning", "newer than this"): "insert into leadhook.migrations values ('29990101000000_x.sql', '')",
    ("database", "warning", "leadhook_unsent"): "drop index public.leadhook_unsent",
    ("database", "fault", "has no column bio"): "alter table public.lead_details rename column bio to biography",
    ("database", "warning", "public.all_leads has no index on lead_id"): "alter table public.all_leads"
    " drop constraint all_leads_pkey",
    ("database", "warning", "public.prompts has no index on user_id, tag"): "drop index public.prompts_by_user_and_tag",
    ("grants", "fault", "leadhook_status()"): "grant execute on function public.leadhook_status() to anon",
    (
        "grants",
        "fault",
        "leadhook_save",
    ): "revoke execute on function public.leadhook_save(text, jsonb) from service_role",
    ("grants", "fault", "prompts"): "revoke all on public.prompts from service_role",
    ("grants", "warning", "public.prompts"): "alter table public.prompts disable row level security;"
    " grant select on public.prompts to anon",
    ("triggers", "fault", "leadhook_update on public.lead_details"): "alter table public.lead_details"
    " disable trigger leadhook_update",
    ("triggers", "fault", "missing or disabled on public.prompts"): "drop trigger leadhook_insert on public.prompts",
    ("webhooks", "fault", "Vault has no URL"): "delete from vault.secrets where name = 'leadhook_webhook_url'",
    ("webhooks", "fault", "Vault has no secret"): "delete from vault.secrets where name = 'leadhook_webhook_secret'",
    ("webhooks", "fault", "`whsec_…`"): "select vault.update_secret(id, 'hunter2') from vault.decrypted_secrets"
    " where name = 'leadhook_webhook_secret'",
    ("webhooks", "fault", "is not usable"): "select vault.update_secret(id, 'ftp://x') " + ADDRESS,
    ("webhooks", "fault", "Invalid IPv6"): "select vault.update_secret(id, 'http://[::1/x') " + ADDRESS,
    ("webhooks", "fault", "/leads/more"): "select vault.update_secret(id, decrypted_secret || '/more') " + ADDRESS,
    (
        "webhooks",
        "fault",
        "trigger spring (public.test_spring(), owned by postgres)",
    ): "create function public.test_spring()"
    " returns trigger language plpgsql as 'begin return new; end';"
    " create trigger spring before insert on net.http_request_queue execute function public.test_spring()",
    ("pg_net", "warning", "trigger spring on net._http_response"): "create function public.test_spring()"
    " returns trigger language plpgsql as 'begin return new; end';"
    " create trigger spring before insert on net._http_response execute function public.test_spring()",
    ("keys", "fault", "No Gemini key was found"): "delete from public.gemini_api",
    ("keys", "warning", "has 1 blank row."): "insert into public.gemini_api (api_key) values ('  ')",
    ("keys", "fault", "does not look like"): "insert into public.gemini_api (api_key) values (E'visibly\\nfake')",
    (
        "keys",
        "warning",
        "stored 2 times",
    ): "insert into public.gemini_api (api_key) select api_key from public.gemini_api",
    ("leads", "fault", "the last successful claim was"): "insert into leadhook.outbox (kind, n, lead_ids, changed_at)"
    " values ('leads', 1, '{a}', now() - interval '1 hour');"
    " update leadhook.workers set claimed_at = now() - interval '1 minute'",
    ("leads", "fault", "No service has claimed or swept"): "delete from leadhook.workers",
    ("leads", "warning", "is held"): "insert into leadhook.jobs (lead_id, state) values ('a', 'held')",
    ("leads", "warning", "will not be retried"): "insert into leadhook.jobs (lead_id, state, error_code, reason)"
    " values ('a', 'dead', 'x', 'y')",
    (
        "leads",
        "warning",
        "3.0 h ago",
    ): "update leadhook.controls set sweep_round_started_at = now() - interval '3 hours'",
    ("leads", "warning", "1 not scrapped"): "insert into public.lead_details (lead_id) values ('a');"
    " insert into public.all_leads (lead_id, user_id, tag, scrapped) values ('a', gen_random_uuid(), 't', false)",
}
"""What is planted, by the finding that it must lead to."""


@pytest.mark.usefixtures("pg_net_alive")
@pytest.mark.parametrize(("planted", "plant"), PLANTED.items(), ids=["-".join(planted) for planted in PLANTED])
async def test_doctor_names_what_is_wrong_in_the_database(
    sound: Sql, wired_database: Database, planted: tuple[str, str, str], plant: LiteralString
) -> None:
    about, level, words = planted
    sound.run(plant)
    found = [f for f in await look(wired_database) if (f.about, f.level) == (about, level) and words in f.sentence]
    assert len(found) == 1, complaints(await look(wired_database))
    assert found[0].remedy


async def test_doctor_names_a_database_that_was_never_migrated(bare_database: Database) -> None:
    """And asks nothing else of it."""
    found = [f for f in await look(bare_database) if f.about != "service"]
    assert [(f.about, f.level) for f in found] == [("database", "fault")]
    assert "`leadhook install --url " in (found[0].remedy or "")


@pytest.mark.parametrize("extension", ["pg_net", "supabase_vault"])
async def test_doctor_names_an_extension_that_is_not_enabled(
    sound: Sql, wired_database: Database, extension: LiteralString
) -> None:
    with psycopg.connect(wired_database.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop extension " + extension + " cascade")
    assert sound.value("select 1") == 1
    found = [f for f in await look(wired_database) if f.about == "webhooks" and "not enabled" in f.sentence]
    assert [f.level for f in found] == ["fault"]


@pytest.mark.usefixtures("sound")
async def test_doctor_names_a_dead_worker_of_pg_net(wired_database: Database) -> None:
    found = await look(wired_database)
    assert ("pg_net", "fault") in [(f.about, f.level) for f in found if "worker does not run" in f.sentence]
    assert "round trip" not in {f.about for f in found}


ANSWERS: list[tuple[str, LiteralString, str]] = [
    ("refused", "401, false, null", "was refused by the service (HTTP 401)"),
    ("no such path", "404, false, null", "was refused by the service (HTTP 404)"),
    ("unwell", "503, false, null", "was refused by the service (HTTP 503)"),
    ("slow", "null, true, 'Timeout of 5000 ms reached. Total time: 5001.1 ms'", "Timeout of 5000 ms reached"),
    ("unknown host", "null, false, 'Couldn''t resolve host name'", "Couldn't resolve host name"),
    ("nobody there", "null, false, 'Couldn''t connect to server'", "Couldn't connect to server"),
]


@pytest.mark.usefixtures("pg_net_alive")
@pytest.mark.parametrize(("answer", "words"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
async def test_doctor_names_each_way_in_which_webhooks_fail(
    sound: Sql, wired_database: Database, answer: LiteralString, words: str
) -> None:
    """In pg_net's own answers; a warning when the doctor's own webhook arrived since, else a fault."""
    sound.run("insert into leadhook.webhooks (request_id, message_id, reason) values (-1, 'm', 'insert all_leads')")
    query: LiteralString = "insert into net._http_response (id, status_code, timed_out, error_msg) values (-1, {})"
    sound.run(query.format(answer))
    arrived = [f for f in await look(wired_database) if f.about == "pg_net" and words in f.sentence]
    set_webhook_url(sound, "http://127.0.0.1:9/webhooks/leads")
    lost = [f for f in await look(wired_database) if f.about == "pg_net" and words in f.sentence]
    assert [f.level for f in (*arrived, *lost)] == ["warning", "fault"]
    assert all(f.remedy for f in (*arrived, *lost))


@pytest.mark.usefixtures("pg_net_alive")
async def test_doctor_notices_a_service_that_refuses_the_webhook(wired_database: Database, door: Door) -> None:
    """The round trip shows what the database alone can't know."""
    door.status = 401
    (found,) = [f for f in await look(wired_database) if f.about == "round trip"]
    assert found.level == "fault"
    assert "refused by the service (HTTP 401)" in found.sentence
    assert "WEBHOOK_SECRETS" in (found.remedy or "")


@pytest.mark.usefixtures("pg_net_alive")
@pytest.mark.parametrize(
    ("status", "secret", "words"),
    [
        (200, "", "another server (HTTP 200)"),
        (202, "", "another server: HTTP 202"),
        (202, "whsec_" + "A" * 40, "another server: HTTP 202"),
        (405, "", "was redirected (HTTP 405)"),
    ],
)
async def test_doctor_names_a_server_that_is_not_the_service(
    wired_database: Database, door: Door, status: int, secret: str, words: str
) -> None:
    """Any web server may answer 2xx; the receipt can only come from one that has the secret."""
    door.status, door.secret = status, secret
    (found,) = [f for f in await look(wired_database) if f.about == "round trip"]
    assert (found.level, words in found.sentence) == ("fault", True), found
    assert "leadhook webhooks install" in (found.remedy or "")


@pytest.mark.usefixtures("pg_net_alive")
async def test_doctor_repeats_what_the_service_says_of_itself(wired_database: Database, door: Door) -> None:
    door.reasons = ["model_outage"]
    found = [f for f in await look(wired_database) if f.about == "service"]
    assert [(f.level, f.code, f.sentence) for f in found] == [
        ("fault", "model_outage", "The service reports model_outage.")
    ]


@pytest.mark.parametrize("address", ["http://user:s3cretpw@127.0.0.1:9", "http://127.0.0.1:9"])
async def test_doctor_shows_no_credential_of_an_address(sound: Sql, wired_database: Database, address: str) -> None:
    set_webhook_url(sound, f"{address}/webhooks/leads?token=s3crettoken")
    found: list[Check] = []
    await examine(found.append, env={"DATABASE_URL": wired_database.conninfo})
    await examine(found.append, env={}, at=address)
    told = str([check.model_dump() for check in found])
    assert "127.0.0.1:9" in told
    assert "s3cret" not in told


@pytest.mark.usefixtures("pg_net_alive")
async def test_doctor_names_an_address_where_no_service_is(sound: Sql, wired_database: Database) -> None:
    set_webhook_url(sound, "http://127.0.0.1:9/webhooks/leads")
    found = {f.about: f for f in await look(wired_database) if f.level == "fault"}
    assert "No service answers at http://127.0.0.1:9/ready" in found["service"].sentence
    assert "did not arrive" in found["round trip"].sentence


async def test_doctor_names_every_wrong_setting() -> None:
    found: list[Check] = []
    await examine(found.append, at="http://127.0.0.1:9", env={"PORT": "x", "MAX_CONCURRENCY": "0"})
    named = {f.sentence.split(":")[0] for f in found if f.about == "settings"}
    assert {"SUPABASE_URL", "SUPABASE_SECRET_KEY", "PORT", "MAX_CONCURRENCY"} <= named
    assert [f.level for f in found if f.about == "database"] == ["skipped"]


@pytest.mark.usefixtures("pg_net_alive")
async def test_doctor_looks_through_the_api_with_the_services_key(
    wired_supabase: Supabase, sound: Sql, door: Door
) -> None:
    secret = sound.value("select decrypted_secret from vault.decrypted_secrets where name = 'leadhook_webhook_secret'")
    env = {
        "SUPABASE_URL": wired_supabase.url,
        "SUPABASE_SECRET_KEY": wired_supabase.secret_key,
        "DATABASE_URL": wired_supabase.database.conninfo,
        "WEBHOOK_SECRETS": secret,
        "ADMIN_TOKENS": "visibly-fake-admin-token",
    }

    async def wrong(**changes: str) -> list[tuple[str, str, str]]:
        found: list[Check] = []
        await examine(found.append, at=door.url, env={k: v for k, v in (env | changes).items() if v})
        assert secret not in str(found)
        assert wired_supabase.secret_key not in str(found)
        return complaints(found)

    sound.run("delete from leadhook.workers")
    ((about, level, words),) = await wrong()
    assert (about, level, "No service has claimed or swept" in words) == ("leads", "fault", True)
    sound.claim()
    assert await wrong() == []
    ((about, level, words),) = await wrong(WEBHOOK_SECRETS="whsec_" + "A" * 40)
    assert (about, level) == ("webhooks", "fault")
    assert "differ" in words
    ((about, level, words),) = await wrong(SUPABASE_SECRET_KEY=wired_supabase.keys.publishable_key)
    assert (about, level) == ("supabase", "fault")
    ((about, level, words),) = await wrong(SUPABASE_SECRET_KEY="", SUPABASE_ANON_KEY=wired_supabase.keys.anon_key)
    assert (about, level) == ("supabase", "fault")
    assert "SUPABASE_ANON_KEY" in words
    ((about, level, words),) = await wrong(GEMINI_MODEL="gemini-2.0-flash")
    assert (about, level, words) == ("model", "fault", "Google ended gemini-2.0-flash on 2026-06-01.")
    ((about, level, words),) = await wrong(GEMINI_MODEL="gemini-9")
    assert (about, level) == ("model", "warning")
    assert [about for about, _, _ in await wrong(WEBHOOK_SECRETS="", ADMIN_TOKENS="")] == ["settings", "settings"]
    sound.make_job("held", state="held")
    sound.run("delete from public.gemini_api")
    door.reasons = [Code.NO_KEY]
    findings = await wrong()
    assert [(about, level) for about, level, _ in findings] == [("keys", "fault"), ("leads", "warning")]


@pytest.mark.parametrize(
    ("key", "model", "about", "level", "words"),
    [
        ("visibly-fake-good-key", "gemini-3.5-flash-lite", "keys", "ok", "is accepted for gemini-3.5-flash-lite"),
        ("visibly-fake-good-key", "models/gemini-3.5-flash-lite", "keys", "ok", "is accepted for"),
        ("visibly-fake-invalid-key", "gemini-3.5-flash-lite", "keys", "fault", "Google refuses Key"),
        ("visibly-fake-good-key", "gemma-0", "model", "fault", "does not know the model gemma-0"),
    ],
)
async def test_doctor_asks_google_about_each_key(key: str, model: str, about: str, level: str, words: str) -> None:
    """One request that costs nothing; the key is never shown."""
    runner = AppRunner(GeminiStandIn().app())
    await runner.setup()
    try:
        await TCPSite(runner, "127.0.0.1", port := free_port()).start()
        (found,) = await ask_google([{"fingerprint": "f00", "api_key": key}], model, f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()
    assert (found.about, found.level) == (about, level)
    assert words in found.sentence
    assert key not in str(found)


async def test_doctor_says_when_google_cannot_be_asked() -> None:
    (found,) = await ask_google(
        [{"fingerprint": "f00", "api_key": "visibly-fake-key"}], "gemini-x", "http://127.0.0.1:9"
    )
    assert (found.level, found.sentence) == ("fault", "Google cannot be asked about Key f00: ClientConnectorError.")
