"""Ships the log to a log service from a thread of its own, in batches, and keeps at it through an outage.

Why not OpenTelemetry's own exporter (1.45): it drops a batch once its timeout of 10 s is over, so that an outage or a
longer Retry-After loses lines for which there was room; it drops what is answered with 413 as a whole; its processor
does not learn whether an export succeeded, so that drops can't be counted; and its SDK for logs is not stable yet.
"""

import socket
import threading
import time
from typing import Final

import structlog

from leadhook.domain.backoff import backoff
from leadhook.observability.delivery import Answer, Delivery
from leadhook.observability.events import Event
from leadhook.observability.lines import Lines
from leadhook.observability.otlp import encode
from leadhook.settings import Settings

MOST_RECORDS: Final = 512
MOST_BYTES: Final = 512 * 1024
"""Of lines in a request, uncompressed; New Relic takes a million."""
LINGER_S: Final = 1.0
LEAST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
MOST_DENIALS: Final = 5
"""So often the same lines are sent to a service that answers, but does not take them."""
TELL_AGAIN_S: Final = 300.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Shipper:
    """Lines in, requests out, in order."""

    name: Final = "otlp"

    def __init__(
        self,
        delivery: Delivery,
        *,
        lines: Lines | None = None,
        least_pause_s: float = LEAST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._delivery = delivery
        self._lines = Lines() if lines is None else lines  # an empty one is false
        self._least_pause_s = least_pause_s
        self._longest_pause_s = longest_pause_s
        self._linger_s = linger_s
        self._resource = {"host.name": socket.gethostname()}
        self._failures = 0
        self._failing_since: float | None = None
        self._told_at = 0.0
        self._dropped_told = 0
        self._ends_at: float | None = None
        self.trouble: str | None = None
        """Why the log service takes nothing, while it does not."""
        self._thread = threading.Thread(target=self._run, name="leadhook-otlp", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start."""
        return self._lines.dropped

    def put(self, line: str) -> None:
        """Leave a line to the thread."""
        self._lines.put(line.encode())

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is shipped, so long at the most."""
        return self._lines.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Ship what is left in that time; the rest is counted as lost, and told."""
        if self._ends_at is not None:
            return
        self._ends_at = time.monotonic() + timeout_s
        self._lines.close()
        self._thread.join(timeout_s)
        self._lines.lose(len(self._lines))
        self._tell_of_drops()

    def _run(self) -> None:
        while batch := self._lines.take(MOST_RECORDS, MOST_BYTES, self._linger_s):
            self._ship(batch)
            self._tell_of_drops()
        self._delivery.close()

    def _ship(self, batch: list[bytes]) -> None:
        parts = [batch]
        while parts:
            part = parts.pop()
            answer = self._send(part)
            if answer.meaning == "too_large" and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            elif answer.meaning in ("unavailable", "denied"):
                self._lines.lose(len(part))
            elif lost := answer.rejected if answer.meaning == "accepted" else len(part):
                self._lines.lose(lost)
                self._dropped_told += lost
                log.warning(Event.LOG_REFUSED, sink=self.name, lines=lost, reason=answer.reason or "partial success")

    def _send(self, part: list[bytes]) -> Answer:
        """Until the service has decided about these lines, or too often did not want to."""
        request = encode(part, self._resource)
        denials = 0
        while True:
            ending = self._ends_at is not None
            answer = self._delivery.send(request, self._time_left_s())
            if answer.meaning in ("accepted", "too_large", "refused"):
                self._note_success(answer)
                return answer
            self._note_failure(answer)
            denials += answer.meaning == "denied"
            if ending or denials >= MOST_DENIALS:
                return answer
            pause_s = self._least_pause_s + backoff(self._failures, base_s=1.0, ceiling_s=self._longest_pause_s)
            self._lines.wait_until_closed(max(pause_s, answer.retry_after_s))

    def _time_left_s(self) -> float:
        return float("inf") if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def _note_success(self, answer: Answer) -> None:
        self._failures = 0
        if self._failing_since is not None and answer.meaning == "accepted":
            log.warning(Event.LOG_RECOVERED, sink=self.name, down_s=round(time.monotonic() - self._failing_since))
            self._failing_since = self.trouble = None

    def _note_failure(self, answer: Answer) -> None:
        self._failures += 1
        self.trouble = answer.reason
        now = time.monotonic()
        if self._failing_since is None or now - self._told_at >= TELL_AGAIN_S:
            self._failing_since = self._failing_since or now
            self._told_at = now
            log.error(Event.LOG_FAILED, sink=self.name, reason=answer.reason)

    def _tell_of_drops(self) -> None:
        dropped = self._lines.dropped
        if dropped > self._dropped_told and (self._failing_since is None or self._ends_at is not None):
            log.warning(Event.LOG_DROPPED, sink=self.name, lines=dropped - self._dropped_told)
            self._dropped_told = dropped


def open_shipper(settings: Settings) -> Shipper:
    """Ship to where the settings say."""
    return Shipper(open_delivery(settings))


def open_delivery(settings: Settings) -> Delivery:
    """A connection to where the settings say."""
    return Delivery(
        settings.otlp_logs_url,
        headers=settings.otlp_headers(),
        timeout_s=settings.otel_exporter_otlp_timeout / 1000,
        compress=settings.otel_exporter_otlp_compression == "gzip",
        certificate=settings.otel_exporter_otlp_certificate,
    )
