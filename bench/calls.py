"""What the service's calls cost in SQL at 1,000,000 leads, beside 10,000; while a walk goes on; under an old snapshot.

In CPU of the server's process, which other load on the machine changes little. How long a client waited is in the JSON.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from bench.console import say, track
from bench.database import wired_database
from bench.measurement import Chart, Figure, Measurement
from psycopg.types.json import Jsonb

from leadhook.local.database import Database

BATCH = 50
WARM_UP = 6
LIMITS_MS = {"claim": 10, "save": 12, "release": 12, "sweep": 50, "status": 20}
MOST_GROWTH = 1.5
MOST_DELAY_MS = 500
MOST_CHURN_GROWTH = 2
MOST_SHUT_GROWTH = 2
PRICE = {"lead_usd": 0.001, "byte_usd": 1e-7, "most_lead_bytes": 20_000, "most_prompts_bytes": 20_000}
SCORE = {"score": 80, "response": "A sentence or two. " * 12, "should_contact": True, "matched": ["a", "b"]}
CHECKPOINT = {"model": "m", "score": SCORE, "message": {"subject": "A subject", "message": "A message. " * 40}}
USAGE = {"calls": 2, "input_tokens": 100, "cached_tokens": 10, "output_tokens": 20, "thinking_tokens": 5}

# 200 users; the first has a tenth of the leads.
FILL = """
set session_replication_role = replica;
create temp table seed as
select i, 'lead-' || lpad(i::text, 8, '0') as lead_id,
  ('00000000-0000-4000-8000-' || lpad((case when i % 10 = 0 then 0 else i % 200 end)::text, 12, '0'))::uuid as user_id
from generate_series(1, {leads}) as i;
insert into public.gemini_api (api_key) select 'visibly-fake-key-' || i from generate_series(1, 3) as i;
insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)
select distinct user_id, 'bench', repeat('Quiet pumps. ', 80), repeat('Directors. ', 70), repeat('Be brief. ', 30)
from seed;
insert into public.all_leads (lead_id, user_id, tag, scrapped, linkedin_url)
select lead_id, user_id, 'bench', true, 'https://linkedin.example/in/' || lead_id from seed;
insert into public.lead_details (lead_id, name, title, company_name, experience, bio, profile_url)
select lead_id, 'Name of ' || lead_id, 'Chief purchasing director', 'Acme', repeat('Director at Acme. ', 16) || i,
  repeat('Twenty years of machinery. ', 12) || i, 'https://example.com/' || lead_id
from seed;
insert into leadhook.jobs (lead_id, user_id, tag, state, available_at, eligible_at)
select lead_id, user_id, 'bench', 'ready', now() - interval '1 hour' + i * interval '1 ms', now() from seed;
update leadhook.controls set first_round_finished_at = now() where id;
reset session_replication_role;
"""
# A prompts row over many leads of one user that are not eligible, pressed five times; then one for a lead of another.
WALK = """
set session_replication_role = replica;
insert into leadhook.jobs (lead_id, user_id, tag, state)
select 'walked-' || i, '00000000-0000-4000-8000-00000000ffff', 'walk', 'waiting' from generate_series(1, {leads}) as i;
insert into public.all_leads (lead_id, user_id, tag)
select lead_id, user_id, tag from leadhook.jobs where tag = 'walk';
insert into public.lead_details (lead_id) select lead_id from leadhook.jobs where tag = 'walk';
insert into public.all_leads (lead_id, user_id, tag, scrapped)
values ('other', '00000000-0000-4000-8000-00000000eeee', 'walk', true);
insert into public.lead_details (lead_id) values ('other');
insert into leadhook.jobs (lead_id, user_id, tag, state)
values ('other', '00000000-0000-4000-8000-00000000eeee', 'walk', 'waiting');
reset session_replication_role;
"""
# Users whose budget is spent and tags that are paused, each with 20 leads that are due before all others.
SHUT = """
create temp table shut as
select ('00000000-0000-3000-8000-' || lpad(g::text, 12, '0'))::uuid as spent,
  '00000000-0000-4000-8000-000000000007'::uuid as user_id, 'a-' || g as tag, g
