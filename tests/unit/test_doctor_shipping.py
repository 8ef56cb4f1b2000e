"""The doctor ships a line to the log service as the settings say, and names what is in the way."""

from pathlib import Path

import pytest
from tests.log_service import LogService, listening
from tests.support.settings import settings

from leadhook.doctor.check import Check
from leadhook.doctor.network import check_logs
from leadhook.local.processes import free_port

SECRET = "visibly-fake-header-secret"
ENV = {
    "LOG_SHIP": "otlp",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
}


async def ship(url: str, **changes: str) -> Check:
    (finding,) = await check_logs(settings(**ENV | {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url} | changes))
    assert SECRET not in str(finding)
    assert finding.about == "logs"
    return finding


async def test_line_that_arrives_is_told() -> None:
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


async def test_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with listening(LogService()) as service:
        env = ENV | {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": service.url}
        good = await check_logs(settings(**env | {"LOG_FILE": str(tmp_path / "operator.log")}))
        bad = await check_logs(settings(**env | {"LOG_FILE": str(tmp_path / "nowhere" / "operator.log")}))
    assert [finding.level for finding in good] == ["ok"]
    assert [finding.level for finding in bad] == ["ok", "warning"]
    assert "nowhere" in bad[1].sentence
