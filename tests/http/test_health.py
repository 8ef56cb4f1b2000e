"""`/`, `/health` and `/ready`: for programs, for platforms, for people."""

import dataclasses
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.conftest import PATIENCE_S

from leadhook import __version__
from leadhook.domain.status import BudgetStatus, KeyStatus, Pause, RestingKey, Status, WebhookSetup
from leadhook.store import StoreError
from leadhook.web import health
from leadhook.web.health import Readiness

from .conftest import GOOD_STATUS, HEALTHY, FakeStore, Service

SINCE = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def status(**changes: Any) -> Status:
    return GOOD_STATUS.model_copy(update=changes)


def unwell(service: Service, **changes: Any) -> None:
    service.engine.health = dataclasses.replace(HEALTHY, **changes)


async def test_the_service_names_itself_and_its_version(service: Service) -> None:
    answer = await service.client.get("/")

    assert answer.json() == {"service": "leadhook", "status": "online", "version": __version__}


async def test_health_depends_on_nothing(service: Service) -> None:
    """A platform must not restart us because the database is away."""
    service.store.on_status = StoreError("unavailable", "unreachable", "away")
    unwell(service, fault="away", running=False)
    answer = await service.client.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert service.store.asked == 0


async def test_ready_when_nothing_stands_in_the_way(service: Service) -> None:
    answer = await service.ask("GET", "/ready")

    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "reasons": [], "warnings": [], "next_step": None},
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (status(keys=KeyStatus()), "No Gemini key was found"),
        (
            status(
                keys=KeyStatus(total=3, cooling=2, disabled=1, next_return_at=datetime(2026, 11, 24, 8, 0, tzinfo=UTC)),
                parked_keys=(
                    RestingKey(fingerprint="abcd", until=datetime(2026, 11, 24, 8, 0, tzinfo=UTC), reason="Quota."),
                    RestingKey(fingerprint="beef", reason="Google does not accept it."),
                ),
            ),
            (
                "2 cooling down, 1 that cannot be sent. The next one is available again at 2026-11-24T08:00:00Z."
                " Key abcd rests until 2026-11-24T08:00:00Z: Quota."
                " Key beef is not used until its row in gemini_api changes: Google does not accept it."
            ),
        ),
        (
            StoreError("misconfigured", "42501", "no permission for public.leadhook_status"),
            "No permission for public.leadhook_status.",
        ),
    ],
    ids=["no key", "all keys rest", "store error"],
)
async def test_what_the_database_lacks_is_a_reason(service: Service, status: Status | Exception, words: str) -> None:
    service.store.on_status = status
    answer = await service.ask("GET", "/ready")

    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert any(words in reason for reason in answer.json()["reasons"])


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (status(triggers={"all_leads": True, "prompts": False}), "on public.prompts"),
        (
            status(webhook_setup=WebhookSetup(url_set=True, pg_net=True)),
            "cannot send webhooks",
        ),
        (status(jobs={"held": 12}), "12 leads"),
        (status(jobs={"held": 1000}), "1,000 or more leads"),
    ],
    ids=["trigger", "webhook", "held", "many held"],
)
async def test_what_only_makes_it_slower_is_a_warning(service: Service, status: Status, words: str) -> None:
    service.store.on_status = status
    answer = await service.ask("GET", "/ready")

    assert answer.status_code == 200
    assert [words in warning for warning in answer.json()["warnings"]] == [True]


async def test_what_the_engine_cannot_do_is_a_reason(service: Service) -> None:
    unwell(service, fault="the model is unknown: check GEMINI_MODEL", since=SINCE)
    answer = await service.ask("GET", "/ready")

    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["The model is unknown: check GEMINI_MODEL. Since 2026-11-23T07:00:00Z."]


