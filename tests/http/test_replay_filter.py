"""`POST /replay` by filter, counted before; `GET` and `DELETE /replays/{replay_id}`."""

import hashlib
from uuid import UUID

import pytest

from leadhook.domain.forecast import Spending
from leadhook.domain.replays import LeadProgress, ReplayCount, ReplayProgress, ReplayReply, ReplayStatus

from .conftest import ADMIN, Service

USER = "00000000-0000-4000-8000-000000000001"


async def test_a_filter_reaches_the_database_as_it_was_given(service: Service) -> None:
    """Only the fields that are given; the reply says that the rest is on its way, and the worker is woken."""
    service.store.reply = ReplayReply(replay_id=9, counts={"queued": 250}, state="queueing")
    fields = {"user_id": USER, "tag": "t", "score_max": 49, "since": "2026-01-01T00:00:00Z"}
    answer = await service.ask("POST", "/replay", {"filter": fields, "limit": 500, "reason": "new criteria"})

    assert answer.status_code == 202
    assert answer.json() == {"replay_id": 9, "state": "queueing", "counts": {"queued": 250}, "leads": []}
    assert service.store.calls == [("replay_filtered", fields, 500)]
    assert service.store.replayed == [([], f"admin:{hashlib.sha256(ADMIN.encode()).hexdigest()[:8]}", "new criteria")]
    assert service.engine.webhooks == [[]]


async def test_a_request_that_is_sent_again_keeps_its_id(service: Service) -> None:
    """By which the database knows that it began this replay; a second one would pay for every lead again."""
    service.store.reply = ReplayReply(replay_id=9)
    for _ in range(2):
        assert (await service.ask("POST", "/replay", {"filter": {"tag": "t"}, "request_id": USER})).status_code == 202
    assert service.store.forms == [UUID(USER)] * 2


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-01-01T12:00:00-20:41", "2026-01-02T08:41:00Z"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.999999Z"),
    ],
)
async def test_times_reach_the_database_in_utc(service: Service, given: str, sent: str) -> None:
    """Postgres refuses offsets that RFC 3339 allows."""
    service.store.reply = ReplayReply(replay_id=9)
    await service.ask("POST", "/replay", {"filter": {"since": given}})
    assert service.store.calls[0][1] == {"since": sent}


async def test_a_filter_that_matches_nothing_answers_0(service: Service) -> None:
    service.store.reply = ReplayReply(replay_id=9)
    service.store.on_dry_run = [ReplayCount()]
    assert (await service.ask("POST", "/replay", {"filter": {"tag": "x"}})).json()["counts"] == {}
    answer = (await service.ask("POST", "/replay", {"filter": {"tag": "x"}, "dry_run": True})).json()
    assert (answer["count"], answer["counts"], answer["sample"]) == (0, {}, [])


async def test_a_dry_run_sums_its_slices_and_changes_nothing(service: Service) -> None:
    """Until the last one, or until as many are found as are asked for; with a forecast for all."""
    history = Spending(known=20, calls=40, input_tokens=2000, output_tokens=400, model_ms=40_000, cost_usd=0.2)
    service.store.on_dry_run = [
        ReplayCount(
            counts={"queued": 25, "held": 1}, last_lead="m", sample=tuple(f"a{n}" for n in range(10)), usage=history
        ),
        ReplayCount(counts={"queued": 5, "queued_after": 10}, last_lead="z", sample=("n",)),
    ]
    answer = await service.ask("POST", "/replay", {"filter": {"all": True}, "limit": 40, "dry_run": True})

    assert answer.status_code == 200
    assert answer.json() == {
        "dry_run": True,
        "count": 40,
        "counts": {"queued": 30, "held": 1, "queued_after": 10},
        "complete": True,
        "forecast": {
            "calls": 80,
            "input_tokens": 4000,
            "cached_tokens": 0,
            "output_tokens": 800,
            "thinking_tokens": 0,
            "cost_usd": 0.4,
            "duration_s": 6.7,
            "scored_before": 20,
        },
        "sample": [f"a{n}" for n in range(10)],
    }
    assert [call[3:] for call in service.store.calls] == [(40, ""), (15, "m")]
    assert service.engine.webhooks == []


