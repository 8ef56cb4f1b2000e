"""Wrong admin tokens become slow; right ones and sends a webhook never do."""

import time

import anyio
import pytest

from leadhook.web.problems import Problem
from leadhook.web.sign_ins import MOST_ADDRESSES, MOST_HELD, SignIns

from .conftest import ADMIN, Service


async def refusals(sign_ins: SignIns, address: str, count: int) -> int:
    """How many of so many wrong tokens were too many."""
    refused = 0
    for _ in range(count):
        try:
            await sign_ins.failed(address)
        except Problem:
            refused += 1
    return refused


async def test_the_sixth_wrong_token_is_answered_slowly_and_a_right_one_at_once(service: Service) -> None:
    """429 with Retry-After, until it is right; and sends a webhook from that address are heard."""
    sign_ins = service.state["sign_ins"] = SignIns(hold_s=0.2)
    wrong = {"authorization": "Bearer wrong"}
    statuses = [(await service.client.post("/replay", json={}, headers=wrong)).status_code for _ in range(5)]
    started = time.monotonic()
    slow = await service.client.post("/replay", json={}, headers=wrong)
    slow_s = time.monotonic() - started

    assert statuses == [401] * 5
    assert (slow.status_code, slow.headers["retry-after"]) == (429, "5")
    assert slow_s >= 0.2

    sign_ins._hold_s = 3600
    with anyio.fail_after(20):
        right = {"authorization": f"Bearer {ADMIN}"}
        assert (await service.client.post("/replay", json={"lead_ids": ["a"]}, headers=right)).status_code == 202
        assert (await service.webhook({"type": "INSERT", "table": "all_leads", "records": []})).status_code == 202


async def test_one_address_does_not_slow_down_another() -> None:
    """But all together are slowed down."""
    sign_ins = SignIns(hold_s=0)
    assert await refusals(sign_ins, "192.0.2.1", 10) == 5
    assert await refusals(sign_ins, "192.0.2.2", 5) == 0
    assert await refusals(sign_ins, "2001:db8::1", 5) == 0
    assert await refusals(sign_ins, "2001:db8::2", 1) == 1, "the same network"
    assert await refusals(sign_ins, "2001:db8:0:1::1", 1) == 0, "another one"
    assert sum([await refusals(sign_ins, f"198.51.100.{n}", 1) for n in range(100)]) > 50


async def test_what_is_remembered_is_bounded() -> None:
    """Addresses, and answers that are held back."""
    sign_ins = SignIns(hold_s=3600)
    for n in range(MOST_ADDRESSES + 100):
        sign_ins._bucket(f"address {n}")
    assert len(sign_ins._by_address) == MOST_ADDRESSES

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(refusals, sign_ins, "192.0.2.1", 100)
        await anyio.wait_all_tasks_blocked()
        assert sign_ins._held == MOST_HELD
        with pytest.raises(Problem):
            await sign_ins.failed("192.0.2.1")
        tasks.cancel_scope.cancel()
    assert sign_ins._held == 0
