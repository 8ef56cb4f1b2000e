"""Sends the log to a log service over OTLP/HTTP with OpenTelemetry's records, resource and exporter.

OpenTelemetry's `BatchLogRecordProcessor` (1.45) is not used: when its queue is full it drops the oldest line without
counting it, it drops a batch whose export failed, its shutdown takes 30 s, and it starts a thread in every forked
child. A `Sink` queues and batches instead. The exporter's own retries are not used either: they end with its timeout of
10 s although there is room for the lines, and they delay a shutdown. Importing this module takes memory, so import it
only with LOG_SHIP=otlp.
"""

import json
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, Literal

import requests
import structlog
import urllib3
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from requests.adapters import HTTPAdapter

from leadhook import __version__, network
from leadhook.domain.backoff import backoff
from leadhook.observability.events import Event
from leadhook.observability.redaction import exception_text
from leadhook.observability.sinks import LineQueue, Sink
from leadhook.settings import Settings

LONGEST_REPLY: Final = 64 * 1024
LONGEST_RETRY_AFTER_S: Final = 300.0
REFUSED: Final = (400, 415, 422)
"""The log service will never accept these lines."""
OVERLOADED: Final = (408, 429, 502, 503, 504)
"""The log service may accept the same lines later."""
MOST_DENIALS: Final = 5
"""How often the same lines are sent to a log service that answers but does not accept them."""
SEVERITIES: Final = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_SCOPE: Final = InstrumentationScope("leadhook", __version__)
_RESOURCE: Final = ("service", "version")
_INT64: Final = range(-(2**63), 2**63)

log: structlog.stdlib.BoundLogger = structlog.get_logger()

# The exporter logs each failure with addresses and header values; the sink reports failures once, without these.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)

Meaning = Literal["accepted", "too_large", "refused", "unavailable", "denied"]


@dataclass(frozen=True)
class ShippingAnswer:
    """The log service's answer to a request.

    Attributes:
        meaning: `accepted`; `too_large`: send smaller parts; `refused`: never send these lines again; `unavailable`:
            send them again later; `denied`: the same, but the settings or the service must be fixed first.
        reason: in words, without text from the log service.
        rejected: number of lines of an accepted request that were rejected.
        retry_after_s: minimum time until the next attempt.
    """

    meaning: Meaning
    reason: str = ""
    rejected: int = 0
    retry_after_s: float = 0.0


class NotTaken(Exception):  # noqa: N818 - not an error of ours
    """Ends an export immediately, because the exporter does not retry after this exception."""


class Adapter(HTTPAdapter):
    """Uses the certificates of `network`, and keeps the limited response, which the exporter discards."""

    def __init__(self, certificate: str | None) -> None:
        self._trust = network.own_trust(certificate)
        self.answer = ShippingAnswer("refused")
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._trust, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        trust = {"ssl_context": self._trust, "proxy_ssl_context": self._trust}
        return super().proxy_manager_for(proxy, **trust, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Don't add certifi's certificates, which would be trusted in addition to ours."""
        super().cert_verify(conn, url, verify, cert)
        conn.ca_certs = conn.ca_cert_dir = None

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, and raise `NotTaken` unless the log service accepted it."""
        try:
            response = super().send(request, *args, **(kwargs | {"verify": True}))
            body = response.raw.read(LONGEST_REPLY)
            if len(body) == LONGEST_REPLY:
                response.raw.close()
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            self.answer = ShippingAnswer("unavailable", f"no answer within {kwargs.get('timeout', 0):.3g} s")
        except (OSError, urllib3.exceptions.HTTPError) as error:
            self.answer = ShippingAnswer("unavailable", f"no connection ({type(error).__name__})")
        else:
            self.answer = _read_answer(response.status_code, response.headers.get("retry-after", ""), body)
            if self.answer.meaning == "accepted":
                response.raw = BytesIO()
                return response
        raise NotTaken(self.answer.reason) from None


class Exporter:
    """OpenTelemetry's exporter, with the meaning of its answers.

    The exporter itself reads OpenTelemetry's other variables (client certificate and key, resource attributes). The
    arguments are passed because it deviates from the specification: timeout in seconds, no compression by default.
    """

    def __init__(self, settings: Settings) -> None:
        url, certificate = settings.otlp_logs_url, settings.otel_exporter_otlp_certificate
        self._adapter = Adapter(str(certificate) if certificate else None)
        session = requests.Session()
        session.trust_env = False
        if proxy := network.proxy_for(url):
            session.proxies = {"all": proxy}
        for scheme in ("http://", "https://"):
            session.mount(scheme, self._adapter)
        self._exporter = OTLPLogExporter(
            endpoint=url,
            headers=settings.otlp_headers(),
            timeout=settings.otel_exporter_otlp_timeout / 1000,
            compression=Compression(settings.otel_exporter_otlp_compression),
            session=session,
        )
        about = {
            "service.name": "leadhook",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}/{os.getpid()}",
            "host.name": socket.gethostname(),
        }
        self._resource = Resource(about).merge(OTELResourceDetector().detect())

    def send(self, records: list[LogRecord]) -> ShippingAnswer:
        self._adapter.answer = ShippingAnswer("refused", "the lines could not be encoded")
        batch = [ReadableLogRecord(record, self._resource, _SCOPE) for record in records]
        if self._exporter.export(batch) is LogRecordExportResult.FAILURE and self._adapter.answer.meaning == "accepted":
            return ShippingAnswer("unavailable", "the answer could not be read")
        return self._adapter.answer

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # not annotated by its authors


