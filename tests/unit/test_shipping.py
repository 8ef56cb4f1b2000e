"""Lines reach a log service over OTLP/HTTP, whatever it answers; what is lost is counted and logged."""

import ipaddress
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from structlog.testing import capture_logs
from tests.conftest import poll
from tests.log_service import LogService, listening
from tests.support.settings import settings

from leadhook.observability.shipping import Exporter, OtlpSink
from leadhook.observability.sinks import LineQueue

TOKEN = "visibly-fake-ship-token"


@pytest.fixture
def service() -> Iterator[LogService]:
    with listening(LogService()) as service:
        yield service


@contextmanager
def shipping(
    url: str,
    *,
    timeout_s: float = 5,
    lines: LineQueue | None = None,
    compress: bool = True,
    env: dict[str, str] | None = None,
) -> Iterator[OtlpSink]:
    variables = {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{TOKEN}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": str(timeout_s * 1000),
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip" if compress else "none",
        **(env or {}),
    }
    exporter = Exporter(settings(**variables))
    shipper = OtlpSink(exporter, lines=lines, least_pause_s=0.01, longest_pause_s=0.1, linger_s=0.05)
    try:
        yield shipper
    finally:
        shipper.close(2)


def line(event: str, **fields: Any) -> str:
    first = {"timestamp": "2026-11-23T08:00:00.123456Z", "level": "warning", "event": event}
    return json.dumps({**first, "service": "leadhook", "version": "1", **fields})


def ship(shipper: OtlpSink, *events: str) -> None:
    """Lines of these events, until all of them are sent or given up."""
    for event in events:
        shipper.put(line(event))
    assert shipper.flush(20)


@pytest.mark.parametrize("compress", [True, False])
def test_a_line_is_a_record_in_the_official_types(service: LogService, *, compress: bool) -> None:
    raised = [
        {"exc_type": "OSError", "exc_value": "no room", "frames": [{"filename": "a.py", "lineno": 7, "name": "f"}]}
    ]
    with shipping(service.url, compress=compress) as shipper:
        shipper.put(line("lead.finished", n=7, big=2**70, ok=True, half=0.5, none=None, odd="\ud800", d={"a": [1]}))
        shipper.put(line("port 80", logger="uvicorn.error", exception=raised))
        assert shipper.flush(10)
    ours, theirs = service.taken

    assert ours.time_unix_nano == 1_795_420_800_123_456_000
    assert (ours.severity_number, ours.severity_text, ours.event_name) == (13, "WARNING", "lead.finished")
    assert ours.body.string_value == "lead.finished"
    fields = {each.key: each.value for each in ours.attributes}
    assert fields["n"].int_value == 7
    assert fields["big"].string_value == str(2**70)
    assert fields["ok"].bool_value
    assert fields["half"].double_value == 0.5
    assert fields["odd"].string_value == "?"
    assert fields["d"].kvlist_value.values[0].value.array_value.values[0].int_value == 1
    assert fields.keys() == {"n", "big", "ok", "half", "odd", "d"}
    assert theirs.event_name == ""
    failure = {each.key: each.value.string_value for each in theirs.attributes}
    assert failure["exception.type"] == "OSError"
    assert failure["exception.stacktrace"] == "OSError: no room\n  a.py:7 in f"
    assert service.resource["service.name"] == "leadhook"
    assert service.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert service.headers[0]["content-type"] == "application/x-protobuf"
    assert service.headers[0].get("content-encoding") == ("gzip" if compress else None)


def test_lines_go_in_batches_and_in_order(service: LogService) -> None:
    with shipping(service.url) as shipper:
        ship(shipper, *map(str, range(2000)))

    assert service.bodies() == [str(number) for number in range(2000)]
    assert len(service.arrived_at) <= 8


@pytest.mark.parametrize("status", [429, 503, 500, 401, 302])
def test_lines_wait_for_a_service_that_takes_none(service: LogService, status: int) -> None:
    """The fault and its end are logged once each, without a secret, and no line is lost."""
    service.answers = [(status, {})] * 3
    with capture_logs() as lines, shipping(service.url) as shipper:
        ship(shipper, "a")
        assert shipper.trouble is None

    assert service.bodies() == ["a"]
    assert shipper.dropped == 0
    assert [(each["event"], each["log_level"]) for each in lines] == [
        ("log.failed", "error"),
        ("log.recovered", "warning"),
    ]
    assert lines[0]["reason"].startswith(str(status))
    assert TOKEN not in str(lines)


def test_retry_after_is_honoured(service: LogService) -> None:
    service.answers = [(429, {"Retry-After": "1"})]
    with capture_logs(), shipping(service.url) as shipper:
        ship(shipper, "a")
    first, second = service.arrived_at

    assert 1 <= second - first < 5


def test_a_service_that_goes_on_refusing_does_not_hold_up_what_comes_later(service: LogService) -> None:
    service.answers = [(401, {})] * 5
    with capture_logs() as lines, shipping(service.url) as shipper:
        ship(shipper, "a")
        ship(shipper, "b")

    assert service.bodies() == ["b"]
    assert shipper.dropped == 1
    assert [each["event"] for each in lines] == ["log.failed", "log.recovered", "log.dropped"]
    assert lines[2]["lines"] == 1


