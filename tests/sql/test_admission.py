"""What is paused is not claimed, and what is reserved can not be spent twice."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from tests.commands import Run
from tests.sql.conftest import Row, Sql

from leadhook.local.database import Database

pytestmark = pytest.mark.usefixtures("known_moves", "one_utc_day")
USER = UUID("00000000-0000-4000-8000-000000000001")
OTHER_USER = UUID("00000000-0000-4000-8000-000000000002")
TERMS = {"lead_usd": 1, "byte_usd": 0, "most_lead_bytes": 0, "most_prompts_bytes": 0}


def claim(
    db: Sql,
    limit: int = 50,
    *,
    price: Row | None = None,
    token: UUID | None = None,
    after_user: "str | None" = None,
) -> Row:
    """A claim by a service that knows its price: a lead may cost a dollar."""
    batch: Row = db.rpc(
        "leadhook_claim",
        p_token=token or db.value("select gen_random_uuid()"),
        p_worker="worker-1",
        p_limit=limit,
        p_low_priority_limit=limit,
        p_after_user=after_user,
        p_price=TERMS if price is None else price,
    )
    return batch


def budget(db: Sql, usd: float | None, user: UUID | None = None) -> Row:
    """Set or clear one."""
    reply: Row = db.rpc(
        "leadhook_set_budget", p_user_id=user, p_daily_usd=None if usd is None else Decimal(str(usd)), p_actor="tester"
    )
    return reply


def left(db: Sql, user: UUID) -> float | None:
    """What the budgets of all and of this user leave."""
    found: Decimal | None = db.value(
        "select min(b.left_usd) from leadhook.budgets_left(clock_timestamp()) as b"
        " where b.user_id is null or b.user_id = %(u)s",
        u=user,
    )
    return None if found is None else float(found)


@pytest.fixture
def groups(keyed: Sql) -> Sql:
    """Two ready leads in each of three groups: a and b of one user, c of another."""
    for tag, user in (("a", keyed.USER), ("b", keyed.USER), ("c", OTHER_USER)):
        for number in range(2):
            keyed.ready_job(f"{tag}-{number}", user=user, tag=tag)
    return keyed


@pytest.mark.parametrize(
    ("user", "tag", "open_groups"),
    [(None, None, ""), (USER, None, "c"), (USER, "a", "bc"), (OTHER_USER, None, "ab"), (OTHER_USER, "a", "abc")],
)
def test_a_pause_shuts_what_it_names(groups: Sql, user: UUID | None, tag: str | None, open_groups: str) -> None:
    """Everything, a user, or a group; the leads stay ready, and resuming hands them out."""
    scope = {"p_user_id": user, "p_tag": tag, "p_actor": "tester"}
    assert groups.rpc("leadhook_pause", **scope) == {"paused": True, "already": False}
    assert groups.rpc("leadhook_pause", **scope) == {"paused": False, "already": True}
    batch = claim(groups)
    assert {lead_id[0] for lead_id in groups.ids_of(batch)} == set(open_groups)
    assert batch["blocked_by"] == ("paused" if user is None else None)
    assert batch["has_more"] is False
    assert groups.count("leadhook.jobs", "state = 'ready'") == 6 - len(batch["leads"])
    assert groups.rpc("leadhook_resume", **scope) == {"resumed": True, "pauses": []}
    assert len(claim(groups)["leads"]) == 6 - len(batch["leads"])


def test_what_is_paused_is_not_due(groups: Sql) -> None:
    """No one polls for what may not be claimed; what is open is due all the same."""
    groups.rpc("leadhook_pause", p_user_id=groups.USER, p_actor="tester")
    groups.run("update leadhook.jobs set available_at = clock_timestamp() + interval '60 s' where tag = 'c'")
    assert 55_000 < groups.value("select leadhook.next_due_ms(clock_timestamp())") <= 60_000
    groups.rpc("leadhook_pause", p_actor="tester")
    assert groups.value("select leadhook.next_due_ms(clock_timestamp())") is None
    assert claim(groups)["next_due_ms"] is None
    budget(groups, 0)
    assert claim(groups)["next_due_ms"] is None, "the next day brings money, and the pause stays"


def test_a_wider_pause_stays_when_a_narrower_one_ends(groups: Sql) -> None:
    """And the reply says so."""
    groups.rpc("leadhook_pause", p_user_id=groups.USER, p_actor="tester")
    groups.rpc("leadhook_pause", p_user_id=groups.USER, p_tag="a", p_actor="tester")
    reply = groups.rpc("leadhook_resume", p_user_id=groups.USER, p_tag="a", p_actor="tester")
    wider = [{"user_id": str(groups.USER), "tag": None}]
    assert reply == {"resumed": True, "pauses": wider}
    assert {lead_id[0] for lead_id in groups.ids_of(claim(groups))} == {"c"}


def test_whatever_is_shut_hides_nothing_that_is_open(groups: Sql) -> None:
    """5,000 users without money, 5,000 paused tags, and 21,000 leads of one user, before six open leads."""
    groups.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, available_at)"
        " select 'shut-' || g, case when g > 31000 then shut.u when g <= 10000 then %(u)s else paused.u end,"
        " '0-' || g, 'ready', '2026-01-01' from generate_series(5001, 36000) as g"
        " cross join lateral (select ('00000000-0000-0000-0000-' || lpad(g::text, 12, '0'))::uuid) as shut (u)"
        " cross join (select '00000000-0000-3000-8000-000000000000'::uuid) as paused (u)",
        u=groups.USER,
    )
    groups.run("insert into leadhook.pauses (user_id, actor) values ('00000000-0000-3000-8000-000000000000', 't')")
    groups.run(
        "insert into leadhook.pauses (user_id, tag, actor) select user_id, tag, 't'"
        " from leadhook.jobs where user_id = %(u)s and lead_id like 'shut-%%'",
        u=groups.USER,
    )
    groups.run(
        "insert into leadhook.budgets (user_id, daily_usd) select distinct user_id, 0"
        " from leadhook.jobs where user_id < '00000000-0000-3000-8000-000000000000'"
    )
    assert groups.value("select leadhook.next_due_ms(clock_timestamp())") == 250
    last_user = str(OTHER_USER)
    first, last = claim(groups, 4), claim(groups, 4, after_user=last_user)
    assert (len(first["leads"]), first["has_more"]) == (4, True)
    assert (len(last["leads"]), last["has_more"]) == (2, False)
    groups.run("update leadhook.jobs set available_at = 'infinity' where lead_id not like 'shut-%%'")
    assert claim(groups)["leads"] == []


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("leadhook_pause", {"p_actor": None}),
        ("leadhook_pause", {"p_actor": " "}),
        ("leadhook_pause", {"p_actor": "tester", "p_tag": "a"}),
        ("leadhook_resume", {"p_actor": "tester", "p_tag": "a"}),
        ("leadhook_set_budget", {"p_actor": "", "p_daily_usd": 1}),
        ("leadhook_set_budget", {"p_actor": "tester", "p_daily_usd": -1}),
        ("leadhook_set_budget", {"p_actor": "tester", "p_daily_usd": Decimal("NaN")}),
        ("leadhook_set_budget", {"p_actor": "tester", "p_daily_usd": Decimal("Infinity")}),
    ],
)
def test_admission_refuses_what_makes_no_sense(db: Sql, function: str, arguments: dict[str, Any]) -> None:
    """As a caller's fault, in words."""
    with pytest.raises(psycopg.Error) as caught:
        db.rpc(function, **arguments)
    assert caught.value.sqlstate == "PT400"


