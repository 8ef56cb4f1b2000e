"""What each page of the console costs in SQL at 1,000,000 leads: the calls of the page, added up.

In CPU of the server's process, which other load on the machine changes little. How long a client waited is in the JSON.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.calls import Caller, caller_of, run
from bench.console import say, track
from bench.database import wired_database
from bench.measurement import Figure, Measurement
from psycopg.types.json import Jsonb

LIMIT_MS = 150
LEADS = "leads, "
USER = "00000000-0000-4000-8000-000000000000"

FILL = Path(__file__).with_name("console_pages.sql")

Call = tuple[str, str, tuple[Any, ...]]


def search(**fields: Any) -> Call:
    """The first page of a search, with its count."""
    return "search_leads", "%s", (Jsonb(fields),)


def dry_run(**fields: Any) -> Call:
    """What the button below a search leads to."""
    return "replay_preview", "%s", (Jsonb(fields),)


SEARCHES: dict[str, Call] = {
    "everything": search(),
    "lead id": search(lead_id="lead-00000007"),
    "id as text": search(q="lead-00000007"),
    "frequent text": search(q="acme"),
    "rare text": search(q="acme 4711"),
    "text that no one has": search(q="nobody"),
    "user": search(user_id=USER),
    "user and tag": search(user_id=USER, tag="tag-3"),
    "user and score": search(user_id=USER, score_min=96),
    "tag": search(tag="tag-3"),
    "no such tag": search(tag="none"),
    **{state: search(state=state) for state in ("done", "dead", "held", "ready", "leased", "waiting")},
    "done, rare score": search(state="done", score_min=96, score_max=96, tag="tag-5"),
    "dead of a tag": search(state="dead", tag="tag-3"),
    "error code": search(error_code="code-3"),
    "error code and tag": search(error_code="code-3", tag="tag-3"),
    "score": search(score_min=50),
    "rare score": search(score_min=96),
    "no such score": search(score_min=100),
    "prompt version": search(prompt_version="p1"),
    "no such version": search(prompt_version="none"),
    "outcome": search(outcome="saved"),
    "rare outcome": search(outcome="saved_without_message"),
    "no such outcome": search(outcome="refused"),
    "any flag": search(flag="any"),
    "flag": search(flag="gives_orders"),
    "no such flag": search(flag="none"),
    "last hour": search(since="2030-01-01T00:00:00Z"),
    "long ago": search(until="2020-01-01T00:00:00Z"),
    "a month": search(since="2020-01-01T00:00:00Z"),
    "all filters": search(q="acme", user_id=USER, tag="tag-3", state="done", score_min=90, flag="any"),
}
PAGES: dict[str, Sequence[Call]] = {
    "overview": [("status", "", ()), ("overview", "", ())],
    **{f"{LEADS}{name}": [call] for name, call in SEARCHES.items()},
    "a lead": [("explain", "%s", ("lead-00000007",))],
    "what a lead's model is sent": [("lead_input", "%s", ("lead-00000007",))],
    "failures": [("failures", "", ())],
    "replay of a lead": [("replay_dry_run", "%s, null, null", (["lead-00000007"],))],
    "replay of an error code": [dry_run(error_code="code-3")],
    "replay of a rare score": [dry_run(score_min=96)],
    "replay of nothing": [dry_run(tag="none")],
    "replay of everything": [dry_run(all=True)],
    "replays": [("progress", "", ()), ("replays", "", ())],
    "a replay": [("replay_status", "%s, %s, 100, 10000", (1, "")), ("progress", "", ())],
    "backlog": [("held_leads", "", ()), ("progress", "", ())],
    "release of all": [("held_leads", "", ())],
    "release of a tag": [("held_leads", "%s, %s", (USER, "tag-3"))],
    "pauses and budgets": [("admission", "", ())],
    "pause of a user": [search(user_id=USER, state="ready")],
    "keys": [("keys", "", ()), ("status", "", ())],
    "webhooks": [("deliveries", "", ()), ("status", "", ())],
    "audit": [("audit", "", ())],
    "audit of a stranger": [("audit", "%s", (Jsonb({"actor": "no one"}),))],
}


def measure(*, short: bool) -> Measurement:
    """In a cluster of its own; about three minutes."""
    leads, rounds = (10_000, 1) if short else (1_000_000, 3)
    with wired_database() as database:
        say("filling a database")
        run(database, FILL.read_text().replace(":leads", f"{leads}"))
        with caller_of(database) as caller:
            pages = {
                name: [cost(caller, calls) for _ in range(rounds + 1)][1:]
                for name, calls in track(PAGES.items(), "each page")
            }
    cpu_ms = {name: [cpu_ms for cpu_ms, _ in each] for name, each in pages.items()}
    searches = {name: cpu_ms.pop(name) for name in list(cpu_ms) if name.startswith(LEADS)}
    figures = {name: _figure(name, {name: each}) for name, each in cpu_ms.items()}
    figures["leads"] = _figure(f"leads, the most expensive of {len(searches)} searches", searches)
    waited = {name: [round(waited_ms, 1) for _, waited_ms in each] for name, each in pages.items()}
    return Measurement(
        f"Pages of the console at {leads:,} leads, in CPU of the server's process", figures, {"waited_ms": waited}
    )


def cost(caller: Caller, calls: Sequence[Call]) -> tuple[float, float]:
    """CPU and time of a page, in ms."""
    for kind in (caller.cpu_ms, caller.wall_ms):
        kind.clear()
    for name, arguments, values in calls:
        caller.call(name, arguments, *values)
    cpu_ms, waited_ms = (sum(map(sum, kind.values()), 0.0) for kind in (caller.cpu_ms, caller.wall_ms))
    return cpu_ms, waited_ms


def _figure(words: str, pages: dict[str, list[float]]) -> Figure:
    """The most expensive of these pages."""
    every = [sample for samples in pages.values() for sample in samples]
    met = max(every) <= LIMIT_MS
    worst = max(map(median, pages.values()))
    return Figure(words, worst, "ms", (min(every), max(every)), target=f"≤ {LIMIT_MS} ms", met=met)
