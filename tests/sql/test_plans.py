"""The hot calls read few rows and go by their indexes, however large the tables are and whatever was known of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import POSTGRES
from tests.sql.conftest import Sql
from tests.sql.explained import Plans

if TYPE_CHECKING:
    from tests.support.databases import Databases

    from leadhook.local.database import Database

# 20,000 done; 2,500 ready in one group; 1,000 groups with one fresh and one low-priority lead each; 1,500 waiting.
FILL: LiteralString = """
create temp table shape as
select
  g, 'lead-' || g as lead_id,
  case when g <= 20000 then 'done' when g <= 24500 then 'ready' else 'waiting' end as state,
  case when g <= 22500 or g > 24500 then %(tag)s else 'group-' || (g %% 1000) end as tag,
  g > 23500 and g <= 24500 as low_priority
from generate_series(1, 26000) as g;
insert into public.all_leads (lead_id, user_id, tag, scrapped) select lead_id, %(user)s, tag, true from shape;
insert into public.lead_details (lead_id, name, sent_to_llm) select lead_id, 'n', state = 'done' from shape;
insert into public.prompts (user_id, tag) select %(user)s, tag from shape group by tag;
insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, eligible_at)
select lead_id, %(user)s, tag, state, low_priority, now() from shape;
insert into leadhook.attempts (lead_id, run, fence, outcome) select lead_id, 1, g, 'saved' from shape;
insert into leadhook.outbox (kind, n, lead_ids)
select 'leads', 100, array_agg(lead_id) from shape where g <= 10000 group by (g - 1) / 100;
"""


@pytest.fixture(scope="module", params=["planned on empty tables", "planned with statistics"])
def filled(request: pytest.FixtureRequest, databases: "Databases", migrated_template: "Database") -> Iterator[Plans]:
    """26,000 jobs and 100 outbox rows, and a session whose statements explain themselves.

    Plans are cached in a session after five calls. Planned on empty tables: that happens before the tables grow, as in
    a session that PostgREST keeps, and no one has analyzed them since.
    """
    for database in databases.copies(migrated_template):
        # Only a superuser may explain what functions do.
        with Sql(psycopg.connect(database.admin_conninfo, autocommit=True, row_factory=dict_row)) as db:
            plans = Plans(db)
            db.key()
            db.prompts(tag="empty")
            if request.param == "planned on empty tables":
                for _ in range(7):
                    exercise(db, leads=2)
            with psycopg.ClientCursor(db.connection) as cursor:  # it puts the values in: there may be many statements
                cursor.execute(FILL, {"user": db.USER, "tag": db.TAG})
            if request.param == "planned with statistics":
                db.run("analyze")
                for _ in range(7):
                    exercise(db, leads=500)
            db.run("select leadhook.recent_figures(clock_timestamp())")  # which one claim or sweep in 10 s counts
            plans.start()
            yield plans


@pytest.fixture
def large(filled: Plans) -> Iterator[Plans]:
    """The same for each test: what it writes is rolled back."""
    with filled.db.connection.transaction(force_rollback=True):
        filled.scans.clear()
        yield filled


def exercise(db: Sql, leads: int) -> None:
    """Run what a claim does with leads of each kind, and undo it."""
    with db.connection.transaction(force_rollback=True):
        ids = db.eligible_leads(leads, prefix="x-", tag="empty")
        db.note_change(*ids)
        db.note_prompts_changes(tag="empty")
        db.claim(16)
        db.note_change(*ids)
        db.run("update leadhook.jobs set lease_until = now() - interval '1 s' where state = 'leased'")
        db.control(leases_from="epoch")
        db.claim(16)


def test_a_warm_session_plans_little_for_a_claim(database: "Database") -> None:
    """What reads the application's tables is planned with its values; for one lead that takes longer than the rest."""
    with Sql(psycopg.connect(database.admin_conninfo, autocommit=True, row_factory=dict_row)) as db:
        db.run("set pg_stat_statements.track = 'all'")
        db.run("set pg_stat_statements.track_planning = on")
        db.key()
        this = db.value("select oid from pg_database where datname = current_database()")
        for number in range(8):
            db.note_change(db.eligible_lead(f"lead-{number}"))
            db.run("select extensions.pg_stat_statements_reset(0, %(d)s, 0)", d=this)
            (lead,) = db.claim(16)["leads"]
            planned = db.value(
                "select sum(plans) from extensions.pg_stat_statements where dbid = %(d)s and not toplevel",
                d=this,
            )
            db.save(db.result_of(db.lease_of(lead)))
        # Postgres 15 plans two statements more.
        assert planned <= (8 if int(POSTGRES) >= 17 else 10)