@pytest.mark.parametrize(
    "price", [{"lead_usd": 1}, TERMS | {"lead_usd": -1}, TERMS | {"byte_usd": "1"}, TERMS | {"lead_usd": None}, [1]]
)
def test_a_claim_refuses_terms_that_are_none(keyed: Sql, price: Any) -> None:
    """Half of them, negative ones, text."""
    with pytest.raises(psycopg.Error) as caught:
        claim(keyed, price=price)
    assert caught.value.sqlstate == "PT400"


def test_a_claim_reserves_by_the_length_of_the_texts(keyed: Sql) -> None:
    """A fixed part and one for each byte, up to the maximum that is sent."""
    keyed.ready_job("short")
    keyed.ready_job("long")
    keyed.run("update public.lead_details set bio = repeat('é', 5000) where lead_id = 'long'")
    price = {"lead_usd": 1, "byte_usd": 0.001, "most_lead_bytes": 4000, "most_prompts_bytes": 10}
    reserved = {lead["lead_id"]: lead["reserved_usd"] for lead in claim(keyed, price=price)["leads"]}
    assert reserved["long"] == 1 + 4 + 0.01
    assert 1.1 < reserved["short"] < 2
    assert float(keyed.job("long")["reserved_usd"]) == reserved["long"]


def test_a_repeated_claim_reserves_once(groups: Sql) -> None:
    """The same leads, the same money."""
    budget(groups, 4)
    token = groups.value("select gen_random_uuid()")
    first, again = claim(groups, token=token), claim(groups, token=token)
    assert len(first["leads"]) == 4
    assert groups.ids_of(again) == groups.ids_of(first)
    assert left(groups, groups.USER) == 0


