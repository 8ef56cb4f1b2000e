"""Nothing that leadhook adds aborts the application's statement, and the outbox row is kept whatever else fails."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from tests.sql.conftest import Connect, Sql
from tests.support.databases import Databases

from leadhook.domain.findings import Code, check_status
from leadhook.domain.status import Status
from leadhook.local.database import Database

RAISING_HTTP_POST = """
create or replace function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
  timeout_milliseconds int default 5000
) returns bigint language plpgsql as $$ begin raise exception 'cannot reach % now', url; end $$;
"""
SET_SECRET = "select vault.update_secret(id, {value!r}) from vault.secrets where name = {name!r}"

# What is wrong, and what the ledger says of it.
WEBHOOK_FAULTS: dict[str, tuple[str, str]] = {
    "an empty Vault": (
        "delete from vault.secrets",
        "Vault holds no leadhook_webhook_url and leadhook_webhook_secret",
    ),
    "no address": (
        "delete from vault.secrets where name = 'leadhook_webhook_url'",
        "Vault holds no leadhook_webhook_url and leadhook_webhook_secret",
    ),
    "a blank secret": (
        SET_SECRET.format(name="leadhook_webhook_secret", value=" "),
        "Vault holds no leadhook_webhook_url and leadhook_webhook_secret",
    ),
    "a bad secret": (
        SET_SECRET.format(name="leadhook_webhook_secret", value="whsec_!visibly!fake!"),
        "a webhook secret must be whsec_ and base64",
    ),
    "an address of another scheme": (
        SET_SECRET.format(name="leadhook_webhook_url", value="gopher://visibly:fake@example.com"),
        'invalid URL "leadhook_webhook_url": Unsupported URL scheme',
    ),
    "no Vault": ("drop extension supabase_vault cascade", "Vault is missing: enable the extension supabase_vault"),
    "no pg_net": ("drop extension pg_net", "pg_net is missing: enable the extension pg_net"),
    "a raising http_post": (RAISING_HTTP_POST, "cannot reach leadhook_webhook_url now"),
}


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here, which leave nothing behind; its connections are the superuser's, who can break all."""
    for database in databases.copies(wired_template):
        yield replace(database, conninfo=database.admin_conninfo)


@pytest.fixture
def broken(wired: Sql) -> Iterator[Sql]:
    """A transaction that is rolled back in the end."""
    wired.run("begin")
    yield wired
    wired.run("rollback")


def break_it(db: Sql, statements: str) -> None:
    """Make the fault, then go on as the owner, who is no superuser."""
    db.connection.execute(statements.encode())
    db.run("set local role postgres")


def changed(db: Sql) -> list[tuple[str, list[str] | None]]:
    """Kind and leads of each outbox row."""
    return [(row["kind"], row["lead_ids"]) for row in db.rows("select kind, lead_ids from leadhook.outbox order by id")]


@pytest.mark.parametrize("fault", WEBHOOK_FAULTS)
def test_a_webhook_that_fails_keeps_the_outbox_row(broken: Sql, fault: str) -> None:
    """The application writes on; the ledger says why, once a transaction, without address or secret."""
    statements, complaint = WEBHOOK_FAULTS[fault]
    break_it(broken, statements)
    broken.lead("a")
    broken.details("a")
    assert changed(broken) == [("leads", ["a"])] * 2
    assert broken.rows("select request_id, reason, error from leadhook.webhooks") == [
        {"request_id": None, "reason": "insert all_leads", "error": complaint}
    ]


def test_a_webhook_that_cannot_be_noted_keeps_the_outbox_row(broken: Sql) -> None:
    """And is sent all the same."""
    break_it(broken, "drop table leadhook.webhooks")
    broken.details("a")
    assert changed(broken) == [("leads", ["a"])]
    assert broken.count("net.http_request_queue") == 1


def test_a_change_that_cannot_be_noted_leaves_the_application_alone(broken: Sql) -> None:
    """The sweep finds what was written in the meantime."""
    break_it(broken, "drop table leadhook.outbox cascade")
    broken.eligible_lead("a")
    broken.run("update public.lead_details set sent_to_llm = true")
    broken.run("update public.lead_details set sent_to_llm = false")
    broken.run("update public.prompts set tag = 'new'")
    broken.run("delete from public.all_leads")
    broken.run("truncate public.lead_details")
    assert broken.count("public.lead_details") == broken.count("public.all_leads") == 0


