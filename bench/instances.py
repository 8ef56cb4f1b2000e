"""One, two and four instances on one backlog: leads a second, and whether any model call was made twice.

A load balancer sends each webhook to another instance; here the leads come in one transaction for each instance, whose
webhook is sent there. pg_net pauses for a second between them, so the rate is that of the time when all instances work.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean

from bench.console import say
from bench.leads import Application, empty_application
from bench.measurement import Chart, Figure, Measurement
from bench.process import cpu_ms
from bench.stack import Stack, wait_until

from leadhook.local.processes import Child, free_port

CONCURRENCY = 16
TIMES = {2: 1.9, 4: 3.7}
"""So many times the rate of one instance."""


@dataclass(frozen=True)
class Plan:
    """How much is measured; `waves` is how many leads each slot gets."""

    instances: tuple[int, ...] = (1, 2, 4)
    waves: int = 6
    model_ms: tuple[float, float] = (1700.0, 2300.0)


SHORT = Plan(instances=(1, 2), waves=3, model_ms=(170.0, 230.0))


@dataclass(frozen=True)
class Round:
    """What the instances did together."""

    rate: float
    cpu_ms: float
    repeated_calls: int
    took_part: int


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """One backlog for each number of instances."""
    application = empty_application(stack.connection)
    stack.model.answer_after(*plan.model_ms)
    rounds = {count: _round(stack, application, plan, count) for count in plan.instances}
    ceilings = [(count, count * CONCURRENCY / (2 * fmean(plan.model_ms) / 1000)) for count in rounds]
    series = {"leadhook": [(count, one.rate) for count, one in rounds.items()], "ceiling C/(2·L)": ceilings}
    chart = Chart(f"Leads a second, by instances with {CONCURRENCY} slots each", series)
    details = {str(count): vars(one) for count, one in rounds.items()}
    title = f"Several instances, {CONCURRENCY} slots each, a model that takes {fmean(plan.model_ms) / 1000:g} s"
    return Measurement(title, _figures(rounds, dict(ceilings)), details, {"instances": chart})


def _round(stack: Stack, application: Application, plan: Plan, count: int) -> Round:
    say(f"{count} instances")
    with ExitStack() as running:
        services: dict[str, Child] = {}
        for _ in range(count):
            port = free_port()
            url = f"http://127.0.0.1:{port}/webhooks/leads"
            settings = {"PORT": str(port), "MAX_CONCURRENCY": str(CONCURRENCY)}
            services[url] = running.enter_context(stack.service(**settings))
        _bring(stack, application, services, 2)
        stack.model.forget()
        before_ms = sum(cpu_ms(service.pid) for service in services.values())
        ids = _bring(stack, application, services, plan.waves * CONCURRENCY)
        used_ms = sum(cpu_ms(service.pid) for service in services.values()) - before_ms
    row = stack.connection.execute(
        "select count(distinct worker) from leadhook.attempts where lead_id = any (%s)", (ids,)
    ).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    rate = stack.model.full_rate(count * CONCURRENCY, plan.model_ms[1])
    return Round(rate, used_ms / len(ids), len(stack.model.calls()) - 2 * len(ids), row[0])


def _bring(stack: Stack, application: Application, services: dict[str, Child], leads: int) -> list[str]:
    """So many leads for each instance, and all their answers."""
    ids = []
    for url in services:
        stack.send_webhooks_to(url)
        ids += application.bring(leads)[0]
    wait_until(lambda: application.unanswered(ids) == 0, f"answers for {len(ids)} leads", timeout_s=600)
    return ids


def _figures(rounds: dict[int, Round], ceilings: dict[int, float]) -> dict[str, Figure]:
    one, *_ = rounds.values()
    figures = {}
    for count, its in rounds.items():
        beside = {"ceiling C/(2·L)": ceilings[count]} | ({} if its is one else {"one instance": one.rate})
        words = f"{count} instance{'s' * (count > 1)}"
        if its is one:
            figures["rate_1"] = Figure(words, its.rate, "leads/s", beside=beside)
            continue
        least = TIMES[count]
        met = its.rate >= least * one.rate
        target = f"≥ {least} times one instance"
        figures[f"rate_{count}"] = Figure(words, its.rate, "leads/s", beside=beside, target=target, met=met)
    repeated = sum(its.repeated_calls for its in rounds.values())
    figures["repeated_calls"] = Figure("model calls made twice", repeated, target="none", met=repeated == 0)
    return figures
