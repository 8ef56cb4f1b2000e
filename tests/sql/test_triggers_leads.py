"""Which leads a statement on all_leads or lead_details appends to leadhook.outbox."""

from collections.abc import Iterator
from typing import LiteralString
from uuid import uuid4

import pytest
from tests.sql.conftest import Sql
from tests.support.databases import Databases

from leadhook.local.database import Database

SETTLED = """
alter table public.lead_details alter column sent_to_llm drop not null;
insert into public.all_leads (lead_id, user_id, tag, scrapped)
  select i, '00000000-0000-4000-8000-000000000001', 'founders', i <> 'raw' from unnest('{raw,sent,unsent}'::text[]) i;
insert into public.lead_details (lead_id, sent_to_llm) values ('raw', null), ('sent', true), ('unsent', false);
delete from leadhook.outbox;
delete from leadhook.webhooks;
delete from net.http_request_queue;
"""
DROP_KEYS = """
alter table public.all_leads drop constraint all_leads_pkey, alter column lead_id drop not null;
alter table public.lead_details drop constraint lead_details_pkey, alter column lead_id drop not null;
"""


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here, which leave nothing behind.

    `raw` is not scrapped and its details have null for sent_to_llm; those of `sent` and `unsent` are what they say.
    """
    for database in databases.copies(wired_template):
        with database.connect() as connection:
            connection.execute(SETTLED.encode())
        yield database


@pytest.fixture
def settled(wired: Sql) -> Iterator[Sql]:
    """A transaction that is rolled back in the end; neither outbox row nor webhook is there at its start."""
    wired.run("begin")
    yield wired
    wired.run("rollback")


def take_outbox(db: Sql) -> set[str]:
    """The changed leads. Empties the outbox."""
    rows = db.rows("delete from leadhook.outbox returning kind, n, lead_ids")
    for row in rows:
        assert row["kind"] == "leads"
        assert row["n"] == len(row["lead_ids"])
    return {lead_id for row in rows for lead_id in row["lead_ids"]}


UPDATES: dict[str, tuple[LiteralString, set[str]]] = {
    "scrapped": ("update public.all_leads set scrapped = true", {"raw"}),
    "unscrapped": ("update public.all_leads set scrapped = false", {"sent", "unsent"}),
    "another user": ("update public.all_leads set user_id = gen_random_uuid() where lead_id = 'raw'", {"raw"}),
    "another tag": ("update public.all_leads set tag = 'new' where lead_id = 'sent'", {"sent"}),
    "another lead_id": ("update public.all_leads set lead_id = 'new' where lead_id = 'sent'", {"sent", "new"}),
    "the same values": ("update public.all_leads set scrapped = scrapped, tag = tag, user_id = user_id", set()),
    "an irrelevant column": ("update public.all_leads set linkedin_url = 'https://example.com'", set()),
    "no row of all_leads": ("update public.all_leads set tag = 'new' where false", set()),
    "turned unsent": ("update public.lead_details set sent_to_llm = false", {"sent"}),
    "turned sent": ("update public.lead_details set sent_to_llm = true", set()),
    "null to false, false to null": (
        "update public.lead_details set sent_to_llm = nullif(sent_to_llm is not null, true) where lead_id <> 'sent'",
        set(),
    ),
    "sent to null": ("update public.lead_details set sent_to_llm = null where lead_id = 'sent'", {"sent"}),
    "details of another lead": ("update public.lead_details set lead_id = 'new' where lead_id = 'raw'", {"raw", "new"}),
    "a bio": ("update public.lead_details set bio = 'new'", set()),
    "no row of lead_details": ("update public.lead_details set sent_to_llm = false where false", set()),
}


@pytest.mark.parametrize("case", UPDATES)
def test_an_update_notes_the_leads_for_which_it_can_matter(settled: Sql, case: str) -> None:
    """The columns that decide eligibility count; the others do not, nor does writing the same value again."""
    statement, expected = UPDATES[case]
    settled.run(statement)
    assert take_outbox(settled) == expected
    assert settled.count("leadhook.webhooks") == min(1, len(expected))


def test_a_user_or_tag_that_becomes_null_notes_its_lead(settled: Sql) -> None:
    """Null is a value like another in the comparison."""
    settled.run("alter table public.all_leads alter column user_id drop not null, alter column tag drop not null")
    settled.run("update public.all_leads set user_id = null where lead_id = 'raw'")
    assert take_outbox(settled) == {"raw"}
    settled.run("update public.all_leads set tag = null where lead_id in ('raw', 'sent')")
    assert take_outbox(settled) == {"raw", "sent"}
    settled.run("update public.all_leads set tag = null, user_id = null where lead_id = 'raw'")
    assert take_outbox(settled) == set()


def test_an_insert_notes_its_leads(settled: Sql) -> None:
    """All of them: the trigger reads no table, so it cannot know which are eligible."""
    settled.run(
        "insert into public.all_leads (lead_id, user_id, tag) values ('x', %(u)s, 't'), ('y', %(u)s, 't')", u=uuid4()
    )
    assert take_outbox(settled) == {"x", "y"}
    settled.run("insert into public.lead_details (lead_id, sent_to_llm) values ('x', false), ('y', true)")
    assert take_outbox(settled) == {"x", "y"}


def test_an_insert_of_nothing_notes_nothing(settled: Sql) -> None:
    """A statement without rows leaves neither outbox row nor webhook."""
    settled.run("insert into public.all_leads select * from public.all_leads where false")
    settled.run("delete from public.lead_details where false")
    assert take_outbox(settled) == set()
    assert settled.count("leadhook.webhooks") == 0


def test_an_upsert_notes_what_it_inserted_and_what_it_changed(settled: Sql) -> None:
    """On conflict do update fires the triggers of both."""
    settled.run(
        "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
        " select i, %(u)s, %(t)s, true from unnest(array['raw', 'sent', 'new']) as i"
        " on conflict (lead_id) do update set scrapped = excluded.scrapped",
        u=settled.USER, t=settled.TAG,
    )  # fmt: skip
    assert take_outbox(settled) == {"raw", "new"}


def test_a_merge_notes_what_it_inserted_changed_and_deleted(settled: Sql) -> None:
    """Merge fires the triggers of all three."""
    settled.run(
        "merge into public.lead_details as d using (values ('sent'), ('raw'), ('new')) as s (lead_id)"
        " on d.lead_id = s.lead_id"
        " when matched and s.lead_id = 'raw' then delete"
        " when matched then update set sent_to_llm = false"
        " when not matched then insert (lead_id) values (s.lead_id)"
    )
    assert take_outbox(settled) == {"raw", "sent", "new"}


def test_a_copy_notes_its_leads(settled: Sql) -> None:
    """The bulk load of a dump or an import is an insert."""
    with settled.connection.cursor().copy("copy public.lead_details (lead_id) from stdin") as copy:
        copy.write_row(["x"])
        copy.write_row(["y"])
    assert take_outbox(settled) == {"x", "y"}


def test_a_delete_notes_its_leads(settled: Sql) -> None:
    """So that the drain can remove what we know of them."""
    settled.run("delete from public.all_leads where lead_id = 'raw'")
    assert take_outbox(settled) == {"raw"}
    settled.run("delete from public.lead_details")
    assert take_outbox(settled) == {"raw", "sent", "unsent"}


def test_a_cascading_delete_notes_its_leads(settled: Sql) -> None:
    """A foreign key of the application deletes through our trigger too."""
    settled.run(
        "alter table public.lead_details add foreign key (lead_id) references public.all_leads on delete cascade"
    )
    settled.run("delete from public.all_leads where lead_id = 'raw'")
    assert settled.rows("select lead_ids from leadhook.outbox") == [{"lead_ids": ["raw"]}] * 2


@pytest.mark.parametrize("table", ["all_leads", "lead_details"])
def test_a_truncate_notes_everything(settled: Sql, table: LiteralString) -> None:
    """Postgres does not say what was there."""
    settled.connection.execute(f"truncate public.{table}".encode())
    assert settled.rows("select kind, n, lead_ids from leadhook.outbox") == [
        {"kind": "everything", "n": 0, "lead_ids": None}
    ]
    assert settled.rows("select reason, error from leadhook.webhooks") == [
        {"reason": f"truncate {table}", "error": None}
    ]


def test_duplicates_and_missing_ids_are_tolerated(settled: Sql) -> None:
    """Without keys, a lead may have several rows and a row no lead."""
    settled.connection.execute(DROP_KEYS.encode())
    settled.run("insert into public.lead_details (lead_id) values ('twice'), ('twice'), (null)")
    assert take_outbox(settled) == {"twice"}
    settled.run("insert into public.lead_details (lead_id) values (null)")
    assert take_outbox(settled) == set()
    settled.run(
        "update public.lead_details set sent_to_llm = true"
        " where ctid = (select max(ctid) from public.lead_details where lead_id = 'twice')"
    )
    assert take_outbox(settled) == set()
    settled.run("update public.lead_details set sent_to_llm = false where lead_id = 'twice' or lead_id is null")
    assert take_outbox(settled) == {"twice"}
    settled.run("update public.lead_details set lead_id = 'found' where lead_id is null")
    assert take_outbox(settled) == {"found"}
    settled.run("delete from public.lead_details where lead_id = 'twice'")
    assert take_outbox(settled) == {"twice"}


def test_an_update_of_one_of_two_equal_rows_notes_its_lead(settled: Sql) -> None:
    """The comparison counts rows, it does not look for keys."""
    settled.connection.execute(DROP_KEYS.encode())
    settled.run("insert into public.all_leads select * from public.all_leads where lead_id = 'raw'")
    take_outbox(settled)
    settled.run("update public.all_leads set scrapped = true where ctid = (select max(ctid) from public.all_leads)")
    assert take_outbox(settled) == {"raw"}


def test_ids_keep_their_quotes_slashes_and_emoji(settled: Sql) -> None:
    """An id is data, whatever is in it."""
    odd = {'it\'s "quoted"', "a/b\\c", "{1,2}", "🦊", "", "null", " blank "}
    settled.run("insert into public.lead_details (lead_id) select unnest(%(ids)s::text[])", ids=list(odd))
    assert take_outbox(settled) == odd


def test_a_big_statement_is_cut_into_outbox_rows_of_500(settled: Sql) -> None:
    """So that a drain can stop between two of them."""
    settled.eligible_leads(1201)
    rows = settled.rows("select n from leadhook.outbox where kind = 'leads' order by id")
    assert sorted(row["n"] for row in rows) == [201, 201, 500, 500, 500, 500]
    settled.run("delete from leadhook.outbox where kind <> 'leads'")
    assert len(take_outbox(settled)) == 1201


def test_outbox_row_and_webhook_are_gone_with_their_transaction(settled: Sql) -> None:
    """What was rolled back did not happen."""
    settled.run("savepoint before")
    settled.run("update public.all_leads set scrapped = true")
    assert settled.count("leadhook.outbox") == settled.count("net.http_request_queue") == 1
    settled.run("rollback to savepoint before")
    assert settled.count("leadhook.outbox") == 0
    assert settled.count("net.http_request_queue") == settled.count("leadhook.webhooks") == 0


def test_marking_a_lead_as_sent_notes_nothing(settled: Sql) -> None:
    """A save must not send webhooks for its own change."""
    settled.run("update public.lead_details set sent_to_llm = true where sent_to_llm is not true")
    assert settled.count("leadhook.outbox") == settled.count("leadhook.webhooks") == 0
