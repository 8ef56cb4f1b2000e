"""Whether a line of the log would reach the log service and the operator's file."""

import json
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread

from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.observability.events import Event
from leadhook.observability.shipping import Exporter, ShippingAnswer, to_record
from leadhook.settings import Settings

PROVIDERS = "docs/logs.md has the settings of each provider."
FIXES = {
    "unavailable": f"Is the address right, and does this machine reach it? {PROVIDERS}",
    "denied": f"Correct OTEL_EXPORTER_OTLP_HEADERS or the address; {PROVIDERS}",
    "refused": f"Does this address take OTLP over HTTP in protobuf? {PROVIDERS}",
    "too_large": f"Does this address take OTLP over HTTP? {PROVIDERS}",
}


async def try_log(settings: Settings) -> list[Check]:
    """Send one line where these settings would ship the log, and look at the operator's file."""
    return [*await _try_shipping(settings), *_check_file(settings.log_file)]


def _check_file(file: Path | None) -> list[Check]:
    if file is None or os.access(file if file.exists() else file.parent, os.W_OK):
        return []
    return [warning("logs", f"LOG_FILE {file} can't be written from here.", "Make its folder, or name another file.")]


async def _try_shipping(settings: Settings) -> list[Check]:
    if settings.log_ship == "none":
        return [ok("logs", "The log goes to standard output; LOG_SHIP=otlp would ship it to a log service as well.")]
    answer = await anyio.to_thread.run_sync(partial(_send, settings))
    address = urlsplit(settings.otlp_logs_url)
    where = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    if answer.meaning != "accepted":
        return [fault("logs", f"The log service at {where} takes no line: {answer.reason}.", FIXES[answer.meaning])]
    if answer.rejected:
        return [warning("logs", f"The log service at {where} answered well, but rejected the line.", FIXES["refused"])]
    return [ok("logs", f"The log service at {where} took a line: {Event.DOCTOR_ASKED}.")]


def _send(settings: Settings) -> ShippingAnswer:
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "event": Event.DOCTOR_ASKED}
    exporter = Exporter(settings)
    try:
        return exporter.send([to_record(json.dumps(line).encode())])
    finally:
        exporter.close()
