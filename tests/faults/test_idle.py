"""An idle service: silent, and there when something falls due."""

import time
from typing import Any

from tests.conftest import LONG, poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_one_answer_each
from tests.faults.proxy import Exchange, Proxy

LEASE_S = 1.5
JITTER_S = 1.0
SLACK_S = 0.7
LATE_S = 0.7 if LONG else 30
"""How late a claim may be; too early, it would be a busy loop."""


def test_idle_survivor_takes_over_what_falls_due_and_is_silent_otherwise(arena: Arena) -> None:
    project = arena.project
    project.reset(lease_s=LEASE_S, renew_s=0.5, start_limit_s=0.75)
    proxy = arena.proxy()
    service = arena.serve(webhooks=True, proxy=proxy).wait_until_up()
    wait_until_quiet(arena, proxy)
    heard = len(causes(proxy))
    with project.transaction():
        (abandoned,) = project.bring(1, title="Student")
        ghost_claims(arena, abandoned)
    arena.wait_for_answers([abandoned])
    assert_one_webhook_then_retry(causes(proxy)[heard:])

    heard = len(causes(proxy))
    project.model.order({"match": {"first": 1}, "do": {"error": 503}})
    (retried,) = bring_with_one_webhook(arena)
    arena.wait_for_answers([retried])
    assert_one_webhook_then_retry(causes(proxy)[heard:])

    quota: dict[str, Any] = {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 3}
    project.set_keys("visibly-fake-only-key")
    wait_until_quiet(arena, proxy)
    heard = len(causes(proxy))
    project.model.order({"match": {"first": 1}, "do": {"error": quota}})
    (parked,) = bring_with_one_webhook(arena)
    arena.wait_for_answers([parked])
    assert_one_webhook_then_retry(causes(proxy)[heard:])
    poll(lambda: bool(service.events("key.parked")), service.tail)

    wait_until_quiet(arena, proxy)
    said = len(proxy.exchanges)
    time.sleep(20 if arena.long else 4)
    assert proxy.exchanges[said:] == [], "idle means silent"
    assert_only_at_announced_times(proxy)
    assert_one_answer_each(project, [abandoned, retried, parked])


def bring_with_one_webhook(arena: Arena) -> list[str]:
    """Lead and prompts row in one commit: two commits send two webhooks, and pg_net may post them apart."""
    with arena.project.transaction():
        return arena.project.bring(1, title="Student")


def ghost_claims(arena: Arena, lead: str) -> None:
    """A worker claims it and disappears."""
    reply = arena.project.value("select public.leadhook_claim(gen_random_uuid(), 'a ghost', 1, 0)")
    assert [claimed["lead_id"] for claimed in reply["leads"]] == [lead]


def wait_until_quiet(arena: Arena, proxy: Proxy) -> None:
    """Wait for one lease without claims, and nothing due: webhooks arrived, and a claim looked for expired leases."""
    arena.wait_for_rest()
    silence_s = LEASE_S + JITTER_S + SLACK_S
    due = "select leadhook.next_due_ms(clock_timestamp()) is not null or exists (select from net.http_request_queue)"

    def is_quiet() -> bool:
        said = proxy.exchanges
        return bool(said) and time.monotonic() - said[-1].arrived_at > silence_s and not arena.project.value(due)

    poll(is_quiet, lambda: "it does not fall silent")


def causes(proxy: Proxy) -> list[str]:
    return [exchange.request["p_source"] for exchange in proxy.of("claim")]


def assert_one_webhook_then_retry(said: list[str]) -> None:
    """The lead's own webhook and the looks after it; then at times the database had announced, some outdated."""
    assert said[0] == "webhook"
    assert said[-1] == "retry"
    assert set(said) == {"webhook", "retry"}


def assert_only_at_announced_times(proxy: Proxy) -> None:
    """Every claim but those for a start or a webhook came when a reply since the claim before had said so."""
    windows: list[tuple[float, float]] = []
    for exchange in proxy.exchanges:
        if exchange.function == "claim":
            if exchange.request["p_source"] not in ("start", "webhook", "sweep"):
                assert any(early <= exchange.arrived_at <= late for early, late in windows), (exchange, windows)
            windows = []
        windows += window(exchange)
    assert {exchange.function for exchange in proxy.exchanges} <= {
        "claim",
        "renew",
        "save",
        "release",
        "park_keys",
        "sweep",
        "status",
    }


def window(exchange: Exchange) -> list[tuple[float, float]]:
    """When the service may come back by this reply."""
    due_ms = (exchange.reply or {}).get("next_due_ms")
    if due_ms is None or exchange.answered_at is None:
        return []
    due_at = exchange.answered_at + due_ms / 1000
    return [(due_at - 0.1, due_at + JITTER_S + LATE_S)]