def test_an_update_that_cannot_be_compared_notes_all_its_rows(broken: Sql) -> None:
    """Where a column that counts has gone, or has become a type without equality."""
    broken.lead("a")
    broken.lead("b")
    broken.details("a")
    broken.run("alter table public.all_leads alter column tag type json using to_json(tag)")
    broken.run("delete from leadhook.outbox")
    broken.run("update public.all_leads set linkedin_url = 'x'")
    broken.run("update public.all_leads set lead_id = 'c' where lead_id = 'b'")
    broken.run("alter table public.lead_details drop column sent_to_llm cascade")
    broken.run("update public.lead_details set bio = 'x'")
    assert [(kind, sorted(ids or [])) for kind, ids in changed(broken)] == [
        ("leads", ["a", "b"]),
        ("leads", ["b", "c"]),
        ("leads", ["a"]),
    ]
    assert {row["error"] for row in broken.rows("select error from leadhook.webhooks")} == {None}


def test_a_change_that_cannot_be_read_notes_everything(broken: Sql) -> None:
    """Where even lead_id has gone."""
    broken.lead("a")
    broken.prompts()
    broken.run("alter table public.all_leads rename column lead_id to id")
    broken.run("alter table public.prompts drop column tag")
    broken.run("delete from leadhook.outbox")
    broken.run("update public.all_leads set scrapped = false")
    broken.run("insert into public.all_leads (id, user_id, tag) values ('b', gen_random_uuid(), 't')")
    broken.run("delete from public.all_leads")
    broken.run("insert into public.prompts (user_id) values (gen_random_uuid())")
    assert changed(broken) == [("everything", None)] * 4


@pytest.mark.parametrize(
    "guard",
    [
        "alter table leadhook.outbox add constraint small check (n < 100)",
        (
            "create function public.refuse_many() returns trigger language plpgsql as"
            " $$ begin if new.n >= 100 then raise exception 'many'; end if; return new; end $$;"
            " create trigger small before insert on leadhook.outbox for each row execute function public.refuse_many()"
        ),
    ],
    ids=["constraint", "trigger"],
)
def test_what_someone_adds_to_our_table_aborts_no_statement(broken: Sql, guard: str) -> None:
    """Neither the first of a transaction nor a later one; the sweep finds what it refuses, and the status names it."""
    break_it(broken, guard)
    for number in (1, 1, 200, 1):
        broken.run(
            "insert into public.lead_details (lead_id) select gen_random_uuid() from generate_series(1, %(n)s)",
            n=number,
        )
    assert broken.count("public.lead_details") == 203
    assert broken.count("leadhook.outbox") == 3
    assert broken.count("leadhook.webhooks") == 1
    finding = check_status(Status.model_validate(broken.rpc("leadhook_status"))).warnings[0]
    assert finding.code is Code.OUTBOX_GUARDED
    assert "small" in finding.sentence


def test_triggers_follow_the_columns_in_a_session_that_lives_on(broken: Sql) -> None:
    """No cached plan outlives an ALTER TABLE."""
    broken.lead("a")
    broken.run("alter table public.all_leads alter column tag type varchar(40), alter column scrapped drop not null")
    broken.run("alter table public.all_leads alter column scrapped drop default, alter column scrapped type text")
    broken.lead("b", scrapped=None)
    broken.run("update public.all_leads set scrapped = 'yes' where lead_id = 'b'")
    broken.run("alter table public.all_leads drop column linkedin_url, add column lead_no int")
    broken.lead("c", scrapped=None)
    broken.run("update public.all_leads set lead_no = 1")
    assert changed(broken) == [("leads", [lead_id]) for lead_id in ("a", "b", "b", "c")]


def test_a_lock_on_our_table_delays_the_application_by_little(wired_connect: Connect) -> None:
    """A table that is being rewritten costs a write a second, not its life; that of a prompts row as well."""
    owner, application = wired_connect(), wired_connect()
    owner.run("begin")
    owner.run("lock table leadhook.outbox, leadhook.webhooks in access exclusive mode")
    application.run("begin")
    application.run("set local statement_timeout = '3s'")
    application.details("a")
    application.prompts()
    application.run("update public.prompts set message_prompt = 'new'")
    owner.run("rollback")
    assert application.count("public.lead_details") == application.count("public.prompts") == 1
    assert application.count("leadhook.outbox") == 0
    assert application.count("net.http_request_queue") >= 1
    application.run("rollback")


def test_a_cancelled_statement_is_cancelled(wired_connect: Connect) -> None:
    """Our exception blocks swallow no cancellation."""
    owner, application = wired_connect(), wired_connect()
    owner.run("begin")
    owner.run("lock table leadhook.outbox in access exclusive mode")
    application.run("set statement_timeout = '100ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        application.details("a")
    owner.run("rollback")
    assert application.count("public.lead_details") == 0


def test_a_fault_is_reported_to_the_log_and_not_to_the_writer(broken: Sql) -> None:
    """A client that treats warnings as errors must not see ours."""
    heard: list[str] = []
    broken.connection.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
    broken.run("set client_min_messages = 'log'")
    break_it(broken, "drop table leadhook.outbox cascade")
    broken.details("a")
    assert not [words for words in heard if "leadhook" in words]
