"""What the console lists: leads, failures by reason, webhooks, keys and what runs at low priority."""

import re
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from tests.sql.conftest import Row, Sql
from tests.sql.explained import Plans

from leadhook.domain.console import (
    COUNTED_UP_TO,
    Deliveries,
    Failures,
    LeadPage,
    LeadSearch,
    ListedKeys,
    Overview,
    Progress,
)
from leadhook.local.database import Database

QUARANTINED = "evaluation_failed"
OTHER = UUID("00000000-0000-4000-8000-000000000002")
HOSTILE = [
    "'; drop table leadhook.jobs; --",
    "%_\\%",
    "<script>alert(1)</script>",
    "\u202e\u0000\ud800".replace("\u0000", "").replace("\ud800", ""),
    "a" * 5000,
    '["x", {"y": 1}]',
    "(0,0)",
]


def search(db: Sql, after: str | None = None, limit: Any = 25, **fields: Any) -> LeadPage:
    """Call `leadhook_search_leads` with the fields of a search."""
    filter_ = LeadSearch(**fields).fields()
    return LeadPage.model_validate(db.rpc("leadhook_search_leads", p_filter=filter_, p_after=after, p_limit=limit))


def found(page: LeadPage) -> set[str]:
    """The ids of a page."""
    return {lead.lead_id for lead in page.leads}


def everything(db: Sql, limit: int, **fields: Any) -> list[str]:
    """The ids of all pages, in their order."""
    page = search(db, limit=limit, **fields)
    ids = [lead.lead_id for lead in page.leads]
    while page.after is not None:
        page = search(db, page.after, limit, **fields)
        assert page.count is None
        assert found(page).isdisjoint(ids), fields
        ids += [lead.lead_id for lead in page.leads]
    return ids


@pytest.fixture
def known(db: Sql) -> Sql:
    """A lead in each state and more, of two users and three tags."""
    leads: dict[str, Row] = {
        "waiting": {"state": "waiting"},
        "ready": {"error_code": "gemini_unavailable", "reason": "Gemini said 503."},
        "leased": {"state": "leased"},
        "held": {"state": "held", "tag": "later"},
        "done-30": {"state": "done"},
        "done-80": {"state": "done", "user": OTHER},
        "flagged": {"state": "done", "user": OTHER, "tag": "x"},
        "dead": {"state": "dead", "error_code": "blocked", "reason": "Gemini blocked it."},
        "dead-2": {"state": "dead", "error_code": "blocked", "reason": "Gemini blocked it."},
        "dead-3": {"state": "dead", "error_code": "blocked", "reason": "Other words."},
        "quarantined": {
            "state": "dead",
            "user": OTHER,
            "tag": "q",
            "error_code": "evaluation_failed",
            "reason": "22P02",
        },
        "forgotten": {"state": "done", "tag": "old"},
    }
    for lead_id, columns in leads.items():
        db.ready_job(lead_id, **columns)
    db.run("update public.lead_details set company_name = 'Ärzte & Söhne 100%%' where lead_id in ('dead', 'done-80')")
    db.run("update leadhook.jobs set finished_at = now() - interval '2 h' where state in ('done', 'dead')")
    db.run(
        "insert into leadhook.attempts (lead_id, run, fence, outcome, finished_at, source, eligible_at)"
        " select lead_id, 1, 1, case state when 'done' then 'saved' else 'dead' end, finished_at, 'webhook',"
        " eligible_at from leadhook.jobs where finished_at is not null order by lead_id"
    )
    db.run("delete from leadhook.attempts where lead_id in ('forgotten', 'quarantined')")
    db.run(
        "insert into leadhook.results (lead_id, run, score, response, should_contact, flags, prompt_version, written)"
        " values ('done-30', 1, 99, 'old', true, '{gives_orders}', 'p0', true),"
        " ('done-30', 2, 30, '', false, '{}', 'p1', true), ('done-80', 1, 80, '', true, '{}', 'p2', true),"
        " ('flagged', 1, 50, '', true, '{asks_for_score}', 'p2', true),"
        " ('forgotten', 1, 20, '', false, '{}', 'p0', true)"
    )
    return db


