"""Our lines as OpenTelemetry's log records, in the official types."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from leadhook import __version__
from leadhook.observability.exceptions import as_text

SEVERITIES: Final = {
    "debug": SeverityNumber.SEVERITY_NUMBER_DEBUG,
    "info": SeverityNumber.SEVERITY_NUMBER_INFO,
    "warning": SeverityNumber.SEVERITY_NUMBER_WARN,
    "error": SeverityNumber.SEVERITY_NUMBER_ERROR,
    "critical": SeverityNumber.SEVERITY_NUMBER_FATAL,
}
_RESOURCE: Final = ("service", "version")
_INT64: Final = range(-(2**63), 2**63)


def encode(lines: Sequence[bytes], resource: Mapping[str, str]) -> ExportLogsServiceRequest:
    """A request with these lines.

    Args:
        lines: JSON objects as the log's JSON form has them.
        resource: who speaks, e.g. `host.name`.
    """
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    about = {"service.name": "leadhook", "service.version": __version__, **resource}
    group.resource.attributes.extend(_attributes(about.items()))
    scope = group.scope_logs.add()
    scope.scope.name = "leadhook"
    scope.log_records.extend(_record(json.loads(line)) for line in lines)
    return request


def _record(line: dict[str, Any]) -> LogRecord:
    at = round(datetime.fromisoformat(line.pop("timestamp")).timestamp() * 1_000_000) * 1000
    level, event = line.pop("level"), _valid(str(line.pop("event")))
    told = line.pop("exception", None)
    if told:
        line |= {"exception.type": told[0]["exc_type"], "exception.message": told[0]["exc_value"]}
        line["exception.stacktrace"] = as_text(told)
    record = LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        severity_number=SEVERITIES[level],
        severity_text=level.upper(),
        body=AnyValue(string_value=event),
        attributes=_attributes((name, value) for name, value in line.items() if name not in _RESOURCE),
    )
    if "logger" not in line:
        record.event_name = event
    return record


def _attributes(fields: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    return [KeyValue(key=_valid(name), value=_value(value)) for name, value in fields if value is not None]


def _value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int() if value in _INT64:
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=_attributes(value.items())))
        case list():
            return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
        case _:
            return AnyValue(string_value=_valid(str(value)))


def _valid(text: str) -> str:
    """Lone surrogates are no Unicode."""
    return text.encode("utf-8", "replace").decode()