def test_no_more_is_handed_out_than_the_budget_of_all_can_pay(groups: Sql) -> None:
    """Then leads stay ready, and the next day is due; what comes back is handed out again."""
    budget(groups, 2.5)
    batch = claim(groups)
    assert (len(batch["leads"]), batch["has_more"]) == (2, False)
    full = claim(groups)
    assert (full["leads"], full["has_more"], full["blocked_by"]) == ([], False, None)
    assert 250 < full["next_due_ms"] <= 30_000, "a lease that ends may free money"
    lease = groups.lease_of(batch["leads"][0])
    groups.save(groups.result_of(lease, cost_usd=0.25))
    assert left(groups, groups.USER) == 1.25
    assert len(claim(groups)["leads"]) == 1
    assert groups.count("leadhook.jobs", "state = 'ready'") == 3


def test_a_spent_budget_is_due_at_midnight_in_utc(groups: Sql) -> None:
    """And nothing before it, while no one holds a lease."""
    budget(groups, 0)
    due = groups.value("select leadhook.next_due_ms(clock_timestamp())")
    midnight = groups.value(
        "select extract(epoch from leadhook.next_day(clock_timestamp()) - clock_timestamp())::float8 * 1000"
    )
    assert abs(due - midnight) < 5000
    groups.run(
        "insert into leadhook.costs (day, user_id, spent_usd) values ((now() at time zone 'UTC')::date - 1, %(u)s, 9)",
        u=groups.USER,
    )
    budget(groups, 5)
    assert len(claim(groups)["leads"]) == 5


def test_the_budget_of_a_user_holds_back_no_one_else(groups: Sql) -> None:
    """Two of four leads of the one, both of the other."""
    budget(groups, 2, groups.USER)
    batch = claim(groups)
    assert sorted(lead_id[0] for lead_id in groups.ids_of(batch)).count("c") == 2
    assert len(batch["leads"]) == 4
    assert (batch["has_more"], batch["blocked_by"]) == (False, None)
    assert (left(groups, groups.USER), left(groups, OTHER_USER)) == (0, None)
    budget(groups, 3, groups.USER)
    assert len(claim(groups)["leads"]) == 1


def test_a_spent_budget_opens_when_money_comes_back_or_the_day_ends(groups: Sql) -> None:
    """What its leases reserved may be more than they cost; after that it is not looked at again on the same day."""
    budget(groups, 1, groups.USER)
    (lease,) = claim(groups, 1)["leads"]
    assert left(groups, groups.USER) == 0
    is_shut = "select bool_and(leadhook.is_shut(user_id, tag, now())) from leadhook.ready_groups where user_id = %(u)s"
    assert not claim(groups)["has_more"]
    assert groups.value(is_shut, u=groups.USER)
    groups.release(groups.release_of(lease, "returned", cost_usd=0))
    assert groups.value("select leadhook.next_due_ms(clock_timestamp())") == 250
    assert len(claim(groups, 1)["leads"]) == 1
    costs = f'[{{"user_id": "{groups.USER}", "cost_usd": 1}}]'
    groups.run("select leadhook.book_costs(%(c)s::jsonb, now())", c=costs)
    groups.run("update leadhook.jobs set reserved_usd = null")
    claim(groups)
    looked_at = "select leadhook.budgets_to_look_at(now() + make_interval(days => %(d)s))"
    assert (groups.value(looked_at, d=0), groups.value(looked_at, d=1)) == ([], [groups.USER])
    groups.run("select leadhook.settle_budgets(now() + interval '1 day')")
    assert not groups.value(is_shut, u=groups.USER)


@pytest.mark.parametrize(("of_all", "own"), [(2, 10), (10, 2)])
def test_a_lead_needs_money_in_both_budgets(groups: Sql, of_all: int, own: int) -> None:
    """In that of all and in its user's, whichever is the smaller."""
    groups.run("delete from leadhook.jobs where tag = 'c'")
    budget(groups, of_all)
    budget(groups, own, groups.USER)
    price = {"lead_usd": 0.5, "byte_usd": 0.5, "most_lead_bytes": 1, "most_prompts_bytes": 0}
    assert len(claim(groups, price=price)["leads"]) == 2
    assert left(groups, groups.USER) == 0
    assert claim(groups, price=price)["leads"] == []