DEAD = {"dead", "dead-2", "dead-3", "quarantined"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EACH: dict[str, tuple[dict[str, Any], set[str]]] = {
    "id": ({"lead_id": "dead"}, {"dead"}),
    "text that is an id": ({"q": "dead-2"}, {"dead-2"}),
    "name": ({"q": "NAME OF FLAG"}, {"flagged"}),
    "company": ({"q": "ärzte & söhne 100%"}, {"dead", "done-80"}),
    "company and state": ({"q": "söhne", "state": "dead"}, {"dead"}),
    "text that no one has": ({"q": "%"}, {"dead", "done-80"}),
    "user": ({"user_id": OTHER}, {"done-80", "flagged", "quarantined"}),
    "user and tag": ({"user_id": OTHER, "tag": "x"}, {"flagged"}),
    "tag": ({"tag": "x"}, {"flagged"}),
    "tag of a quarantined lead": ({"tag": "q"}, {"quarantined"}),
    "tag of a held lead": ({"tag": "later"}, {"held"}),
    "tag of a lead whose attempts are deleted": ({"tag": "old"}, {"forgotten"}),
    "score of a lead whose attempts are deleted": ({"score_max": 20}, {"forgotten"}),
    "last hours": ({"since": LONG_AGO}, {"done-30", "done-80", "flagged", *DEAD, "forgotten"}),
    "state": ({"state": "dead"}, DEAD),
    "leased": ({"state": "leased"}, {"leased"}),
    "user without leads": ({"user_id": UUID(int=0)}, set()),
    "error code": ({"error_code": "blocked"}, {"dead", "dead-2", "dead-3"}),
    "error code and state": ({"error_code": "gemini_unavailable", "state": "ready"}, {"ready"}),
    "score": ({"score_min": 50, "score_max": 80}, {"done-80", "flagged"}),
    "last score, not an earlier one": ({"score_min": 90}, set()),
    "prompt version": ({"prompt_version": "p2"}, {"done-80", "flagged"}),
    "outcome": ({"outcome": "dead"}, {"dead", "dead-2", "dead-3"}),
    "flag": ({"flag": "asks_for_score"}, {"flagged"}),
    "any flag": ({"flag": "any"}, {"flagged"}),
    "flag of an earlier result": ({"flag": "gives_orders"}, set()),
    "state that another filter excludes": ({"state": "leased", "since": LONG_AGO}, set()),
    "nothing": ({}, {"done-30", "done-80", "flagged", *DEAD, "forgotten", "waiting", "ready", "leased", "held"}),
}


def test_what_a_replay_cannot_select_is_replayed_by_id() -> None:
    """A text, an id and a flag are no fields of its filter, and everything is not meant by nothing."""
    assert LeadSearch(user_id=OTHER, tag="", score_min=0).replay_filter() == {"user_id": str(OTHER), "score_min": 0}
    for search_ in (LeadSearch(), LeadSearch(q="x", tag="a"), LeadSearch(lead_id="a"), LeadSearch(flag="any")):
        assert search_.replay_filter() is None


def test_a_search_finds_the_leads_that_match(known: Sql) -> None:
    """Each filter, by whichever index, page by page as at once; every page in one order, none twice."""
    for name, (fields, expected) in EACH.items():
        page = search(known, **fields)
        assert found(page) == expected, name
        assert (page.count, page.complete, page.after) == (len(expected), True, None), name
        assert everything(known, 1, **fields) == [lead.lead_id for lead in page.leads], name


def test_a_preview_counts_what_the_replay_would_queue(known: Sql) -> None:
    """As the walk over all jobs does, for each filter that a replay can have."""
    for name, (fields, _) in EACH.items():
        filter_ = LeadSearch(**fields).replay_filter()
        if filter_ is not None and fields.get("state") != "leased":
            exact = known.rpc("leadhook_replay_dry_run", p_lead_ids=None, p_filter=filter_, p_limit=None)
            preview = known.rpc("leadhook_replay_preview", p_filter=filter_)
            assert preview.pop("complete") is True, name
            assert sorted(preview.pop("sample")) == exact.pop("sample"), name
            assert preview == {key: value for key, value in exact.items() if key != "last_lead"}, name


def test_the_input_of_a_lead_is_what_a_claim_hands_out(known: Sql) -> None:
    """Of a dead one too; nothing of one that has no job or no prompts."""
    known.key()
    given = known.rpc("leadhook_lead_input", p_lead_id="dead")
    assert (given["lead"]["name"], given["prompts"]["message_prompt"]) == ("Name of dead", "Be kind.")
    (claimed,) = known.claim()["leads"]
    given = known.rpc("leadhook_lead_input", p_lead_id="ready")
    assert (given["lead"], claimed["lead_id"]) == (claimed["lead"], "ready")
    known.run("delete from public.prompts")
    assert [known.rpc("leadhook_lead_input", p_lead_id=lead_id) for lead_id in ("dead", "no one", "")] == [{}] * 3


@pytest.mark.parametrize("state", [None, "dead"])
def test_a_search_by_time_is_by_when_the_run_ended(known: Sql, state: str | None) -> None:
    """From the time on, and before the other."""
    known.run("update leadhook.jobs set finished_at = now() - interval '9 days' where lead_id = 'dead'")
    known.run("update leadhook.attempts set finished_at = now() - interval '9 days' where lead_id = 'dead'")
    now = known.value("select now()")
    days = {n: known.value("select now() - %(n)s * interval '1 day'", n=n) for n in (1, 8)}
    assert "dead" not in found(search(known, since=days[8], state=state))
    assert found(search(known, until=days[1], state=state)) == {"dead"}
    assert {"dead-2", "dead-3"} <= found(search(known, since=days[1], until=now, state=state))


def test_a_found_lead_has_its_job_and_its_last_result(known: Sql) -> None:
    """With the name and company as they are now."""
    (lead,) = search(known, lead_id="done-80").leads
    assert (lead.name, lead.company, lead.score, lead.state) == ("Name of done-80", "Ärzte & Söhne 100%", 80, "done")
    (lead,) = search(known, lead_id="dead").leads
    assert (lead.error_code, lead.reason, lead.score, lead.flags) == ("blocked", "Gemini blocked it.", None, ())


def test_a_search_takes_hostile_text_for_text(known: Sql) -> None:
    """In every field that has any; a cursor that no search made is the caller's fault."""
    for text in HOSTILE:
        for field in ("q", "lead_id", "tag", "error_code", "prompt_version", "flag"):
            assert found(search(known, **{field: text})) == set(), (field, text)
        with pytest.raises(psycopg.Error, match="is invalid") as refused:
            search(known, f"{{{text}", state="dead")
        assert refused.value.sqlstate == "PT400"
    assert known.count("leadhook.jobs") == 12


def test_a_search_says_where_it_stopped(known: Sql) -> None:
    """When the time is up it has what it found so far; its cursor goes on from there."""
    source = known.value("select pg_get_functiondef('public.leadhook_search_leads(jsonb,text,int)'::regprocedure)")
    for part, now in {"n >= 3 and": "", "60 ms": "-1 ms", "80 ms": "-1 ms"}.items():
        assert part in source
        source = source.replace(part, now)
    known.connection.execute(source.encode())
    page = search(known, q="name of dead")
    seen, looks = found(page), 0
    while page.after is not None:
        assert (page.complete, page.count) == (False, len(seen) if looks == 0 else None)
        page = search(known, page.after, q="name of dead")
        seen, looks = seen | found(page), looks + 1
    assert (seen, page.complete, looks > 0) == ({"dead", "dead-2", "dead-3"}, True, True)


def test_a_name_is_found_in_a_partitioned_table(known: Sql) -> None:
    """Its parent has no pages."""
    known.run("create table public.parted (like public.lead_details including defaults) partition by hash (lead_id)")
    for n in range(2):
        statement = "create table public.{} partition of public.parted for values with (modulus 2, remainder {})"
        known.run(sql.SQL(statement).format(sql.Identifier(f"parted_{n}"), n))
    known.run("insert into public.parted select * from public.lead_details")
    known.run("alter table public.lead_details rename to whole; alter table public.parted rename to lead_details")
    known.run("grant select on public.lead_details to service_role")
    assert found(search(known, q="name of dead")) == {"dead", "dead-2", "dead-3"}


def test_failures_are_grouped_by_code_and_state(known: Sql) -> None:
    """With the filter that replays exactly those."""
    known.run("update leadhook.jobs set finished_at = now() where lead_id = 'dead-2'")
    groups = Failures.model_validate(known.rpc("leadhook_failures")).groups
    assert [(group.error_code, group.state, group.count) for group in groups] == [
        ("blocked", "dead", 3),
        (QUARANTINED, "dead", 1),
        ("gemini_unavailable", "ready", 1),
    ]
    assert [(reason.reason, reason.leads) for reason in groups[0].reasons] == [
        ("Gemini blocked it.", 2),
        ("Other words.", 1),
    ]
    assert (groups[0].example, groups[0].last_at is not None) == ("dead-2", True)
    counted = known.rpc("leadhook_replay_dry_run", p_lead_ids=None, p_filter=groups[0].replay_filter, p_limit=None)
    assert sum(counted["counts"].values()) == 3


def test_deliveries_come_in_pages_with_their_answers(wired: Sql) -> None:
    """A webhook that was not handed to pg_net says so."""
    wired.run(
        "insert into leadhook.webhooks (request_id, message_id, reason, leads, status_code, error)"
        " values (1, 'a', 'leads', 2, 202, null), (null, 'b', 'leads', 1, null, 'no URL'),"
        " (3, 'c', 'leads', 1, null, null)"
    )
    page = Deliveries.model_validate(wired.rpc("leadhook_deliveries", p_limit=2))
    assert [(d.sent, d.status_code, d.error) for d in page.deliveries] == [(True, None, None), (False, None, "no URL")]
    rest = Deliveries.model_validate(wired.rpc("leadhook_deliveries", p_before=page.before, p_limit=2))
    assert ([d.status_code for d in rest.deliveries], rest.before) == ([202], None)


def test_keys_are_listed_with_why_they_rest(db: Sql) -> None:
    """Those that may not be used first; an unparked one may be tried again, and who did it is noted."""
    for key in ("fake-a", "fake-b", "fake-c"):
        db.key(key)
    names = {row["api_key"]: row["fingerprint"] for row in db.rows("select * from leadhook.healthy_keys()")}
    db.park_keys(
        {"fingerprint": names["fake-a"], "reason": "quota", "for_ms": 60_000},
        {"fingerprint": names["fake-b"], "reason": "invalid", "for_ms": None},
    )
    keys = ListedKeys.model_validate(db.rpc("leadhook_keys")).keys
    assert [(key.fingerprint, key.state, key.reason) for key in keys] == [
        (names["fake-b"], "disabled", "invalid"),
        (names["fake-a"], "cooling", "quota"),
        (names["fake-c"], "untried", None),
    ]
    for expected in (True, False):
        call = {"p_fingerprint": names["fake-b"], "p_actor": "ada", "p_reason": "paid the bill"}
        assert db.rpc("leadhook_unpark_key", **call) == {"unparked": expected}
    assert [key.state for key in ListedKeys.model_validate(db.rpc("leadhook_keys")).keys].count("untried") == 2
    db.run("drop table public.gemini_api")
    assert db.rpc("leadhook_keys") == {"keys": []}


def test_progress_has_what_waits_at_low_priority(db: Sql) -> None:
    """A replay and a release, with the rate of the last minutes and when they end."""
    assert Progress.model_validate(db.rpc("leadhook_progress")).replays == ()
    for n in range(3):
        db.ready_job(f"r{n}", state="done")
    replay_id = db.rpc("leadhook_replay", p_lead_ids=["r0", "r1", "r2"], p_actor="ada", p_reason="why")["replay_id"]
    db.ready_job("h0", low_priority=True, source="release")
    db.run(
        "insert into leadhook.attempts (lead_id, run, fence, outcome, replay_id) values ('r9', 1, 1, 'saved', %(r)s)",
        r=replay_id,
    )
    progress = Progress.model_validate(db.rpc("leadhook_progress"))
    (replay,) = progress.replays
    assert (replay.replay_id, replay.queued, replay.waiting, replay.per_minute) == (replay_id, 3, 3, 1.0)
    assert replay.ends_at is not None
    assert 170 < (replay.ends_at - progress.now).total_seconds() < 190
    assert progress.release is not None
    assert (progress.release.waiting, progress.release.ends_at) == (1, None)


def test_the_leads_of_a_large_replay_are_not_all_counted(db: Sql) -> None:
    """Only those that wait; a smaller one has all of its figures."""
    for n in range(3):
        db.ready_job(f"r{n}", state="done")
    replay_id = db.rpc("leadhook_replay", p_lead_ids=["r0", "r1", "r2"], p_actor="ada")["replay_id"]
    exact, bounded = (db.rpc("leadhook_replay_status", p_replay_id=replay_id, p_most=most) for most in (3, 2))
    assert exact == db.rpc("leadhook_replay_status", p_replay_id=replay_id)
    assert exact["complete"] is True
    assert exact["usage"]["calls"] == 0
    assert (bounded["complete"], bounded["progress"], bounded["usage"]) == (False, {"waiting": 3}, {})
    assert bounded["leads"] == exact["leads"]
    page = db.rpc("leadhook_replay_status", p_replay_id=replay_id, p_limit=1, p_most=2)
    assert (page["complete"], len(page["leads"])) == (False, 1), "whatever the size of a page"


def test_the_console_reads_an_empty_database(db: Sql) -> None:
    """No rows at all."""
    assert search(db) == LeadPage(count=0)
    assert search(db, q="x") == LeadPage(count=0)
    assert db.rpc("leadhook_failures") == {"groups": []}
    assert db.rpc("leadhook_deliveries") == {"deliveries": [], "before": None}
    assert Overview.model_validate(db.rpc("leadhook_overview")).last_day.leads == 0


# 30,000 done in one group, 3,000 of them lately; 300 dead of two codes, and 200 ready.
FILL: LiteralString = """
insert into leadhook.jobs (lead_id, user_id, tag, state, error_code, reason, finished_at, eligible_at)
select
  'lead-' || g, %(user)s, 'tag-' || g %% 3, s.state, case s.state when 'dead' then 'code-' || g %% 2 end, 'why',
  now() - g * interval '1 min', now()
from generate_series(1, 30500) as g
cross join lateral (select case when g <= 30000 then 'done' when g <= 30300 then 'dead' else 'ready' end as state) as s;
insert into leadhook.attempts (lead_id, run, fence, outcome, finished_at, eligible_at, source)
select lead_id, 1, 1, 'saved', finished_at, finished_at, 'webhook' from leadhook.jobs
where state <> 'ready' order by finished_at;
insert into leadhook.results (lead_id, run, score, response, should_contact, flags, written, created_at)
select
  lead_id, 1, 70, '', true, case when lead_id like '%%77' then '{gives_orders}'::text[] else '{}' end, true,
  finished_at
from leadhook.jobs where state = 'done';
insert into public.lead_details (lead_id, name, company_name, sent_to_llm)
select lead_id, 'n', lead_id, true from leadhook.jobs;
insert into leadhook.webhooks (message_id, reason) select g::text, 'leads' from generate_series(1, 5000) as g;
update leadhook.counted set until = now() - interval '1 day';
"""


def test_a_search_for_what_is_rare_stops_after_10_000_leads(db: Sql) -> None:
    """However long it may take, and goes on from there; so does a preview."""
    with psycopg.ClientCursor(db.connection) as cursor:
        cursor.execute(FILL, {"user": db.USER})
    for name in ("search_leads(jsonb,text,int)", "replay_preview(jsonb)"):
        source = db.value("select pg_get_functiondef(%(f)s::regprocedure)", f=f"public.leadhook_{name}")
        db.connection.execute(re.sub(r"\d+ ms", "1 h", source).encode())
    page, looks = search(db, tag="none"), 1
    while page.after is not None:
        assert (page.leads, page.complete) == ((), False)
        page, looks = search(db, page.after, tag="none"), looks + 1
    assert (page.complete, looks) == (True, 4)
    assert db.rpc("leadhook_replay_preview", p_filter={"tag": "none"})["complete"] is False


def test_no_page_of_the_console_reads_a_whole_table(database: Database, db: Sql) -> None:
    """As in a database that no one has analyzed: each goes by an index, and ends at a page or 10,000."""
    with psycopg.ClientCursor(db.connection) as cursor:
        cursor.execute(FILL, {"user": db.USER})
    with type(db)(psycopg.connect(database.admin_conninfo, autocommit=True, row_factory=dict_row)) as explained:
        plans = Plans(explained)
        plans.start()
        for fields, most in (
            ({"state": "dead"}, 800),
            ({"error_code": "code-1"}, 500),
            ({"flag": "any"}, 2000),
            ({"lead_id": "lead-7"}, 10),
            ({"since": db.value("select now() - interval '1 hour'")}, 300),
            ({"user_id": OTHER}, 10),
            ({"q": "lead-4321"}, 100),
            ({"score_min": 50}, 2.5 * COUNTED_UP_TO),
            ({"tag": "none"}, 2.5 * COUNTED_UP_TO),
            ({"prompt_version": "none"}, 2.5 * COUNTED_UP_TO),
        ):
            plans.scans.clear()
            assert search(plans.db, **fields).count is not None
            assert plans.sequential() == set(), fields
            assert plans.rows("jobs") <= most, fields
        calls: dict[str, Row] = {
            **{name: {} for name in ("failures", "deliveries", "progress", "overview", "audit", "held_leads")},
            "replay_preview": {"p_filter": {"error_code": "code-1"}},
        }
        for name, arguments in calls.items():
            plans.scans.clear()
            plans.db.rpc(f"leadhook_{name}", **arguments)
            assert (
                plans.sequential() - {"hourly_counts", "counted", "replays", "releases", "http_request_queue"} == set()
            ), name
            assert plans.rows("jobs") <= 1000, name
            assert max(plans.rows(table) for table in ("attempts", "results", "webhooks")) <= 5000, name
