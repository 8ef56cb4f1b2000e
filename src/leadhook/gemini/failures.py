"""Classifies failed model calls: is the key, the model, the lead or the connection to blame?

Only Google's own error envelope, `{"error": {"code", "message", "status"}}` with one of its status names, is evidence
about a key, the model or the request. Any other reply, whatever its HTTP status, comes from something in between (a
proxy, a firewall, a captive portal): it is transient, and evidence about nothing else. `check_reply` sees each reply
before the SDK does, because the SDK treats both kinds alike. What a failure does to a lead or key is decided from
evidence; see `domain/blame.py`.

Messages of errors contain the server's whole reply, so they are never logged or stored; the messages here replace them.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import httpx

from leadhook.domain.failure import SETTINGS_REFUSED, Failure, FailureClass
from leadhook.domain.results import Usage
from leadhook.network import NO_FILES_LEFT, no_files_left

LONGEST_REST_S: Final = 86_400.0
"""Upper limit for any delay that Google asks for."""
SHORT_DELAY_S: Final = 600.0
"""A delay up to this is tried before a daily quota is believed to be used up until midnight."""

_CALL: Final = Usage(calls=1)
_PERHAPS_BILLED: Final = Usage(calls=1, unmetered=1)
_CANNOT_CONNECT: Final = (aiohttp.ClientConnectorError, httpx.ConnectError, ConnectionRefusedError)
_BROKEN_OFF: Final = (aiohttp.ClientError, httpx.HTTPError, OSError)
_ANSWER_FIELDS: Final = {"candidates": list, "promptFeedback": dict, "usageMetadata": dict}

_STATUS_CODES: Final = {
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "CANCELLED": 499,
    "DATA_LOSS": 500,
    "DEADLINE_EXCEEDED": 504,
    "FAILED_PRECONDITION": 400,
    "INTERNAL": 500,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "OUT_OF_RANGE": 400,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAUTHENTICATED": 401,
    "UNAVAILABLE": 503,
    "UNIMPLEMENTED": 501,
    "UNKNOWN": 500,
}
"""Google's status names, and the HTTP status of each."""
_RESTRICTED: Final = "This API key is restricted to"
_NO_BILLING: Final = (
    "key_billing",
    "The project of this API key has no working billing account: see Google's console.",
)
_KEY_REASONS: Final = (
    ("API_KEY_INVALID|API key not valid|API Key not found", "key_invalid", "Google does not accept this API key."),
    ("API_KEY_EXPIRED|API key expired", "key_invalid", "Google does not accept this API key: it has expired."),
    ("leaked", "key_leaked", "Google blocked this API key because it was published: replace it."),
    (
        "SERVICE_DISABLED",
        "key_service_disabled",
        "The Gemini API is not enabled in the project of this API key: enable it in Google's console.",
    ),
    ("HTTP_REFERRER_BLOCKED", "key_restricted", f"{_RESTRICTED} web pages: lift that in Google's console."),
    (
        "IP_ADDRESS_BLOCKED",
        "key_restricted",
        f"{_RESTRICTED} other IP addresses: add this service's address in Google's console.",
    ),
    ("ANDROID_APP_BLOCKED", "key_restricted", f"{_RESTRICTED} Android apps: lift that in Google's console."),
    ("IOS_APP_BLOCKED", "key_restricted", f"{_RESTRICTED} iOS apps: lift that in Google's console."),
    (
        "API_KEY_SERVICE_BLOCKED",
        "key_restricted",
        f"{_RESTRICTED} other APIs: allow the Gemini API in Google's console.",
    ),
    ("BILLING_DISABLED", *_NO_BILLING),
    ("suspended|SUSPENDED", "key_suspended", "Google suspended the project of this API key: see Google's console."),
)
"""By the reason of ErrorInfo, or by words of the message where Google names no reason."""
_UNPAID: Final = re.compile(r"prepay|credits?\b|spend(ing)? (cap|limit)", re.IGNORECASE)
_BILLING: Final = re.compile(rf"billing (account|is|has)|enable billing|{_UNPAID.pattern}", re.IGNORECASE)
_TOO_LONG: Final = re.compile(
    r"token count.*exceeds|exceeds the maximum number of tokens|request payload size exceeds", re.IGNORECASE
)
_SPEAKS_OF_KEY: Final = re.compile(r"API key (not valid|expired)|API Key not found")
_RETRY_IN: Final = re.compile(r"retry in (?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?([0-9.]+)(m?)s", re.IGNORECASE)
_SETTINGS: Final = re.compile(
    r"thinking|generation_?config|schema|mime|max_?output|developer instruction|system_?\s?instruction"
    r"|model name|\bmodels/",
    re.IGNORECASE,
)
_LIMIT_ZERO: Final = re.compile(r"\blimit: 0\b")
_PACIFIC: Final = "America/Los_Angeles"


