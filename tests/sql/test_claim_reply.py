"""What a claim hands out."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter
from tests.sql.conftest import Sql
from tests.sql.explained import read_blocks

from leadhook.domain.job import ApiKey, ClaimedLead

pytestmark = pytest.mark.usefixtures("known_moves")
TABLES = ("all_leads", "lead_details", "prompts")
BLOCK = 8192
"""How long the API lets a statement take."""
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")
ODD_IDS = ["it's", 'quo"ted', "sla/sh\\es", "{a,b}", "😀 emoji", "%s %(id)s", " blanks ", "new\nline", "null"]


def test_a_claim_hands_out_all_that_a_score_needs(keyed: Sql) -> None:
    keyed.lead("lead-1", linkedin_url="https://example.com/in/ada")
    keyed.details("lead-1", name="Ada", title="CTO", location="London", company_name="Engines", experience="10 years",
                  skills="math", bio="Wrote the first program.", profile_url="p", company_page_url="c")  # fmt: skip
    keyed.prompts()
    keyed.note_change("lead-1")
    batch = keyed.claim(source="webhook")
    (lead,) = batch["leads"]
    assert lead["lead"] == {
        "lead_id": "lead-1",
        "tag": keyed.TAG,
        "name": "Ada",
        "title": "CTO",
        "location": "London",
        "company_name": "Engines",
        "experience": "10 years",
        "skills": "math",
        "bio": "Wrote the first program.",
        "profile_url": "p",
        "linkedin_url": "https://example.com/in/ada",
        "company_page_url": "c",
    }
    expected = {
        "lead_id": "lead-1",
        "run": 1,
        "attempts": 0,
        "low_priority": False,
        "source": "webhook",
        "checkpoint": None,
    }
    assert {name: lead[name] for name in expected} == expected
    texts = {"wildnet_data": "We sell.", "scoring_criteria_and_icp": "Buyers.", "message_prompt": "Be kind."}
    assert batch["prompts"] == {lead["prompts_ref"]: texts}
    fingerprint = hashlib.sha256(keyed.KEY.encode()).hexdigest()[:16]
    key = {"fingerprint": fingerprint, "api_key": keyed.KEY, "tried": False, "rests": 0, "answered_ms": None}
    assert batch["keys"] == [key]


def test_the_reply_is_what_the_domain_says(keyed: Sql) -> None:
    keyed.note_change(keyed.eligible_lead("lead-1"))
    batch = keyed.claim()
    leads = [lead | {"prompts": batch["prompts"][lead.pop("prompts_ref")]} for lead in batch["leads"]]
    assert len(TypeAdapter(list[ClaimedLead]).validate_python(leads)) == 1
    assert len(TypeAdapter(list[ApiKey]).validate_python(batch["keys"])) == 1
    assert batch["last_user"] == str(keyed.USER)
    rest = {name: batch[name] for name in ("busy", "has_more", "lease_ms", "renew_ms", "start_limit_ms")}
    assert rest == {
        "busy": False, "has_more": False, "lease_ms": 30_000, "renew_ms": 10_000, "start_limit_ms": 15_000
    }  # fmt: skip


def test_a_claim_leases_what_it_hands_out(keyed: Sql) -> None:
    keyed.control(lease_s=12.5)
    keyed.ready_job("lead-1")
    batch = keyed.claim(worker="worker-7")
    job = keyed.job("lead-1")
    assert (job["state"], job["worker"], job["fence"]) == ("leased", "worker-7", batch["leads"][0]["fence"])
    assert job["lease_until"] - job["leased_at"] == timedelta(seconds=12.5)
    assert batch["lease_ms"] == 12_500
    assert abs(keyed.value("select clock_timestamp()") - job["leased_at"]) < timedelta(seconds=30)


def test_fences_only_grow(keyed: Sql) -> None:
    fences = []
    for number in range(5):
        keyed.ready_job(f"lead-{number}")
        fences += [lead["fence"] for lead in keyed.claim()["leads"]]
    assert fences == sorted(set(fences))
    assert len(fences) == 5


def test_how_long_a_lead_waited_is_measured_by_the_databases_clock(keyed: Sql) -> None:
    keyed.note_change(keyed.eligible_lead("lead-1"))
    keyed.run("update leadhook.outbox set changed_at = changed_at - interval '90 s'")
    changed_at = keyed.value("select changed_at from leadhook.outbox")
    (lead,) = keyed.claim()["leads"]
    assert datetime.fromisoformat(lead["eligible_at"]) == changed_at
    assert 90_000 <= lead["waited_ms"] < 120_000


def test_each_distinct_prompts_row_travels_once(keyed: Sql) -> None:
    for number in range(6):
        keyed.ready_job(f"a-{number}", tag="a")
        keyed.ready_job(f"b-{number}", user=OTHER_USER, tag="b")
    keyed.prompts(user=OTHER_USER, tag="b", message_prompt="Newest of b")
    batch = keyed.claim()
    assert len(batch["leads"]) == 12
    prompts = {lead["lead_id"][0]: batch["prompts"][lead["prompts_ref"]]["message_prompt"] for lead in batch["leads"]}
    assert prompts == {"a": "Be kind.", "b": "Newest of b"}
    assert len(batch["prompts"]) == 2


def test_what_was_paid_for_travels_with_the_lead(keyed: Sql) -> None:
    keyed.ready_job("lead-1", checkpoint={"score": {"score": 80}}, attempts=2, run=3)
    (lead,) = keyed.claim()["leads"]
    assert (lead["checkpoint"], lead["attempts"], lead["run"]) == ({"score": {"score": 80}}, 2, 3)


def test_a_lead_with_nulls_everywhere_is_handed_out(keyed: Sql) -> None:
    keyed.loosen()
    keyed.run(
        "insert into public.all_leads (lead_id, user_id, tag, scrapped) values ('bare', %(u)s, 't', true)", u=keyed.USER
    )
    keyed.run("insert into public.lead_details (lead_id, sent_to_llm) values ('bare', null)")
    keyed.run("insert into public.prompts (user_id, tag, created_at) values (%(u)s, 't', null)", u=keyed.USER)
    keyed.note_change("bare")
    batch = keyed.claim()
    (lead,) = batch["leads"]
    assert {name for name, value in lead["lead"].items() if value is not None} == {"lead_id", "tag"}
    assert set(batch["prompts"]["0"].values()) == {None}


def test_odd_lead_ids_are_handed_out(keyed: Sql) -> None:
    for lead_id in ODD_IDS:
        keyed.note_change(keyed.eligible_lead(lead_id))
    assert sorted(keyed.ids_of(keyed.claim())) == sorted(ODD_IDS)


def test_structured_columns_come_as_text(keyed: Sql) -> None:
    """JSON text in experience, and a jsonb column for skills: none of it is part of the reply's own JSON."""
    keyed.run("alter table public.lead_details alter column skills type jsonb using null")
    keyed.lead("lead-1")
    keyed.details("lead-1", experience='[{"at": "Engines"}]', skills={"languages": ["Ada", "C"]})
    keyed.prompts()
    keyed.note_change("lead-1")
    lead = keyed.claim()["leads"][0]["lead"]
    assert (lead["experience"], lead["skills"]) == ('[{"at": "Engines"}]', {"json": '{"languages": ["Ada", "C"]}'})


