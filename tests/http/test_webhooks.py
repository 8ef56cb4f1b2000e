"""`POST /webhooks/leads`: what wakes the dispatcher, what does not, and what a stranger learns."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from structlog.testing import capture_logs
from tests.conftest import PATIENCE_S

from leadhook.credentials import receipt, webhook_key
from leadhook.observability.metrics import REGISTRY
from leadhook.web.request_log import WebhookSum

from .conftest import OLD_SECRET, SECRET, STATIC, Service, signed

OURS = {
    "type": "INSERT",
    "table": "lead_details",
    "schema": "public",
    "record": None,
    "old_record": None,
    "records": ["a", "b"],
    "total": 2,
}
BODY = json.dumps(OURS).encode()
BY_HEADER = {"x-webhook": STATIC, "content-type": "application/json"}


def without(header: str) -> dict[str, str]:
    """The headers of a signed webhook but for this one."""
    return {name: value for name, value in signed(BODY).items() if name != header}


def dashboard(**changed: Any) -> dict[str, Any]:
    record = {"lead_id": "a", "sent_to_llm": False, "bio": "…"}
    return {
        "type": "INSERT",
        "table": "lead_details",
        "schema": "public",
        "record": record,
        "old_record": None,
        **changed,
    }


async def test_a_signed_webhook_wakes_the_dispatcher_without_hints(service: Service) -> None:
    """Whatever it reports is already in the database."""
    answer = await service.webhook(OURS)

    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert service.engine.webhooks == [[]]


async def test_either_secret_of_a_rotation_is_accepted(service: Service) -> None:
    answer = await service.webhook(OURS, secret=OLD_SECRET)

    assert answer.status_code == 202
    assert service.engine.webhooks == [[]]


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "TRUNCATE", "records": []},
        {"type": "DELETE", "records": ["a"]},
        {"type": "INSERT", "table": "gemini_api", "records": []},
        {"type": "UPDATE", "table": "prompts", "records": []},
        {"type": "REPLAY", "table": None, "schema": None, "records": []},
    ],
)
async def test_every_webhook_of_our_own_triggers_wakes_the_dispatcher(
    service: Service, changed: dict[str, Any]
) -> None:
    """Deletes too: what is known of the lead is to go."""
    answer = await service.webhook({**OURS, **changed})

    assert answer.status_code == 202
    assert service.engine.webhooks == [[]]


async def test_a_dashboard_webhook_hints_at_its_lead(service: Service) -> None:
    answer = await service.webhook(dashboard(), BY_HEADER)

    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert service.engine.webhooks == [["a"]]


@pytest.mark.parametrize(
    ("body", "hints"),
    [
        (dashboard(type="UPDATE", table="all_leads", record={"lead_id": "b'/\"%"}), ["b'/\"%"]),
        (dashboard(table="prompts", record={"user_id": "u", "tag": "t"}), []),
        (dashboard(table="gemini_api", record={"lead_id": "no lead"}), []),
        (dashboard(record={"lead_id": "x" * 201}), []),
        (dashboard(record={"lead_id": 7}), []),
        (dashboard(record={}), []),
        (dashboard(record=None), []),
        (
            dashboard(record=None, records=[{"lead_id": "a"}, {"lead_id": "b", "sent_to_llm": True}, "c", "a"]),
            ["a", "c"],
        ),
        (dashboard(record=None, records=[f"lead-{n}" for n in range(700)]), [f"lead-{n}" for n in range(500)]),
    ],
    ids=str,
)
async def test_hints_are_ids_of_leads_and_bounded(service: Service, body: dict[str, Any], hints: list[str]) -> None:
    answer = await service.webhook(body, BY_HEADER)

    assert answer.status_code == 202
    assert service.engine.webhooks == [hints]


@pytest.mark.parametrize(
    "body",
    [
        dashboard(type="UPDATE", record={"lead_id": "a", "sent_to_llm": True}),
        dashboard(type="DELETE", record=None, old_record={"lead_id": "a"}),
        dashboard(record=None, records=[{"lead_id": "a", "sent_to_llm": True}]),
    ],
    ids=str,
)
@pytest.mark.parametrize("signs", [True, False])
async def test_what_cannot_make_a_lead_eligible_sends_no_webhook(
    service: Service, body: dict[str, Any], *, signs: bool
) -> None:
    """Our own save sets sent_to_llm: its echo must not wake anyone."""
    answer = await service.webhook(body, None if signs else BY_HEADER)

    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert service.engine.webhooks == []


@pytest.mark.parametrize("age_s", [299, -299, 301, -301, 24 * 3600 - 5, -24 * 3600 + 5])
async def test_a_late_or_early_webhook_is_a_hint_for_a_day(service: Service, age_s: int) -> None:
    """pg_net's queue may hold it back, and clocks differ."""
    answer = await service.webhook(OURS, age_s=age_s)

    assert answer.status_code == 202
    assert service.engine.webhooks == [[]]


