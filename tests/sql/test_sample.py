"""The sample: brought in as at users, eligible only by its last commit, harmless when brought in again."""

from typing import Any

import pytest
from psycopg.rows import scalar_row

from leadhook.local.database import Database
from leadhook.local.demo_report import read_rows
from leadhook.local.sample import insert_one_more, insert_sample

ELIGIBLE = """select count(*) from leadhook.check_eligibility(array(select lead_id from public.all_leads)) as scored
  where scored.eligible"""


def scalar(database: Database, query: str) -> Any:
    with database.connect() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query.encode()).fetchall()[0]


def test_every_sample_lead_is_eligible(database: Database) -> None:
    """Two dozen, of one user and tag, by the eligibility function's own word."""
    sample = insert_sample(database.conninfo)
    assert len(sample.lead_ids) == len(set(sample.lead_ids)) == 24
    assert scalar(database, ELIGIBLE) == 24
    assert scalar(database, "select count(distinct (user_id, tag)) from public.all_leads") == 1


def test_no_sample_lead_is_eligible_before_the_prompts_row(database: Database) -> None:
    """The prompts row comes last."""
    insert_sample(database.conninfo)
    with database.connect() as connection:
        connection.execute("delete from public.prompts")
    assert scalar(database, ELIGIBLE) == 0


def test_a_second_insert_changes_nothing(database: Database) -> None:
    versions = """select string_agg(xmin::text, ' ' order by xmin::text) from (select xmin from public.all_leads
      union all select xmin from public.lead_details union all select xmin from public.prompts) as rows (xmin)"""
    first = insert_sample(database.conninfo)
    before = scalar(database, versions)
    assert insert_sample(database.conninfo).lead_ids == first.lead_ids
    assert scalar(database, versions) == before
    assert scalar(database, "select count(*) from public.prompts") == 1


def test_an_interrupted_insert_is_completed(database: Database) -> None:
    insert_sample(database.conninfo)
    with database.connect() as connection:
        connection.execute("delete from public.lead_details where lead_id in ('ada-lindqvist', 'luca-rossi')")
        connection.execute("delete from public.prompts")
    insert_sample(database.conninfo)
    assert scalar(database, ELIGIBLE) == 24


def test_the_sample_sends_webhooks_in_small_transactions(wired_database: Database) -> None:
    insert_sample(wired_database.conninfo)
    assert scalar(wired_database, "select count(*) from leadhook.outbox") >= 10
    last = "select (kind = 'prompts')::int from leadhook.outbox order by id desc limit 1"
    assert scalar(wired_database, last) == 1


def test_one_more_lead_is_eligible_by_its_own_insert(database: Database) -> None:
    sample = insert_sample(database.conninfo)
    one_more = insert_one_more(database.conninfo)
    assert (one_more.user_id, one_more.tag, len(one_more.lead_ids)) == (sample.user_id, sample.tag, 1)
    insert_one_more(database.conninfo)
    assert scalar(database, ELIGIBLE) == 25


def test_results_show_the_state_of_each_lead(database: Database) -> None:
    sample = insert_sample(database.conninfo)
    with database.connect() as connection:
        connection.execute(
            """insert into public.llm_response (lead_id, tag, score, response, should_contact, subject, message)
               values ('ada-lindqvist', %s, 90, 'r', 1, 's', 'm'),
                 ('marek-nowak', 'another tag', 90, 'r', 1, 's', 'm')""",
            [sample.tag],
        )
        connection.execute(
            """insert into leadhook.attempts (lead_id, run, fence, outcome, source, calls, input_tokens,
                 output_tokens, eligible_at, first_call_ms, key_wait_ms, finished_at)
               select lead_id, 1, fence, outcome, 'webhook', 1, 100, 10, moment, 40, 30, moment + interval '2 s'
               from (values ('ada-lindqvist', 1, 'retry'), ('ada-lindqvist', 2, 'saved'), ('marek-nowak', 3, 'retry'))
                 as given (lead_id, fence, outcome), (select %s::timestamptz + interval '10 ms') as now (moment)""",
            [sample.committed_at],
        )
        rows = {row.lead_id: row for row in read_rows(connection, sample)}
    assert len(rows) == 24
    ada, marek = rows["ada-lindqvist"], rows["marek-nowak"]
    assert (ada.answered, ada.score, ada.contact, ada.source, ada.calls) == (True, 90, True, "webhook", 2)
    assert ada.saved_ms == pytest.approx(2010)
    assert (ada.commit_to_call_ms, ada.key_wait_ms, ada.input_tokens) == (50, 30, 200)
    assert (marek.answered, marek.score, marek.saved_ms) == (False, None, None)