@pytest.mark.parametrize("kind", ["text", "json", "jsonb"])
def test_every_field_is_cut(keyed: Sql, kind: str) -> None:
    """Far above what a model may see of it; a prompts row at one character above what is taken of it."""
    structured = ("experience", "skills")
    for column in structured:
        keyed.run(f"alter table public.lead_details alter column {column} type {kind} using null")
    keyed.ready_job("lead-1")
    keyed.run("update public.all_leads set linkedin_url = repeat('ü', 300000)")
    keyed.run("update public.prompts set message_prompt = repeat('ü', 300000)")
    for column in ("name", "title", "location", "company_name", "bio", "profile_url", "company_page_url"):
        keyed.run(f"update public.lead_details set {column} = repeat('ü', 300000)")  # noqa: S608 - names of ours
    for column in structured:
        quoted = "to_json(repeat('ü', 300000))::text" if kind != "text" else "repeat('ü', 300000)"
        keyed.run(f"update public.lead_details set {column} = ({quoted})::{kind}")  # noqa: S608 - names of ours
    batch = keyed.claim()
    (lead,) = batch["leads"]
    texts = {name: value["json"] if isinstance(value, dict) else value for name, value in lead["lead"].items()}
    lengths = {name: len(value) for name, value in texts.items() if name not in ("lead_id", "tag")}
    assert lengths.pop("bio") == 20_000
    assert {lengths.pop(column) for column in structured} == {100_000}
    assert set(lengths.values()) == {10_000}
    assert len(batch["prompts"]["0"]["message_prompt"]) == 100_001


def test_a_reply_is_bounded_and_holds_one_lead_at_least(keyed: Sql) -> None:
    keyed.control(claim_bytes=50_000)
    for number in range(5):
        keyed.ready_job(f"lead-{number}")
    keyed.run("update public.lead_details set experience = repeat('x', 20000)")
    batch = keyed.claim()
    assert (keyed.ids_of(batch), batch["has_more"]) == (["lead-0", "lead-1"], True)
    keyed.control(claim_bytes=10_000)
    assert keyed.ids_of(keyed.claim()) == ["lead-2"]
    assert keyed.value("select count(*) from leadhook.attempts") == 0