from generate_series(1, {groups}) as g;
insert into leadhook.jobs (lead_id, user_id, tag, state, available_at)
select 'spent-' || g || '-' || n, spent, 'bench', 'ready', now() - interval '1 day'
from shut, generate_series(1, 20) as n
union all
select 'paused-' || g || '-' || n, user_id, tag, 'ready', now() - interval '1 day'
from shut, generate_series(1, 20) as n;
insert into leadhook.pauses (user_id, tag, actor) select user_id, tag, 'bench' from shut;
insert into leadhook.budgets (user_id, daily_usd) select spent, 1 from shut;
insert into leadhook.costs (day, user_id, spent_usd) select (now() at time zone 'UTC')::date, spent, 1 from shut;
"""
PRESS = "insert into public.prompts (user_id, tag) values (%s, 'walk')"
WALKING, OTHER = (f"00000000-0000-4000-8000-00000000{end}" for end in ("ffff", "eeee"))


@dataclass
class Caller:
    """A connection as PostgREST has one, and what its calls cost."""

    connection: psycopg.Connection[tuple[Any, ...]]
    last_user: str | None = None
    cpu_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wall_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def call(self, name: str, arguments: str = "", *values: object) -> Any:
        """Call an RPC, and note what it cost."""
        cpu_ms, began = self._cpu_ms(), time.perf_counter()
        row = self.connection.execute(f"select public.leadhook_{name}({arguments})".encode(), values).fetchone()
        self.wall_ms[name].append((time.perf_counter() - began) * 1000)
        self.cpu_ms[name].append(self._cpu_ms() - cpu_ms)
        assert row is not None  # noqa: S101 - for the type checker
        return row[0]

    def claim(self) -> list[dict[str, Any]]:
        """Lease a batch; the (lead_id, fence) of each lead."""
        values = (uuid.uuid4(), BATCH, BATCH, self.last_user, Jsonb(PRICE))
        reply = self.call("claim", "%s, 'bench', %s, %s, %s, '{}', 'webhook', %s", *values)
        self.last_user = reply["last_user"]
        return [{"lead_id": lead["lead_id"], "fence": lead["fence"]} for lead in reply["leads"]]

    def save(self, leases: list[dict[str, Any]]) -> None:
        """Save an answer for each."""
        answer = {"checkpoint": CHECKPOINT, "usage": USAGE, "key_fingerprint": "0" * 16, "cost_usd": 0.001}
        self.call("save", "'bench', %s", Jsonb([lease | answer for lease in leases]))

    def round(self) -> None:
        """One call of each kind."""
        self.save(self.claim())
        self.call("release", "'bench', %s", Jsonb([lease | {"outcome": "returned"} for lease in self.claim()]))
        self.call("status")
        self.call("sweep", "'bench'")

    def _cpu_ms(self) -> float:
        return int(Path(f"/proc/{self.connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def measure(*, short: bool) -> Measurement:
    """In three clusters of their own; about two minutes."""
    scale = 100 if short else 1
    rounds = 2 if short else 20
    sizes = (2_000, 5_000, 10_000) if short else (10_000, 100_000, 1_000_000)
    with wired_database() as few, wired_database() as more, wired_database() as many:
        say("filling three databases")
        for database, leads in zip((few, more, many), sizes, strict=True):
            run(database, FILL.format(leads=leads))
        with caller_of(few) as beside, caller_of(more) as between, caller_of(many) as caller:
            for _ in track(range(WARM_UP + rounds), "each call, by turns"):
                for one in (beside, between, caller):
                    one.round()
            chart = _by_rows(dict(zip(sizes, (beside, between, caller), strict=True)))
            figures = {name: _figure(name, caller, beside) for name in LIMITS_MS}
            waited = {name: [round(one, 1) for one in times[WARM_UP:]] for name, times in caller.wall_ms.items()}
        figures["shut"] = _beside_what_is_shut(few, 5000 // scale, rounds)
        figures["walk"] = _while_walking(many, 100_000 // scale)
        figures |= _under_an_old_snapshot(many, 200_000 // scale)
    title = f"Calls of {BATCH} leads, in CPU of the server's process"
    return Measurement(title, figures, {"waited_ms": waited}, {"calls": chart})


def _by_rows(callers: dict[int, Caller]) -> Chart:
    names = ("claim", "save", "release", "status")
    series = {
        name: [(float(leads), median(caller.cpu_ms[name][WARM_UP:])) for leads, caller in sorted(callers.items())]
        for name in names
    }
    return Chart(f"CPU of a call of {BATCH} leads in ms, by leads in the tables", series)


def _figure(name: str, caller: Caller, beside: Caller) -> Figure:
    # A sweep call has a budget of time and not of work.
    many, few = (one.wall_ms if name == "sweep" else one.cpu_ms for one in (caller, beside))
    samples, beside_ms = many[name][WARM_UP:], median(few[name][WARM_UP:])
    limit, value = LIMITS_MS[name], median(samples)
    met = value <= limit and (name == "sweep" or value <= MOST_GROWTH * beside_ms)
    target = f"≤ {limit} ms" + ("" if name == "sweep" else f", ≤ {MOST_GROWTH} times")
    return Figure(
        f"{name} at 1,000,000 leads", value, "ms", (min(samples), max(samples)), {"at 10,000": beside_ms}, target, met
    )


def _beside_what_is_shut(few: Database, groups: int, rounds: int) -> Figure:
    with wired_database() as shut:
        run(shut, FILL.format(leads=10_000))
        run(shut, SHUT.format(groups=groups))
        with caller_of(few) as beside, caller_of(shut) as caller:
            for _ in range(WARM_UP + rounds):
                beside.save(beside.claim())
                caller.save(caller.claim())
    value, without = (median(one.cpu_ms["claim"][WARM_UP:]) for one in (caller, beside))
    words = f"claim beside {groups:,} spent budgets and {groups:,} paused tags"
    target = f"≤ {MOST_SHUT_GROWTH} times"
    return Figure(
        words, value, "ms", beside={"without": without}, target=target, met=value <= MOST_SHUT_GROWTH * without
    )


def _while_walking(database: Database, leads: int) -> Figure:
    run(database, WALK.format(leads=leads))
    with psycopg.connect(database.admin_conninfo, autocommit=True) as owner, caller_of(database) as caller:
        for _ in range(5):
            owner.execute(PRESS, (WALKING,))
        caller.claim()
        caller.cpu_ms.clear()
        owner.execute(PRESS, (OTHER,))
        while owner.execute("select 1 from leadhook.jobs where lead_id = 'other' and state = 'waiting'").fetchone():
            caller.claim()
        value = sum(caller.cpu_ms["claim"])
        while owner.execute("select 1 from leadhook.outbox").fetchone():
            caller.claim()
        whole = sum(caller.cpu_ms["claim"])
    words = f"another user's prompts during a walk over {leads:,} leads"
    met = value <= MOST_DELAY_MS
    return Figure(words, value, "ms", beside={"all walks": whole}, target=f"≤ {MOST_DELAY_MS} ms", met=met)


def _under_an_old_snapshot(database: Database, leads: int) -> dict[str, Figure]:
    with psycopg.connect(database.admin_conninfo) as holder, caller_of(database) as caller:
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select from leadhook.controls")
        for _ in track(range(leads // BATCH), "claims and saves under an old snapshot"):
            caller.save(caller.claim())
    return {f"old_snapshot_{name}": _grown(name, caller.cpu_ms[name], leads) for name in ("claim", "save")}


def _grown(name: str, samples: list[float], leads: int) -> Figure:
    some = max(1, len(samples) // 10)
    before, after = median(samples[WARM_UP : WARM_UP + some]), median(samples[-some:])
    words = f"{name} after {leads:,} leads under an old snapshot"
    target = f"≤ {MOST_CHURN_GROWTH} times"
    return Figure(words, after, "ms", beside={"before": before}, target=target, met=after <= MOST_CHURN_GROWTH * before)


def run(database: Database, statements: str) -> None:
    """Fill a database."""
    with psycopg.connect(database.admin_conninfo, autocommit=True) as owner:
        owner.execute("set statement_timeout = 0")
        owner.execute(statements.encode())
        owner.execute("vacuum analyze")


@contextmanager
def caller_of(database: Database) -> Iterator[Caller]:
    """A connection with the rights of the service."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("set role service_role")
        yield Caller(connection)
