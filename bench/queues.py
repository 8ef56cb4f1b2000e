"""Leadhook beside what one would pick instead: the same leads, by the same model calls, on procrastinate and pgqueuer.

Their handler (`bench/queue_worker.py`) works directly on Postgres, and a trigger of the application's defers its job
in the transaction that brings the lead; leadhook's own triggers are off at that time, so that no one pays for two.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench.console import say
from bench.leads import Application, Connection, empty_application
from bench.measurement import Chart, Figure, Measurement, Points, quantile
from bench.process import cpu_ms, peak_mb, postgres_cpu_ms
from bench.stack import BrokenRunError, Stack, wait_until

from leadhook.local.processes import Child

LEADHOOK, BARE, CALLS = "leadhook", "bare chain", "bare model calls"
WEBHOOKS = frozenset({LEADHOOK, BARE})
"""These are reached through pg_net, which pauses for a second after each burst."""
ENQUEUE = {
    "procrastinate": """
perform public.procrastinate_defer_jobs_v1(array_agg(
  row('default', 'answer', 0, null, null, jsonb_build_object('lead_id', lead_id), null)
    ::public.procrastinate_job_to_defer_v1))
from added;
""",
    "pgqueuer": """
with queued as (
  insert into public.pgqueuer (priority, entrypoint, payload, execute_after, status)
  select 0, 'answer', convert_to(lead_id, 'UTF8'), now(), 'queued' from added
  returning id, status, entrypoint, priority
)
insert into public.pgqueuer_log (job_id, status, entrypoint, priority)
select id, status, entrypoint, priority from queued;
""",
}
"""What the libraries' own functions for deferring jobs do, for a whole statement at once."""
SWITCH_ON = """
create function public.enqueue() returns trigger language plpgsql as $$ begin {body} return null; end $$;
create trigger enqueue after insert on public.lead_details
  referencing new table as added for each statement execute function public.enqueue();
"""
SWITCH_OFF = "drop trigger enqueue on public.lead_details; drop function public.enqueue()"
CONCURRENCY = 16
NEAR = 0.97
"""Within three per cent of the better library counts as even."""
OF_BARE_CALLS = 0.85
"""Of the rate of a process that makes the model calls and nothing else, with the most leads at a time."""
MOST_MB = 200
SHARES = {"p50": 0.5, "p95": 0.95}
WARM = 1
BINS_MS = (0, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 200)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        turns: of a row of leads for each, by turns.
        leads: in a row.
        apart_s: between two leads whose webhooks pg_net sends; its pause is over then.
        close_s: between two leads of a library.
        concurrencies: leads at a time.
        waves: how many times as many leads are brought in each of two rounds.
        model_ms: the least and the longest that the model takes where the rate is measured.
    """

    turns: int = 4
    leads: int = 10
    apart_s: float = 1.2
    close_s: float = 0.4
    concurrencies: tuple[int, ...] = (16, 64, 256)
    waves: int = 4
    model_ms: tuple[float, float] = (700.0, 1300.0)


SHORT = Plan(turns=1, leads=2, apart_s=0.2, close_s=0.1, concurrencies=(4,), waves=2, model_ms=(70.0, 130.0))


@dataclass(frozen=True)
class Round:
    """What one worker did with one backlog: leads a second, CPU a lead of its process and of Postgres, and memory."""

    rate: float
    cpu_ms: float
    postgres_ms: float | None = None
    memory_mb: float | None = None


Rounds = dict[int, dict[str, list[Round]]]
"""By leads at a time and name."""


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """Leadhook, the bare chain and the two libraries by turns: the wait of single leads, then backlogs."""
    application = empty_application(stack.connection)
    stack.model.answer_at_once()
    samples = _latencies(stack, application, plan)
    stack.model.answer_after(*plan.model_ms)
    rounds = {at: _backlogs(stack, application, plan, at) for at in plan.concurrencies}
    details = {
        "latency_ms": samples,
        "rounds": {at: {name: [vars(one) for one in its] for name, its in each.items()} for at, each in rounds.items()},
    }
    charts = {"latency": _histogram(samples), "concurrency": _rates(rounds, plan)}
    figures = _latency_figures(samples) | _round_figures(rounds, plan)
    title = "The same leads and model calls on leadhook, procrastinate and pgqueuer"
    return Measurement(title, figures, details, charts)


def _latencies(stack: Stack, application: Application, plan: Plan) -> dict[str, list[float]]:
    # The bare chain last: for some seconds after its last lead, leadhook looks for more by itself.
    samples: dict[str, list[float]] = {name: [] for name in (LEADHOOK, *ENQUEUE, BARE)}
    with ExitStack() as running:
        running.enter_context(stack.service())
        bare_url = running.enter_context(stack.bare_chain())
        for library in ENQUEUE:
            running.enter_context(stack.queue_worker(library, CONCURRENCY))
        for turn in range(plan.turns):
            say(f"single leads: turn {turn + 1} of {plan.turns}")
            for name in samples:
                with _way(stack, name, bare_url):
                    waits = [_wait_ms(stack, application, plan, name) for _ in range(WARM + plan.leads)]
                samples[name] += waits[WARM:]
    return samples


def _way(stack: Stack, name: str, bare_url: str = "") -> AbstractContextManager[None]:
    if name in ENQUEUE:
        return _deferring(stack.connection, name)
    return _webhooks_to(stack, bare_url if name == BARE else stack.facts["webhook_url"])


@contextmanager
def _webhooks_to(stack: Stack, url: str) -> Iterator[None]:
    stack.send_webhooks_to(url)
    yield
    stack.send_webhooks_to(stack.facts["webhook_url"])


@contextmanager
def _deferring(connection: Connection, library: str) -> Iterator[None]:
    """Each new lead becomes a job of this library, and none of leadhook's."""
    tables = ("public.all_leads", "public.lead_details")
    connection.execute("; ".join(f"alter table {table} disable trigger user" for table in tables).encode())
    connection.execute(SWITCH_ON.format(body=ENQUEUE[library]).encode())
    yield
    connection.execute(SWITCH_OFF)
    connection.execute("; ".join(f"alter table {table} enable trigger user" for table in tables).encode())