def test_a_claim_looks_at_few_rows(large: Plans) -> None:
    """Of one group with 2,500 ready leads and 1,000 groups with one, among 26,000 jobs."""
    large.db.run("delete from leadhook.outbox")
    large.scans.clear()
    batch = large.db.claim(16, low_priority_limit=12)
    assert (len(batch["leads"]), batch["has_more"]) == (16, True)
    assert large.sequential() == set()
    looked_at = {table: large.rows(table) for table in ("jobs", "all_leads", "lead_details", "prompts", "attempts")}
    assert looked_at["jobs"] < 16 * 50 + 200, looked_at
    assert max(looked_at[table] for table in ("all_leads", "lead_details", "prompts")) <= 16 * 4, looked_at
    assert looked_at["attempts"] <= 16, looked_at


def test_a_claim_passes_over_what_is_shut(large: Plans) -> None:
    """However many groups are shut, and whatever number of leads each has: it looks at those that are open."""
    large.db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, available_at)"
        " select 'shut-' || g || '-' || n, ('00000000-0000-3000-8000-' || lpad((g / 2)::text, 12, '0'))::uuid,"
        " case when g %% 2 = 0 then 'paused-' || g else 'spent' end, 'ready', '2026-01-01'"
        " from generate_series(2, 401) as g, generate_series(1, 5) as n"
    )
    large.db.run(
        "insert into leadhook.pauses (user_id, tag, actor)"
        " select distinct user_id, tag, 't' from leadhook.jobs where tag like 'paused-%%'"
    )
    large.db.run(
        "insert into leadhook.budgets (user_id, daily_usd)"
        " select distinct user_id, 0 from leadhook.jobs where tag = 'spent'"
    )
    large.db.run("delete from leadhook.outbox")
    for _ in range(2):
        large.db.claim(16)
    large.db.run("analyze leadhook.budgets, leadhook.pauses, leadhook.ready_groups")
    large.scans.clear()
    batch = large.db.claim(16)
    assert (len(batch["leads"]), batch["has_more"]) == (16, True)
    assert large.sequential() == set()
    for table, limit in {"jobs": 1000, "ready_groups": 300, "budgets": 50, "pauses": 50}.items():
        assert large.rows(table) < limit, table


def test_applying_looks_at_what_was_changed(large: Plans) -> None:
    """A slice of 500 leads costs a few reads of each of them, and no table is read whole."""
    assert large.db.apply_outbox(budget="1 microsecond") == 500
    assert large.sequential() == set()
    assert large.rows("outbox") <= 1000
    for table in ("jobs", "all_leads", "lead_details"):
        assert large.rows(table) <= 500 * 5, table
        assert large.loops(table) == 1, table  # an index condition with 500 ids is dear, once a lead it is quadratic
    assert large.rows("attempts") == 0


def test_a_walk_looks_at_its_group(large: Plans) -> None:
    """One slice of the 1,500 that wait, though the group has 22,500 other leads."""
    large.db.run("delete from leadhook.outbox")
    large.db.note_prompts_changes()
    large.scans.clear()
    assert large.db.apply_outbox(budget="1 microsecond") == 500
    assert large.sequential() == set()
    assert large.rows("jobs") <= 500 * 6
    assert large.loops("jobs") == 1
    assert large.rows("llm_response") == 0