def test_a_day_of_a_budget_is_a_day_in_utc(db: Sql) -> None:
    """Whatever the session's time zone is: what is booked just before midnight is not missing after it."""
    budget(db, 10, db.USER)
    db.run("set timezone = 'Pacific/Auckland'")
    before, midnight = "2026-03-01 23:59:59.9+00", "2026-03-02 00:00:00+00"
    next_days = "select leadhook.next_day(%(t)s::timestamptz) = %(m)s::timestamptz"
    assert db.value(next_days, t=before, m=midnight)
    assert db.value(next_days, t=midnight, m="2026-03-03 00:00:00+00")
    db.run(
        "select leadhook.book_costs(jsonb_build_array(jsonb_build_object("
        "'user_id', %(u)s::uuid, 'cost_usd', 3, 'wasted', false)), %(t)s)",
        u=db.USER,
        t=before,
    )
    left_at = "select left_usd::float8 from leadhook.budgets_left(%(t)s::timestamptz)"
    assert (db.value(left_at, t=before), db.value(left_at, t=midnight)) == (7, 10)


def test_a_save_writes_no_row_that_another_has_written(groups: Sql) -> None:
    """Under an old snapshot each would leave a dead row in the way of the next; the sweep makes one of several rows."""
    budget(groups, 10, groups.USER)
    for day, usd in ((0, 1), (0, 2), (-1, 4)):
        groups.run(
            "select leadhook.book_costs(jsonb_build_array(jsonb_build_object("
            "'user_id', %(u)s::uuid, 'cost_usd', %(c)s, 'wasted', %(c)s = 2)), now() + make_interval(days => %(d)s))",
            u=groups.USER, c=usd, d=day,
        )  # fmt: skip
    rows = "select spent_usd::int as spent, wasted_usd::int as wasted from leadhook.costs order by day, spent_usd"
    yesterday = {"spent": 4, "wasted": 0}
    assert groups.rows(rows) == [yesterday, {"spent": 1, "wasted": 0}, {"spent": 2, "wasted": 2}]
    assert left(groups, groups.USER) == 7
    for _ in range(2):
        groups.rpc("leadhook_sweep", p_worker="worker-1")
        assert groups.rows(rows) == [yesterday, {"spent": 3, "wasted": 2}]
        assert left(groups, groups.USER) == 7


def test_a_lead_that_does_not_fit_is_not_asked_for_in_circles(keyed: Sql) -> None:
    """What it needs is noted; until there is that much it waits, and others are claimed."""
    keyed.ready_job("large")
    keyed.ready_job("small")
    keyed.age_job("large", 60)
    keyed.run("update public.lead_details set bio = repeat('x', 3000) where lead_id = 'large'")
    price = {"lead_usd": 0.1, "byte_usd": 0.001, "most_lead_bytes": 4000, "most_prompts_bytes": 0}
    budget(keyed, 1)
    assert keyed.ids_of(claim(keyed, price=price)) == ["small"]
    again = claim(keyed, price=price)
    assert (again["leads"], again["has_more"], again["blocked_by"]) == ([], False, None)
    assert again["next_due_ms"] > 250
    assert keyed.rpc("leadhook_admission")["budgets"][0]["needed_usd"] > 3
    budget(keyed, 10)
    assert keyed.ids_of(claim(keyed, price=price)) == ["large"]


DEAR = {"lead_usd": 0.004, "byte_usd": 0.00001, "most_lead_bytes": 20000, "most_prompts_bytes": 0}
"""A price at which a bio of 20 kB costs 0.20 dollars, and a short one less than 0.01."""


@pytest.fixture
def dear(keyed: Sql) -> Sql:
    """A lead that needs 0.20 dollars, turned away by a budget of 0.05; five cheap ones behind it."""
    keyed.ready_job("a-dear")
    keyed.run("update public.lead_details set bio = repeat('x', 20000)")
    for number in range(5):
        keyed.ready_job(f"b-{number}")
    budget(keyed, 0.05)
    assert claim(keyed, 1, price=DEAR)["leads"] == []
    return keyed