def test_what_is_too_large_is_halved(service: LogService) -> None:
    """Smaller parts go through; a single line that is too large is lost, counted and logged."""
    service.largest = 2000
    with capture_logs() as lines, shipping(service.url) as shipper:
        for number in range(40):
            shipper.put(line(str(number)))
        shipper.put(line("giant", text="x" * 3000))
        ship(shipper, "last")

    assert service.bodies() == [*map(str, range(40)), "last"]
    assert shipper.dropped == 1
    assert [(each["event"], each.get("lines")) for each in lines] == [("log.refused", 1)]


def test_what_is_refused_for_good_is_lost_and_counted(service: LogService) -> None:
    service.answers = [(400, {})]
    with capture_logs() as lines, shipping(service.url) as shipper:
        ship(shipper, "a")
        partly = ExportLogsPartialSuccess(rejected_log_records=3, error_message=f"bad {TOKEN}")
        service.reply = ExportLogsServiceResponse(partial_success=partly).SerializeToString()
        ship(shipper, "b")

    assert service.bodies() == ["b"]
    assert shipper.dropped == 4
    assert [each["lines"] for each in lines] == [1, 3]
    assert TOKEN not in str(lines)


def test_an_answer_that_is_no_otlp_counts_as_taken(service: LogService) -> None:
    """Some services answer 200 in words."""
    service.reply = b"<html>ok</html>"
    with shipping(service.url) as shipper:
        ship(shipper, "a")

    assert (service.bodies(), shipper.dropped) == (["a"], 0)


def test_a_service_that_comes_back_gets_what_there_was_room_for() -> None:
    with listening(LogService()) as gone:
        pass
    port = int(gone.url.split(":")[2].split("/")[0])
    with capture_logs() as lines, shipping(gone.url, lines=LineQueue(most=100)) as shipper:
        shipper.put(line("first"))
        poll(lambda: shipper.trouble is not None)
        for number in range(500):
            shipper.put(line(str(number)))
        lost = shipper.dropped
        with listening(LogService(), port) as back:
            assert shipper.flush(20)
        poll(lambda: any(each["event"] == "log.dropped" for each in lines))

    assert lost == 400
    assert back.bodies() == ["first", *map(str, range(100))]
    assert [each["lines"] for each in lines if each["event"] == "log.dropped"] == [400]


def test_the_end_is_bounded_and_what_is_lost_is_counted(service: LogService) -> None:
    """A service that never answers delays a shutdown no longer than its timeout."""
    service.answers = [(0, {})] * 10
    with capture_logs() as lines, shipping(service.url, timeout_s=30) as shipper:
        for number in range(10):
            shipper.put(line(str(number)))
        poll(lambda: bool(service.arrived_at))
        began = time.monotonic()
        shipper.close(0.5)
        took_s = time.monotonic() - began

    assert took_s < 3
    assert shipper.dropped == 10
    assert [(each["event"], each["lines"]) for each in lines] == [("log.dropped", 10)]


def test_the_end_ships_what_waits(service: LogService) -> None:
    """Neither the linger nor a pause after a failure is waited for."""
    service.answers = [(429, {"Retry-After": "200"})]
    with capture_logs(), shipping(service.url) as shipper:
        shipper.put(line("a"))
        poll(lambda: shipper.trouble is not None)
        shipper.put(line("b"))
        shipper.close(10)

    assert service.bodies() == ["a", "b"]
    assert shipper.dropped == 0


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that is trusted only where a setting names it, and the context that serves with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a log service of our own")])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    lines, both = directory / "certificate.pem", directory / "certificate-and-key.pem"
    lines.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    hidden = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    both.write_bytes(lines.read_bytes() + hidden)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return lines, context


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "SSL_CERT_FILE"])
def test_a_certificate_of_the_settings_is_trusted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one for the log service alone, or the one for every connection."""
    path, tls = certificate(tmp_path)
    monkeypatch.setenv(variable, str(path))
    with listening(LogService(), tls=tls) as service, shipping(service.url, env={variable: str(path)}) as shipper:
        ship(shipper, "a")

    assert (service.bodies(), shipper.dropped) == (["a"], 0)


def test_a_log_service_is_trusted_by_the_certificates_of_the_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those for every connection do not count beside the log service's own."""
    path, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": certifi.where()}
    with (
        capture_logs() as lines,
        listening(LogService(), tls=tls) as service,
        shipping(service.url, env=env) as shipper,
    ):
        shipper.put(line("a"))
        poll(lambda: shipper.trouble is not None)

    assert service.bodies() == []
    assert shipper.dropped == 1
    assert lines[0]["reason"] == "no connection (SSLError)"


def test_lines_go_through_the_proxy_with_its_password(service: LogService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.url.replace("://", "://user:visibly-fake@").removesuffix("/v1/logs"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for url in ("http://logs.test/v1/logs", service.url):
        with shipping(url) as shipper:
            shipper.put(line("a"))
            assert shipper.flush(10)

    assert service.targets == ["http://logs.test/v1/logs", "/v1/logs"]
    assert ["proxy-authorization" in headers for headers in service.headers] == [True, False]


def test_resource_attributes_of_the_environment_are_sent(service: LogService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=staging,service.name=hidden")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "leads-eu")
    with shipping(service.url) as shipper:
        ship(shipper, "a")

    assert service.resource["deployment.environment"] == "staging"
    assert service.resource["service.name"] == "leads-eu"
    assert {"service.version", "service.instance.id", "host.name"} <= service.resource.keys()