def test_prompts_count_once_against_the_bound(keyed: Sql) -> None:
    """Leads of one group share them."""
    keyed.control(claim_bytes=50_000)
    for number in range(5):
        keyed.ready_job(f"lead-{number}")
    keyed.run("update public.prompts set message_prompt = repeat('x', 20000)")
    assert len(keyed.claim()["leads"]) == 5


def test_duplicate_rows_of_a_lead_make_one_lead(keyed: Sql) -> None:
    keyed.loosen()
    keyed.eligible_lead("lead-1")
    keyed.lead("lead-1", tag="other")
    keyed.details("lead-1", name="Zed")
    keyed.note_change("lead-1")
    batch = keyed.claim()
    assert [(lead["lead_id"], lead["lead"]["name"]) for lead in batch["leads"]] == [("lead-1", "Zed")]
    assert keyed.claim()["leads"] == []


def test_big_duplicates_of_a_lead_are_not_read_as_a_whole(keyed: Sql) -> None:
    """Of each lead several rows in each table, of 1 MB each: the claim reads less than two of these 26 values."""
    keyed.loosen()
    ids = keyed.eligible_leads(4)
    text = secrets.token_hex(2**19)
    keyed.run(
        "insert into public.lead_details (lead_id, name, bio)"
        " select lead_id, 'b', %(t)s from public.all_leads, generate_series(1, 3)",
        t=text,
    )
    keyed.run("update public.all_leads set linkedin_url = %(t)s", t=text)
    keyed.run("insert into public.all_leads select a.* from public.all_leads as a, generate_series(1, 2)")
    for _ in range(2):
        keyed.prompts(created_at="2026-11-02T00:00:00Z", wildnet_data=text)
    for lead_id in ids:
        keyed.make_job(lead_id)
    with keyed.transaction():
        before = read_blocks(keyed, *TABLES)
        assert len(keyed.claim()["leads"]) == 4
        read = read_blocks(keyed, *TABLES) - before
    assert 0 < read * BLOCK < 2 * len(text)


NOT_TEXT = [
    ('"\\u0000"', ""),
    ('"a\\u0000b \\ud83d c \\ude00 d"', "ab  c  d"),
    ('"\\ud83d\\ude00 \\\\u0000"', "😀 \\u0000"),
    ('[{"at": "\\u0000"}]', None),
    ("null", None),
    ('"plain"', "plain"),
]


@pytest.mark.parametrize("column", ["experience", "name"])
def test_what_no_text_can_hold_stops_neither_a_claim_nor_the_predecessors_function(keyed: Sql, column: str) -> None:
    keyed.run(f"alter table public.lead_details alter column {column} type json using null")
    expected: dict[str, object] = {"good-1": None, "good-2": None}
    for number, (stored, text) in enumerate(NOT_TEXT):
        expected[f"bad-{number}"] = stored if text is None and stored != "null" else text
    for lead_id in expected:
        keyed.note_change(bare_lead(keyed, lead_id))
    for number, (stored, _) in enumerate(NOT_TEXT):
        keyed.run(
            f"update public.lead_details set {column} = %(v)s::json where lead_id = %(id)s",  # noqa: S608 - names of ours
            v=stored, id=f"bad-{number}",
        )  # fmt: skip
    listed = keyed.rows("select * from public.rpc_get_eligible_llm_jobs()")
    assert {row["lead_id"]: row[column] for row in listed} == expected
    leads = {lead["lead_id"]: lead["lead"][column] for lead in keyed.claim()["leads"]}
    if column == "experience":
        expected |= {f"bad-{number}": {"json": stored} for number, (stored, _) in enumerate(NOT_TEXT)}
    assert leads == expected


def bare_lead(db: Sql, lead_id: str) -> str:
    db.lead(lead_id)
    db.run("insert into public.lead_details (lead_id) values (%(id)s)", id=lead_id)
    if not db.count("public.prompts"):
        db.prompts()
    return lead_id


def test_without_a_usable_key_nothing_is_handed_out(db: Sql) -> None:
    """The outbox is applied nevertheless."""
    db.loosen()
    for blank in ("", "  ", "\n"):
        db.key(blank)
    db.run("insert into public.gemini_api (api_key) values (null)")
    db.note_change(db.eligible_lead("lead-1"))
    batch = db.claim()
    assert (batch["leads"], batch["keys"], batch["has_more"]) == ([], [], False)
    assert (db.states(), batch["next_due_ms"]) == ({"lead-1": "ready"}, None)
    db.key()
    assert db.ids_of(db.claim()) == ["lead-1"]


@pytest.mark.parametrize("other", ["the same key twice", "another key"])
def test_keys_come_once_each(keyed: Sql, other: str) -> None:
    """Two rows may hold the same key."""
    keyed.key(f" {keyed.KEY}\n" if other == "the same key twice" else "visibly-fake-other-key")
    keyed.ready_job("lead-1")
    expected = [keyed.KEY] if other == "the same key twice" else [keyed.KEY, "visibly-fake-other-key"]
    assert sorted({key["api_key"] for key in keyed.claim()["keys"]}) == expected