def test_an_expensive_lead_keeps_no_cheap_one_waiting(dear: Sql) -> None:
    """Though it comes first, alone in its claim; only what fits is claimed, and there is no asking in circles."""
    cheap = claim(dear, price=DEAR)
    assert dear.ids_of(cheap) == [f"b-{number}" for number in range(5)]
    assert (cheap["has_more"], dear.job("a-dear")["state"]) == (False, "ready")
    (shown,) = dear.rpc("leadhook_admission")["budgets"]
    assert (shown["too_small"], shown["needed_usd"] > 0.2) == (True, True)
    dear.run("delete from leadhook.jobs where lead_id = 'a-dear'")
    assert dear.rpc("leadhook_admission")["budgets"][0]["needed_usd"] is None


@pytest.mark.parametrize("change", ["day", "budget", "no budget", "lead", "user"])
def test_what_was_turned_away_goes_on_after_a_change(dear: Sql, change: str) -> None:
    """Of the day, of the budget, of its row, whose shorter text the sweep finds, or of its user."""
    if change == "day":
        midnight = dear.value("select leadhook.next_day(clock_timestamp())")
        assert dear.job("a-dear")["available_at"] == midnight
        dear.age_job("a-dear", 86400)
        dear.run("update public.lead_details set bio = 'short'")
    elif change == "budget":
        budget(dear, 1)
    elif change == "no budget":
        budget(dear, None)
        assert dear.rpc("leadhook_admission")["budgets"] == []
    elif change == "lead":
        dear.run("update public.lead_details set bio = 'short'")
        for _ in range(4):
            dear.rpc("leadhook_sweep", p_worker="worker-1")
    else:
        budget(dear, 1)
        budget(dear, 0, dear.USER)
        dear.prompts(user=OTHER_USER)
        dear.run("update public.all_leads set user_id = %(u)s where lead_id = 'a-dear'", u=OTHER_USER)
        dear.note_change("a-dear")
    assert "a-dear" in dear.ids_of(claim(dear, price=DEAR))
    assert dear.job("a-dear")["budget_id"] is None
    assert dear.count("leadhook.budgets") == (0 if change == "no budget" else 2 if change == "user" else 1)


def test_money_that_comes_back_goes_to_the_cheapest_that_wait(keyed: Sql) -> None:
    """To as many as it pays for together."""
    for number, length in enumerate((3000, 2000, 1000, 5)):
        keyed.ready_job(f"lead-{number}")
        keyed.run(
            "update public.lead_details set bio = repeat('x', %(n)s) where lead_id = %(i)s",
            n=length,
            i=f"lead-{number}",
        )
        keyed.age_job(f"lead-{number}", 60 - number)
    price = {"lead_usd": 1, "byte_usd": 0.001, "most_lead_bytes": 4000, "most_prompts_bytes": 0}
    budget(keyed, 5)
    (first,) = claim(keyed, price=price)["leads"]
    assert first["lead_id"] == "lead-0"
    assert keyed.count("leadhook.jobs", "budget_id is not null") == 3
    keyed.save(keyed.result_of(keyed.lease_of(first), cost_usd=0.25))
    assert keyed.value("select leadhook.next_due_ms(clock_timestamp())") == 250
    assert keyed.ids_of(claim(keyed, price=price)) == ["lead-2", "lead-3"]


def test_what_a_lease_cost_is_booked_when_it_ends(groups: Sql) -> None:
    """Saved: its cost. Refused: wasted. Expired or without a figure: the whole reservation, wasted."""
    leads = {lead["lead_id"]: groups.lease_of(lead) for lead in claim(groups)["leads"]}
    groups.run(
        "alter table public.llm_response add constraint no_b check (lead_id not like 'b-%%') not valid",
    )
    groups.save(
        groups.result_of(leads["a-0"], cost_usd=0.25),
        groups.result_of(leads["b-0"], cost_usd=0.5),
    )
    groups.release(groups.release_of(leads["a-1"], "returned", cost_usd=0.125), groups.release_of(leads["c-0"], "dead"))
    groups.age_job("b-1", 60)
    groups.run("update leadhook.jobs set available_at = 'tomorrow' where state = 'ready'")
    claim(groups)
    attempts = {
        row["lead_id"]: (row["outcome"], float(row["cost_usd"]), row["wasted"])
        for row in groups.rows("select * from leadhook.attempts")
    }
    assert attempts == {
        "a-0": ("saved", 0.25, False), "b-0": ("refused", 0.5, True), "a-1": ("returned", 0.125, False),
        "c-0": ("dead", 1, False), "b-1": ("lease_expired", 1, True),
    }  # fmt: skip
    spend = {row["user_id"]: row for row in groups.rows("select * from leadhook.spend")}
    figures = ("reserved_usd", "spent_usd", "wasted_usd")
    assert [float(spend[groups.USER][name]) for name in figures] == [1, 1.875, 1.5], "b-1 is at work again"
    assert [float(spend[OTHER_USER][name]) for name in figures] == [1, 1, 0]


