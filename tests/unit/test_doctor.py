"""What the doctor finds without a database: settings, the model, logs, webhooks, and the findings of `/ready`."""

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tests.log_service import LogService, listening
from tests.support.settings import REQUIRED, settings

from leadhook.doctor.check import Check, Level, check_installation
from leadhook.doctor.examination import ShownOnce, examine
from leadhook.doctor.keys import check_model
from leadhook.doctor.network import check_date, check_logs, check_version, check_webhooks
from leadhook.domain.findings import Code, check_everything, check_status
from leadhook.domain.lead_snapshot import WebhookDelivery
from leadhook.domain.spend import Price
from leadhook.domain.status import Status
from leadhook.local.processes import free_port
from leadhook.prices import PriceList, read_prices
from leadhook.settings import Settings

ENV = {
    **REQUIRED,
    "WEBHOOK_SECRETS": "whsec_dmlzaWJseS1mYWtlLXdlYmhvb2stc2VjcmV0LTMyYg==",
    "ADMIN_TOKENS": "visibly-fake-admin-token",
}
WRONG = {
    "SUPABASE_URL": "hunter2",
    "SUPABASE_SECRET_KEY": "",
    "WEBHOOK_SECRETS": "whsec_hunter2",
    "WEBHOOK_STATIC_HEADER": "hunter2",
    "ADMIN_TOKENS": "hunter2",
    "ADMIN_READONLY_TOKENS": "hunter2",
    "CORS_ORIGINS": "hunter2",
    "PORT": "hunter2",
    "MAX_CONCURRENCY": "0",
    "SWEEP_INTERVAL_SEC": "-1",
    "DRAIN_SEC": "hunter2",
    "KILL_TIMEOUT_SEC": "10",
    "GEMINI_BASE_URL": "hunter2",
    "INJECTION_CHECK": "hunter2",
    "GEMINI_PRICE_FILE": "/nowhere/prices.json",
    "LOG_LEVEL": "hunter2",
    "LOG_FORMAT": "hunter2",
    "LOG_SHIP": "hunter2",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "hunter2",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "hunter2",
    "OTEL_EXPORTER_OTLP_HEADERS": "hunter2",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "hunter2",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/certificate.pem",
    "LOG_TIMEZONE": "Mars/Olympus",
    "METRICS_PORT": "70000",
    "POLL_INTERVAL_SEC": "5",
}
TOLD_ELSEWHERE = {
    "HOST", "GEMINI_MODEL", "LOG_FILE", "DATABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY",
}  # fmt: skip
"""Any text may be right; what does not work in them is a finding about the model, logs, database or Supabase."""


def test_every_setting_is_among_them() -> None:
    """A new one gets its wrong value here."""
    assert WRONG.keys() | TOLD_ELSEWHERE == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", WRONG)
async def test_doctor_names_the_setting_that_is_wrong(name: str, tmp_path: Path) -> None:
    found: list[Check] = []
    given = ENV | {"LOG_FILE": str(tmp_path / "operator.log")} | {name: WRONG[name]}
    await examine(found.append, at="http://127.0.0.1:9", env={k: v for k, v in given.items() if v})
    complaints = [finding for finding in found if finding.about == "settings" and finding.level is not Level.OK]
    assert len(complaints) == 1, complaints
    assert name in complaints[0].sentence
    assert complaints[0].remedy
    assert "hunter2" not in str(found)
    is_fault = complaints[0].level is Level.FAULT
    assert is_fault != any("Every setting is valid" in finding.sentence for finding in found)
    assert any(finding.about == "service" for finding in found)


async def test_a_database_url_that_is_none_is_a_wrong_setting() -> None:
    """Exit code 2, as for the other commands."""
    found: list[Check] = []
    await examine(found.append, at="http://127.0.0.1:9", env=ENV | {"DATABASE_URL": "hunter2@"})
    (about,) = (each for each in found if each.about == "settings" and each.level is Level.FAULT)
    assert "DATABASE_URL" in about.sentence
    assert "hunter2" not in about.sentence


AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
USERS = [UUID(int=1), UUID(int=2)]
SET_UP = {"url_set": True, "secret_set": True, "pg_net": True}
WORKING = {
    "keys": {"total": 1, "healthy": 1},
    "webhook_setup": SET_UP,
    "workers": [{"worker": "w", "claimed_ms": 1}],
}
PAUSED = [{"user_id": user, "actor": "ada", "paused_at": AT} for user in USERS]


