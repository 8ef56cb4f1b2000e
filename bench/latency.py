"""From the commit of a single lead to its first model call: leadhook, the bare chain and the poller, by turns.

The stand-in for pg_net keeps its real pause of a second, the model answers at once, and the time is what the stand-in
for Gemini notes when the request has arrived: the same clock as the commit's.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.console import say, track
from bench.leads import Application, empty_application
from bench.measurement import Figure, Measurement, quantile
from bench.stack import Stack, wait_until

from leadhook.engine.timing import Timing

POLL_S = 5.0
TIMES_THE_FLOOR = 1.5
TARGETS_MS = {"p50": 30.0, "p95": 60.0}
STREAM_P95_MS = 200.0
AWAKE_S = Timing.awake_s + 0.2
"""How long after its last lead the service may still take one that is meant for the bare chain."""
SHARES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        leads: single ones, of leadhook and of the bare chain each.
        polled: of the poller.
        apart_s: between two leads of leadhook; one of the bare chain stands in the middle between them.
        stream: leads in a stream, of leadhook and of the bare chain each.
        stream_s: between two leads of a stream, which pg_net sends in one burst a second.
        poll_s: how long the poller sleeps between two looks.
        warm: leads before each turn that are not counted.
    """

    leads: int = 40
    polled: int = 8
    turns: int = 4
    apart_s: float = 3.0
    stream: int = 240
    stream_s: float = 0.05
    poll_s: float = POLL_S
    warm: int = 3


SHORT = Plan(leads=2, polled=1, turns=1, apart_s=0.2, stream=8, poll_s=0, warm=1)


@dataclass
class Samples:
    """Milliseconds from the commit to the first model call."""

    service: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    stream_service: list[float] = field(default_factory=list)
    stream_bare: list[float] = field(default_factory=list)
    poller: list[float] = field(default_factory=list)


def measure_on(stack: Stack, plan: Plan) -> Measurement:
    """By turns, so that whatever else the machine does befalls all alike."""
    application = empty_application(stack.connection)
    stack.model.answer_at_once()
    samples = Samples()
    with stack.bare_chain() as bare_url:
        course = Course(stack, application, plan, bare_url)
        for turn in range(plan.turns):
            share = plan.leads // plan.turns
            with stack.service():
                course.warm_up()
                say(f"turn {turn + 1} of {plan.turns}")
                course.apart(share, samples)
                course.stream(plan.stream // plan.turns, samples)
            with stack.poller():
                course.polled(plan.polled // plan.turns, samples)
    return Measurement("From the commit of a single lead to its first model call", _figures(samples), vars(samples))


@dataclass(frozen=True)
class Course:
    """The hand that brings the leads."""

    stack: Stack
    application: Application
    plan: Plan
    bare_url: str

    def warm_up(self) -> None:
        """Some leads for leadhook and the bare chain, so that connections, plans and code are warm."""
        self.apart(self.plan.warm, Samples(), "leads to warm up")

    def apart(self, leads: int, samples: Samples, words: str = "leads 3 s apart, the bare chain between them") -> None:
        """Leadhook and the bare chain, lead by lead."""
        for _ in track(range(leads), words):
            self._bring_one(samples.service, self.plan.apart_s / 2)
            with self._bare_with_webhooks():
                self._bring_one_for_bare(samples.bare, self.plan.apart_s / 2)

    def stream(self, leads: int, samples: Samples) -> None:
        """A stream of leads for leadhook, then one for the bare chain."""
        samples.stream_service += self._bring_stream(leads).values()
        time.sleep(AWAKE_S)
        with self._bare_with_webhooks():
            of_bare = self._bring_stream(leads)
        samples.stream_bare += of_bare.values()
        for lead in of_bare:
            self.application.withdraw(lead)

    def polled(self, leads: int, samples: Samples) -> None:
        """Leads for the poller, at any moment of its round."""
        for _ in track(range(leads), "leads for the poller"):
            self._bring_one(samples.poller, 0)
            time.sleep(random.uniform(0, self.plan.poll_s))  # noqa: S311 - any moment

    def _bring_stream(self, leads: int) -> dict[str, float]:
        committed_at: dict[str, float] = {}
        for _ in track(range(leads), "leads 50 ms apart"):
            (lead,), committed_at_ms = self.application.bring(1)
            committed_at[lead] = committed_at_ms
            time.sleep(self.plan.stream_s)
        wait_until(
            lambda: committed_at.keys() <= self.stack.model.first_calls().keys(), "the first model calls of a stream"
        )
        first_calls = self.stack.model.first_calls()
        return {lead: first_calls[lead] - at for lead, at in committed_at.items()}

    def _bring_one(self, samples: list[float], pause_s: float) -> str:
        (lead,), committed_at = self.application.bring(1)
        time.sleep(pause_s)
        wait_until(lambda: lead in self.stack.model.first_calls(), "the first model call for a lead", timeout_s=60)
        samples.append(self.stack.model.first_calls()[lead] - committed_at)
        return lead

    def _bring_one_for_bare(self, samples: list[float], pause_s: float) -> None:
        self.application.withdraw(self._bring_one(samples, pause_s))

    @contextmanager
    def _bare_with_webhooks(self) -> Iterator[None]:
        self.stack.send_webhooks_to(self.bare_url)
        yield
        self.stack.send_webhooks_to(self.stack.facts["webhook_url"])


def _figures(samples: Samples) -> dict[str, Figure]:
    figures = {}
    for name, share in SHARES.items():
        ours, bare = quantile(samples.service, share), quantile(samples.bare, share)
        target_ms = TARGETS_MS[name]
        figures[f"apart_{name}"] = Figure(
            f"leads 3 s apart, {name}",
            ours,
            "ms",
            spread=(min(samples.service), max(samples.service)),
            beside={"bare chain": bare, "poller": quantile(samples.poller, share)},
            target=f"≤ {target_ms:.0f} ms, or ≤ {TIMES_THE_FLOOR} times the bare chain",
            met=ours <= target_ms or ours <= TIMES_THE_FLOOR * bare,
        )
    for name, share in SHARES.items():
        ours = quantile(samples.stream_service, share)
        figures[f"stream_{name}"] = Figure(
            f"a stream of a lead each 50 ms, {name}",
            ours,
            "ms",
            spread=(min(samples.stream_service), max(samples.stream_service)),
            beside={"bare chain": quantile(samples.stream_bare, share)},
            target=f"≤ {STREAM_P95_MS:.0f} ms" if name == "p95" else "",
            met=ours <= STREAM_P95_MS if name == "p95" else None,
        )
    return figures