@pytest.mark.parametrize("way", ["outbox", "save", "sweep"])
def test_a_lead_erased_while_leased_counts_as_wasted(groups: Sql, way: str) -> None:
    """What it may have bought is lost with it; the first process to notice books it, once."""
    budget(groups, 10, groups.USER)
    budget(groups, 10, OTHER_USER)
    (lead,) = claim(groups, 1)["leads"]
    user = groups.job(lead["lead_id"])["user_id"]
    assert left(groups, user) == 9
    groups.rpc("leadhook_renew", p_worker="worker-1", p_leases=[groups.lease_of(lead, called=True)])
    for table in ("all_leads", "lead_details"):
        groups.run(
            sql.SQL("delete from public.{} where lead_id = %(id)s").format(sql.Identifier(table)), id=lead["lead_id"]
        )
    if way == "outbox":
        groups.note_change(lead["lead_id"])
        groups.apply_outbox()
    elif way == "save":
        assert groups.outcomes(groups.save(groups.result_of(lead))) == {lead["lead_id"]: "gone"}
    else:
        for _ in range(4):
            groups.rpc("leadhook_sweep", p_worker="worker-1")
    assert groups.count("leadhook.jobs", "lead_id = %(id)s", id=lead["lead_id"]) == 0
    assert float(groups.value("select sum(wasted_usd) from leadhook.costs")) == 1
    assert left(groups, user) == 9
    assert groups.outcomes(groups.save(groups.result_of(lead))) == {lead["lead_id"]: "gone"}
    assert float(groups.value("select sum(spent_usd) from leadhook.costs")) == 1


def erase(db: Sql, lead_id: str) -> None:
    """Delete the lead, and apply that."""
    for table in ("all_leads", "lead_details"):
        db.run(sql.SQL("delete from public.{} where lead_id = %(id)s").format(sql.Identifier(table)), id=lead_id)
    db.note_change(lead_id)
    db.apply_outbox()


def test_a_lead_erased_before_its_first_call_costs_nothing(keyed: Sql) -> None:
    """As if its lease had expired: the worker had no reason to report a call."""
    keyed.leased_lead("a", reserved_usd=0.5)
    erase(keyed, "a")
    assert keyed.count("leadhook.jobs") == keyed.count("leadhook.costs") == 0


def test_a_lead_erased_after_its_worker_claimed_more_counts_as_called(keyed: Sql) -> None:
    """Such a worker reports no call at once; the lead that it claimed last has had none."""
    for lead_id in ("a", "b"):
        keyed.leased_lead(lead_id, reserved_usd=0.5)
    keyed.age_job("a", 5)
    erase(keyed, "b")
    assert keyed.count("leadhook.costs") == 0
    keyed.leased_lead("c")
    erase(keyed, "a")
    assert float(keyed.value("select sum(wasted_usd) from leadhook.costs")) == 0.5


@pytest.mark.parametrize(("cost", "wasted"), [(0.125, 0.125), (0, 0), (None, 0.5)])
@pytest.mark.parametrize("called", [True, False])
def test_a_saved_answer_of_a_deleted_lead_is_booked_with_what_it_cost(
    keyed: Sql,
    called: bool,  # noqa: FBT001 - a case of the table
    cost: float | None,
    wasted: float,
) -> None:
    """With its reservation only if the cost is not known."""
    lease = keyed.leased_lead("a", reserved_usd=0.5, called=called)
    for table in ("all_leads", "lead_details"):
        keyed.run(sql.SQL("delete from public.{}").format(sql.Identifier(table)))
    result = keyed.result_of(lease, cost_usd=cost)
    for _ in range(2):
        assert keyed.outcomes(keyed.save(result)) == {"a": "gone"}
    row = keyed.rows(
        "select coalesce(sum(spent_usd), 0) as spent, coalesce(sum(wasted_usd), 0) as wasted from leadhook.costs"
    )
    assert [{name: float(value) for name, value in row[0].items()}] == [{"spent": wasted, "wasted": wasted}]


