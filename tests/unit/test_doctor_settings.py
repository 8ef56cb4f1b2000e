"""The doctor names each setting that is wrong, by its variable and never by its value."""

from pathlib import Path

import pytest
from tests.support.settings import REQUIRED

from leadhook.doctor.check import Check, Level
from leadhook.doctor.examination import examine
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