def test_a_walk_finds_its_equals_among_the_walks_of_many_groups(large: Plans) -> None:
    """As when an application adds a prompts row for each of its users at once."""
    large.db.run("delete from leadhook.outbox")
    large.db.note_prompts_changes()
    large.db.run(
        "insert into leadhook.outbox (kind, n, user_id, tag, prompts_inserted)"
        " select 'prompts', 0, gen_random_uuid(), 't', true from generate_series(1, 3000)"
    )
    large.db.note_prompts_changes()
    large.scans.clear()
    assert large.db.value("select cardinality(leadhook.next_walk())") == 2
    assert large.sequential() == set()
    assert large.rows("outbox") <= 10


def test_expired_leases_and_repeated_claims_go_by_their_indexes(large: Plans) -> None:
    """One look at what is leased, not at what is ready or done."""
    large.db.run("delete from leadhook.outbox")
    token = uuid4()
    large.db.claim(5, token=token)
    large.db.run("update leadhook.jobs set lease_until = now() - interval '1 s' where claim_token = %(t)s", t=token)
    large.db.control(leases_from="epoch")
    large.db.run("delete from public.gemini_api")
    large.scans.clear()
    assert large.db.claim(5)["leads"] == []
    assert large.sequential() == set()
    assert large.rows("jobs") <= 100


def test_what_is_due_next_is_one_look_at_each_index(large: Plans) -> None:
    """It ends every reply of claim, save and renewal."""
    large.db.run("delete from leadhook.outbox")
    large.db.run("update leadhook.jobs set available_at = 'tomorrow' where state = 'ready'")
    while large.db.claim(16)["has_more"]:
        pass
    large.scans.clear()
    assert large.db.value("select leadhook.next_due_ms(clock_timestamp())") > 250
    assert large.sequential() == set()
    assert (large.rows("jobs") <= 4, large.rows("outbox")) == (True, 0)


def test_an_explanation_looks_at_one_lead_and_counts_up_to_a_bound(large: Plans) -> None:
    """The last of 2,500 ready ones; a done one costs next to nothing."""
    found = large.db.rpc("leadhook_explain", p_lead_id="lead-22500")
    assert found["queue"]["ahead_in_group"] == 1000
    assert large.sequential().isdisjoint(
        {"jobs", "outbox", "attempts", "all_leads", "lead_details", "prompts", "webhooks"}
    )
    assert large.rows("jobs") <= 3 * 1000 + 100
    assert large.rows("outbox") <= 200
    large.scans.clear()
    assert large.db.rpc("leadhook_explain", p_lead_id="lead-1")["job"]["state"] == "done"
    assert large.rows("jobs") <= 10


def test_a_status_counts_by_indexes(large: Plans) -> None:
    """Each state up to its bound; among many jobs of which none is done, too."""
    large.db.run("update leadhook.jobs set state = 'waiting' where state = 'done'")
    large.scans.clear()
    assert large.db.rpc("leadhook_status")["jobs"]["done"] == 0
    assert large.rows("jobs") <= 6 * 1000


def test_a_page_of_an_evaluation_looks_at_its_leads(large: Plans) -> None:
    """250 of 20,000 answered ones, each answer and attempt once; those of a user without answers: 5,000 jobs."""
    large.db.run(
        "insert into leadhook.results (lead_id, run, score, response, should_contact, subject, message, written)"
        " select lead_id, 1, 30, '', false, 's', 'm', true from leadhook.jobs where state = 'done'"
    )
    large.scans.clear()
    page = large.db.rpc("leadhook_evaluation_leads", p_filter={"state": "done"})
    assert len(page["leads"]) == 250
    assert large.sequential() == set()
    assert max(large.rows(table) for table in ("results", "attempts")) <= 4 * 250
    large.scans.clear()
    assert large.db.rpc("leadhook_evaluation_leads", p_filter={"user_id": str(uuid4())})["leads"] == []
    assert large.rows("jobs") <= 3 * 5000