def test_budgets_and_claims_work_with_a_publication_of_all_tables(groups: Sql, database: Database) -> None:
    """As change data capture makes it: an update of a table without a key would be refused."""
    budget(groups, 1.5)
    with psycopg.connect(database.admin_conninfo) as admin:
        admin.execute("create publication everything for all tables")
    assert len(claim(groups)["leads"]) == 1
    assert groups.value("select needed_usd from leadhook.budgets") == 1, "the others are turned away, which is noted"
    budget(groups, 5)
    budget(groups, None)
    assert claim(groups)["leads"]


def test_an_older_service_reserves_nothing_and_goes_on(groups: Sql) -> None:
    """It names no price at all; a deploy must not stop the work."""
    budget(groups, 100)
    batch = groups.claim()
    assert len(batch["leads"]) == 6
    groups.save(groups.result_of(groups.lease_of(batch["leads"][0])))
    assert groups.value("select bool_and(cost_usd is null and not wasted) from leadhook.attempts")
    assert left(groups, groups.USER) == 100


def test_a_model_without_a_price_gets_nothing_where_a_budget_is_set(groups: Sql) -> None:
    """A fault of the configuration: no lead is leased, and no one polls for it."""
    assert len(claim(groups, 1, price={})["leads"]) == 1
    budget(groups, 100, OTHER_USER)
    batch = claim(groups, price={})
    assert (batch["leads"], batch["blocked_by"], batch["has_more"], batch["next_due_ms"]) == (
        [],
        "unpriced",
        False,
        None,
    )


def test_more_money_and_resuming_send_a_webhook_when_leads_wait(wired: Sql) -> None:
    """And only then."""
    budget(wired, 1)
    wired.rpc("leadhook_pause", p_actor="tester")
    wired.rpc("leadhook_resume", p_actor="tester")
    assert wired.count("leadhook.webhooks") == 0
    wired.make_job("lead-1")
    wired.rpc("leadhook_resume", p_actor="tester")
    assert wired.count("leadhook.webhooks") == 0, "nothing was paused"
    wired.rpc("leadhook_pause", p_actor="tester")
    wired.rpc("leadhook_resume", p_actor="tester")
    budget(wired, None)
    assert [row["reason"] for row in wired.rows("select reason from leadhook.webhooks order by id")] == [
        "resume",
        "budget",
    ]


def test_a_pause_waits_for_the_claim_under_way(groups: Sql, connect: Callable[[], Sql]) -> None:
    """Once it has returned, nothing that it forbids is handed out."""
    other = connect()
    with other.transaction():
        other.run("select leadhook.lock_claims()")
        groups.run("set statement_timeout = '200ms'")
        with pytest.raises((psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)):
            groups.run("select public.leadhook_pause(null, null, 'tester')")


def test_the_command_line_pauses_and_budgets(groups: Sql, leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and with the name of the account."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada")

    def lines(*arguments: str) -> list[str]:
        code, out, err = leadhook(*arguments)
        assert code == 0, err
        return out.splitlines()

    own = ("--user", str(groups.USER), "--tag")
    said = lines("pause", *own, "it's") + lines("pause", *own, "a", "--reason", "spring cleaning")
    said += lines("pause", *own, "a", "--reason", "again")
    assert groups.value("select reason || ' by ' || actor from leadhook.pauses where tag = 'a'") == (
        "spring cleaning by cli:ada"
    )
    listed = lines("pause", "list")
    said += lines("resume") + lines("resume", *own, "b") + lines("resume", *own, "a") + lines("resume", *own, "it's")
    user, resume = f"user {groups.USER}, tag", f"`leadhook resume --user {groups.USER} --tag"
    quoted = """'it'"'"'s'"""
    assert said == [
        f"paused: {user} it's; leads wait, those in progress are finished; {resume} {quoted}` ends it",
        f"paused: {user} a; leads wait, those in progress are finished; {resume} a` ends it",
        f"already paused: {user} a; that pause stays as it was, and {resume} a` ends it",
        "there is no pause of exactly all users: nothing was changed",
        f"still paused: {user} a; {resume} a` ends it",
        f"still paused: {user} it's; {resume} {quoted}` ends it",
        f"there is no pause of exactly {user} b: nothing was changed",
        f"resumed: {user} a",
        f"resumed: {user} it's",
    ]
    assert [line.partition(" since ")[0] for line in listed[::2]] == [
        f"The work of {user} a has been paused",
        f"The work of {user} it's has been paused",
    ]
    assert listed[0].endswith("by cli:ada: spring cleaning.")
    assert listed[1] == f"  → {resume} a` ends the pause."

    said = lines("budget", "set", "2.5")
    claim(groups)
    said += lines("budget", "show")
    groups.run("update leadhook.jobs set reserved_usd = 3 where state = 'leased'")
    overdrawn = lines("budget", "show")[0]
    said += lines("budget", "clear", "--yes") + lines("budget", "show")[:1]
    assert said == [
        "budget for all users: $2.50 a day (UTC); $2.50 left today",
        (
            "The daily budget of $2.5 for all users is spent ($0.50 left, and a lead may cost up to $1.00): "
            "leads wait until midnight UTC."
        ),
        "today (UTC): $0.00 spent, $0.00 of it wasted, $2.00 reserved for leads in progress",
        "no budget for all users: the cost of leads is not limited by it",
        "there is no budget: the cost of leads is not limited",
    ]
    assert "for all users is spent ($0.00 left" in overdrawn