@pytest.mark.parametrize(
    ("changes", "about", "level", "code"),
    [
        ({"keys": {}}, "keys", Level.FAULT, Code.NO_KEY),
        ({"triggers": {"prompts": False}}, "triggers", Level.FAULT, Code.TRIGGER_MISSING),
        ({"webhook_setup": {"vault_error": "22000"}}, "webhooks", Level.FAULT, Code.VAULT_UNREADABLE),
        ({"webhook_setup": {"url_set": True, "pg_net": True}}, "webhooks", Level.FAULT, Code.WEBHOOK_NOT_SET_UP),
        ({"webhook_setup": SET_UP | {"outbox_guards": ["rule r"]}}, "webhooks", Level.FAULT, Code.OUTBOX_GUARDED),
        ({"workers": []}, "leads", Level.FAULT, Code.NO_WORKER),
        ({"pauses": [{"actor": "ada", "paused_at": AT}]}, "leads", Level.FAULT, Code.PAUSED),
        ({"pauses": PAUSED[:1]}, "leads", Level.WARNING, Code.PAUSED),
        ({"jobs": {"held": 2}}, "leads", Level.WARNING, Code.LEADS_HELD),
        ({"held_snapshot": {"held_by": "session", "pid": 7}}, "leads", Level.WARNING, Code.SNAPSHOT_HELD),
        ({"jobs": {"dead": 2}}, "leads", Level.WARNING, Code.LEADS_DEAD),
    ],
)
def test_a_finding_has_the_words_of_status_and_says_what_it_is_about(
    changes: dict[str, object], about: str, level: Level, code: Code
) -> None:
    """Sentence and remedy stand in one place; leads that wait for the sweep are a fault here."""
    status = Status.model_validate(WORKING | changes)
    (check,) = check_installation(status, 300)
    assert (check.about, check.level, check.code) == (about, level, code)
    everything = check_everything(status, 300)
    shown = {str(finding) for finding in (*everything.reasons, *everything.warnings)}
    if code is not Code.LEADS_DEAD:
        assert shown == {f"{check.sentence} {check.remedy}"}


def test_a_sound_installation_has_no_finding() -> None:
    assert check_installation(Status.model_validate(WORKING), 300) == []


def test_each_finding_is_shown_once_but_two_of_one_code_are_both_shown() -> None:
    """The database, the API and `/ready` report the same pauses."""
    status = Status.model_validate(WORKING | {"pauses": PAUSED})
    shown: list[Check] = []
    report = ShownOnce(shown.append)
    report.add(check_installation(status, 300))
    report.add(check_installation(status, 300))
    service = [
        Check(about="service", level=Level.FAULT, code=finding.code, sentence="The service reports it.")
        for finding in check_status(status).warnings
    ]
    report.add(service)
    assert [check.code for check in shown] == [Code.PAUSED, Code.PAUSED]


PRICES = read_prices(None)
DEFAULT = Settings.model_fields["gemini_model"].default
ENDING, ENDS_ON = "gemini-2.5-flash", date(2026, 12, 1)


@pytest.mark.parametrize(
    ("model", "today", "level"),
    [
        (DEFAULT, ENDS_ON, "ok"),
        (ENDING, date(2026, 10, 31), "ok"),
        (ENDING, date(2026, 11, 1), "warning"),
        (f"models/{ENDING}", date(2026, 11, 30), "warning"),
        (ENDING, ENDS_ON, "fault"),
        (ENDING, date(2026, 12, 2), "fault"),
    ],
)
def test_end_of_a_model_is_reported_thirty_days_before(model: str, today: date, level: str) -> None:
    finding = check_model(model, PRICES, today=today)
    assert finding.level == level
    assert model in finding.sentence
    if model != DEFAULT:
        assert str(ENDS_ON) in finding.sentence
    if level != "ok":
        assert "`leadhook evaluate --model gemini-3.5-flash-lite --limit 100`" in str(finding.remedy)


def test_a_price_file_of_ones_own_may_name_an_end_and_hides_none() -> None:
    """Prices are replaced as a whole; what Google ends is ended all the same."""
    own = PriceList(
        read_on=ENDS_ON,
        source="a test",
        usd_per_million_tokens={ENDING: (Price(input=1, cached=1, output=1),)},
        retired_on={"gemini-9": ENDS_ON},
    )
    levels = [check_model(model, own, today=ENDS_ON).level for model in (ENDING, "gemini-9")]
    assert levels == ["fault", "fault"]


@pytest.mark.parametrize(("model", "words"), [("gemini-9", "--live"), ("gemini-4-argon", "GEMINI_PRICE_FILE")])
def test_a_model_that_is_unknown_or_has_no_known_price_is_not_ok(model: str, words: str) -> None:
    """Most often a typing error, which the first lead would reveal; or its calls are booked at the highest price."""
    finding = check_model(model, PRICES)
    assert finding.level == "warning"
    assert words in str(finding.remedy)


