"""Requests with wrong admin tokens become slow; those with right ones, and webhooks, never do."""

import time

import anyio
import httpx
import pytest
from pydantic import SecretStr
from tests.conftest import PATIENCE_S

from leadhook.web.auth import MOST_HELD, MOST_NETWORKS, Admins
from leadhook.web.requests import Problem

from .conftest import ADMIN, Service


async def ask(service: Service, token: str) -> httpx.Response:
    return await service.ask("POST", "/replay", {"lead_ids": ["a"]}, authorization=f"Bearer {token}")


async def wrong(admins: Admins, address: str) -> int:
    with pytest.raises(Problem) as refusal:
        await admins.authenticate([(b"authorization", b"Bearer wrong")], address)
    return refusal.value.status_code


async def refusals(admins: Admins, address: str, count: int) -> int:
    return [await wrong(admins, address) for _ in range(count)].count(429)


async def test_the_sixth_wrong_token_is_answered_late(service: Service) -> None:
    service.state["admins"] = Admins([SecretStr(ADMIN)], hold_s=0.2)
    statuses = [(await ask(service, "wrong")).status_code for _ in range(5)]
    started = time.monotonic()
    late = await ask(service, "wrong")

    assert statuses == [401] * 5
    assert (late.status_code, late.headers["retry-after"]) == (429, "5")
    assert time.monotonic() - started >= 0.2


async def test_right_tokens_and_webhooks_are_answered_at_once_while_wrong_tokens_wait(service: Service) -> None:
    service.state["admins"] = Admins([SecretStr(ADMIN)], hold_s=3600)
    for _ in range(5):
        await ask(service, "wrong")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, service, "wrong")
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(PATIENCE_S):
            assert (await ask(service, ADMIN)).status_code == 202
            assert (await service.webhook({"type": "INSERT", "table": "all_leads", "records": []})).status_code == 202
        tasks.cancel_scope.cancel()


async def test_one_address_does_not_slow_down_another() -> None:
    admins = Admins([SecretStr(ADMIN)], hold_s=0)
    assert await refusals(admins, "192.0.2.1", 10) == 5
    assert await refusals(admins, "192.0.2.2", 5) == 0
    assert await refusals(admins, "2001:db8::1", 5) == 0
    assert await refusals(admins, "2001:db8::2", 1) == 1, "the same network"
    assert await refusals(admins, "2001:db8:0:1::1", 1) == 0, "another one"
    assert sum([await refusals(admins, f"198.51.100.{n}", 1) for n in range(100)]) > 50


async def test_few_networks_are_remembered() -> None:
    admins = Admins([SecretStr(ADMIN)], hold_s=0)
    for n in range(MOST_NETWORKS + 100):
        admins._wrong_of_network(f"address {n}")
    assert admins._wrong_of_network.cache_info().currsize == MOST_NETWORKS


async def test_few_answers_are_held_back_at_a_time() -> None:
    admins = Admins([SecretStr(ADMIN)], hold_s=3600)
    answered: list[int] = []

    async def guess() -> None:
        answered.append(await wrong(admins, "192.0.2.1"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5 + MOST_HELD + 30):
            tasks.start_soon(guess)
        await anyio.wait_all_tasks_blocked()
        assert (answered.count(401), answered.count(429)) == (5, 30)
        tasks.cancel_scope.cancel()