def test_a_budget_that_stops_leads_or_lets_them_go_on_is_asked_about(groups: Sql, leadhook: Run) -> None:
    """It says what is spent; without a terminal it refuses. Any other change is made at once."""
    code, out, err = leadhook("budget", "set", "0")
    assert (code, "its leads wait for midnight UTC or a higher budget" in out) == (2, True)
    assert "--yes changes it" in err
    assert leadhook("budget", "set", "0", typed="n\n")[0] == 1
    assert groups.count("leadhook.budgets") == 0
    assert leadhook("budget", "set", "0", typed="y\n")[0] == 0
    code, out, _ = leadhook("budget", "set", "5")
    assert (code, "its waiting leads continue at once, for up to $5.00 today" in out) == (2, True)
    assert leadhook("budget", "set", "5", "--yes")[0] == 0
    assert leadhook("budget", "set", "6")[0] == 0
    assert leadhook("budget", "clear")[0] == 2
    assert groups.value("select daily_usd from leadhook.budgets") == 6


@pytest.mark.parametrize("scope", ["everything", "user"])
def test_resume_names_every_pause_that_still_holds(groups: Sql, leadhook: Run, scope: str) -> None:
    """The wider ones and the narrower ones, with the command that ends each."""
    user = ("--user", str(groups.USER))
    for paused in ((), user, (*user, "--tag", "a")):
        assert leadhook("pause", *paused)[0] == 0
    said = leadhook("resume", *(user if scope == "user" else ()))[1].splitlines()
    wider = f"still paused: user {groups.USER}; `leadhook resume --user {groups.USER}` ends it"
    if scope == "user":
        wider = "still paused: all users; `leadhook resume` ends it"
    assert said[1:] == [
        wider,
        f"still paused: user {groups.USER}, tag a; `leadhook resume --user {groups.USER} --tag a` ends it",
    ]


def test_a_key_is_healthy_for_all_once_a_call_succeeded(keyed: Sql) -> None:
    """The save says so; a changed row, or a rest, makes it untried again; what is disabled stays so."""

    def tried() -> list[bool]:
        return [row["tried"] for row in keyed.rows("select tried from leadhook.healthy_keys()")]

    def save_with_it(name: str) -> None:
        lease = keyed.leased_lead(name, fence=keyed.value("select nextval('leadhook.fences')"))
        keyed.save(keyed.result_of(lease, key_fingerprint=fingerprint))

    fingerprint = keyed.value("select fingerprint from leadhook.healthy_keys()")
    assert tried() == [False]
    save_with_it("lead-1")
    assert tried() == [True]
    keyed.run("update public.gemini_api set api_key = api_key")
    assert tried() == [False]
    save_with_it("lead-2")
    assert tried() == [True]
    keyed.park_keys({"fingerprint": fingerprint, "reason": "quota", "for_ms": 60_000})
    save_with_it("lead-3")
    assert tried() == [], "an older success does not end a rest"
    keyed.run("update leadhook.api_keys set until = clock_timestamp() - interval '1 s'")
    assert tried() == [False]
    save_with_it("lead-4")
    assert tried() == [True]
    keyed.park_keys({"fingerprint": fingerprint, "reason": "invalid", "for_ms": None})
    save_with_it("lead-5")
    assert tried() == []
