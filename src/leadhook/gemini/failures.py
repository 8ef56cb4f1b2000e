"""Classifies failed model calls: the key, the configuration, the content, or a transient problem.

A 4xx arrives wrapped by LangChain, with Google's error as its cause; a 5xx arrives unwrapped. Transport errors are
aiohttp's or httpx's, and a reply that is not JSON raises JSONDecodeError. Exception messages contain the server's whole
reply, so they are never logged or stored; the messages here replace them.
"""

import json
import math
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import httpx
from google.genai.errors import APIError

from leadhook.domain.failure import Failure, FailureClass

MINUTE_QUOTA_S: Final = 60.0
"""How long a key is parked if Google reports a per-minute quota without a delay."""
LONGEST_REST_S: Final = 86_400.0
"""Upper limit for any delay that Google asks for."""

_CANNOT_CONNECT: Final = (aiohttp.ClientConnectorError, httpx.ConnectError, ConnectionRefusedError)
_BROKEN_OFF: Final = (aiohttp.ClientError, httpx.HTTPError, OSError)
_NO_JSON: Final = (json.JSONDecodeError, UnicodeDecodeError, aiohttp.ContentTypeError)

_BAD_KEY: Final = ("API_KEY_INVALID", "API_KEY_EXPIRED")
_FORBIDDEN: Final[dict[str, tuple[str, str]]] = {
    "leaked": ("key_leaked", "Google blocked this API key because it was published."),
    "SERVICE_DISABLED": ("key_service_disabled", "The Gemini API is not enabled in the project of this API key."),
}
_SETTINGS: Final = ("thinking", "generation_config", "generationconfig", "schema", "mime", "max_output", "maxoutput")
_PACIFIC: Final = "America/Los_Angeles"


def timed_out(limit_s: float) -> Failure:
    """Return the failure of a call that exceeded its time limit."""
    return Failure(FailureClass.TRANSIENT, "model_timeout", f"The model did not answer within {limit_s:g} s.")


def classify(error: BaseException, *, model: str) -> Failure:
    """Classify an exception raised by a model call."""
    api_error = _api_error(error)
    if api_error is not None:
        return _from_api(api_error, model)
    if isinstance(error, TimeoutError):
        return Failure(FailureClass.TRANSIENT, "model_timeout", "The connection to the model timed out.")
    name = type(error).__name__
    if isinstance(error, _NO_JSON):
        return Failure(FailureClass.TRANSIENT, "reply_not_json", "The model's service sent a reply that is not JSON.")
    if isinstance(error, _CANNOT_CONNECT):
        return Failure(FailureClass.TRANSIENT, "model_unreachable", f"The model's service can't be reached ({name}).")
    if isinstance(error, _BROKEN_OFF):
        return Failure(
            FailureClass.TRANSIENT, "model_connection_lost", f"The connection to the model was lost ({name})."
        )
    return Failure(FailureClass.TRANSIENT, "model_call_failed", f"The model call failed ({name}).")


def _api_error(error: BaseException) -> APIError | None:
    for candidate in (error, error.__cause__):
        if isinstance(candidate, APIError):
            return candidate
    return None


def _from_api(error: APIError, model: str) -> Failure:  # noqa: PLR0911 - a table, one line a case
    match error.code:
        case 429:
            return _over_quota(_details(error))
        case 400:
            return _bad_request(error)
        case 401 | 403:
            return _forbidden(error)
        case 404:
            reason = f"Google does not know the model {model}: check GEMINI_MODEL."
            return Failure(FailureClass.CONFIGURATION, "model_unknown", reason)
        case 413:
            return _too_long()
        case 402 | 405 | 406 | 410 | 411 | 412 | 414 | 415 | 422 as code:
            return Failure(FailureClass.CONTENT, "model_refused_request", f"Google refused the request (HTTP {code}).")
        case code:
            return Failure(FailureClass.TRANSIENT, "model_unavailable", f"The model's service answered HTTP {code}.")


def _bad_request(error: APIError) -> Failure:
    said = (error.message or "").lower()
    if _details(error).get("ErrorInfo", {}).get("reason") in _BAD_KEY or "api key" in said:
        return Failure(FailureClass.KEY, "key_invalid", "Google does not accept this API key.")
    if error.status == "FAILED_PRECONDITION":
        reason = "Google does not serve this project from this location (HTTP 400, FAILED_PRECONDITION)."
        return Failure(FailureClass.CONFIGURATION, "model_precondition", reason)
    if any(word in said for word in _SETTINGS):
        reason = "The model rejects the parameters of the call: check GEMINI_MODEL (HTTP 400)."
        return Failure(FailureClass.CONFIGURATION, "model_settings_refused", reason)
    if "token" in said:
        return _too_long()
    return Failure(FailureClass.CONTENT, "model_refused_request", "Google refused the request (HTTP 400).")


def _forbidden(error: APIError) -> Failure:
    said = f"{error.message} {_details(error).get('ErrorInfo', {}).get('reason')}"
    for marker, (code, reason) in _FORBIDDEN.items():
        if marker in said:
            return Failure(FailureClass.KEY, code, reason)
    return Failure(FailureClass.KEY, "key_forbidden", f"Google refuses this API key (HTTP {error.code}).")


def _too_long() -> Failure:
    return Failure(FailureClass.CONTENT, "prompt_too_long", "The prompt is longer than the model accepts.")


def _over_quota(details: dict[str, dict[str, Any]]) -> Failure:
    violations = details.get("QuotaFailure", {}).get("violations")
    listed = violations if isinstance(violations, list) else []
    quotas = " ".join(str(violation.get("quotaId", "")) for violation in listed if isinstance(violation, dict))
    delay_s = _seconds(details.get("RetryInfo", {}).get("retryDelay"))
    if "PerDay" in quotas:
        reason = "The daily quota of this API key is used up."
        return Failure(FailureClass.KEY, "key_day_quota", reason, park_s=_until_midnight_pacific())
    if quotas or delay_s is not None:
        reason = "This API key is over its quota."
        return Failure(FailureClass.KEY, "key_minute_quota", reason, park_s=delay_s or MINUTE_QUOTA_S)
    return Failure(FailureClass.TRANSIENT, "model_overloaded", "The model's service is over capacity (HTTP 429).")


def _details(error: APIError) -> dict[str, dict[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error")
    items = inner.get("details") if isinstance(inner, dict) else None
    if not isinstance(items, list):
        return {}
    return {str(item["@type"]).rsplit(".", 1)[-1]: item for item in items if isinstance(item, dict) and "@type" in item}


def _seconds(duration: object) -> float | None:
    if not isinstance(duration, str):
        return None
    try:
        seconds = float(duration.removesuffix("s"))
    except ValueError:
        return None
    return min(max(0.0, seconds), LONGEST_REST_S) if math.isfinite(seconds) else None


def _until_midnight_pacific() -> float:
    now = datetime.now(ZoneInfo(_PACIFIC))
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
