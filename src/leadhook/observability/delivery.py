"""One request to a log service over OTLP/HTTP, and what its answer means for the lines in it."""

import gzip
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from leadhook import network

LONGEST_REPLY: Final = 64 * 1024
LONGEST_RETRY_AFTER_S: Final = 300.0
REFUSED: Final = (400, 415, 422)
"""These lines will never be taken."""
OVERLOADED: Final = (408, 429, 502, 503, 504)
"""The same lines will be taken later."""

Meaning = Literal["accepted", "too_large", "refused", "unavailable", "denied"]


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        meaning: `accepted`; `too_large`: in smaller parts; `refused`: never; `unavailable`: later; `denied`: later
            perhaps, once somebody has mended the settings or the service.
        reason: in words, without anything that the service said.
        rejected: of an accepted request, how many lines were not.
        retry_after_s: not sooner.
    """

    meaning: Meaning
    reason: str = ""
    rejected: int = 0
    retry_after_s: float = 0.0


class Delivery:
    """A connection to the log service, kept between requests; used by one thread."""

    def __init__(
        self, url: str, *, headers: dict[str, str], timeout_s: float, compress: bool, certificate: Path | None
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._compress = compress
        self._headers = headers | {"content-type": "application/x-protobuf", "user-agent": "leadhook"}
        if compress:
            self._headers["content-encoding"] = "gzip"
        self._client = httpx.Client(
            verify=network.trust({"SSL_CERT_FILE": str(certificate)} if certificate else None),
            proxy=network.proxy_for(url),
            trust_env=False,
            follow_redirects=False,
        )

    def send(self, request: ExportLogsServiceRequest, within_s: float) -> Answer:
        """Send it; never raises."""
        body = request.SerializeToString()
        timeout_s = min(self._timeout_s, within_s)
        try:
            content = gzip.compress(body, 6) if self._compress else body
            with self._client.stream(
                "POST", self._url, content=content, headers=self._headers, timeout=timeout_s
            ) as response:
                return _judge(response, _read(response, time.monotonic() + timeout_s))
        except httpx.TimeoutException:
            return Answer("unavailable", f"no answer within {timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer("unavailable", f"no connection ({type(error).__name__})")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _read(response: httpx.Response, deadline: float) -> bytes:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > LONGEST_REPLY or time.monotonic() > deadline:
            break
    return body[:LONGEST_REPLY]


def _judge(response: httpx.Response, body: bytes) -> Answer:
    status = response.status_code
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in {each.value for each in HTTPStatus} else f"{status}"
    if response.is_success:
        return Answer("accepted", rejected=_rejected(body))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Answer("too_large", phrase)
    if status in REFUSED:
        return Answer("refused", phrase)
    return Answer(
        "unavailable" if status in OVERLOADED else "denied",
        phrase,
        retry_after_s=_retry_after_s(response.headers.get("retry-after", "")),
    )


def _rejected(body: bytes) -> int:
    try:
        answer = ExportLogsServiceResponse.FromString(body)
    except Exception:  # noqa: BLE001 - whatever the decoder raises: services that answer in words took the lines
        return 0
    rejected: int = answer.partial_success.rejected_log_records
    return max(0, rejected)


def _retry_after_s(text: str) -> float:
    """Seconds or a date, at most five minutes; what can't be read counts as nothing."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S) if seconds == seconds else 0.0  # noqa: PLR0124 - nan