async def test_a_dry_run_without_any_history_has_no_forecast(service: Service) -> None:
    service.store.on_dry_run = [ReplayCount(counts={"queued": 3})]
    answer = await service.ask("POST", "/replay", {"lead_ids": ["a", "b", "c", "c"], "dry_run": True})

    assert (answer.json()["count"], answer.json()["forecast"]) == (3, None)
    assert service.store.calls == [("dry_run", ["a", "b", "c"], None, None, "")]


HALF_DONE = ReplayStatus(
    found=True,
    replay_id=7,
    actor="admin:1",
    counts={"queued": 3},
    progress=ReplayProgress(done=2, waiting=1),
    usage=Spending(calls=3, input_tokens=300),
    leads=(
        LeadProgress(lead_id="a", state="done", score=60),
        LeadProgress(lead_id="b", state="waiting"),
    ),
    next_after="b",
)


async def test_a_replay_is_followed(service: Service) -> None:
    service.store.on_replay_status = HALF_DONE
    answer = await service.ask("GET", "/replays/7?after=0&limit=2")

    body = answer.json()
    assert (answer.status_code, body["state"], body["next_after"]) == (200, "running", "b")
    assert body["progress"]["total"] == 3
    assert body["leads"] == [
        {"lead_id": "a", "state": "done", "score": 60},
        {"lead_id": "b", "state": "waiting"},
    ]
    assert service.store.calls == [("replay_status", 7, "0", 2)]


@pytest.mark.parametrize(
    ("phase", "progress", "state"),
    [
        ("queueing", {"waiting": 1}, "queueing"),
        ("queued", {"leased": 1}, "running"),
        ("queued", {"done": 1}, "finished"),
        ("queued", {}, "finished"),
        ("stopping", {"waiting": 1}, "stopping"),
        ("stopped", {"stopped": 1}, "stopped"),
    ],
)
async def test_the_state_is_a_word(service: Service, phase: str, progress: dict[str, int], state: str) -> None:
    service.store.on_replay_status = ReplayStatus(
        found=True, replay_id=7, phase=phase, progress=ReplayProgress(**progress)
    )
    assert (await service.ask("GET", "/replays/7")).json()["state"] == state


async def test_a_replay_is_stopped_again_and_again(service: Service) -> None:
    service.store.on_replay_status = ReplayStatus(
        found=True, replay_id=7, phase="stopped", progress=ReplayProgress(stopped=2)
    )
    answers = [await service.ask("DELETE", "/replays/7") for _ in range(2)]

    assert [(answer.status_code, answer.json()["progress"]["stopped"]) for answer in answers] == [(200, 2)] * 2


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("replay_id", ["7", "x", "-1", str(2**63), "9" * 5000, "7a"])
async def test_an_unknown_replay_is_404(service: Service, method: str, replay_id: str) -> None:
    answer = await service.ask(method, f"/replays/{replay_id}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_strangers_learn_nothing(service: Service, method: str) -> None:
    assert (await service.client.request(method, "/replays/7")).status_code == 401
    assert service.store.calls == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "page=2", f"after={'x' * 1001}"])
async def test_a_query_of_another_shape_is_refused(service: Service, query: str) -> None:
    answer = await service.ask("GET", f"/replays/7?{query}")

    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]
    assert service.store.calls == []


async def test_another_method_is_refused_with_the_right_ones(service: Service) -> None:
    answer = await service.ask("POST", "/replays/7")

    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"DELETE", "GET", "HEAD"})


async def test_a_finished_replay_is_not_stopped(service: Service) -> None:
    """It answers as it ended, and no one is woken for it."""
    service.store.on_replay_status = ReplayStatus(
        found=True, replay_id=7, phase="queued", progress=ReplayProgress(done=2)
    )
    answer = await service.ask("DELETE", "/replays/7")
    assert (answer.status_code, answer.json()["state"]) == (200, "finished")