def test_default_model_is_not_one_that_ends() -> None:
    assert DEFAULT not in PRICES.retired_on
    assert "gemini-3.5-flash-lite" not in PRICES.retired_on


SECRET = "visibly-fake-header-secret"
SHIPPING = {
    "LOG_SHIP": "otlp",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
}


async def ship(url: str, **changes: str) -> Check:
    (finding,) = await check_logs(settings(**SHIPPING | {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url} | changes))
    assert SECRET not in str(finding)
    assert finding.about == "logs"
    return finding


async def test_a_line_that_arrives_is_ok() -> None:
    with listening(LogService()) as service:
        finding = await ship(service.url)
    assert finding.level == "ok"
    assert service.bodies() == ["doctor.asked"]
    assert service.headers[0]["authorization"] == f"Bearer {SECRET}"


async def test_without_shipping_nothing_is_asked() -> None:
    with listening(LogService()) as service:
        finding = await ship(service.url, LOG_SHIP="none")
    assert finding.level == "ok"
    assert "standard output" in finding.sentence
    assert service.arrived_at == []


@pytest.mark.parametrize(
    ("status", "words", "fix"),
    [
        (401, "401 Unauthorized", "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "404 Not Found", "address"),
        (413, "413", "address"),
        (415, "415", "protobuf"),
        (429, "429 Too Many Requests", "address"),
        (0, "no answer within 0.3 s", "address"),
    ],
)
async def test_what_the_service_does_not_take_is_a_fault(status: int, words: str, fix: str) -> None:
    """In its own words for HTTP, with what fixes it."""
    with listening(LogService(answers=[(status, {})])) as service:
        finding = await ship(service.url)
    assert finding.level == "fault"
    assert words in finding.sentence
    assert fix in (finding.remedy or "")


async def test_log_service_that_is_away_is_a_fault() -> None:
    port = free_port()
    finding = await ship(f"http://127.0.0.1:{port}/v1/logs?token={SECRET}")
    assert finding.level == "fault"
    assert f"http://127.0.0.1:{port}/v1/logs does not accept a line: no connection" in finding.sentence


async def test_a_log_file_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    with listening(LogService()) as service:
        env = SHIPPING | {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": service.url}
        good = await check_logs(settings(**env | {"LOG_FILE": str(tmp_path / "operator.log")}))
        bad = await check_logs(settings(**env | {"LOG_FILE": str(tmp_path / "nowhere" / "operator.log")}))
    assert [finding.level for finding in good] == ["ok"]
    assert [finding.level for finding in bad] == ["ok", "warning"]
    assert "nowhere" in bad[1].sentence


ARRIVED = WebhookDelivery(reason="insert all_leads", sent_at=AT, status_code=202)
LOST = WebhookDelivery(reason="insert all_leads", sent_at=AT, error="Couldn't connect to server")


def test_a_service_that_does_not_answer_is_a_fault() -> None:
    (finding,) = check_webhooks([LOST, ARRIVED])
    assert (finding.level, (finding.remedy or "").startswith("Check that the service runs")) == ("fault", True)


def test_an_outage_that_is_over_asks_for_nothing() -> None:
    """A service that answers is not to be started."""
    (finding,) = check_webhooks([ARRIVED, LOST])
    assert (finding.level, (finding.remedy or "").startswith("Nothing to do")) == ("warning", True)


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("0.7.1", "warning"),
        ("0.14.0", "warning"),
        ("0.18", "warning"),
        ("0.19.0", "ok"),
        ("0.20.4", "ok"),
        ("1.0", "ok"),
    ],
)
def test_the_version_of_pg_net_is_shown_with_what_it_means(version: str, level: str) -> None:
    """Seconds instead of milliseconds, before it is woken."""
    (finding,) = check_version(version)
    assert (finding.level, version in finding.sentence) == (level, True)


@pytest.mark.parametrize("header", [None, "", "now", "Mon, 23 Nov 2026 25:61:00 GMT"])
def test_a_service_without_a_readable_date_is_no_fault(header: str | None) -> None:
    """A proxy may answer in its place."""
    assert check_date(header) == []


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0100"])
def test_the_clock_of_a_service_is_compared_in_any_zone(zone: str) -> None:
    """-0000 says that the zone is unknown; HTTP's is UTC."""
    (finding,) = check_date(f"Mon, 23 Nov 2020 08:00:00 {zone}")
    assert (finding.about, finding.level) == ("clock", "warning")