@pytest.mark.parametrize("age_s", [24 * 3600 + 5, -24 * 3600 - 5])
async def test_beyond_a_day_it_is_refused(service: Service, age_s: int) -> None:
    with capture_logs() as logs:
        answer = await service.webhook(OURS, age_s=age_s)
        service.state["webhook_sum"].report()

    assert answer.status_code == 401
    assert service.engine.webhooks == []
    assert logs[0]["reasons"] == {"timestamp_far_off": 1}
    assert abs(logs[0]["age_s_max"] - age_s) <= 2


async def test_late_webhooks_are_bounded_in_rate(service: Service) -> None:
    """A recorded webhook may be sent again all day; punctual ones are not delayed by it."""
    with capture_logs() as logs:
        late = [await service.webhook(OURS, age_s=3600) for _ in range(5)]
        service.state["webhook_sum"].report()
    assert {answer.status_code for answer in late} == {202}
    assert [(line["count"], line["woke"]) for line in logs if line["event"] == "webhook.accepted"] == [(5, 3)]

    await service.webhook(OURS)

    assert len(service.engine.webhooks) == 4


def strangers() -> dict[str, dict[str, str]]:
    """Requests that prove nothing, by the reason that the log gives."""
    good = signed(BODY)
    return {
        "missing_x_webhook": {},
        "wrong_static_header": {"x-webhook": STATIC[:-1]},
        "missing_webhook_id": without("webhook-id"),
        "missing_webhook_timestamp": without("webhook-timestamp"),
        "bad_timestamp": {**good, "webhook-timestamp": "soon"},
        "bad_id": {**good, "webhook-id": "a.b"},
        "no_signature_fits": {**good, "webhook-signature": "v1,AAAA,BBBB v1, ,"},
        "signatures_too_long": {**good, "webhook-signature": "v1,AAAA " * 500},
        "timestamp_far_off": signed(BODY, age_s=100_000),
    }


@pytest.mark.parametrize("reason", strangers())
async def test_a_stranger_learns_nothing_and_the_log_all(service: Service, reason: str) -> None:
    plain = await service.webhook(OURS, {})
    service.state["webhook_sum"].report()
    with capture_logs() as logs:
        answer = await service.webhook(OURS, strangers()[reason])
        service.state["webhook_sum"].report()

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.content == plain.content
    assert [name for name in answer.headers] == [name for name in plain.headers]  # noqa: C416 - in order and with repetitions
    assert [line["reasons"] for line in logs if line["event"] == "webhook.refused"] == [{reason: 1}]
    assert service.engine.webhooks == []


async def test_a_bad_signature_is_not_saved_by_the_static_header(service: Service) -> None:
    answer = await service.webhook(BODY + b" ", {**signed(BODY), "x-webhook": STATIC})

    assert answer.status_code == 401
    assert service.engine.webhooks == []


UNREADABLE = {
    "empty": b"",
    "cut off": b'{"type": "INSERT"',
    "lone surrogate": b'{"type": "\\ud800"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "deep": b"[" * 30_000,
}
FOREIGN = {
    "array": b"[]",
    "null": b"null",
    "nothing": b"{}",
    "table": json.dumps(dashboard(table="orders")).encode(),
    "schema": json.dumps(dashboard(schema="auth")).encode(),
    "lower case": json.dumps(dashboard(type="insert")).encode(),
    "truncate of a dashboard": json.dumps(dashboard(type="TRUNCATE")).encode(),
    "no table": json.dumps(dashboard(table=None)).encode(),
    "record": json.dumps(dashboard(record="a")).encode(),
    "records": json.dumps({**OURS, "records": [1]}).encode(),
    "long type": json.dumps({**OURS, "type": "X" * 50}).encode(),
}


@pytest.mark.parametrize("what", [*UNREADABLE, *FOREIGN])
async def test_a_proven_webhook_of_another_shape_is_refused_in_words(service: Service, what: str) -> None:
    """400 where it is no JSON, 422 where it is about something else; nothing wakes the dispatcher."""
    answer = await service.webhook({**UNREADABLE, **FOREIGN}[what])
    status = 400 if what in UNREADABLE else 422

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert service.engine.webhooks == []


async def test_a_body_that_is_not_utf_8_is_refused(service: Service) -> None:
    """By the static header, as the reference library can't sign it."""
    assert (await service.webhook(b'{"type": "\xff"}', BY_HEADER)).status_code == 400


async def test_a_body_that_says_it_is_not_json_is_refused(service: Service) -> None:
    form = await service.webhook(OURS, {**signed(BODY), "content-type": "text/plain"})
    silent = await service.webhook(OURS, without("content-type"))

    assert (form.status_code, silent.status_code) == (415, 202)


