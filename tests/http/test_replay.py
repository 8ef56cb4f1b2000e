"""`POST /replay`: who may, what it takes, what it answers."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadhook.domain.replays import ReplayedLead, ReplayReply
from leadhook.web.auth import Admins

from .conftest import ADMIN, OTHER_ADMIN, Service


async def test_a_replay_answers_what_the_database_made_of_it(service: Service) -> None:
    service.store.reply = ReplayReply(
        replay_id=7,
        counts={"queued": 1, "not_eligible": 1},
        leads=(
            ReplayedLead(lead_id="a", outcome="queued"),
            ReplayedLead(lead_id="b", outcome="not_eligible", missing=("scrapped",)),
        ),
    )
    answer = await service.ask("POST", "/replay", {"lead_ids": ["a", "b", "a"], "reason": "new criteria"})

    assert (answer.status_code, answer.json()) == (
        202,
        {
            "replay_id": 7,
            "state": "queued",
            "counts": {"queued": 1, "not_eligible": 1},
            "leads": [
                {"lead_id": "a", "outcome": "queued"},
                {"lead_id": "b", "outcome": "not_eligible", "missing": ["scrapped"]},
            ],
        },
    )
    actor = f"admin:{hashlib.sha256(ADMIN.encode()).hexdigest()[:8]}"
    assert service.store.replayed == [(["a", "b"], actor, "new criteria")]


async def test_every_admin_token_opens_and_leaves_its_own_mark(service: Service) -> None:
    """ADMIN_TOKENS holds several; the audit distinguishes them without storing them."""
    for token in (ADMIN, OTHER_ADMIN):
        answer = await service.ask("POST", "/replay", {"lead_ids": ["a"]}, authorization=f"bearer  {token}")
        assert answer.status_code == 202

    actors = [actor for _, actor, _ in service.store.replayed]
    assert len(set(actors)) == 2
    assert not any(token in actor for token in (ADMIN, OTHER_ADMIN) for actor in actors)


STRANGERS = {
    "nothing": "",
    "scheme alone": "Bearer",
    "empty token": "Bearer ",
    "token alone": ADMIN,
    "another scheme": f"Basic {ADMIN}",
    "longer": f"Bearer {ADMIN}x",
    "shorter": f"Bearer {ADMIN[:-1]}",
    "two": f"Bearer {ADMIN} {OTHER_ADMIN}",
    "no ascii": "Bearer é",
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_no_one_else_may(service: Service, who: str) -> None:
    answer = await service.client.post(
        "/replay", json={"lead_ids": ["a"]}, headers=[(b"authorization", STRANGERS[who].encode("latin-1"))]
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "ADMIN_TOKENS" in answer.json()["detail"]
    assert service.store.replayed == []


async def test_a_repeated_authorization_is_refused(service: Service) -> None:
    """It is unclear which one counts."""
    twice = [("authorization", f"Bearer {ADMIN}")] * 2
    answer = await service.client.post("/replay", json={"lead_ids": ["a"]}, headers=twice)

    assert answer.status_code == 401


async def test_admin_requests_are_closed_while_no_token_is_set(service: Service) -> None:
    service.state["admins"] = Admins([])
    answer = await service.ask("POST", "/replay", {"lead_ids": ["a"]})

    assert answer.status_code == 403
    assert "ADMIN_TOKENS" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"lead_ids": ["a"], "filter": {"all": True}}])
async def test_a_body_without_one_selection_says_what_to_send(service: Service, body: dict[str, Any]) -> None:
    answer = await service.ask("POST", "/replay", body)
    assert (answer.status_code, "exactly one of lead_ids and filter" in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#"]),
        ({"lead_ids": ["a"], "filter": {"all": True}}, ["#"]),
        ({"lead_ids": ["a"], "limit": 1}, ["#"]),
        ({"lead_ids": ["a"], "request_id": "00000000-0000-4000-8000-000000000001"}, ["#"]),
        ({"filter": {"all": True}, "request_id": "again"}, ["#/request_id"]),
        ({"lead_ids": ["a"], "prompts": {"message_prompt": "x"}}, ["#/prompts"]),
        ({"filter": {}}, ["#/filter"]),
        ({"filter": {"all": False}}, ["#/filter/all"]),
        ({"filter": {"all": True, "tag": "x"}}, ["#/filter"]),
        ({"filter": {"color": "red"}}, ["#/filter/color"]),
        (
            {"filter": {"user_id": "7", "tag": "", "state": "lost"}},
            [f"#/filter/{n}" for n in ("user_id", "tag", "state")],
        ),
        ({"filter": {"score_min": 101, "score_max": "7"}}, ["#/filter/score_min", "#/filter/score_max"]),
        ({"filter": {"tag": None}}, ["#/filter"]),
        ({"filter": {"since": "2026-01-01", "until": "soon"}}, ["#/filter/since", "#/filter/until"]),
        ({"filter": {"all": True}, "limit": 0, "mode": "replay"}, ["#/limit", "#/mode"]),
        ({"filter": {"all": True}, "limit": 2**31}, ["#/limit"]),
        ({"lead_ids": []}, ["#/lead_ids"]),
        ({"lead_ids": "a"}, ["#/lead_ids"]),
        ({"lead_ids": ["a", 7, ""]}, ["#/lead_ids/1", "#/lead_ids/2"]),
        ({"lead_ids": ["a"] * 1001}, ["#/lead_ids"]),
        ({"lead_ids": ["x" * 1001]}, ["#/lead_ids/0"]),
        ({"lead_ids": ["a"], "filter/~": 1, "dry_run": 1}, ["#/dry_run", "#/filter~1~0"]),
        ({"lead_ids": ["a"], "reason": "x" * 501}, ["#/reason"]),
        ([], ["#"]),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_body_of_another_shape_is_refused_with_pointers(
    service: Service, body: Any, pointers: list[str]
) -> None:
    answer = await service.ask("POST", "/replay", body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    assert all(error["detail"] for error in answer.json()["errors"])
    assert service.store.replayed == []


async def test_the_list_of_faults_is_bounded(service: Service) -> None:
    answer = await service.ask("POST", "/replay", {"lead_ids": [7] * 1000})

    assert len(answer.json()["errors"]) == 20


async def test_a_body_is_read_up_to_256_kb(service: Service) -> None:
    """Long ids have room; floods don't, and strangers are sent away before anything is read."""
    ids = [f"{n}-{'x' * 240}" for n in range(1000)]
    assert (await service.ask("POST", "/replay", {"lead_ids": ids})).status_code == 202
    assert (await service.ask("POST", "/replay", {"lead_ids": ["x" * 300_000]})).status_code == 413

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""  # type: ignore[unreachable]  # makes it a generator

    assert (await service.client.post("/replay", content=unread())).status_code == 401


async def test_ids_travel_as_they_are(service: Service) -> None:
    ids = ['a"b', "c/d'e", " f ", "😀"]
    await service.ask("POST", "/replay", {"lead_ids": ids})

    assert service.store.replayed[0][0] == ids
