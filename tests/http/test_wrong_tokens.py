"""Requests with wrong admin tokens become slow; those with right ones, and webhooks, never do."""

import time

import anyio
import pytest
from pydantic import SecretStr
from tests.conftest import PATIENCE_S

from leadhook.web.auth import MOST_HELD, MOST_NETWORKS, Admins
from leadhook.web.requests import Problem

from .conftest import ADMIN, Service


async def wrong(admins: Admins, address: str) -> int:
    with pytest.raises(Problem) as refusal:
        await admins.authenticate([(b"authorization", b"Bearer wrong")], address)
    return refusal.value.status_code


async def refusals(admins: Admins, address: str, count: int) -> int:
    return [await wrong(admins, address) for _ in range(count)].count(429)


async def test_the_sixth_wrong_token_is_answered_slowly_and_a_right_one_at_once(service: Service) -> None:
    admins = service.state["admins"] = Admins([SecretStr(ADMIN)], hold_s=0.2)
    wrong = {"authorization": "Bearer wrong"}
    statuses = [(await service.client.post("/replay", json={}, headers=wrong)).status_code for _ in range(5)]
    started = time.monotonic()
    slow = await service.client.post("/replay", json={}, headers=wrong)
    slow_s = time.monotonic() - started

    assert statuses == [401] * 5
    assert (slow.status_code, slow.headers["retry-after"]) == (429, "5")
    assert slow_s >= 0.2

    admins._hold_s = 3600
    with anyio.fail_after(PATIENCE_S):
        right = {"authorization": f"Bearer {ADMIN}"}
        assert (await service.client.post("/replay", json={"lead_ids": ["a"]}, headers=right)).status_code == 202
        assert (await service.webhook({"type": "INSERT", "table": "all_leads", "records": []})).status_code == 202


async def test_one_address_does_not_slow_down_another() -> None:
    admins = Admins([SecretStr(ADMIN)], hold_s=0)
    assert await refusals(admins, "192.0.2.1", 10) == 5
    assert await refusals(admins, "192.0.2.2", 5) == 0
    assert await refusals(admins, "2001:db8::1", 5) == 0
    assert await refusals(admins, "2001:db8::2", 1) == 1, "the same network"
    assert await refusals(admins, "2001:db8:0:1::1", 1) == 0, "another one"
    assert sum([await refusals(admins, f"198.51.100.{n}", 1) for n in range(100)]) > 50


async def test_what_is_remembered_is_bounded() -> None:
    admins = Admins([SecretStr(ADMIN)], hold_s=0)
    for n in range(MOST_NETWORKS + 100):
        admins._wrong_of_network(f"address {n}")
    assert admins._wrong_of_network.cache_info().currsize == MOST_NETWORKS

    admins._hold_s = 3600

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(refusals, admins, "192.0.2.1", 100)
        await anyio.wait_all_tasks_blocked()
        assert admins._held == MOST_HELD
        with anyio.fail_after(PATIENCE_S):
            assert await wrong(admins, "192.0.2.1") == 429
        tasks.cancel_scope.cancel()
    assert admins._held == 0