class OtlpSink(Sink):
    """Sends lines in order, and keeps a batch during an outage."""

    most_lines = 512
    most_bytes = 512 * 1024
    """Maximum size of the lines in a request, uncompressed; New Relic accepts a million bytes."""

    def __init__(
        self,
        exporter: Exporter,
        *,
        lines: LineQueue | None = None,
        least_pause_s: float = 0.5,
        longest_pause_s: float = 60.0,
        linger_s: float = 1.0,
    ) -> None:
        super().__init__("otlp", lines)
        self._exporter = exporter
        self._least_pause_s = least_pause_s
        self._longest_pause_s = longest_pause_s
        self.linger_s = linger_s
        self._failures = 0
        self.start()

    def release(self) -> None:
        self._exporter.close()

    def deliver(self, batch: list[bytes]) -> None:
        """See `Sink`; batches that are too large are halved."""
        parts = [[to_record(line) for line in batch]]
        while parts:
            part = parts.pop()
            answer = self._send(part)
            if answer.meaning == "too_large" and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            elif answer.meaning in ("unavailable", "denied"):
                self.lines.lose(len(part))
            elif lost := answer.rejected if answer.meaning == "accepted" else len(part):
                self.lines.lose(lost)
                self._drops_reported += lost
                log.warning(Event.LOG_REFUSED, sink=self.name, lines=lost, reason=answer.reason or "partial success")

    def _send(self, part: list[LogRecord]) -> ShippingAnswer:
        """Send the lines until the log service accepts or refuses them, or too many attempts have failed."""
        denials = 0
        while True:
            ending = self.lines.closed.is_set()
            answer = self._exporter.send(part)
            if answer.meaning in ("accepted", "too_large", "refused"):
                self._failures = 0
                if answer.meaning == "accepted":
                    self.note_success()
                return answer
            self._failures += 1
            self.note_failure(answer.reason)
            denials += answer.meaning == "denied"
            if ending or denials >= MOST_DENIALS:
                return answer
            pause_s = self._least_pause_s + backoff(self._failures, base_s=1.0, ceiling_s=self._longest_pause_s)
            self.lines.closed.wait(max(pause_s, answer.retry_after_s))


def to_record(line: bytes) -> LogRecord:
    fields = json.loads(line)
    at = round(datetime.fromisoformat(fields.pop("timestamp")).timestamp() * 1_000_000) * 1000
    level, event = fields.pop("level"), _valid(str(fields.pop("event")))
    if exceptions := fields.pop("exception", None):
        fields |= {"exception.type": exceptions[0]["exc_type"], "exception.message": exceptions[0]["exc_value"]}
        fields["exception.stacktrace"] = exception_text(exceptions)
    return LogRecord(
        timestamp=at,
        observed_timestamp=at,
        severity_number=SEVERITIES[level],
        severity_text=level.upper(),
        body=event,
        attributes=_attributes((name, value) for name, value in fields.items() if name not in _RESOURCE),
        event_name=None if "logger" in fields else event,
    )


def _attributes(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {_valid(name): _value(value) for name, value in fields if value is not None}


def _value(value: Any) -> Any:
    match value:
        case bool() | float():
            return value
        case int() if value in _INT64:
            return value
        case dict():
            return _attributes(value.items())
        case list():
            return [_value(item) for item in value]
        case _:
            return _valid(str(value))


def _valid(text: str) -> str:
    """Replace lone surrogates, which are not valid Unicode."""
    return text.encode("utf-8", "replace").decode()


def _read_answer(status: int, retry_after: str, body: bytes) -> ShippingAnswer:
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in {each.value for each in HTTPStatus} else f"{status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:  # the exporter treats 302 as success, too
        return ShippingAnswer("accepted", rejected=_rejected(body))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ShippingAnswer("too_large", phrase)
    if status in REFUSED:
        return ShippingAnswer("refused", phrase)
    meaning: Meaning = "unavailable" if status in OVERLOADED else "denied"
    return ShippingAnswer(meaning, phrase, retry_after_s=_retry_after_s(retry_after))


def _rejected(body: bytes) -> int:
    try:
        answer = ExportLogsServiceResponse.FromString(body)
    except Exception:  # noqa: BLE001 - whatever the decoder raises: services that answer in words took the lines
        return 0
    rejected: int = answer.partial_success.rejected_log_records
    return max(0, rejected)


def _retry_after_s(text: str) -> float:
    """Parse seconds or a date, at most five minutes; unreadable text counts as zero."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S) if seconds == seconds else 0.0  # noqa: PLR0124 - nan
