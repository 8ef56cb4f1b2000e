"""Browsers: no page may, unless CORS_ORIGINS names its origin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from .conftest import AS_ADMIN, FakeEngine, FakeStore, asking, new_site, new_state

ALLOWED = "https://app.example.com"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}


@asynccontextmanager
async def browsing(*origins: str) -> AsyncIterator[httpx.AsyncClient]:
    state = new_state(FakeEngine(), FakeStore())
    async with asking(new_site(state, cors_origins=origins), state) as client:
        yield client


async def test_a_page_of_an_allowed_origin_may_send_its_token() -> None:
    async with browsing("https://other.example", ALLOWED) as client:
        asked = await client.options("/process-lead", headers={"origin": ALLOWED, **ASKS})
        done = await client.post("/replay", json={"lead_ids": ["a"]}, headers=AS_ADMIN | {"origin": ALLOWED})
        refused = await client.post("/replay", json={}, headers={"origin": ALLOWED})

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ALLOWED
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert (done.status_code, refused.status_code) == (202, 401)
    for answer in (done, refused):
        assert answer.headers["access-control-allow-origin"] == ALLOWED
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://app.example.com.evil.example", "http://app.example.com", "null"])
async def test_other_pages_may_not(origin: str) -> None:
    async with browsing(ALLOWED) as client:
        asked = await client.options("/process-lead", headers={"origin": origin, **ASKS})

    assert (asked.status_code, asked.headers["content-type"]) == (400, "application/problem+json")
    assert "CORS_ORIGINS" in asked.json()["detail"]
    assert "access-control-allow-origin" not in asked.headers


async def test_without_the_setting_no_page_may() -> None:
    async with browsing() as client:
        asked = await client.options("/process-lead", headers={"origin": ALLOWED, **ASKS})
        done = await client.get("/health", headers={"origin": ALLOWED})

    assert asked.status_code == 405
    assert "access-control-allow-origin" not in done.headers
