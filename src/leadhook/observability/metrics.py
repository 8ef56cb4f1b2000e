"""The metrics that Prometheus scrapes, and their port. They are kept in memory: a scrape queries nothing."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leadhook import __version__
from leadhook.domain.job import Figures
from leadhook.domain.results import Usage
from leadhook.observability import logs

WAIT_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400)
CALL_BUCKETS: Final = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)

WEBHOOKS: Final = Counter(
    "leadhook_webhooks", "Webhooks: woke the worker, not_needed, late (old, and too many), refused.", ["result"],
    registry=REGISTRY,
)  # fmt: skip
CLAIMS: Final = Counter(
    "leadhook_claims", "Claims: answered, busy, failed; by what caused them.", ["source", "result"], registry=REGISTRY
)
CLAIMED: Final = Counter(
    "leadhook_leads_claimed", "Leads that were claimed, by source; `sweep`: no webhook reported it.",
    ["source"], registry=REGISTRY,
)  # fmt: skip
ATTEMPTS: Final = Counter(
    "leadhook_attempts", "Attempts that ended, by outcome and the code of what went wrong.", ["outcome", "code"],
    registry=REGISTRY,
)  # fmt: skip
DECISIONS: Final = Counter(
    "leadhook_decisions", "Decisions about failures by the rules of blame, and what they led to.", ["rule", "outcome"],
    registry=REGISTRY,
)  # fmt: skip
LEASES_LOST: Final = Counter("leadhook_leases_lost", "Leases that another process took over.", registry=REGISTRY)
FIRST_CALL: Final = Histogram(
    "leadhook_eligible_to_first_call_seconds", "From when a lead became eligible to its first model call.",
    buckets=WAIT_BUCKETS, registry=REGISTRY,
)  # fmt: skip
SAVED: Final = Histogram(
    "leadhook_eligible_to_saved_seconds", "From when a lead became eligible to when its answer was saved.",
    buckets=WAIT_BUCKETS, registry=REGISTRY,
)  # fmt: skip
MODEL_CALLS: Final = Histogram(
    "leadhook_model_step_seconds", "Time in the model for one step (score, check, message), with its repair.", ["step"],
    buckets=CALL_BUCKETS, registry=REGISTRY,
)  # fmt: skip
FLAGGED: Final = Counter(
    "leadhook_flags",
    "Saved answers whose lead looks like an attempt to manipulate the model.",
    ["flag"],
    registry=REGISTRY,
)
TOKENS: Final = Counter(
    "leadhook_tokens", "Tokens of model calls; cached is part of input.", ["kind"], registry=REGISTRY
)
DOLLARS: Final = Counter(
    "leadhook_spent_dollars", "What model calls cost, where the price is known.", registry=REGISTRY
)
SWEEPS: Final = Counter("leadhook_sweep_rounds", "Full rounds of the sweep.", registry=REGISTRY)
SWEPT: Final = Counter("leadhook_sweep_leads_found", "Leads that a sweep made ready.", registry=REGISTRY)

QUEUE: Final = Gauge(
    "leadhook_queue_leads", "Leads in the database by state; counted up to 10,000.", ["state"], registry=REGISTRY
)
OLDEST_READY: Final = Gauge(
    "leadhook_queue_oldest_ready_seconds", "How long the oldest claimable lead waits; low: replay or backlog.",
    ["priority"], registry=REGISTRY,
)  # fmt: skip
OUTBOX_ROWS: Final = Gauge(
    "leadhook_outbox_rows", "Changes that no claim has looked at; up to 10,000.", registry=REGISTRY
)
KEYS: Final = Gauge("leadhook_keys", "Gemini keys: healthy, cooling, disabled.", ["state"], registry=REGISTRY)
FIGURES_AGE: Final = Gauge(
    "leadhook_database_figures_age_seconds",
    "How old the queue's, outbox rows' and keys' numbers are.",
    registry=REGISTRY,
)
FIGURES_AGE.set(math.nan)

CLAIMING: Final = Gauge("leadhook_claiming", "1 while leads are claimed as they become due.", registry=REGISTRY)
IN_FLIGHT: Final = Gauge("leadhook_leads_in_flight", "Leads that are being scored.", registry=REGISTRY)
Gauge("leadhook_build_info", "The version.", ["version"], registry=REGISTRY).labels(__version__).set(1)


class _LogCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("leadhook_log_lines_dropped", "Log lines that were lost.", labels=["sink"])
        works = GaugeMetricFamily("leadhook_log_sink_up", "0 while a sink of the log takes nothing.", labels=["sink"])
        for sink in logs.sinks():
            lost.add_metric([sink.name], sink.dropped)
            works.add_metric([sink.name], 0 if sink.trouble else 1)
        yield lost
        yield works


REGISTRY.register(_LogCollector())


def count_attempt(
    *, outcome: str, code: str | None, first_call_ms: int | None, age_s: float, usage: Usage, cost_usd: float | None
) -> None:
    """An attempt ended. Times count from when the lead became eligible; the rest is as in the log's `lead.finished`."""
    ATTEMPTS.labels(outcome, code or "").inc()
    if outcome == "lease_lost":
        LEASES_LOST.inc()
    if first_call_ms is not None:
        FIRST_CALL.observe(first_call_ms / 1000)
    if outcome in ("saved", "saved_without_message"):
        SAVED.observe(age_s)
    for kind in ("input", "cached", "output", "thinking"):
        TOKENS.labels(kind).inc(getattr(usage, f"{kind}_tokens"))
    DOLLARS.inc(max(0.0, cost_usd or 0.0))


def hear_figures(figures: Figures | None) -> None:
    if figures is None:
        return
    for state, count in figures.jobs.items():
        QUEUE.labels(state).set(count)
    for priority, waited_ms in figures.oldest_ready_ms.items():
        OLDEST_READY.labels(priority).set(waited_ms / 1000)
    for state, count in figures.keys.items():
        KEYS.labels(state).set(count)
    OUTBOX_ROWS.set(figures.outbox)
    taken_at = time.monotonic() - figures.age_ms / 1000
    FIGURES_AGE.set_function(lambda: time.monotonic() - taken_at)


def watch(*, claiming: Callable[[], bool], in_flight: Callable[[], int]) -> None:
    """Call these at every scrape."""
    CLAIMING.set_function(lambda: float(claiming()))
    IN_FLIGHT.set_function(in_flight)
