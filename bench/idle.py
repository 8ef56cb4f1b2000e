"""What the service asks of the database while nothing happens, beside the poller, by PostgREST's own access log."""

import time
from collections import Counter
from dataclasses import dataclass

from bench.access_log import of_the_poller, of_the_service
from bench.console import track
from bench.leads import empty_application
from bench.measurement import Figure, Measurement
from bench.process import cpu_ms, resident_mb
from bench.stack import Stack, wait_until

from leadhook.engine.timing import Timing

LOOK_EACH_S = 15
SWEEPS_AN_HOUR = 12
"""By default. They are more frequent here, so that some are seen."""
LEASE_S = 30
"""The lease was the next thing due when the lead was claimed: one claim looks after it, though the lead was saved."""
TIMER_S = Timing.timer_jitter_s + 0.5
"""How much later than that the claim comes at most."""


@dataclass(frozen=True)
class Plan:
    """How long, and how often the service sweeps meanwhile."""

    seconds: float = 120
    sweep_interval_s: float = 60


SHORT = Plan(seconds=4, sweep_interval_s=2)


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """After a lead was answered and the service has nothing left to look after; the poller idles at the same time."""
    application = empty_application(stack.connection)
    stack.model.answer_at_once()
    with stack.service(SWEEP_INTERVAL_SEC=f"{plan.sweep_interval_s:g}") as service:
        ids, _ = application.bring(1)
        wait_until(lambda: application.unanswered(ids) == 0, "an answer", service)
        with stack.poller() as poller:
            time.sleep(min(LEASE_S, plan.sweep_interval_s) + TIMER_S)
            stack.requests.skip()
            before_ms = cpu_ms(service.pid), cpu_ms(poller.pid)
            _pass(plan.seconds)
            used_ms = cpu_ms(service.pid) - before_ms[0], cpu_ms(poller.pid) - before_ms[1]
            requests = stack.requests.requests()
            memory_mb = resident_mb(service.pid), resident_mb(poller.pid)
    return _measurement(plan, requests, used_ms, memory_mb)


def _pass(seconds: float) -> None:
    """Time, with a bar."""
    step_s = min(LOOK_EACH_S, seconds)
    for _ in track(range(round(seconds / step_s)), f"idle for {seconds:.0f} s"):
        time.sleep(step_s)


def _measurement(
    plan: Plan, requests: Counter[str], used_ms: tuple[float, float], memory_mb: tuple[float, float]
) -> Measurement:
    ours, polled = of_the_service(requests), of_the_poller(requests)
    others = sum(ours.values()) - ours["sweep"]
    hour = 3600 / plan.seconds
    figures = {
        "others": Figure(
            f"requests in {plan.seconds:.0f} s that are not the sweep's", others, target="none", met=others == 0
        ),
        "requests_an_hour": Figure(
            "requests an hour", others * hour + SWEEPS_AN_HOUR, beside={"poller": sum(polled.values()) * hour}
        ),
        "cpu_s_an_hour": Figure(
            "CPU an hour", used_ms[0] / 1000 * hour, "s", beside={"poller": used_ms[1] / 1000 * hour}
        ),
        "memory_mb": Figure("memory", memory_mb[0], "MB", beside={"poller": memory_mb[1]}),
    }
    details = {"seconds": plan.seconds, "leadhook": dict(ours), "poller": dict(polled)}
    return Measurement(f"Idle for {plan.seconds:.0f} s, a sweep each {plan.sweep_interval_s:g} s", figures, details)
