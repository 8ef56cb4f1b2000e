"""Who writes to the application's tables needs no right on ours, and waits for no lock there."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.sql.conftest import Connect, Sql
from tests.support.databases import Databases

from leadhook.local.database import Database

OPEN_TO_THE_API = b"""
grant select, insert, update, delete on public.all_leads, public.lead_details, public.prompts to anon, authenticated;
create policy everybody on public.all_leads to anon, authenticated using (true);
create policy everybody on public.lead_details to anon, authenticated using (true);
create policy everybody on public.prompts to anon, authenticated using (true);
"""


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here, open to the API's roles under row level security."""
    for database in databases.copies(wired_template):
        with database.connect() as owner:
            owner.execute(OPEN_TO_THE_API)
        yield database


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_writers_need_no_rights_on_ours(wired: Sql, role: str, level: str) -> None:
    """Plain rights on the application's tables are enough, in each isolation level; truncate stays the owner's."""
    wired.connection.execute(f"begin isolation level {level}".encode())
    wired.connection.execute(f"set local role {role}".encode())
    wired.lead("a")
    wired.prompts()
    wired.details("a", sent=True)
    wired.run("update public.lead_details set sent_to_llm = false")
    wired.run("delete from public.all_leads")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), wired.transaction():
        wired.run("truncate public.all_leads")
    wired.run("reset role")
    outbox = wired.rows("select kind from leadhook.outbox order by id")
    assert [change["kind"] for change in outbox] == ["leads", "prompts", "leads", "leads", "leads"]
    assert wired.rows("select error from leadhook.webhooks") == [{"error": None}]
    wired.run("rollback")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_writers_do_not_meet_in_our_tables(wired_connect: Connect, level: str) -> None:
    """Two transactions that have nothing in common but our triggers both commit, a drain between them or not."""
    one, other, applier = wired_connect(), wired_connect(), wired_connect()
    for db, lead_id in ((one, f"{level} 1"), (other, f"{level} 2")):
        db.connection.execute(f"begin isolation level {level}".encode())
        db.lead(lead_id)
        db.details(lead_id)
    one.run("commit")
    applier.run("delete from leadhook.outbox")
    other.run("update public.all_leads set tag = 'new' where lead_id = %(i)s", i=f"{level} 2")
    other.run("commit")
    assert applier.run("delete from leadhook.outbox") == 3


def test_one_writer_does_not_wait_for_another(wired_connect: Connect) -> None:
    """A write of the application's takes no lock of ours that another one needs."""
    one, other = wired_connect(), wired_connect()
    one.run("begin")
    one.details("c")
    other.run("set lock_timeout = '1s'")
    other.details("d")
    other.prompts()
    other.run("delete from public.lead_details where lead_id = 'd'")
    one.run("rollback")
