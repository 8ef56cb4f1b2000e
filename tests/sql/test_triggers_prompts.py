"""What a statement on prompts or gemini_api leaves behind."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.sql.conftest import Sql
from tests.support.databases import Databases

from leadhook.local.database import Database


@pytest.fixture(scope="module")
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """One for all tests here, which leave nothing behind."""
    yield from databases.copies(wired_template)


@pytest.fixture
def settled(wired: Sql) -> Iterator[Sql]:
    """A transaction that is rolled back in the end."""
    wired.run("begin")
    yield wired
    wired.run("rollback")


def groups(db: Sql) -> list[tuple[str, bool]]:
    """Tag and prompts_inserted of each outbox row for prompts. Empties the outbox."""
    rows = db.rows("delete from leadhook.outbox returning kind, tag, prompts_inserted")
    assert {row["kind"] for row in rows} <= {"prompts"}
    return sorted((row["tag"], row["prompts_inserted"]) for row in rows)


def test_inserted_prompts_note_each_group_once(settled: Sql) -> None:
    """One outbox row per user and tag, which records that a row was inserted."""
    settled.run(
        "insert into public.prompts (user_id, tag)"
        " select %(u)s, tag from unnest(array['a', 'b', 'a']) as tag", u=settled.USER
    )  # fmt: skip
    first: dict[str, Any] = settled.rows("select * from leadhook.outbox order by tag")[0]
    assert (first["kind"], first["n"], first["user_id"], first["after_lead"]) == ("prompts", 0, settled.USER, "")
    assert groups(settled) == [("a", True), ("b", True)]
    assert settled.rows("select reason, leads, error from leadhook.webhooks") == [
        {"reason": "insert prompts", "leads": None, "error": None}
    ]


def test_prompts_without_user_or_tag_note_nothing(settled: Sql) -> None:
    """No lead can match them."""
    settled.run("alter table public.prompts alter column user_id drop not null, alter column tag drop not null")
    settled.prompts(user=None)
    settled.prompts(tag=None)
    assert groups(settled) == []
    assert settled.count("leadhook.webhooks") == 0


def test_changed_prompts_note_their_group(settled: Sql) -> None:
    """Any column counts; no one asked for the leads that sleep, so prompts_inserted is false."""
    settled.prompts(tag="a")
    settled.prompts(tag="b")
    groups(settled)
    settled.run("update public.prompts set message_prompt = 'Be brief.' where tag = 'a'")
    assert groups(settled) == [("a", False)]
    settled.run("update public.prompts set tag = 'c' where tag = 'b'")
    assert groups(settled) == [("c", False)]
    settled.run("alter table public.prompts add column extra jsonb, add column odd json, add column place point")
    settled.run("update public.prompts set extra = '{}', odd = '{}', place = '(1,2)' where tag = 'a'")
    assert groups(settled) == [("a", False)]


def test_prompts_written_again_as_they_were_note_nothing(settled: Sql) -> None:
    """Front ends save whole forms."""
    settled.prompts()
    groups(settled)
    settled.run("delete from leadhook.webhooks")
    settled.run("set local leadhook.webhook_sent = ''")
    settled.run("update public.prompts set tag = tag, message_prompt = message_prompt")
    settled.run("update public.prompts set tag = 'new' where false")
    assert groups(settled) == []
    assert settled.count("leadhook.webhooks") == 0


def test_deleted_prompts_note_nothing(settled: Sql) -> None:
    """The claim scores each lead that it hands out; nothing has to be woken."""
    settled.prompts()
    groups(settled)
    settled.run("delete from public.prompts")
    settled.run("truncate public.prompts")
    assert groups(settled) == []


def test_a_new_or_changed_key_sends_a_webhook_and_writes_no_outbox_row(settled: Sql) -> None:
    """Leads may have waited for it; the next claim finds them."""
    settled.key()
    settled.run("set local leadhook.webhook_sent = ''")
    settled.run("update public.gemini_api set api_key = 'another-fake-key'")
    settled.run("set local leadhook.webhook_sent = ''")
    settled.run("delete from public.gemini_api")
    assert settled.count("leadhook.outbox") == 0
    assert [row["reason"] for row in settled.rows("select reason from leadhook.webhooks order by id")] == [
        "insert gemini_api",
        "update gemini_api",
    ]