async def post(service: Service, body: bytes, headers: Any, *, declared: bool) -> httpx.Response:
    """Send a body whose length is declared, or one in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    return await service.client.post("/webhooks/leads", content=body if declared else chunks(), headers=headers)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("proof", ["signed", "none", "wrong header", "signed beside the header", "header twice"])
async def test_a_body_of_more_than_64_kb_is_refused_where_the_header_proves_nothing(
    service: Service, *, declared: bool, proof: str
) -> None:
    body = json.dumps({**OURS, "records": ["x" * 70_000]}).encode()
    headers: dict[str, list[tuple[str, str]]] = {
        "signed": list(signed(body).items()),
        "none": [],
        "wrong header": [("x-webhook", STATIC[:-1])],
        "signed beside the header": [*signed(body).items(), ("x-webhook", STATIC)],
        "header twice": [("x-webhook", STATIC), ("x-webhook", STATIC)],
    }
    answer = await post(service, body, headers[proof], declared=declared)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert service.engine.webhooks == []


async def test_a_signed_body_of_64_kb_is_read(service: Service) -> None:
    body = BODY + b" " * (64 * 1024 - len(BODY))

    assert (await service.webhook(body)).status_code == 202
    assert (await service.webhook(body + b" ")).status_code == 413


@pytest.mark.parametrize("declared", [True, False])
async def test_a_dashboard_webhook_may_carry_its_row_twice_up_to_1_mib(service: Service, *, declared: bool) -> None:
    """Once the header proves it; of an UPDATE with a long text only the id is taken."""
    row = {"lead_id": "a", "sent_to_llm": False, "bio": "é" * 70_000}
    body = json.dumps(dashboard(type="UPDATE", record=row, old_record=row)).encode()
    body += b" " * (1024 * 1024 - len(body))
    answer = await post(service, body, BY_HEADER, declared=declared)

    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert service.engine.webhooks == [["a"]]


@pytest.mark.parametrize("declared", [True, False])
async def test_beyond_1_mib_the_answer_says_that_the_sweep_finds_the_lead(service: Service, *, declared: bool) -> None:
    body = json.dumps(dashboard()).encode()
    body += b" " * (1024 * 1024 + 1 - len(body))
    service.state["sweep_interval_s"] = 45
    before = REGISTRY.get_sample_value("leadhook_webhooks_total", {"result": "refused"}) or 0
    with capture_logs() as logs:
        answer = await post(service, body, BY_HEADER, declared=declared)
        service.state["webhook_sum"].report()

    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]
    assert "sweep finds its lead within 45 seconds" in answer.json()["detail"]
    assert [line["event"] for line in logs] == ["webhook.refused"], "no http.request"
    assert logs[0]["reasons"] == {"body_too_large": 1}
    assert logs[0]["body_bytes_max"] > 1024 * 1024
    assert REGISTRY.get_sample_value("leadhook_webhooks_total", {"result": "refused"}) == before + 1
    assert service.engine.webhooks == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        json.dumps({**OURS, "records": [1] * 300_000}).encode(),
        b'{"type": "INSERT", "table": "all_leads", "schema": "public", "record": {"a": %s}}' % (b"[" * 1_000_000),
    ],
    ids=["deep", "many errors", "deep record"],
)
async def test_a_large_body_of_another_shape_costs_little_memory(service: Service, body: bytes) -> None:
    tracemalloc.start()
    try:
        answer = await service.webhook(body, BY_HEADER)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert answer.status_code in (400, 422)
    assert peak < 20 * len(body)


async def test_webhooks_are_logged_in_sum_after_a_while(service: Service) -> None:
    reported = anyio.Event()

    class Sum(WebhookSum):
        def report(self) -> None:
            super().report()
            reported.set()

    service.state["webhook_sum"] = Sum(window_s=0.3)
    with capture_logs() as logs:
        for _ in range(3):
            await service.webhook(OURS)
        await service.webhook(OURS, {})
        with anyio.fail_after(PATIENCE_S):
            await reported.wait()
        service.state["webhook_sum"].report()

    counts = {line["event"]: 0 for line in logs}
    for line in logs:
        counts[line["event"]] += line["count"]
    assert counts == {"webhook.accepted": 3, "webhook.refused": 1}, "no http.request"


async def test_a_signed_webhook_is_answered_with_a_receipt(service: Service) -> None:
    body = {"type": "INSERT", "records": []}
    answer = await service.webhook(body)
    expected = [receipt(webhook_key(secret), "msg_1") for secret in (SECRET, OLD_SECRET)]
    assert answer.headers["webhook-receipt"].split() == expected
    plain = await service.webhook(body, {"x-webhook": STATIC, "content-type": "application/json"})
    assert (plain.status_code, "webhook-receipt" in plain.headers) == (202, False)
