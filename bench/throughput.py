"""How fast a backlog is answered, and what a lead costs: rate, requests, CPU and memory, beside the poller's, by turns.

The model takes 700 to 1300 ms at random, so that 64 leads at once can't be faster than C / (2 · L) = 32 leads a second.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median

from bench.access_log import of_the_poller, of_the_service
from bench.console import say
from bench.leads import Application, empty_application
from bench.measurement import Figure, Measurement
from bench.process import cpu_ms, peak_mb
from bench.stack import BrokenRunError, Stack, wait_until

from leadhook.local.processes import Child

MODEL_MS = (700.0, 1300.0)
SHARE_OF_CEILING = 0.97
REQUESTS_A_LEAD = 0.2
CPU_MS_A_LEAD = 10.0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        concurrency: leads at a time, for leadhook.
        leads: for leadhook, in each round.
        polled: for the poller, in each round.
        warm: for leadhook, at first, not counted.
        model_ms: the least and the longest that the model takes.
    """

    rounds: int = 2
    concurrency: int = 64
    leads: int = 640
    polled: int = 40
    warm: int = 48
    model_ms: tuple[float, float] = MODEL_MS


SHORT = Plan(rounds=1, concurrency=2, leads=8, polled=2, warm=1, model_ms=(70.0, 130.0))


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    leads: int
    seconds: float
    requests: dict[str, int]
    calls: int
    cpu_ms: float
    memory_mb: float

    @property
    def rate(self) -> float:
        """Leads a second."""
        return self.leads / self.seconds

    @property
    def requests_a_lead(self) -> float:
        """REST requests."""
        return sum(self.requests.values()) / self.leads

    @property
    def cpu_ms_a_lead(self) -> float:
        """User and system time of the one process."""
        return self.cpu_ms / self.leads


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """Leadhook and the poller by turns."""
    application = empty_application(stack.connection)
    stack.model.answer_after(*plan.model_ms)
    ours, full_rates, polled = [], [], []
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}: {plan.leads} leads for leadhook")
        with stack.service(MAX_CONCURRENCY=str(plan.concurrency)) as service:
            _answer(application, service, plan.warm)
            ours.append(_our_round(stack, application, service, plan.leads))
            full_rates.append(stack.model.full_rate(plan.concurrency, plan.model_ms[1]))
        say(f"round {number + 1} of {plan.rounds}: {plan.polled} leads for the poller")
        with stack.poller() as poller:
            polled.append(_polled_round(stack, application, poller, plan.polled))
    details = {"leadhook": [asdict(part) for part in ours], "poller": [asdict(part) for part in polled]}
    title = f"{plan.leads} leads of two model calls each, {plan.concurrency} at a time"
    return Measurement(title, _figures(ours, full_rates, polled, plan), details)


def _our_round(stack: Stack, application: Application, service: Child, leads: int) -> Round:
    stack.requests.skip()
    stack.model.forget()
    before_ms = cpu_ms(service.pid)
    ids = _answer(application, service, leads)
    used_ms = cpu_ms(service.pid) - before_ms
    row = stack.connection.execute(
        "select extract(epoch from max(finished_at) - min(leased_at))::float8 from leadhook.attempts"
        " where lead_id = any (%s)",
        (ids,),
    ).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    requests = of_the_service(stack.requests.requests())
    return _round(stack, service, ids, seconds=row[0], requests=requests, used_ms=used_ms)


def _polled_round(stack: Stack, application: Application, poller: Child, leads: int) -> Round:
    stack.requests.skip()
    stack.model.forget()
    before_ms = cpu_ms(poller.pid)
    ids = _answer(application, poller, leads)
    ended_at = time.time()
    used_ms = cpu_ms(poller.pid) - before_ms
    began_at = min(stack.model.first_calls().values()) / 1000
    requests = of_the_poller(stack.requests.requests())
    return _round(stack, poller, ids, seconds=ended_at - began_at, requests=requests, used_ms=used_ms)


def _answer(application: Application, worker: Child, leads: int) -> list[str]:
    ids, _ = application.bring(leads)
    wait_until(lambda: application.unanswered(ids) == 0, f"answers for {leads} leads", worker, 600)
    return ids


def _round(
    stack: Stack, worker: Child, ids: list[str], *, seconds: float, requests: Counter[str], used_ms: float
) -> Round:
    calls = len(stack.model.calls())
    if calls != 2 * len(ids):
        raise BrokenRunError(f"{len(ids)} leads cost {calls} model calls, not two each:\n{worker.tail()}")
    return Round(len(ids), seconds, dict(requests), calls, used_ms, peak_mb(worker.pid))


def _figures(ours: list[Round], full_rates: list[float], polled: list[Round], plan: Plan) -> dict[str, Figure]:
    ceiling = plan.concurrency * 1000 / sum(plan.model_ms)
    rates = [part.rate for part in ours]
    requests, cpu = [part.requests_a_lead for part in ours], [part.cpu_ms_a_lead for part in ours]
    return {
        "full_rate": Figure(
            "while all slots have work",
            median(full_rates),
            "leads/s",
            spread=(min(full_rates), max(full_rates)),
            beside={"ceiling C/(2·L)": ceiling},
            target=f"≥ {SHARE_OF_CEILING} of the ceiling",
            met=median(full_rates) >= SHARE_OF_CEILING * ceiling,
        ),
        "rate": Figure(
            "first claim to last save",
            median(rates),
            "leads/s",
            spread=(min(rates), max(rates)),
            beside={"ceiling C/(2·L)": ceiling, "poller": median(part.rate for part in polled)},
        ),
        "requests_a_lead": Figure(
            "REST requests a lead",
            median(requests),
            spread=(min(requests), max(requests)),
            beside={"poller": median(part.requests_a_lead for part in polled)},
            target=f"≤ {REQUESTS_A_LEAD}",
            met=median(requests) <= REQUESTS_A_LEAD,
        ),
        "cpu_ms_a_lead": Figure(
            "CPU a lead",
            median(cpu),
            "ms",
            spread=(min(cpu), max(cpu)),
            beside={"poller": median(part.cpu_ms_a_lead for part in polled)},
            target=f"≤ {CPU_MS_A_LEAD:.0f} ms",
            met=median(cpu) <= CPU_MS_A_LEAD,
        ),
        "memory_mb": Figure(
            "memory, at most",
            max(part.memory_mb for part in ours),
            "MB",
            spread=(min(part.memory_mb for part in ours), max(part.memory_mb for part in ours)),
            beside={"poller": max(part.memory_mb for part in polled)},
        ),
    }