class RefusedReplyError(Exception):
    """A reply that is no answer.

    Attributes:
        status: HTTP's, or that of Google's error inside the reply, whatever HTTP says.
        error: Google's error; None: the reply is not Google's.
        retry_after_s: from the header.
    """

    def __init__(self, status: int, error: dict[str, Any] | None, retry_after_s: float | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.error = error
        self.retry_after_s = retry_after_s


class CutReplyError(Exception):
    """The reply began and did not end, so the call was perhaps billed."""


async def check_reply(response: aiohttp.ClientResponse) -> None:
    """Let only Google's answers pass.

    Raises:
        RefusedReplyError: for anything else.
        CutReplyError: the body broke off.
    """
    try:
        raw = await response.read()
    except _BROKEN_OFF:
        raise CutReplyError from None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    error = _envelope(body)
    is_expected = _is_model if response.method == "GET" else _is_answer
    if error is None and response.ok and is_expected(body):
        response.status = HTTPStatus.OK.value  # the SDK takes no other success, such as a proxy's 203, for an answer
        return
    status = response.status if error is None else _code(error)
    raise RefusedReplyError(status, error, _delay(response.headers.get("Retry-After")))


def timed_out(limit_s: float) -> Failure:
    """Return the failure of a call that exceeded its time limit."""
    return _transient("model_timeout", f"The model did not answer within {limit_s:g} s.", usage=_PERHAPS_BILLED)


def classify(error: BaseException, *, model: str) -> Failure:  # noqa: PLR0911 - a table, one line a case
    """Classify an exception raised by a model call."""
    name = type(error).__name__
    match error:
        case RefusedReplyError(error=None):
            sender = "a proxy, a firewall or the address in GEMINI_BASE_URL sent it"
            reason = f"The reply was not Google's (HTTP {error.status}): {sender}."
            return _transient("model_path_failed", reason, park_s=error.retry_after_s)
        case RefusedReplyError():
            failure = _Refusal(error, model).failure()
            failure.usage = _CALL
            return failure
        case CutReplyError():
            return _transient("model_connection_lost", "The model's reply broke off.", usage=_PERHAPS_BILLED)
        case TimeoutError():
            return _transient("model_timeout", "The connection to the model timed out.", usage=_PERHAPS_BILLED)
        case _ if no_files_left(error):
            return Failure(FailureClass.CONFIGURATION, "files_exhausted", NO_FILES_LEFT)
        case _ if isinstance(error, _CANNOT_CONNECT):
            return _transient("model_unreachable", f"The model's service can't be reached ({name}).")
        case _ if isinstance(error, _BROKEN_OFF):
            return _transient("model_connection_lost", f"The connection to the model was lost ({name}).")
        case _:
            # The SDK's parser raises on some answers that were paid for.
            return _transient("model_call_failed", f"The model call failed ({name}).", usage=_PERHAPS_BILLED)


def _transient(code: str, reason: str, *, park_s: float | None = None, usage: Usage = _CALL) -> Failure:
    return Failure(FailureClass.TRANSIENT, code, reason, park_s=park_s, usage=usage)


def _is_answer(body: object) -> bool:
    if not isinstance(body, dict):
        return False
    found = {name: body[name] for name in _ANSWER_FIELDS if body.get(name) is not None}
    return bool(found) and all(isinstance(value, _ANSWER_FIELDS[name]) for name, value in found.items())


def _is_model(body: object) -> bool:
    return isinstance(body, dict) and str(body.get("name")).startswith("models/")


def _envelope(body: object) -> dict[str, Any] | None:
    error = body[0] if isinstance(body, list) and len(body) == 1 else body
    error = error.get("error") if isinstance(error, dict) else None
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return None
    message, status = error.get("message"), error.get("status")
    return error if isinstance(message, str) and isinstance(status, str) and status in _STATUS_CODES else None


def _code(error: dict[str, Any]) -> int:
    """Return the error's HTTP status; some gateways leave gRPC's code in its place."""
    code: int = error["code"]
    return code if code >= HTTPStatus.BAD_REQUEST else _STATUS_CODES[error["status"]]


class _Refusal:
    """One of Google's errors, and what it is evidence of."""

    def __init__(self, reply: RefusedReplyError, model: str) -> None:
        error = reply.error or {}
        self._code = reply.status
        self._status, self._message = error["status"], error["message"]
        self._model = model
        details = _details(error)
        self._info = details.get("ErrorInfo", {})
        violations = details.get("QuotaFailure", {}).get("violations")
        self._violations = [one for one in violations if isinstance(one, dict)] if isinstance(violations, list) else []
        named_s = _seconds(details.get("RetryInfo", {}).get("retryDelay"))
        if named_s is None and (said := _RETRY_IN.search(self._message)):
            named_s = _spelled(*said.groups(default=""))
        self._delay_s = (reply.retry_after_s if named_s is None else named_s) or None

    def failure(self) -> Failure:  # noqa: PLR0911 - a table, one line a case
        """Return the failure, with a sentence of ours."""
        match self._code:
            case 429:
                return self._over_quota()
            case 400:
                return self._about_key() or self._bad_request()
            case 401 | 402 | 403:
                return self._about_key() or self._key("key_forbidden", f"Google refuses this API key ({self._named}).")
            case 404 | 410:
                reason = f"Google does not offer the model {self._model} here ({self._named}): check GEMINI_MODEL."
                return Failure(FailureClass.CONFIGURATION, "model_unknown", reason)
            case 408 | 409 | 425 | 499:
                return self._unavailable()
            case code if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return self._unavailable()
            case 413:
                return self._too_long()
            case _:
                return self._refused()

    @property
    def _named(self) -> str:
        return f"HTTP {self._code}, {self._status}"

    def _unavailable(self) -> Failure:
        return _transient("model_unavailable", f"The model's service answered {self._named}.", park_s=self._delay_s)

    def _about_key(self) -> Failure | None:
        said = f"{self._info.get('reason')} {self._words}"
        for markers, code, reason in _KEY_REASONS:
            if re.search(markers, said):
                return self._key(code, reason)
        if self._code == HTTPStatus.PAYMENT_REQUIRED or _BILLING.search(self._words):
            return self._key(*_NO_BILLING)
        return None

    @property
    def _words(self) -> str:
        """The message, unless it may quote the lead: then its words are no evidence about the key."""
        quotes = self._status == "INVALID_ARGUMENT" and not _SPEAKS_OF_KEY.match(self._message)
        return "" if quotes else self._message

    def _bad_request(self) -> Failure:
        if self._status == "FAILED_PRECONDITION":
            if "location" in self._message.lower():
                reason = (
                    "Google does not serve the projects of these API keys from where this service runs "
                    f"({self._named}): run it in another region, or enable billing for the projects."
                )
                return Failure(FailureClass.CONFIGURATION, "model_region", reason)
            reason = (
                f"Google requires something of the projects of these API keys first ({self._named}): see its console."
            )
            return Failure(FailureClass.CONFIGURATION, "model_precondition", reason)
        if _TOO_LONG.search(self._message):
            return self._too_long()
        if _SETTINGS.search(self._message):
            reason = f"The model {self._model} rejects the parameters of the call ({self._named}): check GEMINI_MODEL."
            return Failure(FailureClass.CONFIGURATION, SETTINGS_REFUSED, reason)
        return self._refused()

    def _refused(self) -> Failure:
        return Failure(FailureClass.REFUSED, "model_refused_request", f"Google refused the request ({self._named}).")

    def _too_long(self) -> Failure:
        reason = f"The prompt is longer than the model accepts ({self._named})."
        return Failure(FailureClass.REFUSED, "prompt_too_long", reason)

    def _over_quota(self) -> Failure:
        metadata = self._info.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        values = {str(one.get("quotaValue")) for one in self._violations} | {str(metadata.get("quota_limit_value"))}
        ids = [*(one.get("quotaId", "") for one in self._violations), metadata.get("quota_limit", "")]
        quotas = " ".join(map(str, ids)).strip()
        if "0" in values or _LIMIT_ZERO.search(self._message):
            reason = (
                f"The project of this API key has no quota at all for the model {self._model} (limit 0): "
                "enable billing for it, or choose another GEMINI_MODEL."
            )
            return self._key("key_quota_zero", reason)
        if _UNPAID.search(self._message):
            return self._key(*_NO_BILLING)
        if re.search(r"per_?day", quotas, re.IGNORECASE):
            midnight_s = _until_midnight_pacific()
            soon = self._delay_s is not None and 0 < self._delay_s <= SHORT_DELAY_S
            reason = "The daily quota of this API key is used up."
            failure = self._key("key_day_quota", reason)
            failure.park_s, failure.again_s = self._delay_s if soon else midnight_s, midnight_s
            return failure
        if quotas or self._delay_s is not None:
            return self._key("key_minute_quota", "This API key is over its quota.")
        reason = "Google has no capacity left for the project of this API key, without saying which quota (HTTP 429)."
        return self._key("key_exhausted", reason)

    def _key(self, code: str, reason: str) -> Failure:
        for_model = self._model if self._code == HTTPStatus.TOO_MANY_REQUESTS else None
        return Failure(FailureClass.KEY, code, reason, park_s=self._delay_s, for_model=for_model)


def _details(error: dict[str, Any]) -> dict[str, dict[str, Any]]:
    items = error.get("details")
    if not isinstance(items, list):
        return {}
    return {str(item["@type"]).rsplit(".", 1)[-1]: item for item in items if isinstance(item, dict) and "@type" in item}


def _delay(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may also be a date."""
    if (seconds := _number(header)) is not None or header is None:
        return seconds
    try:
        left_s = parsedate_to_datetime(header).timestamp() - datetime.now(UTC).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(left_s, LONGEST_REST_S) if left_s > 0 else None


def _seconds(duration: object) -> float | None:
    return _number(duration.removesuffix("s")) if isinstance(duration, str) else None


def _spelled(hours: str, minutes: str, seconds: str, milli: str) -> float | None:
    """Return the seconds of a delay in a message, such as `16h6m17.9s` or `340ms`."""
    try:
        left_s = float(hours or 0) * 3600 + float(minutes or 0) * 60 + float(seconds) / (1000 if milli else 1)
    except ValueError:
        return None
    return _bounded(left_s)


def _number(text: str | None) -> float | None:
    try:
        return _bounded(float(text or ""))
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(0.0, seconds), LONGEST_REST_S) if math.isfinite(seconds) else None


def _until_midnight_pacific() -> float:
    now = datetime.now(ZoneInfo(_PACIFIC))
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.timestamp() - now.timestamp()  # a subtraction within a zone ignores that its clock may change