def _wait_ms(stack: Stack, application: Application, plan: Plan, name: str) -> float:
    """From the commit of one lead to its first model call."""
    stack.model.forget()
    (lead,), committed_at = application.bring(1)
    time.sleep(plan.apart_s if name in WEBHOOKS else plan.close_s)
    wait_until(lambda: lead in stack.model.first_calls(), f"{name}'s first model call for a lead", timeout_s=60)
    if name == BARE:
        application.withdraw(lead)
    else:
        wait_until(lambda: application.unanswered([lead]) == 0, f"{name}'s answer", timeout_s=60)
    return stack.model.first_calls()[lead] - committed_at


def _backlogs(stack: Stack, application: Application, plan: Plan, concurrency: int) -> dict[str, list[Round]]:
    """Backlogs of the same size for each, there and back, so that a load that grows meets all alike."""
    leads = plan.waves * concurrency
    names = (CALLS, LEADHOOK, *ENQUEUE)
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    with ExitStack() as running:
        workers = {name: running.enter_context(stack.queue_worker(name, concurrency)) for name in ENQUEUE}
        workers[LEADHOOK] = running.enter_context(stack.service(MAX_CONCURRENCY=str(concurrency)))
        for name, worker in workers.items():
            with _way(stack, name):
                _answer(application, worker, concurrency // 2)
        for name in (*names, *reversed(names)):
            say(f"{leads} leads, {concurrency} at a time, for {name}")
            if name == CALLS:
                rounds[name].append(Round(**stack.bare_calls(leads, concurrency)))
                continue
            with _way(stack, name):
                rounds[name].append(_round(stack, application, workers[name], leads))
    return rounds


def _round(stack: Stack, application: Application, worker: Child, leads: int) -> Round:
    backend = stack.connection.info.backend_pid
    stack.model.forget()
    before = cpu_ms(worker.pid), postgres_cpu_ms(backend)
    _answer(application, worker, leads)
    ended_at = time.time()
    used = cpu_ms(worker.pid) - before[0], postgres_cpu_ms(backend) - before[1]
    calls = stack.model.calls()
    if len(calls) != 2 * leads:
        raise BrokenRunError(f"{leads} leads cost {len(calls)} model calls, not two each:\n{worker.tail()}")
    seconds = ended_at - calls[0]["time"] / 1000
    return Round(leads / seconds, used[0] / leads, used[1] / leads, peak_mb(worker.pid))


def _answer(application: Application, worker: Child, leads: int) -> None:
    ids, _ = application.bring(leads)
    wait_until(lambda: application.unanswered(ids) == 0, f"answers for {leads} leads", worker, 600)


def _latency_figures(samples: dict[str, list[float]]) -> dict[str, Figure]:
    figures = {}
    for name, share in SHARES.items():
        values = {way: quantile(times, share) for way, times in samples.items()}
        ours, best = values.pop(LEADHOOK), min(values[library] for library in ENQUEUE)
        spread = (min(samples[LEADHOOK]), max(samples[LEADHOOK]))
        words = f"commit to first model call, {name}"
        figures[f"latency_{name}"] = Figure(words, ours, "ms", spread, values, "ahead of both libraries", ours <= best)
    return figures


def _round_figures(rounds: Rounds, plan: Plan) -> dict[str, Figure]:
    figures = {}
    for at, each in rounds.items():
        rates = _means(each, "rate")
        figures[f"rate_{at}"] = _figure(
            f"leads a second, {at} at a time",
            "leads/s",
            {LEADHOOK: rates[LEADHOOK], "ceiling C/(2·L)": _ceiling(at, plan)} | rates,
            target="within 3 % of both libraries, or ahead",
            met=rates[LEADHOOK] >= NEAR * max(rates[library] for library in ENQUEUE),
        )
    for at, each in rounds.items():
        figures[f"cpu_ms_{at}"] = _figure(f"CPU a lead, {at} at a time", "ms", _means(each, "cpu_ms"))
        words = f"Postgres's CPU a lead, {at} at a time"
        figures[f"postgres_ms_{at}"] = _figure(words, "ms", _means(each, "postgres_ms"))
    most = max(rounds)
    rates = _means(rounds[most], "rate")
    share = rates[LEADHOOK] / rates[CALLS]
    words, target = f"rate as a share of that of bare model calls, {most} at a time", f"≥ {OF_BARE_CALLS}"
    figures["share"] = Figure(words, share, target=target, met=share >= OF_BARE_CALLS)
    memory = _means(rounds[most], "memory_mb", max)
    words, target = f"memory with {most} in flight, at most", f"≤ {MOST_MB} MB"
    figures["memory_mb"] = _figure(words, "MB", memory, target=target, met=memory[LEADHOOK] <= MOST_MB)
    return figures


def _means(each: dict[str, list[Round]], field: str, of: Callable[[list[float]], float] = fmean) -> dict[str, float]:
    """Of those that were measured."""
    values = {name: [getattr(one, field) for one in its] for name, its in each.items()}
    return {name: of(its) for name, its in values.items() if None not in its}


def _figure(words: str, unit: str, values: dict[str, float], *, target: str = "", met: bool | None = None) -> Figure:
    beside = {name: value for name, value in values.items() if name != LEADHOOK}
    return Figure(words, values[LEADHOOK], unit, beside=beside, target=target, met=met)


def _ceiling(concurrency: int, plan: Plan) -> float:
    return concurrency * 1000 / sum(plan.model_ms)


def _histogram(samples: dict[str, list[float]]) -> Chart:
    """Each bar counts the leads from its x up to the next; the last one has all that waited longer."""
    edges = (*BINS_MS, float("inf"))
    bars = {
        name: [(float(low), float(sum(low <= value < high for value in values))) for low, high in pairwise(edges)]
        for name, values in samples.items()
    }
    return Chart("From commit to first model call: leads that waited so many ms, up to the next bar", bars, "bars")


def _rates(rounds: Rounds, plan: Plan) -> Chart:
    rates = {at: _means(each, "rate") for at, each in rounds.items()}
    names = (LEADHOOK, *ENQUEUE, CALLS)
    series: dict[str, Points] = {name: [(at, rates[at][name]) for at in rates] for name in names}
    series["ceiling C/(2·L)"] = [(at, _ceiling(at, plan)) for at in rounds]
    return Chart("Leads a second, by leads at a time", series)