@pytest.mark.parametrize(
    ("changed", "words"), [({"running": False}, "starting"), ({"draining": True}, "shutting down")]
)
async def test_an_engine_that_takes_nothing_is_a_reason(service: Service, changed: dict[str, bool], words: str) -> None:
    unwell(service, **changed)
    answer = await service.ask("GET", "/ready")

    assert answer.status_code == 503
    assert words in answer.json()["reasons"][0]


async def test_a_service_that_starts_is_not_ready_and_does_not_ask_the_database(service: Service) -> None:
    """Its client may not be imported yet."""
    service.state["readiness"] = Readiness(status=service.store.status, engine=lambda: None, problems=["wrong"])
    answer = await service.client.get("/ready")

    assert (answer.status_code, answer.json()["reasons"]) == (503, ["settings", "starting"])
    assert service.store.asked == 0


async def test_trouble_that_both_have_is_reported_once(service: Service) -> None:
    """The engine and the question for the status fail alike while the database is away."""
    unwell(service, fault="no connection", since=SINCE)
    service.store.on_status = StoreError("unavailable", "unreachable", "no connection")
    answer = await service.ask("GET", "/ready")

    assert answer.json()["reasons"] == ["No connection. Since 2026-11-23T07:00:00Z."]


async def test_a_key_of_the_wrong_role_is_a_reason_and_reported_once(service: Service) -> None:
    service.state["readiness"] = Readiness(
        status=service.store.status,
        engine=lambda: service.engine.health,
        problems=["anon may not"],
        warnings=lambda: ["anon may not", "another"],
    )
    answer = await service.ask("GET", "/ready")

    assert answer.json() == {"ready": False, "reasons": ["anon may not"], "warnings": ["another"], "next_step": None}


async def test_the_database_is_asked_once_in_five_seconds(service: Service) -> None:
    now = 100.0
    service.state["readiness"] = Readiness(
        status=service.store.status, engine=lambda: service.engine.health, clock=lambda: now
    )

    async def look() -> None:
        await service.client.get("/ready")

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(look)
    assert service.store.asked == 1
    now += 5
    await look()

    assert service.store.asked == 2


async def test_a_database_that_hangs_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.01)
    store = FakeStore(on_status=None)

    with anyio.fail_after(PATIENCE_S):
        found = await Readiness(status=store.status, engine=lambda: HEALTHY).check()

    assert "did not answer" in str(found.reasons[0])


PRIVATE = "Müller GmbH, legal case 4711"


@pytest.mark.parametrize(
    ("on_status", "fault", "reasons", "warnings"),
    [
        (
            status(
                pauses=(
                    Pause(actor=PRIVATE, reason=PRIVATE, paused_at=datetime(2026, 11, 23, tzinfo=UTC)),
                    Pause(
                        user_id=UUID(int=7),
                        tag=PRIVATE,
                        actor=PRIVATE,
                        paused_at=datetime(2026, 11, 23, tzinfo=UTC),
                    ),
                ),
                budgets=(BudgetStatus(daily_usd=0.112, left_usd=0, spent=True),),
            ),
            None,
            ["paused", "budget_spent"],
            ["paused"],
        ),
        (StoreError("misconfigured", "42501", PRIVATE), None, ["42501"], []),
        (GOOD_STATUS, ("model_unknown", PRIVATE), ["model_unknown"], []),
    ],
)
async def test_strangers_see_codes_alone(
    service: Service,
    on_status: Status | Exception,
    fault: tuple[str, str] | None,
    reasons: list[str],
    warnings: list[str],
) -> None:
    service.store.on_status = on_status
    if fault:
        unwell(service, fault_code=fault[0], fault=fault[1])
    answer = await service.client.get("/ready")
    assert answer.status_code == 503
    assert (answer.json()["reasons"], answer.json()["warnings"]) == (reasons, warnings)
    assert "admin token" in answer.json()["next_step"]
    for private in ("Müller", "4711", "0.112", "00000007"):
        assert private not in answer.text
    told = await service.ask("GET", "/ready")
    assert "4711" in told.text
    assert (await service.ask("GET", "/ready", authorization="Bearer wrong")).status_code == 401