PARKED: dict[str, tuple[str, str | None, bool, bool]] = {
    "disabled": ("disabled", None, True, False),
    "cooling": ("cooling", "1 hour", True, False),
    "cooled down": ("cooling", "-1 second", True, True),
    "disabled, row changed": ("disabled", None, False, True),
    "cooling, row changed": ("cooling", "1 hour", False, True),
    "healthy": ("healthy", None, True, True),
}


@pytest.mark.parametrize("case", PARKED)
def test_a_parked_key_is_not_used_until_its_time_or_its_row_changes(keyed: Sql, case: str) -> None:
    """A changed row is a new chance."""
    state, until, same_row, healthy = PARKED[case]
    keyed.run(
        "insert into leadhook.api_keys (fingerprint, state, until, row_version)"
        " select left(encode(sha256(convert_to(api_key, 'UTF8')), 'hex'), 16), %(state)s,"
        " clock_timestamp() + %(until)s::interval, case when %(same)s then xmin::text else '3' end"
        " from public.gemini_api",
        state=state, until=until, same=same_row,
    )  # fmt: skip
    keyed.ready_job("lead-1")
    assert bool(keyed.claim()["leads"]) is healthy


def test_a_key_is_parked_in_all_its_rows(keyed: Sql) -> None:
    """The row version that was checked belongs to one of them."""
    keyed.key()
    keyed.run(
        "insert into leadhook.api_keys (fingerprint, state, row_version)"
        " select left(encode(sha256(convert_to(api_key, 'UTF8')), 'hex'), 16), 'disabled', xmin::text"
        " from public.gemini_api limit 1"
    )
    keyed.ready_job("lead-1")
    assert keyed.claim()["leads"] == []


def test_a_lead_that_turned_bad_since_it_was_made_ready_stops_no_claim(keyed: Sql) -> None:
    """It is dead with the reason, and the others are handed out."""
    keyed.ready_job("bad-1")
    keyed.ready_job("good-1")
    keyed.poison()
    assert keyed.ids_of(keyed.claim()) == ["good-1"]
    job = keyed.job("bad-1")
    assert (job["state"], job["error_code"], job["reason"]) == ("dead", "evaluation_failed", "division by zero")


def next_due(db: Sql) -> int | None:
    batch: dict[str, Any] = db.claim(1)
    assert batch["leads"] == []
    due: int | None = batch["next_due_ms"]
    return due


def test_nothing_is_due_where_nothing_waits(keyed: Sql) -> None:
    """Waiting, held, done and dead leads become due by a change, not by time."""
    for state in ("waiting", "held", "done", "dead"):
        keyed.make_job(state, state=state)
    assert next_due(keyed) is None


def test_a_retry_is_due_when_its_time_comes(keyed: Sql) -> None:
    """And not before 250 ms."""
    keyed.ready_job("lead-1", available_at=keyed.value("select clock_timestamp() + interval '20 s'"))
    assert 15_000 < (next_due(keyed) or 0) <= 20_000
    keyed.run("update leadhook.jobs set available_at = clock_timestamp() + interval '1 hour'")
    keyed.ready_job("lead-2", low_priority=True, available_at=keyed.value("select clock_timestamp() + interval '10 s'"))
    assert 5_000 < (next_due(keyed) or 0) <= 10_000


def test_the_lease_of_any_worker_is_due_when_it_ends(keyed: Sql) -> None:
    """A worker that is awake takes over."""
    keyed.ready_job("lead-1")
    keyed.claim(worker="somebody else")
    assert 25_000 < (next_due(keyed) or 0) <= 30_000


def test_without_a_healthy_key_the_return_of_one_is_due(keyed: Sql) -> None:
    """Nothing else could be handed out before."""
    keyed.run(
        "insert into leadhook.api_keys (fingerprint, state, until)"
        " select left(encode(sha256(convert_to(api_key, 'UTF8')), 'hex'), 16), 'cooling',"
        " clock_timestamp() + interval '60 s' from public.gemini_api"
    )
    assert next_due(keyed) is None
    keyed.ready_job("lead-1")
    assert 50_000 < (next_due(keyed) or 0) <= 60_000


def test_a_change_that_was_returned_is_due_in_a_moment(keyed: Sql, connect: Callable[[], Sql]) -> None:
    """Not at once: that would spin."""
    keyed.ready_job("lead-1", state="waiting")
    keyed.note_change("lead-1")
    holder = connect()
    with holder.transaction():
        holder.run("select from leadhook.jobs for update")
        assert next_due(keyed) == 250
