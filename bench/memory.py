"""Whether the service's memory grows with what it has processed: 20,000 leads through one process, in batches."""

import time
from dataclasses import dataclass
from statistics import linear_regression

from bench.console import track
from bench.leads import empty_application
from bench.measurement import Chart, Figure, Measurement
from bench.process import cpu_ms, peak_mb, resident_mb
from bench.stack import Stack, wait_until

CONCURRENCY = 64
MOST_GROWTH_MB = 1.0
"""Per 10,000 leads."""
SETTLED_AFTER = 0.25
"""Of the leads: until then caches fill and the allocator keeps what it once needed."""


@dataclass(frozen=True)
class Plan:
    """How much is measured; memory is looked at after each batch."""

    batches: int = 20
    batch: int = 1000


SHORT = Plan(batches=4, batch=8)


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """The model answers at once, so that this is also the rate that two cores allow."""
    application = empty_application(stack.connection)
    stack.model.answer_at_once()
    points: list[tuple[float, float]] = []
    with stack.service(MAX_CONCURRENCY=str(CONCURRENCY)) as service:
        began_at, before_ms = time.monotonic(), cpu_ms(service.pid)
        for number in track(range(1, plan.batches + 1), f"batches of {plan.batch} leads"):
            ids, _ = application.bring(plan.batch)
            wait_until(lambda ids=ids: application.unanswered(ids) == 0, "answers for a batch", service, 600)  # type: ignore[misc]  # a default binds it
            stack.model.forget()
            points.append((number * plan.batch, resident_mb(service.pid)))
        seconds, used_ms = time.monotonic() - began_at, cpu_ms(service.pid) - before_ms
        most_mb = peak_mb(service.pid)
    leads = plan.batches * plan.batch
    settled = [point for point in points if point[0] > SETTLED_AFTER * leads]
    growth = max(0.0, linear_regression(*zip(*settled, strict=True)).slope * 10_000)
    target = f"≤ {MOST_GROWTH_MB:g} MB"
    figures = {
        "growth_mb": Figure("growth per 10,000 leads", growth, "MB", target=target, met=growth <= MOST_GROWTH_MB),
        "memory_mb": Figure("memory, at most", most_mb, "MB"),
        "rate": Figure("rate while the model takes no time", leads / seconds, "leads/s"),
        "cpu_ms_a_lead": Figure("CPU a lead", used_ms / leads, "ms"),
    }
    chart = Chart("Memory of the process in MB, by leads processed", {"leadhook": points})
    return Measurement(f"Memory over {leads:,} leads", figures, {}, {"memory": chart})
