"""What a statement on prompts or gemini_api leaves behind."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Databases
    from tests.sql.conftest import Sql

    from leadhook.local.database import Database


@pytest.fixture(scope="module")
def wired_database(databases: "Databases", wired_template: "Database") -> "Iterator[Database]":
    """One for all tests here, which leave nothing behind."""
    yield from databases.copies(wired_template)


@pytest.fixture
def settled(wired: "Sql") -> "Iterator[Sql]":
    """A transaction that is rolled back in the end."""
    wired.run("begin")
    yield wired
    wired.run("rollback")


def lanes(db: "Sql") -> list[tuple[str, bool]]:
    """Tag and prompts_inserted of each prompts touch; the touches are removed."""
    rows = db.rows("delete from leadhook.touches returning kind, tag, prompts_inserted")
    assert {row["kind"] for row in rows} <= {"prompts"}
    return sorted((row["tag"], row["prompts_inserted"]) for row in rows)


def test_inserted_prompts_touch_each_lane_once(settled: "Sql") -> None:
    """One touch a user and tag, which says that somebody asked."""
    settled.run(
        "insert into public.prompts (user_id, tag)"
        " select %(u)s, tag from unnest(array['a', 'b', 'a']) as tag", u=settled.USER
    )  # fmt: skip
    first: dict[str, Any] = settled.rows("select * from leadhook.touches order by tag")[0]
    assert (first["kind"], first["n"], first["user_id"], first["after_lead"]) == ("prompts", 0, settled.USER, "")
    assert lanes(settled) == [("a", True), ("b", True)]
    assert settled.rows("select cause, leads, error from leadhook.rings") == [
        {"cause": "insert prompts", "leads": None, "error": None}
    ]


def test_prompts_without_user_or_tag_touch_nothing(settled: "Sql") -> None:
    """No lead can match them."""
    settled.run("alter table public.prompts alter column user_id drop not null, alter column tag drop not null")
    settled.prompts(user=None)
    settled.prompts(tag=None)
    assert lanes(settled) == []
    assert settled.count("leadhook.rings") == 0


def test_changed_prompts_touch_their_lane(settled: "Sql") -> None:
    """Any column counts; nobody asked for the leads that sleep, so prompts_inserted is false."""
    settled.prompts(tag="a")
    settled.prompts(tag="b")
    lanes(settled)
    settled.run("update public.prompts set message_prompt = 'Be brief.' where tag = 'a'")
    assert lanes(settled) == [("a", False)]
    settled.run("update public.prompts set tag = 'c' where tag = 'b'")
    assert lanes(settled) == [("c", False)]
    settled.run("alter table public.prompts add column extra jsonb, add column odd json, add column place point")
    settled.run("update public.prompts set extra = '{}', odd = '{}', place = '(1,2)' where tag = 'a'")
    assert lanes(settled) == [("a", False)]


def test_prompts_written_again_as_they_were_touch_nothing(settled: "Sql") -> None:
    """Front ends save whole forms."""
    settled.prompts()
    lanes(settled)
    settled.run("delete from leadhook.rings")
    settled.run("set local leadhook.rung = ''")
    settled.run("update public.prompts set tag = tag, message_prompt = message_prompt")
    settled.run("update public.prompts set tag = 'new' where false")
    assert lanes(settled) == []
    assert settled.count("leadhook.rings") == 0


def test_deleted_prompts_touch_nothing(settled: "Sql") -> None:
    """The claim judges each lead that it hands out; nothing has to be woken."""
    settled.prompts()
    lanes(settled)
    settled.run("delete from public.prompts")
    settled.run("truncate public.prompts")
    assert lanes(settled) == []


def test_a_new_or_changed_key_rings_and_touches_nothing(settled: "Sql") -> None:
    """Leads may have waited for it; the next claim finds them."""
    settled.key()
    settled.run("set local leadhook.rung = ''")
    settled.run("update public.gemini_api set api_key = 'another-fake-key'")
    settled.run("set local leadhook.rung = ''")
    settled.run("delete from public.gemini_api")
    assert settled.count("leadhook.touches") == 0
    assert [row["cause"] for row in settled.rows("select cause from leadhook.rings order by id")] == [
        "insert gemini_api",
        "update gemini_api",
    ]
